"""The history of runs: filters in the address, pages, order, and the last runs beside a workflow."""

from datetime import timedelta

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from runs.models import Run
from tests.support import runs as make
from tests.support.factories import client_of, workflow

pytestmark = pytest.mark.django_db

CHAIN = make.graph(make.step("a", "llm"), make.step("b"))


def numbers(actor, **query):
    page = client_of(actor).get(reverse("runs:index"), query)
    assert page.status_code == 200
    return [run.number for run, *_ in page.context["rows"]]


def test_runs_are_listed_newest_first_with_their_steps(world):
    first, second = (make.run_of(world.bob, CHAIN, name=name) for name in ("One", "Two"))
    make.reached(second, "a")
    assert numbers(world.vera) == [second.number, first.number]
    html = client_of(world.vera).get(reverse("runs:index")).content.decode()
    assert "A returns portal for warehouse customers" in html
    assert 'aria-label="0 of 2 steps done"' in html


def test_each_filter_narrows_the_list(world):
    plain = make.run_of(world.bob, CHAIN, name="Plain")
    failed = make.run_of(world.bob, CHAIN, name="Broken", status="failed", trigger_type="webhook")
    old = make.run_of(
        world.bob,
        CHAIN,
        name="Old",
        created_at=timezone.now() - timedelta(days=10),
        input={"idea": "Ünique words"},
    )
    gated = make.run_of(world.bob, make.graph(make.step("g", "review")), name="Gated")
    make.gate(gated, "g")
    unnumbered = make.run_of(world.bob, CHAIN, workflow=workflow(world.tenant, "Draft"))
    unnumbered.version.number = None
    unnumbered.version.save()
    assert numbers(world.bob, status="failed") == [failed.number]
    assert numbers(world.bob, status="review") == [gated.number]
    assert numbers(world.bob, trigger="webhook") == [failed.number]
    assert numbers(world.bob, workflow=str(plain.workflow_id)) == [plain.number]
    assert numbers(world.bob, version="draft") == [unnumbered.number]
    assert numbers(world.bob, q="Broken") == [failed.number]
    assert numbers(world.bob, q="words") == [old.number]
    assert numbers(world.bob, q=f"run {plain.number}") == [plain.number]
    week_ago = (timezone.now() - timedelta(days=7)).date().isoformat()
    assert old.number not in numbers(world.bob, since=week_ago)
    assert numbers(world.bob, until=week_ago) == [old.number]
    assert numbers(world.bob, status="failed", q="Plain") == []


def test_filters_that_cannot_be_read_are_left_out(world):
    run = make.run_of(world.bob, CHAIN)
    assert numbers(
        world.bob, status="nonsense", workflow="nonsense", version="x", since="never", sort="up", page="z"
    ) == [run.number]


def test_the_order_is_the_servers(world):
    cheap = make.run_of(world.bob, CHAIN, cost="0.01", input_tokens=900)
    dear = make.run_of(world.bob, CHAIN, cost="0.90", input_tokens=9)
    assert numbers(world.bob, sort="cost") == [dear.number, cheap.number]
    assert numbers(world.bob, sort="tokens") == [cheap.number, dear.number]
    assert numbers(world.bob, sort="oldest") == [cheap.number, dear.number]


def test_long_lists_come_in_pages_that_keep_the_filters(world):
    used = workflow(world.tenant, "Busy")
    for _ in range(27):
        make.run_of(world.bob, CHAIN, workflow=used)
    client = client_of(world.bob)
    first = client.get(reverse("runs:index"), {"trigger": "manual"})
    assert len(first.context["rows"]) == 25
    assert "trigger=manual&amp;page=2" in first.content.decode()
    assert len(client.get(reverse("runs:index"), {"trigger": "manual", "page": "2"}).context["rows"]) == 2


def test_an_empty_history_says_why(world):
    assert "No runs yet" in client_of(world.bob).get(reverse("runs:index")).content.decode()
    make.run_of(world.bob, CHAIN)
    assert (
        "Nothing matches"
        in client_of(world.bob).get(reverse("runs:index"), {"status": "failed"}).content.decode()
    )


def test_other_tenants_runs_are_not_there(world):
    make.run_of(world.charlie, CHAIN)
    assert numbers(world.bob) == []


def test_the_list_asks_the_database_as_often_for_many_runs_as_for_few(world, django_assert_num_queries):
    used = workflow(world.tenant, "Busy")
    make.reached(make.run_of(world.bob, CHAIN, workflow=used), "a")
    client = client_of(world.bob)
    client.get(reverse("runs:index"))
    with django_assert_num_queries(19):
        client.get(reverse("runs:index"))
    for _ in range(20):
        make.reached(make.run_of(world.bob, CHAIN, workflow=used), "a")
    with django_assert_num_queries(19):
        client.get(reverse("runs:index"))


def test_the_last_five_runs_of_each_workflow_come_in_two_queries(world, django_assert_num_queries):
    busy, idle = workflow(world.tenant, "Busy"), workflow(world.tenant, "Idle")
    for status in ("completed", "failed", "completed", "completed", "completed", "running"):
        make.run_of(world.bob, CHAIN, workflow=busy, status=status)
    request = RequestFactory().get("/")
    request.tenant = world.tenant  # type: ignore[attr-defined]
    context = Context({"request": request, "workflows": [busy, idle]})
    template = Template(
        "{% load runs %}{% load_last_runs workflows %}{% for w in workflows %}<p>{% last_runs w %}</p>{% endfor %}"
    )
    with django_assert_num_queries(2):
        html = template.render(context)
    of_busy, of_idle = html.split("</p>")[:2]
    newest = list(Run.objects.filter(workflow=busy).order_by("-number")[:5])
    assert [of_busy.index(str(run.pk)) for run in reversed(newest)] == sorted(
        of_busy.index(str(run.pk)) for run in newest
    )
    assert of_busy.count("<a ") == 5
    assert "no runs yet" in of_idle
