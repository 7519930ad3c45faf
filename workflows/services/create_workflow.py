"""A new workflow: an empty draft, or one that begins with a definition."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from workflows.definition.graph import Definition
from workflows.definition.types import TypeCatalog
from workflows.models import Workflow
from workflows.services.drafts import DraftRows, refuse_bad_structure, write_draft
from workflows.services.fields import clean_description, clean_name, clean_project, clean_tags
from workflows.services.library import adopt_library
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.models import Project
from workflows.tenancy.roles import Permission

EMPTY = DraftRows((), (), (), ())


def create_workflow(
    *,
    actor: Actor,
    name: str,
    description: str = "",
    tags: Iterable[str] = (),
    project: Project | str | None = None,
    definition: Definition | None = None,
    catalog: TypeCatalog = CATALOG,
    action: str = "created",
) -> Workflow:
    """The new draft at revision 1, stored whole or not at all; Invalid names what is wrong.

    Prompts and personas that the definition carries (`library`) are added to the tenant where it has none of the name.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    workflow = Workflow(
        tenant=actor.tenant,
        name=clean_name(name),
        description=clean_description(description),
        tags=clean_tags(list(tags)),
        project=clean_project(project, actor),
        created_by=actor.user,
        # Filling the draft raises it by one.
        revision=1 if definition is None else 0,
    )
    if definition is not None:
        refuse_bad_structure(definition, catalog)
    with transaction.atomic():
        workflow.save(force_insert=True)
        if definition is not None:
            adopt_library(definition, actor)
        if definition is not None and not write_draft(workflow, EMPTY, definition, actor=None):
            Workflow.objects.filter(pk=workflow.pk).update(revision=1)
            workflow.revision = 1
        after = {"name": workflow.name, "steps": len(definition.steps) if definition is not None else 0}
        record(actor, action, workflow, after=after)
    return workflow
