"""The draft as rows and as a definition: compile it, and save another one with as few writes as it takes.

`workflow.revision` is the version of the whole draft (`If-Match`), `step.revision` that of one card.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.db import models, transaction
from django.db.models import F

from workflows.definition.arranging import place_new
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    ErrorChoice,
    ErrorPolicy,
    FieldDecl,
    JoinKind,
    JoinRule,
    Losers,
    Position,
    StepDef,
    TriggerDef,
    VariableDef,
    VariableKind,
    VariableType,
)
from workflows.definition.operations import Edit
from workflows.definition.retry import RetryPolicy
from workflows.definition.structure import structure_problems
from workflows.definition.types import TypeCatalog
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotFound, Problem, Stale
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.models import Edge, Step, Trigger, Variable, Workflow
from workflows.services.draft_history import Origin, remember_change
from workflows.services.known_drafts import keep_draft, known_draft
from workflows.services.row_updates import update_rows
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission

# Rows stand this far apart, so that an insertion in the middle moves nothing else.
_GAP: Final = 16
_LARGEST_ORDER: Final = 2**31 - 1
# Who stands where is decided by other steps' edits too; a card is not stale because a neighbour moved in, or because
# somebody moved its node on the canvas.
_LAYOUT: Final = ("order", "place", "x", "y")
# The workflow's own words, whose changes can be undone too.
ABOUT_FIELDS: Final = ("name", "description", "tags")

M = TypeVar("M", Step, Edge, Variable, Trigger)


# --- Rows → definition ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DraftRows:
    """Every row of one draft, in the definition's order."""

    steps: Sequence[Step]
    edges: Sequence[Edge]
    variables: Sequence[Variable]
    triggers: Sequence[Trigger]


def compile_draft(workflow: Workflow) -> Definition:
    """The draft as a definition, in a constant number of queries.

    `workflow.revision` is set to the revision that was read. NotFound when the workflow is gone.
    """
    for _ in range(5):
        seen = _head(workflow)
        if (known := known_draft(workflow.pk, seen[0])) is not None and _same(known.settings, seen[1]):
            workflow.revision, workflow.settings = seen
            return known
        rows = read_rows(workflow)
        # No lock is taken to read; a save in between shows in the revision, and then it is read again.
        if _head(workflow)[0] == seen[0]:
            workflow.revision, workflow.settings = seen
            made = definition_of(rows, workflow.settings)
            keep_draft(workflow.pk, workflow.revision, made)
            return made
    raise Conflict("The workflow is being changed faster than it can be read. Try again in a moment.")


def _head(workflow: Workflow) -> tuple[int, JSONObject]:
    found = Workflow.objects.filter(pk=workflow.pk).values_list("revision", "settings").first()
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


def read_rows(workflow: Workflow) -> DraftRows:
    """The rows as they are now; for a consistent whole call it in a transaction that holds the workflow's row."""
    return DraftRows(
        steps=list(Step.objects.filter(workflow=workflow).order_by("place", "pk")),
        edges=list(Edge.objects.filter(workflow=workflow).order_by("order", "pk")),
        variables=list(Variable.objects.filter(workflow=workflow).order_by("order", "pk")),
        triggers=list(Trigger.objects.filter(workflow=workflow).order_by("order", "pk")),
    )


def definition_of(rows: DraftRows, settings: JSONObject) -> Definition:
    """The definition that the rows stand for."""
    keys = {row.pk: row.key for row in rows.steps}
    return Definition(
        steps=tuple(_step_of(row, keys) for row in rows.steps),
        edges=tuple(
            EdgeDef(
                id=row.key,
                source=keys[row.source_id],
                target=keys[row.target_id],
                port=row.port,
                target_input=row.target_input,
                condition=row.condition,
            )
            for row in rows.edges
        ),
        variables=tuple(
            VariableDef(
                name=row.name,
                type=VariableType(row.type),
                kind=VariableKind(row.kind),
                required=row.required,
                default=row.default,
                description=row.description,
            )
            for row in rows.variables
        ),
        triggers=tuple(TriggerDef(row.key, row.type, row.config, row.input_mapping) for row in rows.triggers),
        settings=dict(settings),
    )


