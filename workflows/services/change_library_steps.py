"""Draft steps that name an entry of the library: where they are, and edits of all of them, workflow by workflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeAlias
from uuid import UUID

from django.db.models import F

from workflows.definition.edits import Edit, Effects
from workflows.definition.graph import Definition, StepDef
from workflows.definition.library import PERSONA, PROMPT
from workflows.lib.jsontypes import JSONValue
from workflows.models import LibraryUse, Step, Workflow
from workflows.services.drafts import apply_operation
from workflows.steps import registry
from workflows.steps.fields import config_fields
from workflows.tenancy.actor import Actor
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant

# The step as it is to be, or None where it stays.
Change: TypeAlias = Callable[[StepDef], StepDef | None]


@dataclass(frozen=True, slots=True)
class UsedBy:
    """A step that uses an entry. `number`: the prompt's version, None for the latest; `published`: 0 for the draft."""

    workflow_id: UUID
    workflow: str
    step_key: str
    label: str
    number: int | None = None
    published: int = 0


def used_by(tenant: Tenant, field: str, name: str) -> list[UsedBy]:
    """Steps of drafts, then of the versions that run now (the newest published ones). Two queries."""
    rows = _named(tenant, field, name).select_related("workflow").order_by("workflow__name", "place")
    found = [
        UsedBy(row.workflow_id, row.workflow.name, row.key, row.label, _version(row.config.get(field)))
        for row in rows
    ]
    frozen = LibraryUse.objects.for_tenant(tenant).filter(kind=_KINDS[field], name__iexact=name)
    live = frozen.filter(workflow__deleted_at=None, version__number=F("workflow__latest_version"))
    found += [
        UsedBy(
            row.workflow_id,
            row.workflow.name,
            row.step_key,
            row.step_label,
            row.number or None,
            row.version.number or 0,
        )
        for row in live.select_related("workflow", "version__workflow").order_by("workflow__name", "pk")
    ]
    return found


def use_counts(tenant: Tenant, field: str) -> Counter[str]:
    """How many draft steps name each entry, by its name in small letters. One query."""
    path = f"config__{field}__name" if field == PROMPT else f"config__{field}"
    rows = (
        Step.objects.for_tenant(tenant).filter(workflow__deleted_at=None).exclude(**{f"{path}__isnull": True})
    )
    return Counter(str(name).casefold() for name in rows.values_list(path, flat=True) if name)


def _version(said: JSONValue) -> int | None:
    return said.get("version") if isinstance(said, dict) else None


_KINDS = {PROMPT: LibraryUse.Kind.PROMPT, PERSONA: LibraryUse.Kind.PERSONA}


def _named(tenant: Tenant, field: str, name: str) -> TenantQuerySet[Step]:
    path = f"config__{field}__name__iexact" if field == PROMPT else f"config__{field}__iexact"
    return Step.objects.for_tenant(tenant).filter(workflow__deleted_at=None, **{path: name})


def change_steps(actor: Actor, field: str, name: str, change: Change) -> int:
    """Change the steps of every draft that names it; gives how many. Archived workflows stay as they are.

    Each workflow's change is an edit of its draft like any other: its revision rises, and it can be undone there.
    """
    count = 0
    ids = set(_named(actor.tenant, field, name).values_list("workflow_id", flat=True))
    workflows = Workflow.objects.for_tenant(actor.tenant).filter(pk__in=ids, deleted_at=None)
    for workflow in workflows.exclude(status=Workflow.Status.ARCHIVED).order_by("pk"):
        changed: list[str] = []

        def operation(definition: Definition, changed: list[str] = changed) -> Edit:
            steps = []
            for step in definition.steps:
                said = _name_in(step, field).casefold() == name.casefold()
                new = change(step) if said else None
                if new is not None:
                    changed.append(step.key)
                steps.append(new or step)
            return Edit(replace(definition, steps=tuple(steps)), Effects(f"“{name}” changed in the library."))

        apply_operation(workflow=workflow, actor=actor, operation=operation)
        count += len(changed)
    return count


def _name_in(step: StepDef, field: str) -> str:
    said = step.config.get(field)
    return str(said.get("name") or "") if isinstance(said, dict) else str(said or "")


def set_persona(
    *,
    actor: Actor,
    workflow: Workflow,
    persona: str,
    steps: Collection[str] | None = None,
    expected_revision: int | None = None,
) -> int:
    """Give a persona (empty: none) to these steps of a draft, None for all that ask a model; gives how many changed.

    Raises NotAllowed, Stale, Conflict (archived). An unknown name is stored, and is a problem of the step.
    """
    changed: list[str] = []

    def operation(definition: Definition) -> Edit:
        made = []
        for step in definition.steps:
            config = {key: value for key, value in step.config.items() if key != PERSONA}
            if persona:
                config[PERSONA] = persona
            wanted = takes_persona(step) and (steps is None or step.key in steps) and config != step.config
            if wanted:
                changed.append(step.key)
            made.append(replace(step, config=config) if wanted else step)
        said = "1 step" if len(changed) == 1 else f"{len(changed)} steps"
        message = f"{said} answered by {persona}." if persona else f"{said} without a persona."
        return Edit(replace(definition, steps=tuple(made)), Effects(message))

    apply_operation(workflow=workflow, actor=actor, operation=operation, expected_revision=expected_revision)
    return len(changed)


def takes_persona(step: StepDef) -> bool:
    """Whether the step's type has a persona, and asks a model as it is set."""
    kind = registry.find(step.type)
    return kind is not None and PERSONA in config_fields(kind.ConfigForm) and kind.uses_model(step.config)
