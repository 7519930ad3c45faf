"""From a workflow to a template of the same tenant."""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction

from templates_app.models import WorkflowTemplate
from templates_app.services.documents import FIELDS, checked
from templates_app.services.names import free_slug
from workflows.definition.operations import duplicate
from workflows.definition.schema import canonical_json, content_hash, to_json
from workflows.lib.errors import Invalid, NotFound, Problem
from workflows.models import Workflow
from workflows.services.drafts import compile_draft
from workflows.services.library import with_library
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission


def save_as_template(
    *,
    workflow: Workflow,
    actor: Actor,
    name: str = "",
    category: str = "",
    description: str | None = None,
    outcome: str = "",
) -> WorkflowTemplate:
    """A published template of the actor's tenant from the workflow's draft.

    Generated steps and pinned outputs stay behind: they hold data of runs. Raises NotAllowed, NotFound, and Invalid
    with the problems of the draft (a template that nobody can run helps nobody) or of a field.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    if workflow.tenant_id != actor.tenant.pk or workflow.deleted_at is not None:
        raise NotFound(NOT_FOUND)
    words = {
        "name": name.strip() or workflow.name,
        "category": category.strip() or "Your team",
        "description": (workflow.description if description is None else description).strip(),
        "outcome": outcome.strip(),
    }
    _check(words)
    copy = with_library(duplicate(compile_draft(workflow), CATALOG).definition, actor.tenant)
    definition = checked(
        to_json(replace(copy, steps=tuple(replace(step, pinned=None) for step in copy.steps)))
    )
    with transaction.atomic():
        template = WorkflowTemplate.objects.create(
            tenant=actor.tenant,
            slug=free_slug(actor.tenant, words["name"]),
            document=canonical_json(definition),
            content_hash=content_hash(definition),
            status=WorkflowTemplate.Status.PUBLISHED,
            created_by=actor.user,
            **words,
        )
        after = {"workflow": str(workflow.pk), "steps": len(definition.steps)}
        record(actor, "saved as a template", template, after=after)
    return template


def _check(words: dict[str, str]) -> None:
    problems = tuple(
        Problem(
            "bad_value", f"The {field} has at most {FIELDS[field][0]:,} characters.", field=field, path=field
        )
        for field, text in words.items()
        if len(text) > FIELDS[field][0]
    )
    if problems:
        raise Invalid(problems[0].message, problems=problems)
