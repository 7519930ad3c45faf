"""The demo tenant: people in every role and four published workflows, for `make run` and for trying things out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import transaction

from templates_app.models import WorkflowTemplate
from templates_app.services.use_template import use_template
from workflows.lib.errors import NotFound
from workflows.models import Workflow
from workflows.services.publish_workflow import publish_workflow
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import AuditEntry, Tenant, User
from workflows.tenancy.people import ensure_member
from workflows.tenancy.roles import Role
from workflows.tenancy.tenants import create_tenant

SLUG: Final = "demo"
NAME: Final = "Demo workspace"
OWNER: Final = "nadia@demo.example"
PEOPLE: Final = (
    (OWNER, "Nadia Osei", Role.OWNER),
    ("ibrahim@demo.example", "Ibrahim Sow", Role.ADMIN),
    ("hanna@demo.example", "Hanna Lind", Role.EDITOR),
    ("tomas@demo.example", "Tomás Rey", Role.REVIEWER),
    ("grete@demo.example", "Grete Vogel", Role.VIEWER),
)
# In the order in which they are made; the first is at the bottom of a list by last change.
WORKFLOWS: Final = ("article-check", "lead-triage", "deep-build-pipeline", "text-pipeline")


@dataclass(frozen=True, slots=True)
class Demo:
    """The tenant, and what this call has made."""

    tenant: Tenant
    people: tuple[str, ...]
    workflows: tuple[str, ...]


def load_demo(*, password: str = "") -> Demo:
    """Make what is missing of the demo; all of it or nothing.

    What the demo once had is never made again, renewed or put back: people, roles and workflows that were changed,
    renamed or deleted stay so. With `password` the people who have none get it; without, nobody can sign in by
    password (a link or an invitation opens the account). The owner may use the Django admin.
    Needs the built-in templates (NotFound).
    """
    with transaction.atomic():
        tenant = Tenant.objects.filter(slug=SLUG).first() or create_tenant(slug=SLUG, name=NAME)
        people = tuple(
            email for email, name, role in PEOPLE if _person(tenant, email, name, role, password=password)
        )
        # Whoever owns the demo now makes its workflows; Nadia may have left.
        owner = User.objects.filter(email=OWNER).first()
        actor = Actor(tenant=tenant, role=Role.OWNER, user=owner)
        made = [_from_template(actor, slug) for slug in WORKFLOWS]
    return Demo(tenant, people, tuple(name for name in made if name))


def _person(tenant: Tenant, email: str, name: str, role: str, *, password: str) -> bool:
    user = User.objects.filter(email=email).first()
    if user is not None:
        if password and not user.has_usable_password():
            user.set_password(password)
            user.save(update_fields=["password"])
        return False
    acting = Actor(tenant=tenant, role=Role.OWNER)
    user = ensure_member(actor=acting, email=email, role=role, name=name, password=password or None).user
    if role == Role.OWNER:
        user.is_staff = user.is_superuser = True
        user.save(update_fields=["is_staff", "is_superuser"])
    return True


def _from_template(actor: Actor, slug: str) -> str:
    template = WorkflowTemplate.objects.filter(tenant=None, slug=slug).first()
    if template is None:
        raise NotFound(f"The template {slug} is not loaded. Run load_builtin_templates first.")
    if _had(actor.tenant, template.name) or template.status != WorkflowTemplate.Status.PUBLISHED:
        return ""
    publish_workflow(workflow=use_template(template=template, actor=actor, name=template.name), actor=actor)
    return template.name


def _had(tenant: Tenant, name: str) -> bool:
    """Whether a workflow of this name is or ever was in the tenant: deleted rows stay, renamed ones are in the log."""
    if Workflow.objects.for_tenant(tenant).filter(name=name).exists():
        return True
    made = AuditEntry.objects.filter(tenant=tenant, object_type="workflow", object_label=name)
    return made.filter(action__startswith="created").exists()
