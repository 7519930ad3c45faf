"""Questions about workflows, each in a constant number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from django.db import models
from django.db.models import Count, Func, Q, Subquery
from django.db.models.functions import Coalesce

from workflows.models import Step, Trigger, Workflow, WorkflowVersion
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant

ORDERS: Final = {
    "updated": "-updated_at",
    "created": "-created_at",
    "name": "name",
}


class _InTags(Func):
    """Whether an entry of the JSON list `tags` fits: SQLite and PostgreSQL walk JSON lists each in their own way."""

    output_field = models.BooleanField()

    def __init__(self, test: str, text: str) -> None:
        super().__init__(models.F("tags"), models.Value(text))
        self.test = test

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        source = (
            "jsonb_array_elements_text(%(list)s) AS entry(value)"
            if connection.vendor == "postgresql"
            else "json_each(%(list)s) AS entry"
        )
        column, params = compiler.compile(self.source_expressions[0])
        text, text_params = compiler.compile(self.source_expressions[1])
        sql = f"EXISTS (SELECT 1 FROM {source % {'list': column}} WHERE {self.test % {'text': text}})"  # noqa: S608 - no value is in it
        return sql, (*params, *text_params)


def _has_tag(tag: str) -> _InTags:
    return _InTags("LOWER(entry.value) = LOWER(%(text)s)", tag)


def _has_tag_with(text: str) -> _InTags:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    # A percent sign for LIKE, doubled because the statement's own parameters are written with one.
    return _InTags("LOWER(entry.value) LIKE LOWER(%(text)s) ESCAPE '\\'", f"%{escaped}%")


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """One line of the list of workflows."""

    workflow: Workflow
    steps_count: int
    trigger_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkflowPage:
    """Some rows of a list, and how many there are in all."""

    items: tuple[WorkflowRow, ...]
    count: int


def visible_workflows(tenant: Tenant) -> TenantQuerySet[Workflow]:
    """The tenant's workflows that are not deleted; `get_or_404(visible_workflows(tenant), actor, pk)`."""
    return Workflow.objects.for_tenant(tenant).filter(deleted_at=None)


def filtered_workflows(
    tenant: Tenant,
    *,
    q: str = "",
    name: str = "",
    statuses: Sequence[str] = (),
    tag: str = "",
    project: UUID | None = None,
    order: str = "updated",
) -> TenantQuerySet[Workflow]:
    """The visible workflows whose name, description or a tag holds `q`, and that have the given status, tag, project.

    An unknown order is that of the last change.
    """
    found = visible_workflows(tenant)
    if q := q.strip():
        found = found.filter(Q(name__icontains=q) | Q(description__icontains=q) | Q(_has_tag_with(q)))
    if name := name.strip():
        found = found.filter(name__icontains=name)
    if statuses:
        found = found.filter(status__in=statuses)
    if tag := tag.strip():
        found = found.filter(_has_tag(tag))
    if project:
        found = found.filter(project=project)
    return found.order_by(ORDERS.get(order, ORDERS["updated"]), "pk")


def workflow_page(
    tenant: Tenant,
    *,
    q: str = "",
    name: str = "",
    statuses: Sequence[str] = (),
    tag: str = "",
    project: UUID | None = None,
    order: str = "updated",
    limit: int = 50,
    offset: int = 0,
) -> WorkflowPage:
    """One page of `filtered_workflows` with the number of steps and the kinds of triggers: three queries."""
    found = filtered_workflows(
        tenant, q=q, name=name, statuses=statuses, tag=tag, project=project, order=order
    )
    rows = list(with_counts(found).select_related("created_by", "project")[offset : offset + limit])
    kinds: dict[UUID, list[str]] = {}
    triggers = Trigger.objects.for_tenant(tenant).filter(workflow__in=[row.pk for row in rows])
    for workflow_id, kind in triggers.order_by("order", "pk").values_list("workflow_id", "type"):
        kinds.setdefault(workflow_id, []).append(kind)
    items = tuple(
        WorkflowRow(row, getattr(row, "steps_count", 0), tuple(kinds.get(row.pk, ()))) for row in rows
    )
    return WorkflowPage(items, found.count())


def with_counts(workflows: TenantQuerySet[Workflow]) -> TenantQuerySet[Workflow]:
    """The same workflows, each with `steps_count`; a subquery, so that the rows are neither joined nor doubled."""
    steps = (
        Step.objects.filter(workflow=models.OuterRef("pk"))
        .order_by()
        .values("workflow")
        .annotate(number=Count("pk"))
        .values("number")
    )
    counted: Any = workflows.annotate(steps_count=Coalesce(Subquery(steps), 0))
    return cast("TenantQuerySet[Workflow]", counted)


def status_counts(tenant: Tenant) -> dict[str, int]:
    """How many workflows the tenant has: `draft`, `active`, `archived`, and `all` without the archived."""
    found = visible_workflows(tenant).order_by().values_list("status").annotate(number=Count("pk"))
    counts = dict.fromkeys(Workflow.Status.values, 0) | dict(found)
    return counts | {"all": counts["draft"] + counts["active"]}


def tags_in_use(tenant: Tenant) -> list[str]:
    """Every tag of the tenant's workflows, in alphabetical order, each once whatever its case."""
    found: dict[str, str] = {}
    for tags in visible_workflows(tenant).values_list("tags", flat=True):
        for tag in tags:
            found.setdefault(tag.casefold(), tag)
    return [found[key] for key in sorted(found)]


def names_in_use(tenant: Tenant, start: str) -> set[str]:
    """Names of the tenant's workflows that begin so."""
    return set(visible_workflows(tenant).filter(name__startswith=start).values_list("name", flat=True))


def published_versions(workflow: Workflow) -> models.QuerySet[WorkflowVersion]:
    """The numbered versions, newest first, without their documents."""
    found = WorkflowVersion.objects.filter(workflow=workflow, number__isnull=False)
    return found.select_related("created_by").defer("document").order_by("-number")
