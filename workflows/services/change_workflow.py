"""Changes of a workflow as a whole: its fields, its state, its end. The graph is changed by `drafts`."""

from __future__ import annotations

from typing import Any, Final, TypedDict, Unpack

from django.db import transaction

from workflows.definition.graph import Definition
from workflows.definition.types import TypeCatalog
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotFound, Problem
from workflows.models import Workflow
from workflows.services.draft_history import remember_change
from workflows.services.drafts import (
    about_changes,
    lock_draft,
    raise_revision,
    read_rows,
    refuse_bad_structure,
    refuse_stale,
    write_draft,
)
from workflows.services.fields import clean_description, clean_name, clean_project, clean_tags
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import changes, record
from workflows.tenancy.models import Project
from workflows.tenancy.roles import Permission

# The graph stays as it is: compared with itself, it is no part of the change.
_NOTHING: Final = Definition()
_FIELDS: Final = ("name", "description", "tags", "project_id")


class WorkflowChanges(TypedDict, total=False):
    """What may be changed; what is not given stays."""

    name: str
    description: str
    tags: list[str]
    project: Project | str | None
    status: str
    definition: Definition


def update_workflow(
    *,
    workflow: Workflow,
    actor: Actor,
    expected_revision: int | None = None,
    catalog: TypeCatalog = CATALOG,
    **given: Unpack[WorkflowChanges],
) -> Workflow:
    """Change only the given fields, all of them or none; a given `definition` replaces the draft whole.

    `status`: `archived` archives, `active` and `draft` restore; a draft becomes active by being published only.
    Raises Invalid, Stale, Conflict, NotFound.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    fields: dict[str, Any] = {}
    if "name" in given:
        fields["name"] = clean_name(given["name"])
    if "description" in given:
        fields["description"] = clean_description(given["description"])
    if "tags" in given:
        fields["tags"] = clean_tags(given["tags"])
    if "project" in given:
        project = clean_project(given["project"], actor)
        fields["project_id"] = project.pk if project is not None else None
    definition = given.get("definition")
    if definition is not None:
        refuse_bad_structure(definition, catalog)
    status = given.get("status")
    if status is not None and status not in Workflow.Status.values:
        message = f"A status is {', '.join(Workflow.Status.values)}."
        raise Invalid(message, problems=(Problem("bad_value", message, field="status", path="status"),))
    written = False
    with transaction.atomic():
        if status is not None and status != Workflow.Status.ARCHIVED:
            unarchive_workflow(workflow=workflow, actor=actor, expected_revision=expected_revision)
            expected_revision = None if expected_revision is None else workflow.revision
            if workflow.status != status:
                raise Conflict(
                    f"“{workflow.name}” has a published version, so it is active; archive it to stop new runs."
                    if workflow.is_published
                    else f"“{workflow.name}” has no published version yet. Publish it to make it active."
                )
        if fields or definition is not None:
            lock_draft(workflow, actor, expected_revision)
            before = {name: getattr(workflow, name) for name in _FIELDS}
            fields = {name: value for name, value in fields.items() if before[name] != value}
            if definition is not None:
                written = write_draft(
                    workflow,
                    read_rows(workflow),
                    definition,
                    actor=actor,
                    message="The workflow was replaced.",
                    **fields,
                )
            elif fields:
                about = about_changes(workflow, fields)
                raise_revision(workflow, **fields)
                if about:
                    message = "Renamed." if "name" in about else "Settings saved."
                    remember_change(workflow, _NOTHING, _NOTHING, actor=actor, message=message, about=about)
                written = True
            if written:
                old, new = changes(_plain(before), _plain({**before, **fields}))
                record(actor, "edited", workflow, before=old, after={**new, "revision": workflow.revision})
        elif status is None:
            refuse_stale(_current(workflow, actor), expected_revision)
        if status == Workflow.Status.ARCHIVED:
            if written:
                expected_revision = None
            archive_workflow(workflow=workflow, actor=actor, expected_revision=expected_revision)
    return workflow


def archive_workflow(*, workflow: Workflow, actor: Actor, expected_revision: int | None = None) -> Workflow:
    """Make it read-only, its triggers off and new runs refused; its history stays. Archived already: as it is."""
    with transaction.atomic():
        fresh = _current(workflow, actor)
        refuse_stale(fresh, expected_revision)
        if fresh.status == Workflow.Status.ARCHIVED:
            workflow.status = fresh.status
            return workflow
        lock_draft(workflow, actor)
        before = workflow.status
        raise_revision(workflow, status=Workflow.Status.ARCHIVED)
        record(actor, "archived", workflow, before={"status": before}, after={"status": workflow.status})
    return workflow


def unarchive_workflow(*, workflow: Workflow, actor: Actor, expected_revision: int | None = None) -> Workflow:
    """Make an archived workflow usable again: active when it was published, else a draft."""
    with transaction.atomic():
        fresh = _current(workflow, actor)
        refuse_stale(fresh, expected_revision)
        if fresh.status != Workflow.Status.ARCHIVED:
            lock_draft(workflow, actor)
            return workflow
        workflow.revision = fresh.revision
        back = Workflow.Status.ACTIVE if fresh.is_published else Workflow.Status.DRAFT
        raise_revision(workflow, status=back)
        record(actor, "restored", workflow, before={"status": "archived"}, after={"status": str(back)})
    return workflow


def delete_workflow(*, workflow: Workflow, actor: Actor) -> None:
    """Hide it: no new runs, runs in flight finish, history stays. NotFound when it is gone already."""
    with transaction.atomic():
        fresh = _current(workflow, actor)
        now = utc_now()
        won = Workflow.objects.filter(pk=fresh.pk, deleted_at=None).update(deleted_at=now, updated_at=now)
        if not won:
            raise NotFound(NOT_FOUND)
        workflow.deleted_at = now
        record(actor, "deleted", workflow, before={"name": fresh.name, "status": fresh.status})


def _current(workflow: Workflow, actor: Actor) -> Workflow:
    """The workflow's row, held for this transaction, whatever its status."""
    actor.require(Permission.EDIT_WORKFLOWS)
    rows = Workflow.objects.for_tenant(actor.tenant).select_for_update()
    found = rows.filter(pk=workflow.pk, deleted_at=None).first()
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """As JSON: a project is its id in text."""
    return {
        name.removesuffix("_id"): str(value) if name == "project_id" and value else value
        for name, value in fields.items()
    }