def _step_of(row: Step, keys: Mapping[int, str]) -> StepDef:
    return StepDef(
        key=row.key,
        type=row.type,
        label=row.label,
        description=row.description,
        config=row.config,
        enabled=row.enabled,
        parent=None if row.parent_id is None else keys[row.parent_id],
        order=row.order,
        position=None if row.x is None or row.y is None else Position(row.x, row.y),
        retry=None if row.retry is None else RetryPolicy.from_json(row.retry),
        timeout_s=row.timeout_s,
        on_error=ErrorPolicy(
            ErrorChoice(row.on_error.get("policy", ErrorChoice.FAIL)), row.on_error.get("default")
        ),
        join=JoinRule(
            JoinKind(row.join.get("rule", JoinKind.ALL)),
            row.join.get("count", 1),
            Losers(row.join.get("losers", Losers.CANCEL)),
        ),
        inputs=tuple(FieldDecl(**field) for field in row.inputs),
        outputs=tuple(FieldDecl(**field) for field in row.outputs),
        pinned=row.pinned,
        note=row.note,
        generated=row.generated,
    )


# --- Definition → rows ------------------------------------------------------------------------------------------------


def save_draft(
    *,
    workflow: Workflow,
    definition: Definition,
    actor: Actor,
    expected_revision: int | None = None,
    catalog: TypeCatalog = CATALOG,
    message: str = "The workflow was replaced.",
) -> Definition:
    """Replace the whole draft; only rows that differ are written, and nothing when none does.

    `message` is what undo calls it.

    Raises Invalid for a shape that cannot be stored, Stale when `expected_revision` is not the draft's, Conflict for
    an archived workflow. `workflow.revision` is the new revision afterwards.
    """
    refuse_bad_structure(definition, catalog)
    with transaction.atomic():
        lock_draft(workflow, actor, expected_revision)
        if write_draft(workflow, read_rows(workflow), definition, actor=actor, message=message):
            record(actor, "edited", workflow, after={"revision": workflow.revision})
    return definition


def apply_operation(
    *,
    workflow: Workflow,
    actor: Actor,
    operation: Callable[[Definition], Edit],
    expected_revision: int | None = None,
) -> Edit:
    """One edit of the builder: read the draft, apply the pure operation, save what changed, all in one transaction.

    Gives the operation's Edit (definition and effects); `workflow.revision` is the new revision. Raises what the
    operation raises, and Stale, Conflict and NotFound like `save_draft`; then nothing was written.
    """
    with transaction.atomic():
        lock_draft(workflow, actor, expected_revision)
        rows = read_rows(workflow)
        before = known_draft(workflow.pk, workflow.revision) or definition_of(rows, workflow.settings)
        edit = place_new(before, operation(before), CATALOG)
        said = edit.effects.message
        if write_draft(workflow, rows, edit.definition, actor=actor, message=said, before=before):
            what = {"revision": workflow.revision, "what": edit.effects.message}
            record(actor, "edited", workflow, after=what)
    return edit


def refuse_bad_structure(definition: Definition, catalog: TypeCatalog) -> None:
    """Invalid, with every problem, for a definition that may not be stored even as a draft."""
    problems = structure_problems(definition, catalog)
    problems += tuple(
        Problem(
            "bad_value",
            f"The order of “{step.label}” must be a whole number up to {_LARGEST_ORDER:,}.",
            step.label,
            step.key,
            "order",
            f"definition.nodes[{index}].order",
        )
        for index, step in enumerate(definition.steps)
        if not 0 <= step.order <= _LARGEST_ORDER
    )
    if problems:
        raise Invalid(problems[0].says, problems=problems)


def lock_draft(workflow: Workflow, actor: Actor, expected_revision: int | None = None) -> None:
    """Hold the workflow's row for this transaction, its fields read afresh, after asking whether it may be edited."""
    actor.require(Permission.EDIT_WORKFLOWS)
    rows = Workflow.objects.for_tenant(actor.tenant).select_for_update().filter(deleted_at=None)
    fresh = rows.filter(pk=workflow.pk).first()
    if fresh is None:
        raise NotFound(NOT_FOUND)
    if fresh.status == Workflow.Status.ARCHIVED:
        raise Conflict(
            f"“{fresh.name}” is archived and cannot be changed. Restore it first.", code="archived"
        )
    refuse_stale(fresh, expected_revision)
    for field in (
        "name",
        "description",
        "tags",
        "project_id",
        "status",
        "settings",
        "revision",
        "latest_version",
    ):
        setattr(workflow, field, getattr(fresh, field))


def refuse_stale(workflow: Workflow, expected_revision: int | None) -> None:
    """Stale when the caller read another revision than this one; None asks for nothing."""
    if expected_revision is not None and workflow.revision != expected_revision:
        raise Stale(
            f"“{workflow.name}” was changed in the meantime: it is at revision {workflow.revision}, "
            f"you have {expected_revision}. Reload, and make your change again."
        )


