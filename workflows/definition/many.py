"""Edits of several steps at once: one change to undo, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from workflows.definition.edits import Edit, OperationRefused, body_of, finish, step_of
from workflows.definition.graph import Definition, StepDef
from workflows.definition.ordering import list_order
from workflows.definition.types import TypeCatalog


def in_list_order(definition: Definition, keys: Iterable[str], catalog: TypeCatalog) -> tuple[StepDef, ...]:
    """These steps as the list shows them; those inside of another one of them are left out: they go along with it."""
    wanted = {step_of(definition, key).key for key in keys}
    if not wanted:
        raise OperationRefused("nothing_selected", "Select some steps first.")
    along = {child.key for key in wanted for child in body_of(definition, key)}
    return tuple(
        step for step in list_order(definition, catalog) if step.key in wanted and step.key not in along
    )


def move_many(
    definition: Definition,
    keys: Iterable[str],
    catalog: TypeCatalog,
    place: Callable[[Definition, str, str | None], Edit],
) -> Edit:
    """Move the steps one after the other; `place(definition, key, after)` moves one: `after` is the one moved before it."""
    steps = in_list_order(definition, keys, catalog)
    now, last = definition, None
    for step in steps:
        now = place(now, step.key, last).definition
        last = step.key
    return finish(definition, now, catalog, f"{_count(steps)} moved.")


def configure_many(
    definition: Definition,
    keys: Iterable[str],
    catalog: TypeCatalog,
    change: Callable[[Definition, StepDef], Edit | None],
    message: str,
) -> Edit:
    """Change a setting in each step that has it (`change` gives None where it does not); `message` takes their number."""
    now, changed = definition, []
    for key in dict.fromkeys(keys):
        edit = change(now, step_of(now, key))
        if edit is not None:
            now = edit.definition
            changed.append(step_of(now, key))
    if not changed:
        raise OperationRefused("nothing_to_change", "None of these steps has that setting.")
    return finish(definition, now, catalog, message.format(count=_count(changed)))


def _count(steps: Sequence[StepDef]) -> str:
    return f"“{steps[0].label}”" if len(steps) == 1 else f"{len(steps)} steps"
