"""What admins of the catalogue do with a template: new text, publish, withdraw, duplicate."""

from __future__ import annotations

from templates_app.models import WorkflowTemplate
from templates_app.services.names import free_slug
from templates_app.services.use_template import definition_of
from workflows.definition.graph import Definition
from workflows.definition.schema import canonical_json, content_hash
from workflows.lib.clock import utc_now
from workflows.tenancy.models import User


def set_definition(template: WorkflowTemplate, definition: Definition) -> None:
    """Put a checked definition into the template (not saved yet)."""
    template.document, template.content_hash = canonical_json(definition), content_hash(definition)
    template.updated_at = utc_now()


def publish_template(template: WorkflowTemplate) -> None:
    """Show it in the gallery; Invalid when its definition no longer holds (a step type has gone, say)."""
    definition_of(template)
    _set_status(template, WorkflowTemplate.Status.PUBLISHED)


def withdraw_template(template: WorkflowTemplate) -> None:
    """Take it out of the gallery; workflows made from it stay."""
    _set_status(template, WorkflowTemplate.Status.WITHDRAWN)


def duplicate_template(template: WorkflowTemplate, *, by: User | None = None) -> WorkflowTemplate:
    """A draft like it for the same tenant, whose text no update of the product writes over."""
    name = f"Copy of {template.name}"[:255]
    return WorkflowTemplate.objects.create(
        tenant=template.tenant,
        slug=free_slug(template.tenant, name),
        name=name,
        category=template.category,
        icon=template.icon,
        description=template.description,
        outcome=template.outcome,
        document=template.document,
        content_hash=template.content_hash,
        created_by=by,
    )


def _set_status(template: WorkflowTemplate, status: WorkflowTemplate.Status) -> None:
    template.status, template.updated_at = status, utc_now()
    template.save(update_fields=["status", "updated_at"])
