"""A clean copy of a workflow (W5): new keys, references and paths follow, generated steps left out."""

from __future__ import annotations

from django.db import transaction

from workflows.definition.operations import duplicate
from workflows.definition.types import TypeCatalog
from workflows.lib.limits import WORKFLOW_NAME_CHARS
from workflows.models import Workflow
from workflows.selectors import names_in_use
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft
from workflows.services.samples import take_samples, texts_of
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission


def duplicate_workflow(
    *, workflow: Workflow, actor: Actor, name: str | None = None, catalog: TypeCatalog = CATALOG
) -> Workflow:
    """A new draft like this one's, in the same project, called `name`, else “Copy of …” with a number if need be."""
    actor.require(Permission.EDIT_WORKFLOWS)
    copy = duplicate(compile_draft(workflow), catalog).definition
    with transaction.atomic():
        made = create_workflow(
            actor=actor,
            name=_free_name(workflow, actor) if name is None else name,
            description=workflow.description,
            tags=workflow.tags,
            project=workflow.project,
            definition=copy,
            catalog=catalog,
            action="duplicated",
        )
        take_samples(workflow=made, actor=actor, samples=texts_of([workflow])[str(workflow.pk)])
    return made


def _free_name(workflow: Workflow, actor: Actor) -> str:
    base = f"Copy of {workflow.name}"[: WORKFLOW_NAME_CHARS.value - 6].strip()
    taken = names_in_use(actor.tenant, base)
    name, number = base, 2
    while name in taken:
        name, number = f"{base} {number}", number + 1
    return name
