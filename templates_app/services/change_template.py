"""What admins of the catalogue do with a template: new text, publish, withdraw, duplicate."""

from __future__ import annotations

from django.db import transaction

from templates_app.models import WorkflowTemplate
from templates_app.services.names import free_slug
from templates_app.services.use_template import definition_of
from workflows.definition.graph import Definition
from workflows.definition.schema import canonical_json, content_hash
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, NotFound
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.models import User
from workflows.tenancy.roles import Permission


def set_definition(template: WorkflowTemplate, definition: Definition) -> None:
    """Put a checked definition into the template (not saved yet); another one than before is its next revision."""
    digest = content_hash(definition)
    if template.content_hash and template.content_hash != digest:
        template.revision += 1
    template.document, template.content_hash = canonical_json(definition), digest
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
        sample=template.sample,
        created_by=by,
    )


@transaction.atomic
def submit_template(*, template: WorkflowTemplate, actor: Actor) -> None:
    """Offer a template of the actor's tenant to everybody; an admin of the catalogue answers.

    Raises NotAllowed, NotFound for one that is not the tenant's, Conflict when it waits already.
    """
    _own(template, actor)
    waiting = WorkflowTemplate.objects.filter(
        pk=template.pk, submitted_at=None, status=WorkflowTemplate.Status.PUBLISHED
    )
    if not waiting.update(submitted_at=utc_now(), answer=""):
        raise Conflict(f"“{template.name}” is offered already, or withdrawn.")
    record(actor, "offered to everybody", template, after={"name": template.name})
    template.refresh_from_db()


@transaction.atomic
def withdraw_own(*, template: WorkflowTemplate, actor: Actor) -> None:
    """Take a template of the actor's tenant out of its gallery, and an offer back. What was made from it stays."""
    _own(template, actor)
    withdraw_template(template)
    WorkflowTemplate.objects.filter(pk=template.pk).update(submitted_at=None)
    record(actor, "withdrawn", template, after={"name": template.name})


@transaction.atomic
def approve_template(template: WorkflowTemplate) -> WorkflowTemplate:
    """Publish what a tenant offered as a template of everybody: a new one, or the next revision of the one it became.

    The tenant's own stays its own. Raises Conflict where nothing is offered, Invalid when its definition no longer holds.
    """
    if template.tenant_id is None or template.submitted_at is None:
        raise Conflict(f"“{template.name}” is not offered by a workspace.")
    definition = definition_of(template)
    shared = WorkflowTemplate.objects.filter(origin=template, tenant=None).first()
    if shared is None:
        shared = WorkflowTemplate(
            origin=template, slug=free_slug(None, template.name), created_by=template.created_by
        )
    for name in ("name", "category", "icon", "description", "outcome", "sample"):
        setattr(shared, name, getattr(template, name))
    set_definition(shared, definition)
    shared.status = WorkflowTemplate.Status.PUBLISHED
    shared.save()
    _answered(template, "Published for everybody.")
    return shared


def refuse_template(template: WorkflowTemplate) -> None:
    """Send an offer back; what the admin wrote as the answer stays, else a plain no."""
    if template.submitted_at is None:
        raise Conflict(f"“{template.name}” is not offered by a workspace.")
    _answered(template, template.answer or "Not taken into the catalogue.")


def _answered(template: WorkflowTemplate, answer: str) -> None:
    template.submitted_at, template.answer = None, answer
    template.save(update_fields=["submitted_at", "answer"])


def _own(template: WorkflowTemplate, actor: Actor) -> None:
    actor.require(Permission.EDIT_WORKFLOWS)
    if template.tenant_id != actor.tenant.pk:
        raise NotFound(NOT_FOUND)


def _set_status(template: WorkflowTemplate, status: WorkflowTemplate.Status) -> None:
    template.status, template.updated_at = status, utc_now()
    template.save(update_fields=["status", "updated_at"])
