"""From a template to a workflow that can be run at once."""

from __future__ import annotations

import json

from django.db import transaction
from django.db.models import F

from templates_app.models import WorkflowTemplate
from templates_app.services.documents import checked
from templates_app.services.names import free_workflow_name
from workflows.definition.graph import Definition
from workflows.lib.errors import NotFound
from workflows.models import Workflow
from workflows.services.create_workflow import create_workflow
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission


def definition_of(template: WorkflowTemplate) -> Definition:
    """The checked definition in the template's document; Invalid when its step types have gone since."""
    return checked(json.loads(template.document))


def use_template(*, template: WorkflowTemplate, actor: Actor, name: str = "") -> Workflow:
    """A new draft like the template, in the actor's tenant; it may be run as it is.

    Called `name`, else like the template, with a number if need be. Raises NotAllowed, NotFound for a template that
    this tenant does not see (any more), Invalid.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    definition = definition_of(template)
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
        record(actor, "used", template, after={"workflow": str(workflow.pk), "name": workflow.name})
    template.install_count += 1
    return workflow