def raise_revision(workflow: Workflow, **fields: Any) -> None:
    """The conditional UPDATE that makes a change the draft's next revision; Stale when somebody was faster."""
    now = utc_now()
    seen = Workflow.objects.filter(pk=workflow.pk, revision=workflow.revision, deleted_at=None)
    if not seen.update(revision=F("revision") + 1, updated_at=now, **fields):
        raise Stale(f"“{workflow.name}” was changed in the meantime. Reload, and make your change again.")
    workflow.revision += 1
    workflow.updated_at = now
    for name, value in fields.items():
        setattr(workflow, name, value)


def write_draft(
    workflow: Workflow,
    rows: DraftRows,
    definition: Definition,
    *,
    actor: Actor | None,
    message: str = "",
    origin: str = Origin.EDIT,
    before: Definition | None = None,
    **fields: Any,
) -> bool:
    """Make the rows say what the definition says, and raise the revision; False when they do already.

    Call it in the transaction of `lock_draft`. `fields` of the workflow are written with it. The change is kept for
    `actor` to undo, as `message`; only a new workflow, which has no history, says None. `before` is what the rows
    say, if it is at hand. In this order, so that no constraint is broken on the way:
    1. paths that go, or that hang on a step that goes; 2. steps that go, their bodies loosened first;
    3. steps that change or come; 4. who stands in whose body; 5. paths that change or come; 6. variables, triggers.
    """
    if before is None and actor is not None:
        # Before the plan: that writes into the rows.
        before = definition_of(rows, workflow.settings)
    plan = _Plan(workflow, rows, definition)
    settings_differ = not _same(workflow.settings, definition.settings)
    if not (plan.has_work or settings_differ or fields):
        return False
    about = about_changes(workflow, fields)
    if settings_differ:
        fields["settings"] = definition.settings
    raise_revision(workflow, **fields)
    plan.carry_out()
    keep_draft(workflow.pk, workflow.revision, definition)
    if actor is not None and before is not None:
        revs = {row.key: row.revision for row, _ in plan.changed_steps} | {
            row.key: row.revision for row in plan.new_steps
        }
        remember_change(
            workflow,
            before,
            definition,
            actor=actor,
            message=message,
            origin=origin,
            about=about,
            revs=revs,
        )
    return True


def about_changes(workflow: Workflow, fields: Mapping[str, Any]) -> dict[str, tuple[JSONValue, JSONValue]]:
    """Which of the workflow's own words these fields change, as (before, after), for its history."""
    return {
        name: (getattr(workflow, name), fields[name])
        for name in ABOUT_FIELDS
        if name in fields and getattr(workflow, name) != fields[name]
    }


