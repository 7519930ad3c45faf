"""Questions about templates, each in a constant number of queries."""

from __future__ import annotations

from django.db.models import Q

from templates_app.models import TemplateQuerySet, WorkflowTemplate
from workflows.tenancy.models import Tenant


def gallery_templates(tenant: Tenant, *, q: str = "", category: str = "") -> TemplateQuerySet:
    """What this tenant may start from, the most used first; `q` is looked for in all the words that are shown."""
    found = WorkflowTemplate.objects.visible_to(tenant)
    for word in q.split():
        found = found.filter(
            Q(name__icontains=word)
            | Q(category__icontains=word)
            | Q(description__icontains=word)
            | Q(outcome__icontains=word)
        )
    if category:
        found = found.filter(category__iexact=category)
    return found.order_by("-install_count", "name", "pk")


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
