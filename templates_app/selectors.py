"""Questions about templates, each in a constant number of queries."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Q

from templates_app.models import TemplateQuerySet, WorkflowTemplate
from workflows.lib.errors import NotFound
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Tenant
from workflows.tenancy.roles import Permission


def the_template(actor: Actor, pk: UUID | str, permission: Permission = Permission.VIEW) -> WorkflowTemplate:
    """A template that the actor's tenant sees, for a role that holds the permission; NotFound, NotAllowed."""
    try:
        seen = WorkflowTemplate.objects.visible_to(actor.tenant).select_related("origin__tenant")
        found = seen.get(pk=pk)
    except (WorkflowTemplate.DoesNotExist, ValidationError, ValueError) as error:
        raise NotFound(NOT_FOUND) from error
    actor.require(permission)
    return found


def gallery_templates(
    tenant: Tenant, *, q: str = "", category: str = "", source: str = ""
) -> TemplateQuerySet:
    """What this tenant may start from, the most used first; every word of `q` must stand in the words of a card.

    `source` is `builtin` (everybody's) or `team` (the tenant's own), else both.
    """
    found = WorkflowTemplate.objects.visible_to(tenant)
    if source == "builtin":
        found = found.filter(tenant=None)
    elif source == "team":
        found = found.filter(tenant=tenant)
    for word in q.split():
        found = found.filter(
            Q(name__icontains=word)
            | Q(category__icontains=word)
            | Q(description__icontains=word)
            | Q(outcome__icontains=word)
        )
    if category:
        found = found.filter(category__iexact=category)
    return found.select_related("origin__tenant").order_by("-install_count", "name", "pk")


def categories(tenant: Tenant) -> list[str]:
    """The categories of what this tenant may start from, in alphabetical order."""
    found = (
        WorkflowTemplate.objects.visible_to(tenant).order_by().values_list("category", flat=True).distinct()
    )
    return sorted({name for name in found if name}, key=str.casefold)


def slugs_in_use(tenant: Tenant | None, start: str) -> set[str]:
    """Slugs of the tenant's templates (None: of everybody's) that begin so."""
    found = WorkflowTemplate.objects.filter(tenant=tenant, slug__startswith=start)
    return set(found.values_list("slug", flat=True))
