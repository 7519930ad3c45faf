"""A run in its driver's memory: the row, the prepared version, the state, and the outputs that texts may name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from runs.engine.graph import Graph
from runs.engine.scopes import Place
from runs.engine.state import RunState, StepState
from runs.engine.statuses import Intent, RunStatus, Skip, StepStatus, Wait
from runs.models import Mail, Review, Run, StepRun
from runs.services.prepared import Prepared, prepared
from runs.services.values import whole
from workflows.definition.graph import StepDef
from workflows.expressions.names import MISSING, Scope
from workflows.lib.jsontypes import JSONObject, JSONValue

_LIGHT = (
    "id",
    "step_key",
    "scope",
    "round",
    "status",
    "port",
    "edges",
    "attempt",
    "crashes",
    "wait",
    "due_at",
    "ends_run",
    "inputs",
    "skip_reason",
    "max_attempts",
)
_SKIPPED = {
    Skip.OFF: "it is off",
    Skip.BRANCH: "its branch was not taken",
    Skip.JOIN: "no branch that leads to it was taken",
}


class LoadedRun:
    """What the driver knows. Loading takes a constant number of queries; outputs come when somebody needs them."""

    def __init__(self, run: Run, ready: Prepared) -> None:
        self.run = run
        self.prepared = ready
        self.graph: Graph = ready.graph
        self.state = RunState(
            status=RunStatus(run.status), intent=Intent(run.intent), deadline=run.deadline_at
        )
        self.inputs: dict[Place, tuple[str, ...]] = {}
        self.skipped: dict[Place, str] = {}
        self.tries: dict[str, int] = {}
        self.who: dict[str, str] = {}
        self.variables: JSONObject = {}
        self.cost = Decimal(run.cost)
        self.input_tokens = run.input_tokens
        self.output_tokens = run.output_tokens
        self._outputs: dict[Place, JSONObject] = {}

    @classmethod
    def load(cls, run_id: UUID) -> LoadedRun:
        """Read the run, its version (cached) and the light part of its current step rows."""
        run = (
            Run.objects.select_related("version", "workflow", "tenant")
            .defer("version__document")
            .get(pk=run_id)
        )
        loaded = cls(run, prepared(run.version_id, run.version.content_hash))
        for values in StepRun.objects.filter(run_id=run_id).order_by("round").values_list(*_LIGHT):
            loaded._take(dict(zip(_LIGHT, values, strict=True)))
        loaded._load_variables()
        if any(step.wait is Wait.REVIEW for step in loaded.state.waiting()):
            open_gates = Review.objects.filter(
                run_id=run_id, status__in=[Review.Status.OPEN, Review.Status.HELD]
            )
            for key, assignees in open_gates.values_list("step_run__step_key", "assignees"):
                loaded.who[key] = reviewers_in_words(assignees)
        return loaded

    def _take(self, row: dict[str, Any]) -> None:
        step = StepState(
            key=row["step_key"],
            scope=row["scope"],
            round=row["round"],
            status=StepStatus(row["status"]),
            port=row["port"],
            edges=row["edges"] or {},
            attempt=row["attempt"],
            crashes=row["crashes"],
            wait=Wait(row["wait"]),
            due_at=row["due_at"],
            ends_run=row["ends_run"],
            row=row["id"],
        )
        self.state.put(step)
        self.inputs[step.place] = tuple(row["inputs"] or ())
        self.tries[step.key] = row["max_attempts"]
        if row["skip_reason"]:
            self.skipped[step.place] = _SKIPPED.get(row["skip_reason"], "")

    def _load_variables(self) -> None:
        """Context variables: defaults, then what the start set, then what current step rows set, by event number."""
        self.variables = {
            variable.name: variable.default for variable in self.prepared.definition.context_variables()
        }
        self.variables.update(self.run.variables or {})
        current = {step.row for step in self.state}
        setters = (
            StepRun.objects.filter(run_id=self.run.pk)
            .exclude(variables={})
            .order_by("variables_seq")
            .values_list("id", "variables")
        )
        for row, values in setters:
            if row in current:
                self.variables.update(values)

    def reload_variables(self) -> None:
        """Read the variables again after a rewind: old rounds no longer count."""
        self._load_variables()

    # --- outputs ---------------------------------------------------------------------------------

    def keep_output(self, place: Place, output: JSONObject) -> None:
        self._outputs[place] = output

    def forget_output(self, place: Place) -> None:
        self._outputs.pop(place, None)

    def output_of(self, place: Place) -> JSONObject | None:
        """The output of the current round of a step; None when it has none."""
        if place in self._outputs:
            return self._outputs[place]
        step = self.state.get(place.key, place.scope)
        if step is None or step.row is None or step.port is None:
            return None
        stored = StepRun.objects.values_list("output", flat=True).get(pk=step.row)
        output: JSONObject | None = whole(stored, self.run.pk)
        if output is not None:
            self._outputs[place] = output
        return output

    # --- what a step may see ---------------------------------------------------------------------

    def arrived(self, key: str, inputs: tuple[str, ...]) -> tuple[tuple[str, JSONObject], ...]:
        """(label, output) of each live predecessor, in the order of the paths. `inputs` are the live edges' ids."""
        sources = dict.fromkeys(edge.source for edge in self.graph.incoming(key) if edge.id in inputs)
        found = ((self.graph.step(source).label, self.output_of(Place(source))) for source in sources)
        return tuple((label, output) for label, output in found if output is not None)

    def scope_for(self, key: str, needs: tuple[str, ...], inputs: tuple[str, ...]) -> tuple[Scope, JSONValue]:
        """The data that the texts of a step may name, and its `previous`. `inputs` are its live edges' ids."""
        graph = self.graph
        live = [edge for edge in graph.incoming(key) if edge.id in inputs]
        previous = self._previous(self.arrived(key, inputs))
        steps: dict[str, JSONValue] = {}
        skipped: dict[str, str] = {}
        for needed in needs:
            label = self.prepared.definition.step(needed).label
            value = self._value_of(needed)
            if value is not None:
                steps[label] = value
            elif (reason := self._why_nothing(needed)) is not None:
                skipped[label] = reason
        named = {edge.target_input: self.output_of(Place(edge.source)) for edge in live if edge.target_input}
        run = self.run
        scope = Scope(
            input=run.input,
            inputs=named,
            steps=steps,
            vars=self.variables,
            previous=MISSING if previous is None else previous,
            run={
                "id": str(run.pk),
                "number": run.number,
                "started_at": (run.started_at or run.created_at).isoformat(),
                "is_test": run.kind == Run.Kind.TEST,
            },
            trigger={"type": run.trigger_type, "data": run.trigger_data},
            skipped=skipped,
            labels=self.prepared.labels,
        )
        return scope, previous

    def _previous(self, arrived: tuple[tuple[str, JSONObject], ...]) -> JSONValue:
        """The single live predecessor's output, an object by label if several, the run's input for a first step."""
        if not arrived:
            return self.run.input
        return arrived[0][1] if len(arrived) == 1 else dict(arrived)

    def _value_of(self, key: str) -> JSONValue:
        """What `steps.Label` means: the output; for a step that is off, the value that passed through it."""
        if key not in self.graph.off:
            return self.output_of(Place(key))
        sources = self.graph.passed.get(key, ())
        if not sources:
            return self.run.input
        found = {source: self.output_of(Place(source)) for source in sources}
        there = {source: value for source, value in found.items() if value is not None}
        if len(there) == 1:
            return next(iter(there.values()))
        return {self.graph.step(source).label: value for source, value in there.items()} or None

    def _why_nothing(self, key: str) -> str | None:
        step = self.state.get(key)
        if step is None or not step.status.is_terminal:
            return None
        if step.status is StepStatus.SKIPPED:
            return self.skipped.get(Place(key), "")
        return "it was cancelled" if step.status is StepStatus.CANCELLED else "it failed"

    def final_output(self) -> JSONObject:
        """The run's output: the `end` step's, else the leaves' by label (02 §4)."""
        ends = [step for step in self.graph.definition.steps if step.type == "end" and step.parent is None]
        leaves = list(self.graph.definition.leaves())
        for group in (ends, leaves):
            found: dict[str, JSONObject] = {}
            for step in group:
                output = self.output_of(Place(step.key))
                if output is not None:
                    found[step.label] = output
            if len(found) == 1:
                return next(iter(found.values()))
            if found:
                return dict(found)
        return {"content": None}

    def unread_mail(self) -> list[Mail]:
        return list(Mail.objects.filter(run_id=self.run.pk, read_at__isnull=True).order_by("id"))

    def step(self, key: str) -> StepDef:
        return self.graph.step(key)


def reviewers_in_words(assignees: list[str]) -> str:
    """Who may decide a gate, in words: `user:ana@x.org` and `role:admin` become "ana@x.org or any admin"."""
    names = [
        entry.partition(":")[2] if entry.startswith("user:") else f"any {entry.partition(':')[2]}"
        for entry in assignees
        if ":" in entry
    ]
    return " or ".join(names) if names else "a reviewer"
