"""Runs below a run in a transition: started by a step, told upwards when they end, and the answer to a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runs.engine.state import StepState
from runs.engine.statuses import EventType, RunStatus, Wait
from runs.models import Mail, Run, StepRun
from runs.services.child_runs import CannotStart, Child
from runs.services.values import BadValue, whole
from workflows.definition.retry import ONCE
from workflows.lib.errors import ErrorInfo
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import StartChild

if TYPE_CHECKING:
    from runs.services.apply_commands import Applier


class ChildrenApplier:
    """The part of an `Applier` that is about runs which this run starts; it fills the same transition."""

    def __init__(self, applier: Applier) -> None:
        self.applier = applier
        self.loaded = applier.loaded
        self.state = applier.state
        self.graph = applier.graph
        self.run = applier.run
        self.t = applier.t
        self.now = applier.now

    def start(self, step: StepState, asked: StartChild) -> None:
        """The step waits for a run that is written in the same transaction."""
        try:
            child = Child(self.run, asked.workflow, asked.input)
        except CannotStart as refused:
            raise BadValue(str(refused), code=refused.info.code) from refused
        self.applier.outcomes.wait(
            step,
            Wait.CHILD,
            None,
            notes=f"Runs “{child.workflow.name}”, version {child.version.number}"[:255],
        )
        self.t.writes.append(lambda: child.write(step.row))
        self.applier.event(
            EventType.PROGRESS, step, {"workflow": child.workflow.name, "version": child.version.number}
        )

    def ended(self, letter: Mail) -> None:
        """The run that a step waits for is over: its output, or its failure, is the step's."""
        child = Run.objects.filter(pk=letter.payload.get("run"), parent_id=self.run.pk).first()
        if child is None or child.parent_step_id is None:
            return
        row = StepRun.objects.filter(pk=child.parent_step_id).first()
        step = self.state.get(row.step_key, row.scope) if row is not None else None
        if row is None or step is None or step.row != row.pk or step.wait is not Wait.CHILD:
            return
        facts = {"id": str(child.pk), "number": child.number, "status": child.status}
        if child.status == RunStatus.COMPLETED:
            output = whole(child.output, child.pk) or {}
            self.applier.outcomes.complete_or_fail(
                step, {**output, "run": facts}, notes=f"Run {child.number}"
            )
            return
        why = (child.error or {}).get("message") or f"It was {child.status}."
        info = ErrorInfo(
            "child_failed", f"Run {child.number}, which this step started, did not complete: {why}"
        )
        self.applier.outcomes.failed_try(step, info, {}, self.now, policy=ONCE)

    def answer_failure(self, error: JSONObject) -> None:
        """Start the workflow that the settings name for failures, with what went wrong; it never answers itself."""
        wanted = self.loaded.prepared.definition.settings.get("error_workflow")
        if not wanted or self.run.trigger_type == "failure":
            return
        facts = {"id": str(self.run.pk), "number": self.run.number, "workflow": self.run.workflow.name}
        try:
            child = Child(self.run, str(wanted), {"error": error, "run": facts, "input": self.run.input})
        except CannotStart as refused:
            message = f"The workflow for failures was not started: {refused}"
            self.applier.event(
                EventType.ERROR, None, {"code": refused.info.code, "message": message, "continues": True}
            )
            return
        self.t.writes.append(child.write_for_failure)