class _Plan:
    """What has to be written to get from the rows to the definition."""

    def __init__(self, workflow: Workflow, rows: DraftRows, definition: Definition) -> None:
        self.workflow = workflow
        self.definition = definition
        self.steps = {row.key: row for row in rows.steps}
        self.old_keys = {row.pk: row.key for row in rows.steps}
        self.gone = [row for row in rows.steps if row.key not in definition.by_key]
        gone_ids = {row.pk for row in self.gone}
        wanted = {edge.id for edge in definition.edges}
        self.gone_edges = [
            row
            for row in rows.edges
            if row.key not in wanted or row.source_id in gone_ids or row.target_id in gone_ids
        ]
        lost = {row.pk for row in self.gone_edges}
        self.edges = {row.key: row for row in rows.edges if row.pk not in lost}
        self.new_steps: list[Step] = []
        self.changed_steps: list[tuple[Step, list[str]]] = []
        self.moved_steps: list[Step] = []
        self.relabelled: list[Step] = []
        self._plan_steps()
        self.reparented = [
            step
            for step in definition.steps
            if step.key in self.steps and self._parent_key(step.key) != step.parent
        ]
        self.has_edge_work = self._edges_differ()
        self.variables = _Listed(
            Variable,
            workflow,
            rows.variables,
            "name",
            {v.name: _variable_values(v) for v in definition.variables},
        )
        self.triggers = _Listed(
            Trigger, workflow, rows.triggers, "key", {t.id: _trigger_values(t) for t in definition.triggers}
        )

    @property
    def has_work(self) -> bool:
        return bool(
            self.gone
            or self.gone_edges
            or self.new_steps
            or self.changed_steps
            or self.moved_steps
            or self.reparented
            or self.has_edge_work
            or self.variables.has_work
            or self.triggers.has_work
        )

    def _parent_key(self, key: str) -> str | None:
        parent = self.steps[key].parent_id
        return None if parent is None else self.old_keys[parent]

    def _plan_steps(self) -> None:
        places = _places([_attribute(self.steps.get(step.key), "place") for step in self.definition.steps])
        held = {row.label.casefold(): row for key, row in self.steps.items() if key in self.definition.by_key}
        for step, place in zip(self.definition.steps, places, strict=True):
            values = _step_values(step)
            row = self.steps.get(step.key)
            if row is None:
                _check_text(values, step.label)
                self.new_steps.append(
                    Step(
                        workflow=self.workflow,
                        tenant_id=self.workflow.tenant_id,
                        key=step.key,
                        place=place,
                        **values,
                    )
                )
                differing: list[str] = []
            else:
                differing = [name for name, value in values.items() if not _same(getattr(row, name), value)]
                if differing:
                    _check_text({name: values[name] for name in differing}, step.label)
                is_moved = row.place != place or any(name in _LAYOUT for name in differing)
                row.place = place
                for name in differing:
                    setattr(row, name, values[name])
                own = [name for name in differing if name not in _LAYOUT]
                if own or self._parent_key(step.key) != step.parent:
                    row.revision += 1
                    self.changed_steps.append((row, [*own, "revision"]))
                if is_moved:
                    self.moved_steps.append(row)
            holder = held.get(step.label.casefold())
            if holder is not None and holder.key != step.key:
                # Its name is wanted by another row in the same save (two steps swap their names).
                self.relabelled.append(holder)

    def _edges_differ(self) -> bool:
        places = _places([_attribute(self.edges.get(edge.id), "order") for edge in self.definition.edges])
        for edge, place in zip(self.definition.edges, places, strict=True):
            row = self.edges.get(edge.id)
            if row is None or row.order != place:
                return True
            now = (self.old_keys[row.source_id], self.old_keys[row.target_id])
            if (*now, row.port, row.target_input, row.condition) != (
                edge.source,
                edge.target,
                edge.port,
                edge.target_input,
                edge.condition,
            ):
                return True
        return False

    def carry_out(self) -> None:
        if self.gone_edges:
            Edge.objects.filter(pk__in=[row.pk for row in self.gone_edges]).delete()
        if self.gone:
            gone = {row.pk for row in self.gone}
            kept = [row.pk for row in self.steps.values() if row.parent_id in gone and row.pk not in gone]
            if kept:
                Step.objects.filter(pk__in=kept).update(parent=None)
            Step.objects.filter(pk__in=gone).delete()
        if self.relabelled:
            # No label holds a control character, so these are free; the right ones follow at once.
            free = models.functions.Concat(models.Value("\x01"), F("key"))
            Step.objects.filter(pk__in=[row.pk for row in self.relabelled]).update(label=free)
        if self.changed_steps:
            names = sorted({name for _, names in self.changed_steps for name in names})
            update_rows([row for row, _ in self.changed_steps], names)
        if self.moved_steps:
            update_rows(self.moved_steps, _LAYOUT)
        if self.new_steps:
            for made in Step.objects.bulk_create(self.new_steps):
                self.steps[made.key] = made
        self._place_in_bodies()
        if self.has_edge_work or self.gone_edges:
            self._write_edges()
        self.variables.carry_out()
        self.triggers.carry_out()

    def _place_in_bodies(self) -> None:
        ids = {key: row.pk for key, row in self.steps.items()}
        created = {row.key for row in self.new_steps}
        moved: list[Step] = []
        again = {step.key for step in self.reparented}
        for step in self.definition.steps:
            if step.key in again or (step.key in created and step.parent is not None):
                row = self.steps[step.key]
                row.parent_id = None if step.parent is None else ids[step.parent]
                moved.append(row)
        if moved:
            update_rows(moved, ["parent"])

    def _write_edges(self) -> None:
        ids = {key: row.pk for key, row in self.steps.items()}
        places = _places([_attribute(self.edges.get(edge.id), "order") for edge in self.definition.edges])
        new: list[Edge] = []
        changed: list[Edge] = []
        for edge, place in zip(self.definition.edges, places, strict=True):
            values = {
                "source_id": ids[edge.source],
                "target_id": ids[edge.target],
                "port": edge.port,
                "target_input": edge.target_input,
                "condition": edge.condition,
                "order": place,
            }
            row = self.edges.get(edge.id)
            if row is None:
                _check_text(values, "a path")
                new.append(
                    Edge(workflow=self.workflow, tenant_id=self.workflow.tenant_id, key=edge.id, **values)
                )
            elif any(getattr(row, name) != value for name, value in values.items()):
                _check_text(values, "a path")
                for name, value in values.items():
                    setattr(row, name, value)
                changed.append(row)
        if changed:
            update_rows(changed, ["source", "target", "port", "target_input", "condition", "order"])
        if new:
            Edge.objects.bulk_create(new)


