"""Names and slugs that nobody has yet."""

from __future__ import annotations

from django.utils.text import slugify

from templates_app.selectors import slugs_in_use
from workflows.lib.limits import WORKFLOW_NAME_CHARS
from workflows.selectors import names_in_use
from workflows.tenancy.models import Tenant

SLUG_CHARS = 80


def free_slug(tenant: Tenant | None, name: str) -> str:
    """A slug for this name which no template of the tenant (None: of everybody) has."""
    base = slugify(name)[: SLUG_CHARS - 6].strip("-_") or "template"
    taken = slugs_in_use(tenant, base)
    slug, number = base, 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    return slug


def free_workflow_name(tenant: Tenant, name: str) -> str:
    """This name, with a number behind it when the tenant has a workflow of that name."""
    base = name[: WORKFLOW_NAME_CHARS.value - 6].strip()
    taken = {found.casefold() for found in names_in_use(tenant, base)}
    found, number = base, 2
    while found.casefold() in taken:
        found, number = f"{base} {number}", number + 1
    return found
