"""The end of a run in a transition: its output, or why it failed and which case that is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from runs.engine.cases import case_of
from runs.engine.commands import Failure, FinishRun
from runs.engine.scopes import Place
from runs.engine.statuses import EventType, RunStatus
from runs.models import DEAD_LETTER_KINDS, Attempt, StepRun
from runs.services.child_runs import tell_parent
from runs.services.tell_events import tell_of_the_end
from runs.services.values import checked_output, error_json, stored
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.jsontypes import JSONObject

if TYPE_CHECKING:
    from runs.services.apply_commands import Applier

# Whoever started it may have gone to do something else: its end is worth telling, if they want to hear it.
LONG_RUN = timedelta(minutes=1)


class EndApplier:
    """The part of an `Applier` that finishes the run; it fills the same transition."""

    def __init__(self, applier: Applier) -> None:
        self.applier = applier
        self.loaded = applier.loaded
        self.state = applier.state
        self.graph = applier.graph
        self.run = applier.run
        self.t = applier.t
        self.now = applier.now

    def finish(self, command: FinishRun) -> None:
        run = self.t.run
        self.t.finishes = True
        if self.loaded.over_budget is not None:
            self.t.writes.append(self.applier.gates.withdraw_budget)
        run |= {"status": command.status, "completed_at": self.now, "waiting_for": [], "wake_at": None}
        run |= {"dead_since": None, "discarded": None}
        match command.status:
            case RunStatus.COMPLETED:
                if command.ended_by is not None:
                    output = self.loaded.output_of(command.ended_by) or {"content": None}
                else:
                    output = self.loaded.final_output()
                kept, blob = stored(self.run, *checked_output(output))
                if blob is not None:
                    self.t.blobs.append(blob)
                run |= {"output": kept, "error": None}
                began = self.run.started_at or self.now
                self.t.event(
                    EventType.RUN_COMPLETED,
                    self.now,
                    {"endedBy": self.applier.label_of(command.ended_by)},
                    tell=self.now - began >= LONG_RUN,
                )
            case RunStatus.CANCELLED:
                self.applier.event(EventType.RUN_CANCELLED, None, {"by": self.run.intent_by})
            case _:
                run["error"] = self._why_failed(command)
                run["case"] = self._case(command, run["error"])
                if self.run.kind in DEAD_LETTER_KINDS and self.run.parent_id is None:
                    run["dead_since"] = self.now
                self.t.writes.append(self.applier.gates.hold)
                self.applier.event(EventType.RUN_FAILED, None, run["error"])
                self.applier.children.answer_failure(run["error"])
        self.applier.event(EventType.DONE, None, {"status": str(command.status)})
        status, error = command.status, run.get("error")
        self.t.writes.append(lambda: tell_of_the_end(self.run, status, error))
        self.t.writes.append(lambda: tell_parent(self.run))

    def _why_failed(self, command: FinishRun) -> JSONObject:
        if (over := self.loaded.purse.error()) is not None:
            return error_json(over)
        if command.failure is Failure.OUT_OF_TIME:
            limit = self.loaded.prepared.definition.settings.get("max_run_time_s")
            message = f"The run took longer than {limit} s, the limit that the workflow sets."
            return error_json(
                ErrorInfo("out_of_time", message, fix="Raise the limit in the workflow's settings, or retry.")
            )
        if command.failure is Failure.STUCK or not command.failed:
            return error_json(
                ErrorInfo(
                    "stuck", "No step can go on, though not every step has ended.", fault=Fault.INTERNAL
                )
            )
        place = command.failed[0]
        return {**self.error_of(place), "step": self.applier.label_of(place), "step_key": place.key}

    def _case(self, command: FinishRun, error: JSONObject) -> str:
        """The fingerprint of the failure; asks once which vendor the failed step called, and with which account."""
        kind, provider, account = "", "", ""
        if "step_key" in error and (step := self.state.get(*command.failed[0])) is not None:
            kind, written = self.graph.step(step.key).type, dict(self.t.attempt_updates)
            rows = Attempt.objects.filter(step_run_id=step.row).order_by("started_at", "id")
            known = [
                (written.get(pk, {}).get("provider") or said, written.get(pk, {}).get("calls") or calls)
                for pk, said, calls in rows.values_list("pk", "provider", "calls")
            ]
            known += [
                (row.get("provider"), row.get("calls"))
                for row in self.t.attempt_inserts
                if row.get("step_run_id") == step.row
            ]
            said, calls = next(((str(said), calls) for said, calls in reversed(known) if said), ("", []))
            provider, account = _asked(said, calls or [], str(error.get("code")))
        return case_of(
            error,
            workflow=str(self.run.workflow_id),
            step_type=kind,
            provider=provider,
            account=account,
        )

    def error_of(self, place: Place) -> JSONObject:
        """Why the current round of a step failed, as this transition writes it or the database knows it."""
        step = self.state.get(*place)
        assert step is not None
        for row, values in reversed(self.t.step_updates):
            if row == step.row and "error" in values:
                error: JSONObject = values["error"]
                return error
        return StepRun.objects.values_list("error", flat=True).get(pk=step.row) or {}


def _asked(last: str, calls: list[JSONObject], code: str) -> tuple[str, str]:
    """(vendor, account) of the call that failed with this code, which a chain of fallbacks reports; else of the last."""
    for call in calls:
        if (call.get("error") or {}).get("code") == code and call.get("provider"):
            return str(call["provider"]), str(call.get("account") or "")
    account = next((call.get("account") for call in reversed(calls) if call.get("provider") == last), "")
    return last, str(account or "")