class _Listed:
    """Rows of a plain list (variables, triggers): which go, which change, which come."""

    def __init__(
        self,
        model: type[Variable] | type[Trigger],
        workflow: Workflow,
        rows: Sequence[Variable] | Sequence[Trigger],
        key: str,
        wanted: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._model: Any = model
        old = {getattr(row, key): row for row in rows}
        self.gone = [row.pk for name, row in old.items() if name not in wanted]
        self.new: list[Any] = []
        self.changed: list[Any] = []
        places = _places([_attribute(old.get(name), "order") for name in wanted])
        for (name, values), place in zip(wanted.items(), places, strict=True):
            row = old.get(name)
            whole = {**values, "order": place}
            if row is None:
                _check_text(values, name)
                self.new.append(
                    model(workflow=workflow, tenant_id=workflow.tenant_id, **{key: name}, **whole)
                )
            elif not all(_same(getattr(row, field), value) for field, value in whole.items()):
                _check_text(values, name)
                for field, value in whole.items():
                    setattr(row, field, value)
                self.changed.append(row)
        self._fields = [*next(iter(wanted.values()), {}), "order"]

    @property
    def has_work(self) -> bool:
        return bool(self.gone or self.new or self.changed)

    def carry_out(self) -> None:
        if self.gone:
            self._model.objects.filter(pk__in=self.gone).delete()
        if self.changed:
            update_rows(self.changed, self._fields)
        if self.new:
            self._model.objects.bulk_create(self.new)


def _step_values(step: StepDef) -> dict[str, Any]:
    return {
        "type": step.type,
        "label": step.label,
        "description": step.description,
        "config": step.config,
        "enabled": step.enabled,
        "order": step.order,
        "x": None if step.position is None else step.position.x,
        "y": None if step.position is None else step.position.y,
        "retry": None if step.retry is None else step.retry.to_json(),
        "timeout_s": step.timeout_s,
        "on_error": {"policy": step.on_error.policy.value, "default": step.on_error.default},
        "join": {"rule": step.join.rule.value, "count": step.join.count, "losers": step.join.losers.value},
        "inputs": [_field_values(field) for field in step.inputs],
        "outputs": [_field_values(field) for field in step.outputs],
        "pinned": step.pinned,
        "note": step.note,
        "generated": step.generated,
    }


def _field_values(field: FieldDecl) -> JSONObject:
    return {
        "name": field.name,
        "type": field.type,
        "required": field.required,
        "description": field.description,
    }


def _variable_values(variable: VariableDef) -> dict[str, Any]:
    return {
        "type": variable.type.value,
        "kind": variable.kind.value,
        "required": variable.required,
        "default": variable.default,
        "description": variable.description,
    }


def _trigger_values(trigger: TriggerDef) -> dict[str, Any]:
    return {"type": trigger.type, "config": trigger.config, "input_mapping": trigger.input_mapping}


def _attribute(row: Any, name: str) -> int | None:
    return None if row is None else int(getattr(row, name))


def _places(current: Iterable[int | None]) -> list[int]:
    """Rising places, keeping those that rise already; None and those out of turn get one after their neighbour."""
    wished = list(current)
    last_kept = max((index for index, place in enumerate(wished) if place is not None), default=-1)
    found: list[int] = []
    last = -1
    for index, place in enumerate(wished):
        if place is not None and place > last:
            last = place
        else:
            last += 1 if index < last_kept else _GAP
        found.append(last)
    return found


def _same(first: JSONValue, second: JSONValue) -> bool:
    """Equal, and true and false only to themselves: to Python True equals 1, in a workflow it does not.

    Numbers may change their spelling (jsonb gives 0 for -0.0), so texts of the two would differ where nothing does.
    """
    if first != second:
        return False
    if isinstance(first, dict):
        return all(_same(value, second[key]) for key, value in first.items())
    if isinstance(first, list):
        return all(_same(one, other) for one, other in zip(first, second, strict=True))
    return isinstance(first, bool) == isinstance(second, bool)


def _check_text(values: Mapping[str, Any], what: str) -> None:
    """Refuse what no database can hold: NUL characters and halves of surrogate pairs."""
    text = json.dumps(values, ensure_ascii=False, default=str)
    if "\\u0000" in text.replace("\\\\", ""):
        message = f"“{what}” holds a NUL character. Remove it."
        raise Invalid(message, problems=(Problem("bad_text", message, step=what),))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"“{what}” holds half of a surrogate pair. Type the character again."
        raise Invalid(message, problems=(Problem("bad_text", message, step=what),)) from error
