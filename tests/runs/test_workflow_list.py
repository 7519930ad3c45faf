"""The list of workflows shows how their runs went, in a fixed number of queries."""

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.paginator import Paginator
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from runs.metrics.workflow_days import months_of
from runs.models import Run, StoredFigures
from runs.services.roll_up import roll_up
from runs.templatetags.runs import with_runs
from tests.support import factories
from tests.support.runs import graph, step, version
from workflows.models import Workflow, WorkflowVersion
from workflows.tenancy.actor import Actor


def ended(of: WorkflowVersion, number: int, status: str, **fields: Any) -> Run:
    """A run of this version that ended just now, unless the fields say otherwise."""
    now = timezone.now()
    values = {"kind": "live", "cost": Decimal("0.10"), "created_at": now, "completed_at": now, **fields}
    return Run.objects.create(
        tenant=of.tenant, workflow=of.workflow, version=of, number=number, status=status, **values
    )


@pytest.fixture
def published(alice: Actor) -> WorkflowVersion:
    return version(factories.workflow(alice.tenant, "Lead approval"), graph(step("a")))


def context_of(actor: Actor) -> Context:
    request = RequestFactory().get("/workflows/")
    request.tenant = actor.tenant  # type: ignore[attr-defined]
    request.tenancy = SimpleNamespace(may={}, actor=actor)  # type: ignore[attr-defined]
    return Context({"request": request})


@pytest.mark.parametrize("rolled", [False, True])
def test_success_and_cost_count_live_runs_that_ended(published: WorkflowVersion, rolled: bool) -> None:
    now = timezone.now()
    ended(published, 1, "completed", cost=Decimal("0.10"))
    ended(published, 2, "completed", cost=Decimal("0.30"))
    ended(published, 3, "failed", cost=Decimal("0.20"))
    ended(published, 4, "cancelled", cost=Decimal("9"))
    ended(published, 5, "running", cost=Decimal("9"), completed_at=None)
    ended(published, 6, "failed", kind="test", cost=Decimal("9"))
    ended(published, 7, "failed", completed_at=now - timedelta(days=31))
    ended(published, 8, "completed", completed_at=now - timedelta(days=9), cost=Decimal("0.20"))
    if rolled:
        roll_up(at_once=1_000)
        assert StoredFigures.objects.filter(hours=24, brief__isnull=False).count() >= 1
        # What is stored is believed, so this one is not seen to have gone.
        Run.objects.filter(number=8).delete()
    figures = months_of(published.tenant, [published.workflow_id], now)[published.workflow_id]
    assert [(day.completed, day.failed) for day in figures.days if day.total] == [(1, 0), (2, 1)]
    assert (figures.runs, figures.week) == (4, 3)
    assert figures.success == pytest.approx(3 / 4)
    assert figures.cost == Decimal("0.2")


def test_a_workflow_that_never_ended_has_no_figures(alice: Actor, published: WorkflowVersion) -> None:
    (row,) = with_runs(context_of(alice), [published.workflow])
    assert (row.last_runs, row.success, row.cost) == ([], None, None)


def test_runs_of_another_tenant_are_not_counted(
    alice: Actor, charlie: Actor, published: WorkflowVersion
) -> None:
    ended(published, 1, "failed")
    (own,) = with_runs(context_of(alice), [published.workflow])
    assert (len(own.last_runs), own.success) == (1, 0)
    (row,) = with_runs(context_of(charlie), [published.workflow])
    assert (row.last_runs, row.success) == ([], None)


def test_the_last_runs_come_newest_first(alice: Actor, published: WorkflowVersion) -> None:
    now = timezone.now()
    for number in range(1, 8):
        ended(published, number, "completed", created_at=now - timedelta(minutes=10 - number))
    (row,) = with_runs(context_of(alice), [published.workflow])
    assert [run.number for run in row.last_runs] == [7, 6, 5, 4, 3]


@pytest.mark.parametrize("count", [1, 12])
def test_the_list_asks_the_same_queries_for_any_length(
    alice: Actor, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for index in range(count):
        of = version(factories.workflow(alice.tenant, f"Workflow {index}"), graph(step("a")))
        for number in range(3):
            ended(of, index * 10 + number, "paused", completed_at=None, waiting_for=[{"kind": "review"}])
    found = Workflow.objects.for_tenant(alice.tenant).select_related("created_by").order_by("name")
    page = Paginator(list(found), 25).page(1)
    context = context_of(alice)
    source = (
        "{% load runs ui %}{% with_runs rows as listed %}"
        "{% for row in listed %}{{ row.workflow }}{% run_status row.last_runs.0 %}{% run_strip row.last_runs %}{% endfor %}"
    )
    context["rows"] = page.object_list
    with django_assert_num_queries(4):
        html = Template(source).render(context)
    assert html.count("Waiting for review") == count
    assert html.count('data-s="review"') == 4 * count
