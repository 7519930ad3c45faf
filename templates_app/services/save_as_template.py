"""From a workflow to a template of the same tenant."""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction

from templates_app.models import WorkflowTemplate
from templates_app.services.change_template import set_definition
from templates_app.services.documents import FIELDS, checked
from templates_app.services.names import free_slug
from workflows.definition.copies import without_generated
from workflows.definition.graph import Definition
from workflows.definition.ids import derived_id
from workflows.definition.samples import fitting, sample_problems
from workflows.definition.schema import canonical_json, content_hash, to_json
from workflows.lib.errors import Invalid, NotFound, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.models import SampleInput, Workflow
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
    renews: WorkflowTemplate | None = None,
    sample: SampleInput | None = None,
) -> WorkflowTemplate:
    """A published template of the actor's tenant from the workflow's draft; or the next revision of the one it `renews`,
    whose words stay where none are given.

    Generated steps and pinned outputs stay behind: they hold data of runs; of the samples only the one that is named
    comes along. Raises NotAllowed, NotFound, and Invalid
    with the problems of the draft (a template that nobody can run helps nobody) or of a field.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    if workflow.tenant_id != actor.tenant.pk or workflow.deleted_at is not None:
        raise NotFound(NOT_FOUND)
    if renews is not None and renews.tenant_id != actor.tenant.pk:
        raise NotFound(NOT_FOUND)
    words = {
        "name": name.strip() or workflow.name,
        "category": category.strip() or "Your team",
        "description": (workflow.description if description is None else description).strip(),
        "outcome": outcome.strip(),
    }
    _check(words)
    # Steps keep their keys: the next revision is compared with this one step by step.
    copy = with_library(without_generated(compile_draft(workflow), CATALOG), actor.tenant)
    triggers = tuple(replace(one, id=derived_id("t", str(workflow.pk), one.id)) for one in copy.triggers)
    copy = replace(copy, triggers=triggers)
    definition = checked(
        to_json(replace(copy, steps=tuple(replace(step, pinned=None) for step in copy.steps)))
    )
    data = _checked_sample(workflow, sample, definition)
    if renews is not None:
        return _renew(
            renews, workflow, actor, definition, {**words, "name": name.strip()}, category, outcome, data
        )
    with transaction.atomic():
        template = WorkflowTemplate.objects.create(
            tenant=actor.tenant,
            slug=free_slug(actor.tenant, words["name"]),
            document=canonical_json(definition),
            content_hash=content_hash(definition),
            status=WorkflowTemplate.Status.PUBLISHED,
            created_by=actor.user,
            sample=data,
            **words,
        )
        after = {"workflow": str(workflow.pk), "steps": len(definition.steps)}
        record(actor, "saved as a template", template, after=after)
    return template


@transaction.atomic
def _renew(
    template: WorkflowTemplate,
    workflow: Workflow,
    actor: Actor,
    definition: Definition,
    words: dict[str, str],
    category: str,
    outcome: str,
    sample: JSONObject,
) -> WorkflowTemplate:
    template = WorkflowTemplate.objects.select_for_update().get(pk=template.pk)
    given = {"category": category.strip(), "outcome": outcome.strip()}
    for field, text in {**words, **given}.items():
        if text:
            setattr(template, field, text)
    set_definition(template, definition)
    # What it had stays while it fits; a new one takes its place.
    template.sample = sample or fitting(definition, template.sample)
    template.status = WorkflowTemplate.Status.PUBLISHED
    template.save()
    after = {"workflow": str(workflow.pk), "revision": template.revision}
    record(actor, "renewed", template, after=after)
    return template


def _checked_sample(workflow: Workflow, sample: SampleInput | None, definition: Definition) -> JSONObject:
    if sample is None:
        return {}
    if sample.workflow_id != workflow.pk or sample.removed_at is not None:
        raise NotFound(NOT_FOUND)
    data = fitting(definition, sample.input)
    if problems := sample_problems(definition, data):
        message = f"The sample “{sample.name}” does not fit the workflow: {problems[0].message}"
        raise Invalid(message, problems=(Problem("bad_sample", message, field="sample", path="sample"),))
    return data


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
