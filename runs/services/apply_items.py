"""Loops and fan-outs in a transition: opening a container, beginning and ending its items, closing it with a result."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from runs.engine.commands import CloseContainer, EndItem, MoreItems, OpenItem
from runs.engine.items import Items, ItemState, ItemStatus
from runs.engine.scopes import ItemPlace, Place
from runs.engine.state import StepState
from runs.engine.statuses import EventType, StepStatus, Wait
from runs.models import Item, StepRun
from runs.services.opened import Opened
from runs.services.values import BadValue, checked_output, error_info, error_json, stored, whole
from workflows.expressions.errors import TextError
from workflows.expressions.language import compile_expression, evaluate
from workflows.expressions.names import as_text
from workflows.expressions.references import expression_references
from workflows.lib.errors import ErrorInfo, Fault, StepwellError
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import ITEMS_PER_STEP
from workflows.steps.base import NewItem, OpenItems, RunFacts, StepContext
from workflows.steps.item_lists import heading_of

if TYPE_CHECKING:
    from runs.services.apply_commands import Applier

_HEADING = 255


class ItemsApplier:
    """The part of an `Applier` that is about items; it fills the same transition."""

    def __init__(self, applier: Applier) -> None:
        self.applier = applier
        self.loaded = applier.loaded
        self.state = applier.state
        self.graph = applier.graph
        self.run = applier.run
        self.t = applier.t
        self.now = applier.now
        # What ended in this very transition is not in the database yet when the container closes.
        self.ended: dict[ItemPlace, dict[str, Any]] = {}
        self.headings: dict[ItemPlace, str] = {}

    # --- opening ---------------------------------------------------------------------------------

    def open(self, step: StepState, outcome: OpenItems) -> None:
        """The container has told its items: a row for each, and the step works through them from now on."""
        if len(outcome.items) > ITEMS_PER_STEP.value:
            raise BadValue(ITEMS_PER_STEP.says(), code="too_many_items")
        opened = Opened.by(outcome)
        self.t.put(self.state, step.but(wait=Wait.ITEMS))
        states = [self._insert(step, index, item) for index, item in enumerate(outcome.items)]
        self.t.put_items(self.state, Items.of(step.place, opened.rules, states))
        before = self.loaded.opened.get(step.place)
        self.loaded.opened[step.place] = opened
        self.t.remember(lambda: self._restore_opened(step.place, before))
        values: dict[str, Any] = {"wait": Wait.ITEMS, "held": opened.to_json()}
        if outcome.notes:
            values["notes"] = outcome.notes[:255]
        self.t.step_updates.append((step.row, values))
        self.applier.event(EventType.PROGRESS, step, {"items": len(states)})

    def _restore_opened(self, place: Place, before: Opened | None) -> None:
        if before is None:
            self.loaded.opened.pop(place, None)
        else:
            self.loaded.opened[place] = before

    def _insert(self, step: StepState, index: int, item: NewItem) -> ItemState:
        row = new_id()
        value, size = checked_output({"value": item.value})
        boxed, blob = stored(self.run, value, size)
        kept: Any = item.value
        if blob is not None:
            blob.value, kept = item.value, boxed
            self.t.blobs.append(blob)
        self.loaded.keep_value(ItemPlace(step.place, index), item.value)
        heading = _in_one_line(item.heading or heading_of(item.value))
        self.t.item_inserts.append(
            {
                "id": row,
                "run_id": self.run.pk,
                "tenant_id": self.run.tenant_id,
                "step_run_id": step.row,
                "container": step.key,
                "scope": step.scope,
                "index": index,
                "heading": heading,
                "value": kept,
                "status": ItemStatus.PENDING,
            }
        )
        return ItemState(index, row=row)

    # --- items -----------------------------------------------------------------------------------

    def begin(self, command: OpenItem) -> None:
        """An item begins: it holds a slot now."""
        item = self._state_of(command.item)
        self.t.put_item(self.state, command.item.container, item.but(status=ItemStatus.RUNNING))
        self.t.item_updates.append((item.row, {"status": ItemStatus.RUNNING, "started_at": self.now}))

    def end(self, command: EndItem) -> None:
        """An item has come to an end: its result, or why it failed; one event tells the progress."""
        place = command.item
        item = self._state_of(place)
        values: dict[str, Any] = {"completed_at": self.now, **self._spent(place)}
        if command.cancelled:
            status = ItemStatus.CANCELLED
        elif command.failed:
            status = ItemStatus.FAILED
            values["error"] = self.applier.end.error_of(command.failed[0])
        else:
            status, found = self._result(command)
            values |= found
        values["status"] = status
        self.t.put_item(self.state, place.container, item.but(status=status))
        self.loaded.keep_result(place, values.pop("output", None))
        self.t.item_updates.append((item.row, values))
        self.ended[place] = values
        self.loaded.forget_item(place)
        if not command.cancelled:
            self._tell(place, status)

    def _result(self, command: EndItem) -> tuple[ItemStatus, dict[str, Any]]:
        """The result expression, else the single last step's output, else an object by label (07 §3)."""
        try:
            output, size = checked_output(self._result_value(command))
        except (BadValue, TextError) as error:
            info = error.info if isinstance(error, BadValue) else error_info(error)
            return ItemStatus.FAILED, {"error": error_json(info, self._label(command.item.container))}
        kept, blob = stored(self.run, output, size)
        if blob is not None:
            self.t.blobs.append(blob)
        return ItemStatus.COMPLETED, {"result": kept, "output": output}

    def _result_value(self, command: EndItem) -> Any:
        place = command.item
        if command.ended_by is not None:
            return self.loaded.output_of(command.ended_by)
        opened = self.loaded.opened[place.container]
        if opened.result:
            labels = self.loaded.prepared.labels
            names = {reference.step for reference in expression_references(opened.result, labels)}
            needs = tuple(step.key for step in self.graph.whole.steps if step.label in names)
            scope, _ = self.loaded.scope_for(place.container, needs, (), item=place)
            return evaluate(compile_expression(opened.result, labels), scope)
        found: dict[str, JSONObject] = {}
        for leaf in self.graph.definition.leaves(place.container.key):
            output = self.loaded.output_of(Place(leaf.key, place.scope))
            if output is not None:
                found[leaf.label] = output
        if not found:
            return self.loaded.value_of_item(place)
        if len(found) > 1:
            return found
        result = next(iter(found.values()))
        if opened.keeps_headings and "heading" not in result and (heading := self._heading(place)):
            return {**result, "heading": heading}
        return result

    def _spent(self, place: ItemPlace) -> dict[str, Any]:
        """Tokens, cost and provider of everything done for an item, what this very transition writes included."""
        names = ("input_tokens", "output_tokens", "cost", "provider")
        body = self.graph.body(place.container.key)
        rows = StepRun.objects.filter(run_id=self.run.pk, step_key__in=body, scope=place.scope)
        found = {row["id"]: row for row in rows.values("id", *names)}
        for row, values in self.t.step_updates:
            if row in found:
                found[row] |= {name: values[name] for name in names if name in values}
        spent: dict[str, Any] = {
            "input_tokens": sum(row["input_tokens"] for row in found.values()),
            "output_tokens": sum(row["output_tokens"] for row in found.values()),
            "cost": sum((row["cost"] for row in found.values()), Decimal(0)),
        }
        provider = next((row["provider"] for row in found.values() if row["provider"]), "")
        return {**spent, "provider": provider} if provider else spent

    def _tell(self, place: ItemPlace, status: ItemStatus) -> None:
        items = self.state.items(place.container)
        container = self.state.get(*place.container)
        assert items is not None
        assert container is not None
        data: JSONObject = {
            "fanOutIndex": place.index + 1,
            "fanOutTotal": len(items.items),
            "fanOutHeading": self._heading(place),
            "completed": items.count(ItemStatus.COMPLETED),
            "failed": items.count(ItemStatus.FAILED),
            "status": str(status),
        }
        self.applier.event(EventType.FAN_OUT_PROGRESS, container, data)

    def _heading_with(self, row: UUID, value: Any) -> str | None:
        """The heading of an item that gets another value; None where the step, not the value, has named it."""
        before, heading = Item.objects.values_list("value", "heading").get(pk=row)
        if heading != _in_one_line(heading_of(before)):
            return None
        return _in_one_line(heading_of(value))

    def _heading(self, place: ItemPlace) -> str:
        if place not in self.headings:
            self.headings[place] = self._stored_heading(place)
        return self.headings[place]

    def _stored_heading(self, place: ItemPlace) -> str:
        row = self._state_of(place).row
        for values in self.t.item_inserts:
            if values["id"] == row:
                return str(values["heading"])
        return Item.objects.values_list("heading", flat=True).get(pk=row)

    def more(self, command: MoreItems) -> None:
        """Ask the loop whether it goes round once more: one more item, or none for good."""
        place = command.place
        items = self.state.items(place)
        container = self.state.get(*place)
        assert items is not None
        assert container is not None
        definition = self.graph.step(place.key)
        type_ = self.loaded.prepared.type_of(definition)
        index = len(items.items)
        scope, _ = self.loaded.scope_for(
            place, self.loaded.prepared.needs(place.key), self.loaded.inputs.get(place, ())
        )
        before = self.loaded.result_before(ItemPlace(place, index))
        scope = self.loaded.with_loop(scope, index, before)
        context = StepContext(
            step=definition,
            scope=scope,
            previous=before,
            now=self.now,
            run=RunFacts(id=str(self.run.pk), started_at=self.run.started_at or self.now),
        )
        try:
            item = type_.next_item(context, index) if index < ITEMS_PER_STEP.value else None
        except StepwellError as error:
            self.stop_asking(container, items)
            self.applier.outcomes.fail(container, error_info(error))
            return
        if item is None:
            self.stop_asking(container, items)
            if said := type_.why_no_more(context, index):
                self.t.step_updates.append((container.row, {"notes": said[:255]}))
            return
        self.t.put_item(self.state, place, self._insert(container, index, item))

    def stop_asking(self, container: StepState, items: Items) -> None:
        opened = self.loaded.opened[container.place].closed()
        before = self.loaded.opened[container.place]
        self.loaded.opened[container.place] = opened
        self.t.remember(lambda: self._restore_opened(container.place, before))
        self.t.put_items(self.state, Items.of(container.place, opened.rules, items.items))
        self.t.step_updates.append((container.row, {"held": opened.to_json()}))

    # --- closing ---------------------------------------------------------------------------------

    def close(self, command: CloseContainer) -> None:
        """All items together as the container's output, or the container's failure with what went wrong in which."""
        container = self.state.get(*command.place)
        items = self.state.items(command.place)
        assert container is not None
        assert items is not None
        found = self._rows(container, items)
        failed = [row for row in found if row["status"] == ItemStatus.FAILED]
        completed = [row for row in found if row["status"] == ItemStatus.COMPLETED]
        rules = items.rules
        # A result that could not be worked out has failed its item only now.
        short = rules.needed is not None and len(completed) < rules.needed
        if command.failed or short or not rules.tolerance.allows(len(failed), len(found)):
            self.applier.outcomes.fail(container, self._why(container, failed, len(found)))
            return
        errors = [
            {
                "index": row["index"],
                "heading": row["heading"],
                "message": (row["error"] or {}).get("message", ""),
            }
            for row in failed
        ]
        results = [
            whole(row["result"], self.run.pk) if row["status"] == ItemStatus.COMPLETED else None
            for row in found
        ]
        output: JSONObject = {
            "content": _joined(found, results),
            "items": results,
            "count": len(found),
            "failed": len(failed),
        }
        if errors:
            output["errors"] = errors
        self.applier.outcomes.finish(container, output, self._sums(container))

    def _sums(self, container: StepState) -> dict[str, Any]:
        """What all items together have spent: shown on the container's row, counted on the rows of the work."""
        names = ("input_tokens", "output_tokens", "cost")
        found = {
            row["index"]: row
            for row in Item.objects.filter(step_run_id=container.row).values("index", *names)
        }
        for place, values in self.ended.items():
            if place.container == container.place:
                found[place.index] |= {name: values[name] for name in names if name in values}
        return {
            name: sum((row[name] for row in found.values()), Decimal(0) if name == "cost" else 0)
            for name in names
        }

    def _rows(self, container: StepState, items: Items) -> list[dict[str, Any]]:
        """Every item of the container as it is after this transition, in the input's order."""
        names = ("index", "heading", "status", "result", "error")
        found = {
            row["index"]: dict(row)
            for row in Item.objects.filter(step_run_id=container.row).order_by("index").values(*names)
        }
        for place, values in self.ended.items():
            if place.container == container.place:
                found[place.index] |= {name: values.get(name) for name in ("status", "result", "error")}
        return [found[item.index] for item in items.items]

    def _why(self, container: StepState, failed: list[dict[str, Any]], total: int) -> ErrorInfo:
        if not failed:
            return ErrorInfo("items_failed", "Too few items were completed.", fault=Fault.AUTHOR)
        first = failed[0]
        message = (first["error"] or {}).get("message", "no reason was kept")
        label = first["heading"] or f"item {first['index'] + 1}"
        said = f"{len(failed)} of {total} items failed. The first is “{label}”: {message}"
        return ErrorInfo(
            "items_failed",
            said[:1_000],
            fault=Fault(str((first["error"] or {}).get("fault") or Fault.AUTHOR)),
            fix="Retry the run: only the items without a result are done again. Or tolerate some failures.",
        )

    def _state_of(self, place: ItemPlace) -> ItemState:
        items = self.state.items(place.container)
        assert items is not None
        return items.items[place.index]

    def _label(self, place: Place) -> str:
        return self.graph.step(place.key).label

    # --- again -----------------------------------------------------------------------------------

    def reopen(self, container: StepState, *, some: bool = False) -> None:
        """A failed container goes on in a new round: its items move to the new row, what is done stays done.

        `some`: not all of what has no result begins again.
        """
        before = self.state.get(*container.place)
        items = self.state.items(container.place)
        opened = self.loaded.opened.get(container.place)
        assert before is not None
        assert items is not None
        assert opened is not None
        kept, opened = opened, opened.again(patient=some)
        self.loaded.opened[container.place] = opened
        self.t.remember(lambda: self._restore_opened(container.place, kept))
        definition = self.graph.step(container.key)
        row = new_id()
        fresh = container.but(row=row, attempt=1)
        self.t.put(self.state, fresh)
        self.t.put_items(self.state, Items.of(container.place, opened.rules, items.items))
        values = self.applier.new_row(definition, row, fresh, StepStatus.RUNNING)
        values |= {
            "wait": Wait.ITEMS,
            "held": opened.to_json(),
            "attempt": 1,
            "started_at": self.now,
            "inputs": list(self.loaded.inputs.get(container.place, ())),
        }
        self.t.step_inserts.append(values)
        old = before.row
        self.t.writes.append(lambda: _moves_items(old, row))

    def set_back(self, place: ItemPlace, given: JSONObject | None = None) -> None:
        """An item begins again; `given` is `{value}` where a person gave it another one."""
        item = self._state_of(place)
        self.t.put_item(self.state, place.container, item.but(status=ItemStatus.PENDING))
        values: dict[str, Any] = {
            "status": ItemStatus.PENDING,
            "error": None,
            "result": None,
            "reused": False,
            "completed_at": None,
        }
        if given is not None:
            values["value"] = given["value"]
            if (heading := self._heading_with(item.row, given["value"])) is not None:
                values["heading"] = heading
                self.headings.pop(place, None)
            # The row is not written yet when the item's first steps begin.
            self.loaded.keep_value(place, given["value"])
            self.t.remember(lambda: self.loaded.forget_item(place))
        self.t.item_updates.append((item.row, values))


def _in_one_line(heading: str) -> str:
    return " ".join(heading.split())[:_HEADING]


def _moves_items(old: Any, new: Any) -> None:
    Item.objects.filter(step_run_id=old).update(step_run_id=new)


def _joined(rows: list[dict[str, Any]], results: list[Any]) -> str:
    """The results as one text, each under its heading."""
    parts: list[str] = []
    for row, result in zip(rows, results, strict=True):
        if result is not None:
            heading = f"## {row['heading']}\n\n" if row["heading"] else ""
            parts.append(heading + as_text(result))
    return "\n\n".join(parts)
