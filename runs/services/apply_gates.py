"""Review gates in a transition: opened, decided by a person, early, or by themselves when due; held while a run has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from runs.engine.commands import DecideByDefault
from runs.engine.planner import rewind_to
from runs.engine.scopes import Place
from runs.engine.state import StepState
from runs.engine.statuses import EventType, StepStatus, Wait
from runs.models import Delivery, EarlyDecision, Mail, Review
from runs.notifications import settle_reviews
from runs.services import budget
from runs.services.effect_questions import SEND_AGAIN, EffectQuestion
from runs.services.eligibility import reviewers_in_words, why_not_eligible
from runs.services.values import BadValue, checked_output, error_json
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import ReviewRequest
from workflows.steps.review import APPROVE

if TYPE_CHECKING:
    from runs.services.apply_commands import Applier


class GateTaken(Exception):
    """A person decided while the default decision was being written: the transition is planned again."""


class GatesApplier:
    """The part of an `Applier` that is about review gates; it fills the same transition."""

    def __init__(self, applier: Applier) -> None:
        self.applier = applier
        self.loaded = applier.loaded
        self.state = applier.state
        self.graph = applier.graph
        self.run = applier.run
        self.t = applier.t
        self.now = applier.now

    def open(self, step: StepState, asked: ReviewRequest, usage: JSONObject) -> None:
        """A gate opens; a decision that came early and may be taken decides it in the same transition."""
        values = self._asked(step, asked, usage)
        early = EarlyDecision.objects.filter(
            run_id=self.run.pk, step_key=step.key, scope=step.scope, round=step.round
        ).first()
        if early is not None and asked.quorum == 1:
            known = {decision for decision, _, _ in asked.buttons}
            if (
                early.decision in known
                and why_not_eligible(values, self.run, early.person, early.role) is None
            ):
                decided = {
                    "status": Review.Status.DECIDED,
                    "decision": early.decision,
                    "comment": early.comment,
                    "edited": early.edited,
                    "field_values": early.field_values,
                    "decided_by_id": early.person_id,
                    "decided_by_label": early.person_label,
                    "decided_at": early.created_at,
                }
                values |= decided
                waiting = self.state.get(*step.place)
                assert waiting is not None
                self._decided(waiting, Review(**values))
        self.t.review_inserts.append(values)

    def ask_effect(self, step: StepState, question: EffectQuestion, usage: JSONObject) -> None:
        """A step that may have sent something asks whether it goes out again."""
        values = self._asked(step, question.asked, usage)
        values |= {"kind": Review.Kind.EFFECT, "delivery_id": question.delivery}
        self.t.review_inserts.append(values)
        self.loaded.doubts.add(step.place)

    def _asked(self, step: StepState, asked: ReviewRequest, usage: JSONObject) -> dict[str, Any]:
        """The row of a question that a step asks, which waits from now on; not yet in the transition."""
        content, _ = checked_output(asked.content)
        values = {
            "id": new_id(),
            "tenant_id": self.run.tenant_id,
            "run_id": self.run.pk,
            "kind": Review.Kind.GATE,
            "step_run_id": step.row,
            "workflow_id": self.run.workflow_id,
            "status": Review.Status.OPEN,
            "title": asked.title[:255],
            "instructions": asked.instructions,
            "content": content,
            "editable": asked.editable,
            "assignees": list(asked.assignees),
            "quorum": asked.quorum,
            "bar_starter": asked.bar_starter,
            "fields": list(asked.fields),
            "buttons": [{"decision": d, "label": label, "port": port} for d, label, port in asked.buttons],
            "due_at": asked.due_at,
            "default_decision": asked.default_decision or "",
            "reminders": [moment.isoformat() for moment in asked.reminders],
            "remind_at": asked.reminders[0] if asked.reminders else None,
            "escalate_at": asked.escalate_at,
            "escalate_to": list(asked.escalate_to),
            "created_at": self.now,
        }
        self.loaded.doubts.discard(step.place)
        self.loaded.who[step.key] = reviewers_in_words(list(asked.assignees))
        # Only a gate that can decide itself is a timer; else its date is for people.
        self.applier.outcomes.wait(
            step, Wait.REVIEW, asked.due_at if asked.default_decision else None, **usage
        )
        self.applier.event(
            EventType.REVIEW_REQUESTED,
            step,
            {"reviewId": str(values["id"]), "title": asked.title, "assignees": list(asked.assignees)},
        )
        return values

    def _effect_decided(self, step: StepState, review: Review) -> None:
        """Send again or not: the ledger is told, and the step is made again under its number, where it reads that."""
        self._tell(step, review)
        self.t.put(self.state, step.but(status=StepStatus.QUEUED, wait=Wait.NONE, due_at=None))
        self.t.step_updates.append(
            (step.row, {"status": StepStatus.QUEUED, "wait": Wait.NONE, "due_at": None})
        )
        delivery, now = review.delivery_id, self.now

        def answer() -> None:
            row = Delivery.objects.filter(pk__in=[delivery] if delivery else [])
            if review.decision == SEND_AGAIN:
                row.update(resend=True)
            else:
                row.update(status=Delivery.Status.SKIPPED, settled_at=now)

        self.t.writes.append(answer)

    def _send_back(self, step: StepState, review: Review) -> None:
        self._tell(step, review)
        self.t.step_updates.append(
            (step.row, {"notes": f"Changes asked for · {review.decided_by_label}"[:255]})
        )
        place = Place(review.back_to, step.scope)
        self.applier.edits.rewind(rewind_to(self.graph, self.state, place), review.comment, of=place)

    def _budget_decided(self, review: Review) -> None:
        """A person allows the stated sum on top of everything spent by now, or ends the run with that reason."""
        self._tell(None, review)
        before = self.loaded.over_budget
        self.loaded.over_budget = None
        self.t.remember(lambda: setattr(self.loaded, "over_budget", before))
        if review.decision == APPROVE:
            budget.allow_more(self.loaded, self.t, review.content, self.now)
        else:
            budget.end_for_good(self.loaded, self.t, review.content, review.decided_by_label, self.now)

    def withdraw_budget(self) -> None:
        """The run ends: nobody is asked about its budget any more."""
        Review.objects.filter(run_id=self.run.pk, kind=Review.Kind.BUDGET, status=Review.Status.OPEN).update(
            status=Review.Status.CANCELLED
        )

    def _tell(self, step: StepState | None, review: Review) -> None:
        self.applier.event(
            EventType.REVIEW_DECIDED,
            step,
            {
                "reviewId": str(review.pk),
                "decision": review.decision,
                "by": review.decided_by_label,
                "comment": review.comment,
                "edited": review.edited is not None,
                **({"backTo": review.back_to} if review.back_to else {}),
            },
        )

    def _decided(self, step: StepState, review: Review) -> None:
        """A gate was decided: complete its step on the decision's port, or fail it where that port leads nowhere; where
        changes were asked for, begin the step that shall make them anew, and everything behind it."""
        if review.back_to:
            self._send_back(step, review)
            return
        button = next((b for b in review.buttons if b["decision"] == review.decision), None)
        port = button["port"] if button is not None else self.graph.main_port(step.key)
        shown = review.edited if review.edited is not None else review.content
        output = {
            **shown,
            "decision": review.decision,
            "comment": review.comment,
            "fields": review.field_values,
            "original": review.content.get("content"),
            "decided_by": review.decided_by_label,
        }
        self._tell(step, review)
        wired = any(edge.port == port for edge in self.graph.outgoing(step.key))
        decided_at = review.decided_at or self.now
        if port != self.graph.main_port(step.key) and not wired:
            by = f" by {review.decided_by_label}" if review.decided_by_label else ""
            because = f": {review.comment}" if review.comment else "."
            message = f"“{self.graph.step(step.key).label}” was rejected{by}{because}"
            info = ErrorInfo(
                "rejected",
                message,
                fault=Fault.AUTHOR,
                fix="Retry the run to ask again, or give the rejection a path.",
            )
            self.applier.outcomes.end_as_failed(
                step,
                error_json(info, self.graph.step(step.key).label),
                {},
                decided_at,
                port=None,
                output=None,
            )
            return
        notes = f"{(button or {}).get('label', review.decision)} · {review.decided_by_label}"
        try:
            self.applier.outcomes.complete(step, output, port, decided_at, usage={}, notes=notes)
        except BadValue as bad:
            shown_error = error_json(bad.info, self.graph.step(step.key).label)
            self.applier.outcomes.end_as_failed(step, shown_error, {}, decided_at, port=None, output=None)

    def decision(self, letter: Mail) -> None:
        review_id = letter.payload.get("review")
        if review_id is not None:
            review = Review.objects.select_related("step_run").get(pk=review_id, run_id=self.run.pk)
            if review.step_run is None:
                self._budget_decided(review)
                return
            step = self.state.get(review.step_run.step_key, review.step_run.scope)
            if step is not None and step.row == review.step_run_id and step.wait is Wait.REVIEW:
                if review.kind == Review.Kind.EFFECT:
                    self._effect_decided(step, review)
                else:
                    self._decided(step, review)
            return
        # An early decision whose gate opened while the letter was on its way.
        early = EarlyDecision.objects.filter(pk=letter.payload.get("early"), run_id=self.run.pk).first()
        step = self.state.get(early.step_key, early.scope) if early is not None else None
        if early is None or step is None or step.wait is not Wait.REVIEW or step.round != early.round:
            return
        gate = Review.objects.filter(step_run_id=step.row, status=Review.Status.OPEN, quorum=1).first()
        if gate is None or early.decision not in {button["decision"] for button in gate.buttons}:
            return
        facts = {"assignees": gate.assignees, "bar_starter": gate.bar_starter}
        if why_not_eligible(facts, self.run, early.person, early.role) is not None:
            return
        decided = {
            "status": Review.Status.DECIDED,
            "decision": early.decision,
            "comment": early.comment,
            "edited": early.edited,
            "field_values": early.field_values,
            "decided_by_id": early.person_id,
            "decided_by_label": early.person_label,
            "decided_at": self.now,
        }
        if Review.objects.filter(pk=gate.pk, status=Review.Status.OPEN).update(**decided) == 1:
            for name, value in decided.items():
                setattr(gate, name, value)
            self._decided(step, gate)

    def reassigned(self, letter: Mail) -> None:
        """Other people may decide a gate now: told as an event, and in the sentence that says what is waited for."""
        facts = letter.payload
        review = (
            Review.objects.select_related("step_run").filter(pk=facts["review"], run_id=self.run.pk).first()
        )
        if review is None or review.status != Review.Status.OPEN:
            return
        step = None
        if review.step_run is not None:
            step = self.state.get(review.step_run.step_key, review.step_run.scope)
            self.loaded.who[review.step_run.step_key] = reviewers_in_words(list(review.assignees))
        self.applier.event(
            EventType.REVIEW_REASSIGNED,
            step,
            {
                "reviewId": str(review.pk),
                "what": facts["what"],
                "to": facts["to"],
                "by": letter.actor_label,
            },
        )

    def decide_by_default(self, command: DecideByDefault) -> None:
        """The gate is due: its own decision, unless a person's is already on its way in the mail."""
        step = self.state.get(*command.place)
        assert step is not None
        decided = {
            "status": Review.Status.DECIDED,
            "decision": "",
            "decided_by_label": "Nobody decided in time",
            "decided_at": self.now,
        }
        gate = Review.objects.filter(step_run_id=step.row, status=Review.Status.OPEN).first()
        if gate is None:
            return
        decided["decision"] = gate.default_decision
        self.t.writes.append(decides_gate(gate.pk, decided))
        tenant_id, settled = self.run.tenant_id, gate.pk
        self.t.writes.append(lambda: settle_reviews(tenant_id, [settled]))
        for name, value in decided.items():
            setattr(gate, name, value)
        self._decided(step, gate)

    def reopen(self) -> None:
        open_rows = [step.row for step in self.state.waiting() if step.wait is Wait.REVIEW]
        Review.objects.filter(
            run_id=self.run.pk, status=Review.Status.HELD, step_run_id__in=open_rows
        ).update(status=Review.Status.OPEN)

    def hold(self) -> None:
        Review.objects.filter(run_id=self.run.pk, status=Review.Status.OPEN).update(status=Review.Status.HELD)


def decides_gate(review_id: UUID, decided: dict[str, Any]) -> Any:
    def write() -> None:
        changed = Review.objects.filter(pk=review_id, status=Review.Status.OPEN).update(**decided)
        if not changed:
            raise GateTaken

    return write


def closes_gate(step_run: UUID) -> Any:
    def write() -> None:
        waiting = Review.objects.filter(
            step_run_id=step_run, status__in=[Review.Status.OPEN, Review.Status.HELD]
        )
        found = dict(waiting.values_list("pk", "tenant_id"))
        if found and waiting.update(status=Review.Status.CANCELLED):
            settle_reviews(next(iter(found.values())), found)

    return write
