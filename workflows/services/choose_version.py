"""Which definition a run executes: a published version, or the checked draft frozen under its hash (07 §1)."""

from __future__ import annotations

from typing import Literal

from workflows.definition.graph import Definition
from workflows.definition.schema import canonical_json, content_hash
from workflows.definition.validation import validate
from workflows.lib.errors import Conflict, Invalid, NotFound, Problem
from workflows.models import Workflow, WorkflowVersion
from workflows.services.check_workflow import models_of, refuse_errors
from workflows.services.definitions import known_problems, load_definition, remember
from workflows.services.drafts import compile_draft
from workflows.services.library import library_problems, with_library
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

Wanted = int | Literal["draft"] | None


def version_for_run(*, workflow: Workflow, actor: Actor, version: Wanted = None) -> WorkflowVersion:
    """The version to run: number `version`, the draft, or (None) the newest published one, else the draft.

    Raises Conflict for an archived workflow, NotFound for a deleted one or a stranger's, Invalid for a number that
    does not exist and for a definition with errors. `load_definition` gives its definition without another query.
    """
    actor.require(Permission.RUN)
    if workflow.tenant_id != actor.tenant.pk or workflow.deleted_at is not None:
        raise NotFound(NOT_FOUND)
    if workflow.status == Workflow.Status.ARCHIVED:
        raise Conflict(
            f"“{workflow.name}” is archived, so it starts no new runs. Restore it first.", code="archived"
        )
    if version is None:
        version = workflow.latest_version or "draft"
    if version == "draft":
        return _of_draft(workflow, actor)
    found = WorkflowVersion.objects.for_tenant(actor.tenant).filter(workflow=workflow, number=version).first()
    if found is None:
        newest = (
            f"The newest is {workflow.latest_version}."
            if workflow.latest_version
            else "None is published yet."
        )
        message = f"“{workflow.name}” has no version {version}. {newest}"
        raise Invalid(
            message, problems=(Problem("unknown_version", message, field="version", path="version"),)
        )
    # It was checked when it was published, but a step type may have gone since then.
    refuse_errors(known_problems(found.content_hash, load_definition(found)), "be run")
    return found


def _of_draft(workflow: Workflow, actor: Actor) -> WorkflowVersion:
    return frozen_version(workflow=workflow, actor=actor, definition=compile_draft(workflow))


def frozen_version(*, workflow: Workflow, actor: Actor, definition: Definition) -> WorkflowVersion:
    """A checked definition as an unnumbered version of the workflow, whose draft stays as it is.

    One row per content. Raises Invalid when the definition has errors.
    """
    definition = with_library(definition, actor.tenant)
    problems = validate(definition, CATALOG, models=models_of(actor.tenant))
    refuse_errors((*problems, *library_problems(definition, actor.tenant)), "be run")
    digest = content_hash(definition)
    frozen, _ = WorkflowVersion.objects.get_or_create(
        workflow=workflow,
        content_hash=digest,
        number=None,
        defaults={
            "tenant": actor.tenant,
            "document": canonical_json(definition),
            "created_by": actor.user,
        },
    )
    remember(digest, definition)
    return frozen
