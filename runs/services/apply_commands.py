"""Turns what came in (results, mail) and what the planner wants (commands) into one transition. Writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from runs.engine.commands import (
    CancelStep,
    CloseContainer,
    Command,
    CompleteWait,
    DecideByDefault,
    EndItem,
    FinishRun,
    MoreItems,
    OpenItem,
    SkipStep,
    StartStep,
)
from runs.engine.planner import Interrupted, rewind
from runs.engine.scopes import Place
from runs.engine.sentences import waiting_for
from runs.engine.state import StepState
from runs.engine.statuses import AttemptStatus, EventType, MailKind, StepStatus, Wait
from runs.models import Mail, StepRun
from runs.services import debug
from runs.services.apply_children import ChildrenApplier
from runs.services.apply_edits import EditsApplier
from runs.services.apply_end import EndApplier
from runs.services.apply_gates import GatesApplier, closes_gate
from runs.services.apply_items import ItemsApplier
from runs.services.apply_outcomes import OutcomesApplier
from runs.services.apply_usage import UsageApplier, closes_open_attempts
from runs.services.child_runs import cancel_children
from runs.services.execute_step import Result, Task
from runs.services.loaded_run import LoadedRun
from runs.services.transition import Transition
from runs.services.values import BadValue, error_json
from workflows.definition.graph import StepDef
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import INTERRUPTIONS_PER_STEP
from workflows.steps.base import ExecutionKind


class Applier:
    """Fills one transition for one loaded run. `now` is the transition's time."""

    def __init__(self, loaded: LoadedRun, transition: Transition, now: datetime) -> None:
        self.loaded = loaded
        self.run = loaded.run
        self.state = loaded.state
        self.graph = loaded.graph
        self.t = transition
        self.now = now
        self.outcomes = OutcomesApplier(self)
        self.usage = UsageApplier(self)
        self.end = EndApplier(self)
        self.items = ItemsApplier(self)
        self.gates = GatesApplier(self)
        self.children = ChildrenApplier(self)
        self.edits = EditsApplier(self)

    # --- results ---------------------------------------------------------------------------------

    def result(self, result: Result) -> None:
        """A try has ended. A result whose try is no longer the current one is dropped alone, its cost kept."""
        self.outcomes.take(result)

    # --- mail ------------------------------------------------------------------------------------

    def mail(self, letters: Iterable[Mail]) -> tuple[Place, ...]:
        """Obey the mail in order; the places whose running work has to be stopped."""
        stop: list[Place] = []
        for letter in letters:
            self.t.mail_read.append(letter.pk)
            match MailKind(letter.kind):
                case MailKind.DECISION:
                    self.gates.decision(letter)
                case MailKind.REASSIGNED:
                    self.gates.reassigned(letter)
                case MailKind.RETRY:
                    stop.extend(self._retry(letter))
                case MailKind.CHILD:
                    self.children.ended(letter)
                case MailKind.DEBUG:
                    debug.obey(self.loaded, self.t, letter)
                case MailKind.EDIT:
                    self.edits.edit(letter)
                case MailKind.ITEMS:
                    self.edits.items(letter)
                case MailKind.RESUME:
                    if version := letter.payload.get("version"):
                        by = letter.actor_label
                        self.event(EventType.EDITED, None, {"what": "version", "by": by, "version": version})
                case kind:
                    assert_never(kind)
        return tuple(stop)

    def _retry(self, letter: Mail) -> list[Place]:
        """Give the failed steps (and what was asked for with everything after it) a new round."""
        stop: list[Place] = []
        some: JSONObject = letter.payload.get("items") or {}
        chosen = {key: frozenset(indexes) for key, indexes in some.items()}
        given: JSONObject = letter.payload.get("values") or {}
        back = rewind(
            self.graph,
            self.state,
            letter.payload.get("from_step"),
            chosen,
            anew={key: frozenset(map(int, values)) for key, values in given.items()},
        )
        if model := letter.payload.get("model"):
            self.run.model_override = model
            self.t.run["model_override"] = model
        for container in back.reopened:
            self.items.reopen(container, some=not container.scope and container.key in chosen)
        for item in back.items:
            self.items.set_back(item, given.get(item.container.key, {}).get(str(item.index)))
        stop += [
            step.place
            for fresh in back.rounds
            if (step := self.state.get(*fresh.place)) is not None and step.status is StepStatus.RUNNING
        ]
        rounds = self.edits.rewind(back)
        if (value := letter.payload.get("input")) is not None:
            for fresh in rounds:
                if fresh.key == letter.payload.get("input_of") and not fresh.scope:
                    self.edits.give(fresh.place, value)
        again = [fresh for fresh in (*back.reopened, *rounds) if not fresh.scope]
        self.t.writes.append(self.gates.reopen)
        self.event(
            EventType.RESUMED,
            None,
            {
                "reason": "retry",
                "by": letter.actor_label,
                "steps": [self.loaded.prepared.step(fresh.key).label for fresh in again],
                "model": letter.payload.get("model") or "",
                **({"version": letter.payload["version"]} if letter.payload.get("version") else {}),
            },
        )
        return stop

    # --- interruptions ---------------------------------------------------------------------------

    def interruptions(self, found: Iterable[Interrupted], *, counted: bool = True) -> None:
        """Steps whose work was cut short: close their open tries as uncounted, make them again.

        `counted` False: the process stopped as it was told to, which is no crash.
        """
        for entry in found:
            step = entry.step if counted else entry.step.but(crashes=entry.step.crashes - 1)
            self.t.writes.append(closes_open_attempts(step.row, self.now))
            if entry.blamed:
                info = ErrorInfo(
                    "crashed",
                    INTERRUPTIONS_PER_STEP.says(),
                    fault=Fault.AUTHOR,
                    fix="Look at what the step does; retry the run when it is mended.",
                )
                label = self.graph.step(step.key).label
                self.outcomes.end_as_failed(
                    step, error_json(info, label), {"crashes": step.crashes}, self.now, port=None, output=None
                )
                continue
            self.t.put(self.state, step)
            self.t.step_updates.append((step.row, {"status": StepStatus.QUEUED, "crashes": step.crashes}))

    # --- commands --------------------------------------------------------------------------------

    def commands(self, commands: Iterable[Command]) -> None:
        """Everything that the planner wants but starts; those come last, since they may be refused (`starts`)."""
        for command in commands:
            match command:
                case StartStep():
                    pass
                case SkipStep():
                    self._skip(command)
                case CancelStep():
                    self._cancel(command)
                case CompleteWait():
                    self._delay_is_over(command)
                case DecideByDefault():
                    self.gates.decide_by_default(command)
                case OpenItem():
                    self.items.begin(command)
                case EndItem():
                    self.items.end(command)
                case MoreItems():
                    self.items.more(command)
                case CloseContainer():
                    self.items.close(command)
                case FinishRun():
                    self.end.finish(command)
                case _:
                    assert_never(command)

    def start(self, command: StartStep) -> Task:
        """Open a try: the step's row and, where something outside may be called, an attempt row."""
        place = command.place
        definition = self.graph.step(place.key)
        pinned = self.loaded.takes_pinned(definition)
        kind = ExecutionKind.INLINE if pinned else self.loaded.prepared.kind_of(definition)
        step = self.state.get(*place)
        inputs = command.inputs or self.loaded.inputs.get(place, ())
        has_row = step is not None and step.row is not None
        row: UUID = step.row if step is not None and has_row else new_id()
        # Crashes are counted for one try; the next one begins without blame.
        crashes = step.crashes if step is not None and step.attempt == command.attempt else 0
        running = StepState(
            key=place.key,
            scope=place.scope,
            round=command.round,
            status=StepStatus.RUNNING,
            attempt=command.attempt,
            crashes=crashes,
            row=row,
        )
        self.t.put(self.state, running)
        before = self.loaded.inputs.get(place)
        self.loaded.inputs[place] = inputs
        self.t.remember(lambda: self._restore_inputs(place, before))
        if has_row:
            values: dict[str, Any] = {
                "status": StepStatus.RUNNING,
                "attempt": command.attempt,
                "crashes": crashes,
                "wait": Wait.NONE,
                "due_at": None,
                "inputs": list(inputs),
            }
            if command.attempt == 1 and crashes == 0:
                values |= {"started_at": self.now, "max_attempts": self._max_attempts(definition)}
            self.t.step_updates.append((row, values))
        else:
            values = self.new_row(definition, row, running, StepStatus.RUNNING)
            values |= {"inputs": list(inputs), "attempt": command.attempt, "started_at": self.now}
            self.t.step_inserts.append(values)
        self.loaded.tries[place.key] = self._max_attempts(definition)
        attempt_id = new_id() if kind is not ExecutionKind.INLINE else None
        if attempt_id is not None:
            self.t.attempt_inserts.append(
                {
                    "id": attempt_id,
                    "step_run_id": row,
                    "run_id": self.run.pk,
                    "tenant_id": self.run.tenant_id,
                    "number": command.attempt,
                    "started_at": self.now,
                }
            )
        self.event(EventType.PROGRESS, running, {"attempt": command.attempt})
        self.t.run["current_step"] = place.key
        return Task(
            place=place,
            round=command.round,
            attempt=command.attempt,
            step_run=row,
            attempt_id=attempt_id,
            kind=kind,
            started_at=self.now,
            pinned=pinned,
        )

    def _restore_inputs(self, place: Place, before: tuple[str, ...] | None) -> None:
        if before is None:
            self.loaded.inputs.pop(place, None)
        else:
            self.loaded.inputs[place] = before

    def _skip(self, command: SkipStep) -> None:
        step = self.state.get(*command.place)
        definition = self.loaded.prepared.step(command.place.key)
        row = step.row if step is not None and step.row is not None else new_id()
        skipped = StepState(
            key=command.place.key,
            scope=command.place.scope,
            round=command.round,
            status=StepStatus.SKIPPED,
            row=row,
        )
        self.t.put(self.state, skipped)
        self.loaded.skipped[command.place] = {"off": "it is off", "branch": "its branch was not taken"}.get(
            command.reason, "no branch that leads to it was taken"
        )
        if step is not None and step.row is not None:
            self.t.step_updates.append(
                (row, {"status": StepStatus.SKIPPED, "skip_reason": command.reason, "completed_at": self.now})
            )
        else:
            values = self.new_row(definition, row, skipped, StepStatus.SKIPPED)
            self.t.step_inserts.append({**values, "skip_reason": command.reason, "completed_at": self.now})
        self.event(EventType.SKIPPED, skipped, {"reason": str(command.reason)})

    def _cancel(self, command: CancelStep) -> None:
        step = self.state.get(*command.place)
        if step is None or step.row is None:
            definition = self.loaded.prepared.step(command.place.key)
            row = new_id()
            cancelled = StepState(
                key=command.place.key,
                scope=command.place.scope,
                round=command.round,
                status=StepStatus.CANCELLED,
                row=row,
            )
            self.t.put(self.state, cancelled)
            values = self.new_row(definition, row, cancelled, StepStatus.CANCELLED)
            self.t.step_inserts.append({**values, "completed_at": self.now})
            return
        self.cancel_row(step)

    def cancel_row(self, step: StepState) -> None:
        self.t.put(self.state, step.but(status=StepStatus.CANCELLED, wait=Wait.NONE, due_at=None))
        self.t.step_updates.append(
            (
                step.row,
                {"status": StepStatus.CANCELLED, "wait": Wait.NONE, "due_at": None, "completed_at": self.now},
            )
        )
        if step.status is StepStatus.RUNNING:
            self.t.writes.append(closes_open_attempts(step.row, self.now, AttemptStatus.CANCELLED))
        if step.wait is Wait.REVIEW:
            self.t.writes.append(closes_gate(step.row))
        if step.wait is Wait.CHILD:
            self.t.writes.append(lambda: cancel_children([step.row]))

    def _delay_is_over(self, command: CompleteWait) -> None:
        step = self.state.get(*command.place)
        assert step is not None
        held = StepRun.objects.values_list("held", flat=True).get(pk=step.row) or {}
        try:
            self.outcomes.complete(
                step, held.get("output", {"content": None}), held.get("port"), self.now, usage={}
            )
        except BadValue as bad:
            label = self.graph.step(step.key).label
            self.outcomes.end_as_failed(
                step, error_json(bad.info, label), {}, self.now, port=None, output=None
            )

    # --- small parts -----------------------------------------------------------------------------

    def totals(self) -> None:
        """Bring the run row's own counts and explanation up to date, where they have changed."""
        done = self.state.terminal
        if done != self.run.steps_done:
            self.t.run["steps_done"] = done
        if not self.t.finishes:
            waiting = self.explain()
            if waiting != self.run.waiting_for:
                self.t.run["waiting_for"] = waiting

    def explain(self) -> list[JSONObject]:
        return waiting_for(
            self.graph,
            self.state,
            who=self.loaded.who,
            tries=self.loaded.tries,
            paused_by=self.t.run.get("intent_by", self.run.intent_by),
            stopped=debug.stopped_at(self.loaded, self.t),
            doubts=self.loaded.doubts,
            over_budget=self.loaded.over_budget,
        )

    def _max_attempts(self, definition: StepDef) -> int:
        policy = definition.retry or self.loaded.prepared.type_of(definition).retry_policy(definition.config)
        return policy.max_attempts

    def new_row(self, definition: StepDef, row: UUID, step: StepState, status: StepStatus) -> dict[str, Any]:
        return {
            "id": row,
            "run_id": self.run.pk,
            "tenant_id": self.run.tenant_id,
            "step_key": definition.key,
            "scope": step.scope,
            "round": step.round,
            "label": definition.label,
            "type": definition.type,
            "status": status,
            "crashes": step.crashes,
            "max_attempts": self._max_attempts(definition) if definition.key in self.graph.order else 1,
            "created_at": self.now,
        }

    def label_of(self, place: Place | None) -> str:
        return self.loaded.prepared.step(place.key).label if place is not None else ""

    def event(self, type: EventType, step: StepState | None, data: JSONObject) -> None:
        place = step.place if step is not None else None
        if place is not None and step is not None and step.round:
            data = {**data, "round": step.round}
        self.t.event(type, self.now, data, place=place, label=self.label_of(place))
