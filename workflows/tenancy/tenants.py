"""Making a tenant, with its first owner."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import transaction

from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.tenancy.actor import system_actor
from workflows.tenancy.audit import record
from workflows.tenancy.models import Membership, Tenant, User
from workflows.tenancy.roles import Role


def create_tenant(*, slug: str, name: str, owner: User | None = None) -> Tenant:
    """A new tenant; Invalid for a bad slug or name, Conflict when the slug is taken."""
    name = name.strip()
    problems = []
    try:
        validate_slug(slug)
    except ValidationError:
        problems.append(
            Problem("invalid", "A slug holds letters, digits, hyphens and underscores.", field="slug")
        )
    if len(slug) > 63:
        problems.append(Problem("invalid", "A slug has at most 63 characters.", field="slug"))
    if not 0 < len(name) <= 120:
        problems.append(Problem("invalid", "A name has 1 to 120 characters.", field="name"))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    with transaction.atomic():
        tenant, made = Tenant.objects.get_or_create(slug=slug, defaults={"name": name})
        if not made:
            raise Conflict(f"There is a tenant with the slug {slug} already: {tenant.name}.")
        if owner is not None:
            Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
        record(system_actor(tenant), "created", tenant, after={"slug": slug, "name": name})
    return tenant
