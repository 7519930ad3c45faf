"""Test data in one line: a tenant with people of every role, a stranger next door, and things of the tenant.

alice owns, adam administers, bob edits, rita reviews, vera only looks; charlie owns another tenant.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from django.test import Client

from templates_app.models import WorkflowTemplate
from workflows.definition.graph import Definition, StepDef
from workflows.definition.schema import canonical_json, content_hash
from workflows.models import Workflow
from workflows.tenancy.actor import Actor
from workflows.tenancy.keys import create_key
from workflows.tenancy.models import Membership, Tenant, User
from workflows.tenancy.roles import Role

_numbers = count(1)


def tenant(slug: str = "", name: str = "", **fields: Any) -> Tenant:
    slug = slug or f"tenant-{next(_numbers)}"
    return Tenant.objects.create(slug=slug, name=name or slug.title(), **fields)


def person(email: str = "", name: str = "", password: str | None = None, **fields: Any) -> User:
    return User.objects.create_user(
        email or f"person{next(_numbers)}@example.com", password, name=name, **fields
    )


def member(of: Tenant, role: str = Role.EDITOR, user: User | None = None, **fields: Any) -> Actor:
    """A person with this role in the tenant, as an actor."""
    user = user or person(**fields)
    Membership.objects.create(tenant=of, user=user, role=role)
    return Actor(tenant=of, role=role, user=user)


def client_of(actor: Actor | None, *, enforce_csrf: bool = False) -> Client:
    """A browser in which this person is signed in and works in this tenant; None: nobody is."""
    client = Client(enforce_csrf_checks=enforce_csrf)
    if actor is not None and actor.user is not None:
        client.force_login(actor.user, backend="django.contrib.auth.backends.ModelBackend")
        session = client.session
        session["tenant"] = str(actor.tenant.pk)
        session.save()
    return client


def key_of(actor: Actor, role: str | None = None) -> str:
    """The text of a new API key of the actor's tenant, with the actor's role unless another is named."""
    maker = Actor(tenant=actor.tenant, role=Role.OWNER, user=actor.user)
    return create_key(actor=maker, name="A key", role=role or actor.role)[1]


def bearer(key: str) -> dict[str, str]:
    """Headers of a call with this key: `client.get(url, headers=bearer(key))`."""
    return {"Authorization": f"Bearer {key}"}


def workflow(of: Tenant, name: str = "", **fields: Any) -> Workflow:
    """An empty draft."""
    return Workflow.objects.create(tenant=of, name=name or f"Workflow {next(_numbers)}", **fields)


def template(
    of: Tenant | None, name: str = "", definition: Definition | None = None, **fields: Any
) -> WorkflowTemplate:
    """A published template of the tenant (None: everybody's); without a definition it holds one step."""
    number = next(_numbers)
    made = definition or Definition(
        steps=(StepDef(key="one", type="transform", label="One", config={"expression": "1"}),)
    )
    words = {"slug": f"template-{number}", "category": "Text", "status": "published"}
    return WorkflowTemplate.objects.create(
        tenant=of,
        name=name or f"Template {number}",
        document=canonical_json(made),
        content_hash=content_hash(made),
        **(words | fields),
    )


@dataclass(frozen=True)
class World:
    """One tenant with somebody of every role, and a stranger who owns the tenant next door."""

    tenant: Tenant
    alice: Actor
    adam: Actor
    bob: Actor
    rita: Actor
    vera: Actor
    other: Tenant
    charlie: Actor


def world() -> World:
    here, there = tenant("marlowe", "Marlowe"), tenant("corvus", "Corvus")
    return World(
        tenant=here,
        alice=member(here, Role.OWNER, email="alice@example.com", name="Alice Ames"),
        adam=member(here, Role.ADMIN, email="adam@example.com", name="Adam Abel"),
        bob=member(here, Role.EDITOR, email="bob@example.com", name="Bob Bell"),
        rita=member(here, Role.REVIEWER, email="rita@example.com", name="Rita Roth"),
        vera=member(here, Role.VIEWER, email="vera@example.com", name="Vera Voss"),
        other=there,
        charlie=member(there, Role.OWNER, email="charlie@example.com", name="Charlie Chan"),
    )
