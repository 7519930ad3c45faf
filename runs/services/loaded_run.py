"""A run in its driver's memory: the row, the prepared version, the state, and the outputs that texts may name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q

from runs.engine.graph import Graph
from runs.engine.items import Items, ItemState, ItemStatus
from runs.engine.scopes import ItemPlace, Place, enclosing, item_of
from runs.engine.state import RunState, StepState
from runs.engine.statuses import Intent, RunStatus, Skip, StepStatus, Wait
from runs.models import Item, Mail, Review, Run, StepRun
from runs.selectors import variables_of
from runs.services.budget import Purse
from runs.services.eligibility import reviewers_in_words
from runs.services.fetch import run_with_tenant, step_rows
from runs.services.opened import Opened
from runs.services.prepared import Prepared, prepared
from runs.services.transition import Transition
from runs.services.values import whole
from workflows.definition.declared import declared_inputs
from workflows.definition.graph import EdgeDef, StepDef
from workflows.expressions.names import MISSING, Scope, as_text
from workflows.lib.jsontypes import JSONObject, JSONValue

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
        # Places that ask whether they send again; who may allow more than the budget, and what is spent of it.
        self.doubts: set[Place] = set()
        self.over_budget: tuple[str, str] | None = None
        self.variables: JSONObject = {}
        self.cost = Decimal(run.cost)
        self.purse = Purse()
        self.input_tokens = run.input_tokens
        self.output_tokens = run.output_tokens
        self.opened: dict[Place, Opened] = {}
        # What people gave steps in place of what arrives, and what reviewers asked to be changed.
        self.given: dict[Place, JSONObject] = {}
        self.feedback: dict[Place, str] = {}
        self._outputs: dict[Place, JSONObject] = {}
        self._values: dict[ItemPlace, JSONValue] = {}
        self._last: dict[Place, tuple[int, JSONObject | None]] = {}

    @classmethod
    def load(cls, run_id: UUID) -> LoadedRun:
        """Read the run, its version (cached) and the light part of its current step rows."""
        run, content_hash = run_with_tenant(run_id)
        loaded = cls(run, prepared(run.version_id, content_hash))
        setters: list[tuple[int, UUID, JSONObject]] = []
        for row in step_rows(run_id):
            loaded._take(row)
            if row["variables"]:
                setters.append((row["variables_seq"], row["id"], row["variables"]))
        loaded._load_items()
        loaded._set_variables(setters)
        loaded._load_words()
        if any(step.wait is Wait.REVIEW for step in loaded.state.waiting()):
            open_gates = Review.objects.filter(
                run_id=run_id, step_run__isnull=False, status__in=[Review.Status.OPEN, Review.Status.HELD]
            )
            names = ("step_run__step_key", "step_run__scope", "assignees", "kind")
            for key, scope, assignees, kind in open_gates.values_list(*names):
                loaded.who[key] = reviewers_in_words(assignees)
                if kind == Review.Kind.EFFECT:
                    loaded.doubts.add(Place(key, scope))
        if loaded.state.intent is not Intent.NONE:
            loaded.over_budget = _over_budget(run_id)
        return loaded

    def _take(self, row: dict[str, Any]) -> None:
        if row["step_key"] not in self.graph.order and row["step_key"] not in self.graph.off:
            # Of a version on which the run ran before: it did not complete there.
            return
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

    def _load_items(self) -> None:
        """The items of open containers, and of failed ones, which a retry opens again: states only, no values."""
        containers = {
            step.row: step
            for step in self.state
            if step.row is not None
            and (step.is_open or step.status in (StepStatus.FAILED, StepStatus.CANCELLED))
        }
        if not any(self.graph.body(step.key) for step in containers.values()):
            return
        found: dict[UUID, list[ItemState]] = {}
        rows = Item.objects.filter(run_id=self.run.pk, step_run_id__in=list(containers))
        for row, container, index, status in rows.values_list("id", "step_run_id", "index", "status"):
            found.setdefault(container, []).append(ItemState(index, ItemStatus(status), row))
        held = StepRun.objects.filter(pk__in=list(containers), held__isnull=False).values_list("id", "held")
        for container, rules in held:
            step = containers[container]
            if rules is not None and "concurrency" in rules:
                self.opened[step.place] = Opened.from_json(rules)
                self.state.put_items(
                    Items.of(step.place, self.opened[step.place].rules, found.get(container, ()))
                )

    def _set_variables(
        self, setters: Iterable[tuple[int, UUID, JSONObject]], debug: JSONObject | None = None
    ) -> None:
        """Context variables: defaults, what the start set, then what current step rows and people set, by event number."""
        current = {step.row for step in self.state}
        set_by_steps = [(seq, values) for seq, row, values in setters if row in current]
        edits = (self.run.debug if debug is None else debug).get("edits", ())
        self.variables = variables_of(self.prepared.definition, self.run.variables or {}, set_by_steps, edits)

    def takes_pinned(self, step: StepDef) -> bool:
        """Whether the step gives its pinned output without being done: in test runs, but for the step that is tested."""
        if step.pinned is None or self.run.kind not in (Run.Kind.TEST, Run.Kind.STEP):
            return False
        return not (self.run.kind == Run.Kind.STEP and self.run.from_step == step.key)

    def _load_words(self) -> None:
        """What people gave or asked for; only a person's doing makes such rows, so most runs ask nothing."""
        if not self.run.debug and not any(step.round for step in self.state):
            return
        current = {step.row: step.place for step in self.state if step.row is not None}
        rows = StepRun.objects.filter(Q(given__isnull=False) | ~Q(feedback=""), run_id=self.run.pk)
        for row, given, feedback in rows.values_list("id", "given", "feedback"):
            if row not in current:
                continue
            if given is not None:
                self.given[current[row]] = given["value"]
            if feedback:
                self.feedback[current[row]] = feedback

    def reload_variables(self, t: Transition) -> None:
        """Read the variables again after a rewind: old rounds no longer count."""
        before = self.variables
        setters = StepRun.objects.filter(run_id=self.run.pk).exclude(variables={})
        self._set_variables(
            setters.values_list("variables_seq", "id", "variables"), t.run.get("debug", self.run.debug)
        )
        t.remember(lambda: setattr(self, "variables", before))

    def in_place_of(
        self, place: Place, arrived: tuple[tuple[str, JSONObject], ...]
    ) -> tuple[JSONObject, tuple[tuple[str, JSONObject], ...]]:
        """What a person gave a step, as its `previous` and as what arrived: one value, or one for each label."""
        given = self.given[place]
        if len(arrived) < 2:
            return given, tuple((label, given) for label, _ in arrived)
        return given, tuple(
            (label, value if isinstance(value := given.get(label, old), dict) else {"content": value})
            for label, old in arrived
        )

    def asked_of(self, place: Place, step: StepDef) -> tuple[str, str]:
        """(what to change, the answer before) for a model, where the step's texts do not name `run.feedback` themselves."""
        feedback = self.feedback_for(place)
        if not feedback or "run.feedback" in json.dumps(step.config):
            return "", ""
        now = self.state.get(*place)
        before = StepRun.objects.filter(run_id=self.run.pk, step_key=place.key, scope=place.scope)
        rows = before.filter(round__lt=now.round if now is not None else 0, output__isnull=False)
        output = rows.order_by("-round").values_list("output", flat=True).first()
        return feedback, as_text(whole(output, self.run.pk)) if output is not None else ""

    def feedback_for(self, place: Place) -> str:
        """What a reviewer asked to be changed: of this step, or of a container around it."""
        if not self.feedback:
            return ""
        while place not in self.feedback and (item := item_of(place.scope)) is not None:
            place = item.container
        return self.feedback.get(place, "")

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

    def forget_item(self, item: ItemPlace) -> None:
        """Drop what was kept in memory of an item that has ended: its result stands in its row."""
        self._values.pop(item, None)
        for key in self.graph.body(item.container.key):
            self._outputs.pop(Place(key, item.scope), None)

    def keep_value(self, item: ItemPlace, value: JSONValue) -> None:
        """Remember the value of an item whose row is not written yet."""
        self._values[item] = value

    def keep_result(self, item: ItemPlace, result: JSONObject | None) -> None:
        """Remember the newest result of a loop, which the next round sees."""
        self._last[item.container] = (item.index, result)

    def result_before(self, item: ItemPlace) -> JSONValue:
        """The result of the round before this one; for the first round what came to the loop itself."""
        if item.index == 0:
            container = item.container
            return self._previous(container, self.arrived(container, self.inputs.get(container, ())))
        index, result = self._last.get(item.container, (-1, None))
        if index == item.index - 1:
            return result
        items = self.state.items(item.container)
        assert items is not None
        row = items.items[item.index - 1].row
        return whole(Item.objects.values_list("result", flat=True).get(pk=row), self.run.pk)

    def value_of_item(self, item: ItemPlace) -> JSONValue:
        """What the body of a container sees as `{{item}}`."""
        if item not in self._values:
            items = self.state.items(item.container)
            assert items is not None
            stored = Item.objects.values_list("value", flat=True).get(pk=items.items[item.index].row)
            self._values[item] = whole(stored, self.run.pk)
        return self._values[item]

    # --- what a step may see ---------------------------------------------------------------------

    def arrived(self, place: Place, inputs: tuple[str, ...]) -> tuple[tuple[str, JSONObject], ...]:
        """(label, output) of each live predecessor, in the order of the paths. `inputs` are the live edges' ids."""
        found: dict[str, dict[str, JSONObject]] = {}
        for edge in self.graph.incoming(place.key):
            if edge.id in inputs and (output := self._along(edge, place.scope)) is not None:
                found.setdefault(edge.source, {})[edge.port] = output
        arrived: list[tuple[str, JSONObject]] = []
        for source, by_port in found.items():
            outputs = list(by_port.values())
            if all(output is outputs[0] for output in outputs):
                arrived.append((self.graph.step(source).label, outputs[0]))
            else:
                # Branches with inputs of their own that meet at once are told apart by their names.
                arrived.extend(by_port.items())
        return tuple(arrived)

    def _along(self, edge: EdgeDef, scope: str) -> JSONObject | None:
        """What comes along a path: its source's output, or what its source gives to this way out."""
        output = self.output_of(Place(edge.source, scope))
        if output is None:
            return None
        source = self.graph.step(edge.source)
        return self.prepared.type_of(source).along(source.config, output, edge.port)

    def scope_for(
        self, place: Place, needs: tuple[str, ...], inputs: tuple[str, ...], *, item: ItemPlace | None = None
    ) -> tuple[Scope, JSONValue]:
        """The data that the texts of a step may name, and its `previous`. `inputs` are its live edges' ids.

        `item` puts a container's own texts (the result of an item) into the scope of that item.
        """
        item = item or item_of(place.scope)
        previous = self._previous(place, self.arrived(place, inputs))
        steps: dict[str, JSONValue] = {}
        skipped: dict[str, str] = {}
        for needed in needs:
            label = self.prepared.step(needed).label
            where = self._where(needed, item.scope if item is not None else place.scope)
            value = self._value_of(needed, where) if where is not None else None
            if value is not None:
                steps[label] = value
            elif where is not None and (reason := self._why_nothing(where)) is not None:
                skipped[label] = reason
        named = {
            edge.target_input: self._along(edge, place.scope)
            for edge in self.graph.incoming(place.key)
            if edge.target_input and edge.id in inputs
        }
        run = self.run
        step = self.prepared.step(place.key)
        if step.inputs:
            named |= declared_inputs(step, named, previous, run.input, self.variables)
        scope = Scope(
            input=run.input,
            inputs=named,
            steps=steps,
            vars=self.variables,
            item=MISSING if item is None else self.value_of_item(item),
            index=MISSING if item is None else item.index,
            loop=MISSING if item is None else self._loop(item),
            previous=MISSING if previous is None else previous,
            run={
                "id": str(run.pk),
                "number": run.number,
                "started_at": (run.started_at or run.created_at).isoformat(),
                "is_test": run.kind == Run.Kind.TEST,
                "feedback": self.feedback_for(place),
            },
            trigger={"type": run.trigger_type, "data": run.trigger_data},
            skipped=skipped,
            labels=self.prepared.labels,
        )
        return scope, previous

    def with_loop(self, scope: Scope, index: int, previous: JSONValue) -> Scope:
        """The scope in which a loop is asked whether it goes on: `index` of the item to come, `previous` result."""
        loop = {"index": index, "number": index + 1, "count": index, "first": index == 0, "last": False}
        return replace(scope, loop=loop, index=index, previous=MISSING if previous is None else previous)

    def _loop(self, item: ItemPlace) -> JSONObject:
        """`loop` inside a body: `index` from 0, `number` from 1, how many items there are, and which end this is."""
        items = self.state.items(item.container)
        count = len(items.items) if items is not None else 0
        known = items is None or not items.rules.more
        return {
            "index": item.index,
            "number": item.index + 1,
            "count": count if known else None,
            "first": item.index == 0,
            "last": known and item.index == count - 1,
        }

    def _previous(self, place: Place, arrived: tuple[tuple[str, JSONObject], ...]) -> JSONValue:
        """The single live predecessor's output, an object by label if several. For a first step: the run's input;
        in a body the item, or, where the container says so, the result of the item before."""
        if arrived:
            return arrived[0][1] if len(arrived) == 1 else dict(arrived)
        item = item_of(place.scope)
        if item is None:
            return self.run.input
        opened = self.opened.get(item.container)
        if opened is None or not opened.passes_last:
            return self.value_of_item(item)
        return self.result_before(item)

    def _where(self, key: str, scope: str) -> Place | None:
        """Where a step that is referred to runs, seen from a scope; None when that is no body around it."""
        parent = self.prepared.step(key).parent
        if parent is None:
            return Place(key)
        for level in enclosing(scope):
            item = item_of(level)
            if item is not None and item.container.key == parent:
                return Place(key, level)
        return None

    def _value_of(self, key: str, where: Place) -> JSONValue:
        """What `steps.Label` means: the output; for a step that is off, the value that passed through it."""
        if key not in self.graph.off:
            return self.output_of(where)
        sources = self.graph.passed.get(key, ())
        if not sources:
            item = item_of(where.scope)
            return self.run.input if item is None else self.value_of_item(item)
        found = {source: self.output_of(Place(source, where.scope)) for source in sources}
        there = {source: value for source, value in found.items() if value is not None}
        if len(there) == 1:
            return next(iter(there.values()))
        return {self.graph.step(source).label: value for source, value in there.items()} or None

    def _why_nothing(self, where: Place) -> str | None:
        step = self.state.get(*where)
        if step is None or not step.status.is_terminal:
            return None
        if step.status is StepStatus.SKIPPED:
            return self.skipped.get(where, "")
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


def _over_budget(run_id: UUID) -> tuple[str, str] | None:
    asked = Review.objects.filter(run_id=run_id, kind=Review.Kind.BUDGET, status=Review.Status.OPEN).first()
    return None if asked is None else (reviewers_in_words(asked.assignees), str(asked.content["sentence"]))
