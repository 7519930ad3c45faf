"""What a try came to, in a transition: an outcome, a wait, a failure that is tried again or ends the step."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, assert_never

from runs.engine.failures import GiveUp, GoOn, TryAgain, after_failure
from runs.engine.state import StepState
from runs.engine.statuses import AttemptStatus, EventType, StepStatus, Wait
from runs.services.credit import credit_alerts
from runs.services.effect_questions import EffectQuestion
from runs.services.execute_step import Result, Task
from runs.services.tell_events import tell_event
from runs.services.values import BadValue, checked_output, error_json, stored
from workflows.definition.declared import output_problem
from workflows.definition.graph import StepDef
from workflows.definition.retry import ONCE, RetryPolicy
from workflows.definition.types import leaves_by
from workflows.expressions.errors import ExpressionError
from workflows.expressions.language import compile_expression, evaluate_bool
from workflows.lib.errors import ErrorInfo
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import CRASHES_PER_STEP
from workflows.steps.base import Completed, EndRun, OpenItems, ReviewRequest, StartChild, WaitUntil

if TYPE_CHECKING:
    from runs.services.apply_commands import Applier

_ZERO = Decimal(0)


class OutcomesApplier:
    """The part of an `Applier` that says how a step has ended or waits; it fills the same transition."""

    def __init__(self, applier: Applier) -> None:
        self.applier = applier
        self.loaded = applier.loaded
        self.state = applier.state
        self.graph = applier.graph
        self.run = applier.run
        self.t = applier.t
        self.now = applier.now

    def take(self, result: Result) -> None:
        """A try has ended. A result whose try is no longer the current one is dropped alone, its cost kept."""
        task = result.task
        step = self.state.get(*task.place)
        usage = self.applier.usage.charge(task)
        for hop in task.hops[task.told_hops :]:
            self.applier.event(EventType.FALLBACK, step, hop)
        self.t.writes += credit_alerts(self.run, task)
        current = step is not None and step.status is StepStatus.RUNNING and step.round == task.round
        if step is None or not current or step.attempt != task.attempt or step.row != task.step_run:
            self.applier.usage.close_attempt(task, AttemptStatus.CANCELLED, result.ended_at, usage)
            if usage:
                # The row's outcome stays as it is; what was spent on it is spent.
                self.t.step_updates.append((task.step_run, usage))
            return
        error = result.error
        if result.outcome is not None:
            try:
                self._outcome(step, task, result.outcome, result.ended_at, usage)
            except BadValue as bad:
                error = bad.info
            else:
                asks = isinstance(result.outcome, EffectQuestion)
                status = AttemptStatus.FAILED if asks else AttemptStatus.SUCCEEDED
                why = error if asks else None
                self.applier.usage.close_attempt(task, status, result.ended_at, usage, why, counted=not asks)
                return
        assert error is not None
        if error.code == "crashed":
            usage = {**usage, "crashes": CRASHES_PER_STEP.value}
        self.applier.usage.close_attempt(task, AttemptStatus.FAILED, result.ended_at, usage, error)
        self.failed_try(step, error, usage, result.ended_at)

    def _outcome(
        self, step: StepState, task: Task, outcome: object, ended_at: datetime, usage: JSONObject
    ) -> None:
        match outcome:
            case Completed():
                self.complete(
                    step,
                    outcome.output,
                    outcome.port,
                    ended_at,
                    usage=usage,
                    variables=outcome.variables,
                    notes=outcome.notes,
                    pinned=task.pinned,
                )
                for number, emit in enumerate(outcome.emits):
                    tell_event(self.t, self.run, task, number, emit, self.now)
            case EndRun():
                self.complete(
                    step, outcome.output, None, ended_at, usage=usage, notes=outcome.reason, ends_run=True
                )
            case WaitUntil():
                checked_output(outcome.output)
                self.wait(step, Wait.DELAY, outcome.at, held={"output": outcome.output, "port": outcome.port})
                self.applier.event(EventType.PROGRESS, step, {"waitingUntil": outcome.at.isoformat()})
            case ReviewRequest():
                self.applier.gates.open(step, outcome, usage)
            case EffectQuestion():
                self.applier.gates.ask_effect(step, outcome, usage)
            case OpenItems():
                self.applier.items.open(step, outcome)
            case StartChild():
                self.applier.children.start(step, outcome)
            case _:
                raise BadValue(f"The step answered with a {type(outcome).__name__}, which is no outcome.")

    def complete(
        self,
        step: StepState,
        value: object,
        port: str | None,
        ended_at: datetime,
        *,
        usage: JSONObject,
        variables: JSONObject | None = None,
        notes: str = "",
        ends_run: bool = False,
        extra: dict[str, Any] | None = None,
        pinned: bool = False,
    ) -> None:
        output, size = checked_output(value)
        definition = self.graph.step(step.key)
        if definition.outputs and (wrong := output_problem(definition, output)) is not None:
            # A model may do better when it is asked again.
            again = self.loaded.prepared.type_of(definition).uses_model(definition.config)
            raise BadValue(wrong.message, wrong.code, field=wrong.field, fix=wrong.fix, retryable=again)
        port = port or self.graph.main_port(step.key)
        kept, blob = stored(self.run, output, size)
        before_variables = dict(self.loaded.variables)
        if variables:
            checked_output(variables)
            self.loaded.variables.update(variables)
            self.t.remember(lambda: self._restore_variables(before_variables))
        self.loaded.keep_output(step.place, output)
        self.t.remember(lambda: self.loaded.forget_output(step.place))
        try:
            edges = self._conditions(step, port, definition)
        except BadValue:
            # The step fails then, so nobody may see what it would have given.
            self.loaded.forget_output(step.place)
            self._restore_variables(before_variables)
            raise
        done = step.but(
            status=StepStatus.COMPLETED,
            port=port,
            edges=edges,
            wait=Wait.NONE,
            due_at=None,
            ends_run=ends_run,
        )
        self.t.put(self.state, done)
        if blob is not None:
            self.t.blobs.append(blob)
        values: dict[str, Any] = {
            "status": StepStatus.COMPLETED,
            "port": port,
            "edges": edges,
            "output": kept,
            "completed_at": ended_at,
            **usage,
            **(extra or {}),
        }
        if step.wait is Wait.ITEMS:
            values["wait"] = Wait.NONE
        elif step.wait is not Wait.NONE:
            values |= {"wait": Wait.NONE, "due_at": None, "held": None}
        if notes:
            values["notes"] = notes[:255]
        if ends_run:
            values["ends_run"] = True
        if pinned:
            values["pinned"] = True
        if variables:
            values["variables"] = variables
            self.t.variables_of.append(step.row)
            for name, new in variables.items():
                self.applier.event(EventType.VARIABLE_SET, step, {"name": name, "value": new})
        self.t.step_updates.append((step.row, values))
        self.applier.event(
            EventType.COMPLETED,
            step,
            {
                "tokenUsage": {
                    "input": usage.get("input_tokens", 0),
                    "output": usage.get("output_tokens", 0),
                    "total": usage.get("input_tokens", 0) + usage.get("output_tokens", 0),
                },
                "costEstimate": str(usage.get("cost", _ZERO)),
                "port": port,
                **({"pinned": True} if pinned else {}),
            },
        )

    def _restore_variables(self, before: JSONObject) -> None:
        self.loaded.variables.clear()
        self.loaded.variables.update(before)

    def _conditions(self, step: StepState, port: str, definition: StepDef) -> dict[str, bool]:
        """What the conditions of the paths on this port say now. A condition that cannot be told fails the step."""
        conditional = [
            edge for edge in self.graph.outgoing(step.key) if edge.condition and leaves_by(port, edge.port)
        ]
        if not conditional:
            return {}
        needs = (*self.loaded.prepared.condition_needs(step.key), step.key)
        # The step's own output has to be seen, so the state must already say where it went.
        before = self.state.put(step.but(status=StepStatus.COMPLETED, port=port))
        try:
            inputs = self.loaded.inputs.get(step.place, ())
            scope, _ = self.loaded.scope_for(step.place, needs, inputs)
            found: dict[str, bool] = {}
            for edge in conditional:
                assert edge.condition is not None
                try:
                    found[edge.id] = evaluate_bool(
                        compile_expression(edge.condition, self.loaded.prepared.labels), scope
                    )
                except ExpressionError as error:
                    target = self.graph.step(edge.target).label
                    raise BadValue(
                        f"The condition of the path from “{definition.label}” to “{target}” cannot be told: {error}",
                        code="path_condition",
                    ) from error
            return found
        finally:
            self.state.restore(step.place, before)

    def wait(self, step: StepState, wait: Wait, due_at: datetime | None, **values: Any) -> None:
        self.t.put(self.state, step.but(status=StepStatus.WAITING, wait=wait, due_at=due_at))
        self.t.step_updates.append(
            (step.row, {"status": StepStatus.WAITING, "wait": wait, "due_at": due_at, **values})
        )

    def failed_try(
        self,
        step: StepState,
        error: ErrorInfo,
        usage: JSONObject,
        ended_at: datetime,
        policy: RetryPolicy | None = None,
    ) -> None:
        """Retry policy, then error policy (02 §4)."""
        definition = self.graph.step(step.key)
        type_ = self.loaded.prepared.type_of(definition)
        policy = policy or definition.retry or type_.retry_policy(definition.config)
        shown = error_json(error, definition.label)
        after = after_failure(
            definition,
            policy,
            error,
            attempt=step.attempt,
            now=self.now,
            main_port=self.graph.main_port(step.key),
            seed=f"{self.run.pk}:{step.key}:{step.round}",
        )
        match after:
            case TryAgain():
                self.wait(step, Wait.RETRY, after.at, error=shown, **usage)
                self.applier.event(
                    EventType.RETRY,
                    step,
                    {
                        "attempt": after.attempt,
                        "of": policy.max_attempts,
                        "nextAt": after.at.isoformat(),
                        "reason": error.message,
                        "code": error.code,
                    },
                )
            case GoOn():
                output, size = checked_output(after.output)
                kept, blob = stored(self.run, output, size)
                if blob is not None:
                    self.t.blobs.append(blob)
                self.loaded.keep_output(step.place, output)
                self.t.remember(lambda: self.loaded.forget_output(step.place))
                self.end_as_failed(step, shown, usage, ended_at, port=after.port, output=kept)
            case GiveUp():
                self.end_as_failed(step, shown, usage, ended_at, port=None, output=None)
            case _:
                assert_never(after)

    def end_as_failed(
        self,
        step: StepState,
        shown: JSONObject,
        usage: JSONObject,
        ended_at: datetime,
        *,
        port: str | None,
        output: JSONObject | None,
    ) -> None:
        edges = {
            edge.id: True
            for edge in self.graph.outgoing(step.key)
            if edge.condition and leaves_by(port, edge.port)
        }
        self.t.put(
            self.state,
            step.but(status=StepStatus.FAILED, port=port, edges=edges, wait=Wait.NONE, due_at=None),
        )
        self.t.step_updates.append(
            (
                step.row,
                {
                    "status": StepStatus.FAILED,
                    "port": port,
                    "edges": edges,
                    "output": output,
                    "error": shown,
                    "wait": Wait.NONE,
                    "due_at": None,
                    "completed_at": ended_at,
                    **usage,
                },
            )
        )
        self.applier.event(
            EventType.ERROR,
            step,
            {"code": shown["code"], "message": shown["message"], "continues": port is not None},
        )

    def complete_or_fail(self, step: StepState, output: JSONObject, *, notes: str = "") -> None:
        try:
            self.complete(step, output, None, self.now, usage={}, notes=notes)
        except BadValue as bad:
            self.failed_try(step, bad.info, {}, self.now, policy=ONCE)

    def fail(self, container: StepState, error: ErrorInfo) -> None:
        """A container has failed: its error policy decides. It is not tried again as a whole: its items were."""
        self.failed_try(container, error, {}, self.now, policy=ONCE)

    def finish(self, container: StepState, output: JSONObject, usage: dict[str, Any]) -> None:
        """A container is through with its items."""
        try:
            self.complete(container, output, None, self.now, usage=usage)
        except BadValue as bad:
            self.fail(container, bad.info)
