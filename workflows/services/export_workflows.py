"""Workflows as one readable document: one, a project's, or all of a tenant (W6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from workflows.definition.exchange import Bundle, WorkflowText, bundle_to_json, fragment_to_json
from workflows.definition.graph import Definition
from workflows.definition.library import sections_of
from workflows.definition.travel import with_workflow_names, without_secrets, workflow_names
from workflows.lib.documents import write_json, write_yaml
from workflows.lib.errors import Invalid, NotFound, Problem
from workflows.lib.jsontypes import JSONValue
from workflows.models import Workflow, WorkflowVersion
from workflows.selectors import visible_workflows
from workflows.services.compile_drafts import compile_drafts
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.services.library import with_library
from workflows.services.samples import texts_of
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Project, Tenant
from workflows.tenancy.roles import Permission

Format = Literal["yaml", "json"]
FORMATS: tuple[Format, ...] = ("yaml", "json")


@dataclass(frozen=True, slots=True)
class Exported:
    """A document as text, the name of a file for it, and in words what was left out because it is secret."""

    text: str
    filename: str
    left_out: tuple[str, ...] = ()

    @property
    def ascii_name(self) -> str:
        """The file's name as every header may hold it."""
        name, _, ending = self.filename.rpartition(".")
        return f"{name.encode('ascii', 'ignore').decode().strip('-.') or 'workflows'}.{ending}"


def export_workflow(
    *, workflow: Workflow, actor: Actor, version: int | None = None, format: str = "yaml"
) -> Exported:
    """One workflow: its draft, or a published version. Raises NotFound, and Invalid for an unknown format."""
    _check(workflow, actor)
    if version is None:
        definition = compile_draft(workflow)
    else:
        found = (
            WorkflowVersion.objects.for_tenant(actor.tenant).filter(workflow=workflow, number=version).first()
            if 0 < version < 2**31
            else None
        )
        if found is None:
            raise NotFound(NOT_FOUND)
        definition = load_definition(found)
    name = workflow.name if version is None else f"{workflow.name} version {version}"
    return _document(actor.tenant, [workflow], [definition], format, name)


def export_workflows(
    *,
    actor: Actor,
    workflows: Iterable[Workflow] | None = None,
    project: Project | None = None,
    format: str = "yaml",
) -> Exported:
    """The drafts of these workflows, of a project's, or (neither) of all that are not deleted, by name."""
    actor.require(Permission.VIEW)
    found = visible_workflows(actor.tenant).select_related("project")
    name = actor.tenant.name
    if workflows is not None:
        found = found.filter(pk__in=[workflow.pk for workflow in workflows])
        name = "Workflows"
    if project is not None:
        if project.tenant_id != actor.tenant.pk:
            raise NotFound(NOT_FOUND)
        found, name = found.filter(project=project), project.name
    rows = sorted(found, key=lambda row: (row.name.casefold(), row.name, row.created_at))
    return _document(actor.tenant, rows, compile_drafts(rows), format, name)


def copy_as_text(
    *,
    workflow: Workflow,
    actor: Actor,
    keys: Iterable[str],
    format: str = "yaml",
    draft: Definition | None = None,
) -> str:
    """These steps of the draft, with their bodies and the paths between them, as text to be pasted anywhere.

    Raises OperationRefused for a step that is not there.
    """
    _check(workflow, actor)
    definition = compile_draft(workflow) if draft is None else draft
    named = _named(actor.tenant, [without_secrets(definition)[0]])[0]
    return _text(fragment_to_json(named, keys, CATALOG), format)


def _check(workflow: Workflow, actor: Actor) -> None:
    actor.require(Permission.VIEW)
    if workflow.tenant_id != actor.tenant.pk or workflow.deleted_at is not None:
        raise NotFound(NOT_FOUND)


def _document(
    tenant: Tenant, rows: Sequence[Workflow], definitions: Sequence[Definition], format: str, name: str
) -> Exported:
    # Steps name prompts and personas; their texts travel once for all of them, as a draft finds or a version has frozen them.
    # All steps are looked up at once: two queries, however many workflows.
    steps = tuple(step for definition in definitions for step in definition.steps)
    frozen = definitions[0].library if len(definitions) == 1 else {}
    carried = sections_of([with_library(Definition(steps=steps, library=frozen), tenant)])
    cleaned = [without_secrets(replace(definition, library={})) for definition in definitions]
    named = _named(tenant, [definition for definition, _ in cleaned])
    samples = texts_of(rows)
    bundle = Bundle(
        tuple(
            WorkflowText(
                row.name,
                definition,
                row.description,
                tuple(row.tags),
                row.project.name if row.project is not None else "",
                samples[str(row.pk)],
            )
            for row, definition in zip(rows, named, strict=True)
        ),
        carried,
    )
    left = tuple(
        f"{row.name}: {what}" for row, (_, names) in zip(rows, cleaned, strict=True) for what in names
    )
    text = _text(bundle_to_json(bundle, CATALOG), format)
    return Exported(text, f"{_file_name(name)}.{format}", left)


def _text(data: JSONValue, format: str) -> str:
    if format not in FORMATS:
        message = f"There is no format “{format[:40]}”; there is yaml and json."
        raise Invalid(message, problems=(Problem("bad_value", message, field="format", path="query.format"),))
    return write_yaml(data) if format == "yaml" else write_json(data)


def _named(tenant: Tenant, definitions: Sequence[Definition]) -> list[Definition]:
    """Workflows that these run are called by name: an id says nothing elsewhere."""
    asked = {name for definition in definitions for _, name in workflow_names(definition)}
    ids = [found for found in map(_as_id, asked) if found is not None]
    if not ids:
        return list(definitions)
    known = {
        str(pk): name for pk, name in visible_workflows(tenant).filter(pk__in=ids).values_list("pk", "name")
    }
    return [
        with_workflow_names(definition, lambda name: known.get(str(_as_id(name)), name))
        for definition in definitions
    ]


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name.casefold()).strip("-.")[:80] or "workflows"
