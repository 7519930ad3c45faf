"""Turns what came in (results, mail) and what the planner wants (commands) into one transition. Writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, assert_never
from uuid import UUID

from runs.engine.cases import case_of
from runs.engine.commands import (
    CancelStep,
    CloseContainer,
    Command,
    CompleteWait,
    DecideByDefault,
    EndItem,
    Failure,
    FinishRun,
    MoreItems,
    OpenItem,
    SkipStep,
    StartStep,
)
from runs.engine.failures import GiveUp, GoOn, TryAgain, after_failure
from runs.engine.planner import Interrupted, rewind
from runs.engine.scopes import Place
from runs.engine.sentences import waiting_for
from runs.engine.state import StepState
from runs.engine.statuses import AttemptStatus, EventType, MailKind, RunStatus, StepStatus, Wait
from runs.models import DEAD_LETTER_KINDS, Attempt, Mail, StepRun
from runs.services import debug
from runs.services.apply_children import ChildrenApplier
from runs.services.apply_edits import EditsApplier
from runs.services.apply_gates import GatesApplier, closes_gate
from runs.services.apply_items import ItemsApplier
from runs.services.child_runs import cancel_children, tell_parent
from runs.services.credit import credit_alerts
from runs.services.effect_questions import EffectQuestion
from runs.services.execute_step import Result, Task
from runs.services.loaded_run import LoadedRun
from runs.services.tell_events import tell_event, tell_of_the_end
from runs.services.transition import Transition
from runs.services.values import BadValue, checked_output, error_json, stored
from workflows.definition.declared import output_problem
from workflows.definition.graph import StepDef
from workflows.definition.retry import ONCE, RetryPolicy
from workflows.definition.types import leaves_by
from workflows.expressions.errors import ExpressionError
from workflows.expressions.language import compile_expression, evaluate_bool
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import CRASHES_PER_STEP, INTERRUPTIONS_PER_STEP
from workflows.steps.base import (
    Completed,
    EndRun,
    ExecutionKind,
    OpenItems,
    ReviewRequest,
    StartChild,
    WaitUntil,
)

_ZERO = Decimal(0)
# Whoever started it may have gone to do something else: its end is worth telling, if they want to hear it.
LONG_RUN = timedelta(minutes=1)


class Applier:
    """Fills one transition for one loaded run. `now` is the transition's time."""

    def __init__(self, loaded: LoadedRun, transition: Transition, now: datetime) -> None:
        self.loaded = loaded
        self.run = loaded.run
        self.state = loaded.state
        self.graph = loaded.graph
        self.t = transition
        self.now = now
        self.items = ItemsApplier(self)
        self.gates = GatesApplier(self)
        self.children = ChildrenApplier(self)
        self.edits = EditsApplier(self)

    # --- results ---------------------------------------------------------------------------------

    def result(self, result: Result) -> None:
        """A try has ended. A result whose try is no longer the current one is dropped alone, its cost kept."""
        task = result.task
        step = self.state.get(*task.place)
        usage = self._charge(task)
        for hop in task.hops[task.told_hops :]:
            self.event(EventType.FALLBACK, step, hop)
        self.t.writes += credit_alerts(self.run, task)
        current = step is not None and step.status is StepStatus.RUNNING and step.round == task.round
        if step is None or not current or step.attempt != task.attempt or step.row != task.step_run:
            self._close_attempt(task, AttemptStatus.CANCELLED, result.ended_at, usage)
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
                self._close_attempt(task, status, result.ended_at, usage, why, counted=not asks)
                return
        assert error is not None
        if error.code == "crashed":
            usage = {**usage, "crashes": CRASHES_PER_STEP.value}
        self._close_attempt(task, AttemptStatus.FAILED, result.ended_at, usage, error)
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
                self.event(EventType.PROGRESS, step, {"waitingUntil": outcome.at.isoformat()})
            case ReviewRequest():
                self.gates.open(step, outcome, usage)
            case EffectQuestion():
                self.gates.ask_effect(step, outcome, usage)
            case OpenItems():
                self.items.open(step, outcome)
            case StartChild():
                self.children.start(step, outcome)
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
                self.event(EventType.VARIABLE_SET, step, {"name": name, "value": new})
        self.t.step_updates.append((step.row, values))
        self.event(
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
                self.event(
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
        self.event(
            EventType.ERROR,
            step,
            {"code": shown["code"], "message": shown["message"], "continues": port is not None},
        )

    # --- usage and attempts ----------------------------------------------------------------------

    def _charge(self, task: Task) -> dict[str, Any]:
        """Add what the try cost to the run; the step row's columns with the sums over all its tries."""
        if not task.answers:
            return {}
        loaded = self.loaded
        before = (loaded.cost, loaded.input_tokens, loaded.output_tokens)
        for answer in task.answers:
            loaded.cost += answer.price.amount
            loaded.input_tokens += answer.usage.input_tokens
            loaded.output_tokens += answer.usage.output_tokens
        self.t.remember(lambda: self._restore_totals(before))
        self.t.run |= {
            "cost": loaded.cost,
            "input_tokens": loaded.input_tokens,
            "output_tokens": loaded.output_tokens,
        }
        spent = StepRun.objects.values_list("input_tokens", "output_tokens", "cost", "cost_known").get(
            pk=task.step_run
        )
        last = task.answers[-1]
        return {
            "input_tokens": spent[0] + sum(answer.usage.input_tokens for answer in task.answers),
            "output_tokens": spent[1] + sum(answer.usage.output_tokens for answer in task.answers),
            "cost": spent[2] + sum((answer.price.amount for answer in task.answers), _ZERO),
            "cost_known": spent[3] and all(answer.price.known for answer in task.answers),
            "provider": last.provider,
            "model": last.model,
        }

    def _restore_totals(self, before: tuple[Decimal, int, int]) -> None:
        self.loaded.cost, self.loaded.input_tokens, self.loaded.output_tokens = before

    def _close_attempt(
        self,
        task: Task,
        status: AttemptStatus,
        ended_at: datetime,
        usage: JSONObject,
        error: ErrorInfo | None = None,
        *,
        counted: bool = True,
    ) -> None:
        values: dict[str, Any] = {
            "status": status,
            "counted": counted,
            "ended_at": ended_at,
            "calls": task.calls,
            "hops": task.hops,
            "error": error_json(error) if error is not None else None,
            "input_tokens": sum(answer.usage.input_tokens for answer in task.answers),
            "output_tokens": sum(answer.usage.output_tokens for answer in task.answers),
            "cost": sum((answer.price.amount for answer in task.answers), _ZERO),
        }
        if task.writer is not None:
            values["text"] = task.writer.text
        if task.calls:
            provider, _, model = str(task.calls[-1].get("model", "")).partition(":")
            values |= {
                "provider": str(task.calls[-1].get("provider") or provider)[:32],
                "model": model[:120],
                "prompt": next((str(call["prompt"])[:120] for call in task.calls if call.get("prompt")), ""),
            }
        if task.attempt_id is not None:
            self.t.attempt_updates.append((task.attempt_id, values))
        elif error is not None:
            # Steps that work at once keep an attempt only when there is something to explain.
            self.t.attempt_inserts.append(
                {
                    "id": new_id(),
                    "step_run_id": task.step_run,
                    "run_id": self.run.pk,
                    "tenant_id": self.run.tenant_id,
                    "number": task.attempt,
                    "started_at": task.started_at,
                    **values,
                }
            )

    def complete_or_fail(self, step: StepState, output: JSONObject, *, notes: str = "") -> None:
        try:
            self.complete(step, output, None, self.now, usage={}, notes=notes)
        except BadValue as bad:
            self.failed_try(step, bad.info, {}, self.now, policy=ONCE)

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
        back = rewind(self.graph, self.state, letter.payload.get("from_step"), chosen, anew=frozenset(given))
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
            self.t.writes.append(_closes_open_attempts(step.row, self.now))
            if entry.blamed:
                info = ErrorInfo(
                    "crashed",
                    INTERRUPTIONS_PER_STEP.says(),
                    fault=Fault.AUTHOR,
                    fix="Look at what the step does; retry the run when it is mended.",
                )
                label = self.graph.step(step.key).label
                self.end_as_failed(
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
                    self._finish(command)
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
            self.t.writes.append(_closes_open_attempts(step.row, self.now, AttemptStatus.CANCELLED))
        if step.wait is Wait.REVIEW:
            self.t.writes.append(closes_gate(step.row))
        if step.wait is Wait.CHILD:
            self.t.writes.append(lambda: cancel_children([step.row]))

    def _delay_is_over(self, command: CompleteWait) -> None:
        step = self.state.get(*command.place)
        assert step is not None
        held = StepRun.objects.values_list("held", flat=True).get(pk=step.row) or {}
        try:
            self.complete(step, held.get("output", {"content": None}), held.get("port"), self.now, usage={})
        except BadValue as bad:
            label = self.graph.step(step.key).label
            self.end_as_failed(step, error_json(bad.info, label), {}, self.now, port=None, output=None)

    def _finish(self, command: FinishRun) -> None:
        run = self.t.run
        self.t.finishes = True
        if self.loaded.over_budget is not None:
            self.t.writes.append(self.gates.withdraw_budget)
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
                    {"endedBy": self.label_of(command.ended_by)},
                    tell=self.now - began >= LONG_RUN,
                )
            case RunStatus.CANCELLED:
                self.event(EventType.RUN_CANCELLED, None, {"by": self.run.intent_by})
            case _:
                run["error"] = self._why_failed(command)
                run["case"] = self._case(command, run["error"])
                if self.run.kind in DEAD_LETTER_KINDS and self.run.parent_id is None:
                    run["dead_since"] = self.now
                self.t.writes.append(self.gates.hold)
                self.event(EventType.RUN_FAILED, None, run["error"])
                self.children.answer_failure(run["error"])
        self.event(EventType.DONE, None, {"status": str(command.status)})
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
        return {**self.error_of(place), "step": self.label_of(place), "step_key": place.key}

    def _case(self, command: FinishRun, error: JSONObject) -> str:
        """The fingerprint of the failure; asks once which vendor the failed step called last."""
        kind, provider = "", ""
        if "step_key" in error and (step := self.state.get(*command.failed[0])) is not None:
            kind, written = self.graph.step(step.key).type, dict(self.t.attempt_updates)
            rows = Attempt.objects.filter(step_run_id=step.row).order_by("started_at", "id")
            known = [
                written.get(pk, {}).get("provider") or said for pk, said in rows.values_list("pk", "provider")
            ]
            known += [
                row.get("provider") for row in self.t.attempt_inserts if row.get("step_run_id") == step.row
            ]
            provider = next((str(said) for said in reversed(known) if said), "")
        return case_of(error, workflow=str(self.run.workflow_id), step_type=kind, provider=provider)

    def error_of(self, place: Place) -> JSONObject:
        """Why the current round of a step failed, as this transition writes it or the database knows it."""
        step = self.state.get(*place)
        assert step is not None
        for row, values in reversed(self.t.step_updates):
            if row == step.row and "error" in values:
                error: JSONObject = values["error"]
                return error
        return StepRun.objects.values_list("error", flat=True).get(pk=step.row) or {}

    def fail(self, container: StepState, error: ErrorInfo) -> None:
        """A container has failed: its error policy decides. It is not tried again as a whole: its items were."""
        self.failed_try(container, error, {}, self.now, policy=ONCE)

    def finish(self, container: StepState, output: JSONObject, usage: dict[str, Any]) -> None:
        """A container is through with its items."""
        try:
            self.complete(container, output, None, self.now, usage=usage)
        except BadValue as bad:
            self.fail(container, bad.info)

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


def _closes_open_attempts(
    step_run: UUID, now: datetime, status: AttemptStatus = AttemptStatus.INTERRUPTED
) -> Any:
    def write() -> None:
        from runs.models import Attempt

        changes: dict[str, Any] = {"status": status, "ended_at": now}
        if status is AttemptStatus.INTERRUPTED:
            changes["counted"] = False
        Attempt.objects.filter(step_run_id=step_run, status=AttemptStatus.OPEN).update(**changes)

    return write
