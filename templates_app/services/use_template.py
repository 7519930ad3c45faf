"""From a template to a workflow that can be run at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from django.db import transaction
from django.db.models import F

from templates_app.models import TemplateInstall, WorkflowTemplate
from templates_app.services.documents import checked
from templates_app.services.names import free_workflow_name
from workflows.definition.exchange import SAMPLE_OF_TEMPLATE
from workflows.definition.graph import Definition
from workflows.definition.samples import SampleText
from workflows.definition.validation import semantic_problems
from workflows.lib.errors import Invalid, NotFound
from workflows.lib.jsontypes import JSONValue
from workflows.models import Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.samples import take_samples
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission


def definition_of(template: WorkflowTemplate) -> Definition:
    """The checked definition in the template's document; Invalid when its step types have gone since."""
    return checked(json.loads(template.document))


def use_template(
    *,
    template: WorkflowTemplate,
    actor: Actor,
    name: str = "",
    values: Mapping[str, JSONValue] | None = None,
    model: str = "",
) -> Workflow:
    """A new draft like the template, in the actor's tenant; it may be run as it is.

    Called `name`, else like the template, with a number if need be. `values` become what its variables usually are,
    `model` (provider:model) what its steps on “default” follow. Raises NotAllowed, NotFound for a template that this
    tenant does not see (any more), Invalid with the problems.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    original = definition_of(template)
    definition = _filled(original, values or {}, model.strip())
    with transaction.atomic():
        used = WorkflowTemplate.objects.visible_to(actor.tenant).filter(pk=template.pk)
        if not used.update(install_count=F("install_count") + 1):
            raise NotFound(NOT_FOUND)
        workflow = create_workflow(
            actor=actor,
            name=name.strip() or free_workflow_name(actor.tenant, template.name),
            description=template.description,
            definition=definition,
            action="created from a template",
        )
        if template.sample:
            sample = SampleText(SAMPLE_OF_TEMPLATE, template.sample)
            take_samples(workflow=workflow, actor=actor, samples=[sample])
        TemplateInstall.objects.create(
            tenant=actor.tenant,
            template=template,
            workflow=workflow,
            revision=template.revision,
            document=template.document,
        )
        record(actor, "used", template, after={"workflow": str(workflow.pk), "name": workflow.name})
    template.install_count += 1
    return workflow


def _filled(definition: Definition, values: Mapping[str, JSONValue], model: str) -> Definition:
    variables = tuple(
        replace(each, default=values[each.name]) if each.name in values else each
        for each in definition.variables
    )
    settings = {**definition.settings, **({"default_model": model} if model else {})}
    filled = replace(definition, variables=variables, settings=settings)
    if filled != definition:
        old = set(semantic_problems(definition, CATALOG))
        new = [p for p in semantic_problems(filled, CATALOG) if p.is_error and p not in old]
        if new:
            raise Invalid(new[0].message, problems=tuple(new))
    return filled
