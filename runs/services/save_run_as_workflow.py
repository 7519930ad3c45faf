"""What a run has executed becomes a workflow of its own (W5): generated steps are left out by their origin."""

from __future__ import annotations

from dataclasses import replace

from runs.models import Run
from workflows.definition.operations import duplicate
from workflows.lib.errors import NotFound
from workflows.lib.limits import WORKFLOW_NAME_CHARS
from workflows.models import Workflow
from workflows.selectors import names_in_use
from workflows.services.create_workflow import create_workflow
from workflows.services.definitions import load_definition
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission


def save_run_as_workflow(*, run: Run, actor: Actor, name: str = "") -> Workflow:
    """A new draft like the version that the run has executed, with its own settings for this run where it had some.

    Called `name`, else after workflow and run, with a number if need be. Keys are fresh, orders 0..n-1; steps that the
    execution generated stay behind, an authored one of the same kind comes along. Raises NotAllowed, NotFound, Invalid.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    if run.tenant_id != actor.tenant.pk:
        raise NotFound(NOT_FOUND)
    copy = duplicate(load_definition(run.version), CATALOG).definition
    # A draft follows the library; what the version had frozen of it stays with the version.
    return create_workflow(
        actor=actor,
        name=name.strip() or _free_name(run, actor),
        description=run.workflow.description,
        tags=run.workflow.tags,
        project=run.workflow.project,
        definition=replace(copy, library={}),
        action="saved from a run",
    )


def _free_name(run: Run, actor: Actor) -> str:
    base = f"{run.workflow.name[: WORKFLOW_NAME_CHARS.value - 30]}, run {run.number}"
    taken = names_in_use(actor.tenant, base)
    name, number = base, 2
    while name in taken:
        name, number = f"{base} ({number})", number + 1
    return name
