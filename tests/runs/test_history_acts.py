"""What is done on the history's page: many runs at once, saved views, news, and how long runs are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from runs.engine.statuses import Intent
from runs.metrics.collect import by_day
from runs.metrics.figures import total
from runs.models import Attempt, RetentionPolicy, Run, SavedView, StepRun
from runs.services import control_many as many
from runs.services.retention import prune_runs, set_retention
from tests.support import factories
from tests.support import runs as make
from tests.support.factories import World, client_of, workflow
from tests.support.generated import facts, store
from workflows.lib.errors import Invalid
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db

CHAIN = make.graph(make.step("a", "llm"), make.step("b"))


def test_picked_runs_are_retried_and_the_others_left(world: World) -> None:
    used = workflow(world.tenant, "Busy")
    failed = [make.run_of(world.bob, CHAIN, workflow=used, status="failed") for _ in range(3)]
    for run in failed:
        make.reached(run, "a", "failed")
    good = make.run_of(world.bob, CHAIN, workflow=used, status="completed")
    strange = make.run_of(world.charlie, CHAIN, status="failed")
    picked = [str(run.pk) for run in (*failed[:2], good, strange)]
    answer = client_of(world.bob).post(
        reverse("runs:bulk"), {"act": "retry", "run": picked, "query": "status=failed"}, follow=True
    )
    assert answer.redirect_chain[0][0] == f"{reverse('runs:index')}?status=failed"
    assert "2 runs are being tried again." in answer.content.decode()
    left = Run.objects.filter(status="failed").values_list("pk", flat=True)
    assert set(left) == {failed[2].pk, strange.pk}
    assert AuditEntry.objects.filter(tenant=world.tenant, action="retried").count() == 2
    assert (
        client_of(world.vera).post(reverse("runs:bulk"), {"act": "retry", "run": picked}).status_code == 403
    )


def test_all_that_match_come_in_batches_that_say_what_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "AT_ONCE", 3)
    used = workflow(world.tenant, "Busy")
    runs = [make.run_of(world.bob, CHAIN, workflow=used) for _ in range(5)]
    other = make.run_of(world.bob, CHAIN, name="Other")
    client = client_of(world.bob)
    query = f"workflow={used.pk}"
    first = client.post(reverse("runs:bulk"), {"act": "cancel", "all": "1", "query": query}, follow=True)
    assert "3 runs are being cancelled. 2 more match" in first.content.decode()
    second = client.post(reverse("runs:bulk"), {"act": "cancel", "all": "1", "query": query}, follow=True)
    assert "2 runs are being cancelled." in second.content.decode()
    third = client.post(reverse("runs:bulk"), {"act": "cancel", "all": "1", "query": query}, follow=True)
    assert "None of these can be cancelled." in third.content.decode()
    wanted = set(Run.objects.filter(intent=Intent.CANCEL).values_list("pk", flat=True))
    assert wanted == {run.pk for run in runs}
    assert other.pk not in wanted
    assert (
        "Choose runs first"
        in client.post(reverse("runs:bulk"), {"act": "cancel"}, follow=True).content.decode()
    )


def test_views_are_a_persons_own_and_one_comes_first(world: World) -> None:
    bob, url = client_of(world.bob), reverse("runs:views")
    make.run_of(world.bob, CHAIN, status="failed")
    kept = {
        "act": "save",
        "name": " My  failures ",
        "query": "status=failed&sort=nonsense&x=1",
        "default": "1",
    }
    bob.post(url, kept)
    view = SavedView.objects.get()
    assert (view.name, view.query, view.user, view.is_default) == (
        "My failures",
        "status=failed",
        world.bob.user,
        True,
    )
    assert bob.get(reverse("runs:index")).headers["Location"] == f"{reverse('runs:index')}?status=failed"
    page = bob.get(reverse("runs:index"), {"view": "all"}).content.decode()
    assert "My failures" in page
    bob.post(url, {"act": "save", "name": "Dear", "query": "sort=cost", "default": "1"})
    assert [v.name for v in SavedView.objects.filter(is_default=True)] == ["Dear"]
    alice = client_of(world.alice)
    assert alice.get(reverse("runs:index")).status_code == 200
    assert "My failures" not in alice.get(reverse("runs:index")).content.decode()
    for act in ("delete", "default"):
        assert alice.post(url, {"act": act, "view": str(view.pk)}).status_code == 404
    bob.post(url, {"act": "default", "view": str(view.pk)})
    assert [v.name for v in SavedView.objects.filter(is_default=True)] == ["My failures"]
    bob.post(url, {"act": "delete", "view": str(view.pk)})
    assert bob.get(reverse("runs:index")).status_code == 200
    assert "1 to 80" in bob.post(url, {"act": "save", "name": " "}, follow=True).content.decode()


def test_news_counts_what_matches_and_brings_rows_that_changed(world: World) -> None:
    used = workflow(world.tenant, "Busy")
    old = make.run_of(world.bob, CHAIN, workflow=used, status="failed")
    for status in ("failed", "completed", "failed"):
        make.run_of(world.bob, CHAIN, workflow=used, status=status)
    strange = make.run_of(world.charlie, CHAIN, status="failed")
    query = {"status": "failed", "above": str(old.number), "changed": f"{old.pk},{strange.pk},nonsense"}
    html = client_of(world.vera).get(reverse("runs:news"), query).content.decode()
    assert "2 new runs" in html
    assert f'id="run-{old.pk}"' in html
    assert str(strange.pk) not in html


# --- how long runs are kept -----------------------------------------------------------------------


def test_the_policy_is_seen_by_all_and_set_by_admins(world: World) -> None:
    url = reverse("runs:retention")
    assert client_of(world.alice).post(url, {"runs_days": "90", "texts_days": "7"}).status_code == 302
    policy = RetentionPolicy.objects.get(tenant=world.tenant)
    assert (policy.runs_days, policy.texts_days) == (90, 7)
    entry = AuditEntry.objects.get(tenant=world.tenant, action="changed retention")
    assert (entry.before, entry.after) == (
        {"runs_days": None, "texts_days": None},
        {"runs_days": 90, "texts_days": 7},
    )
    assert "90 days" in client_of(world.vera).get(url).content.decode()
    make.run_of(world.bob, CHAIN)
    assert "for 90 days" in client_of(world.vera).get(reverse("runs:index")).content.decode()
    assert client_of(world.bob).post(url, {"runs_days": "400"}).status_code == 403
    assert client_of(world.alice).post(url, {"runs_days": "3"}).status_code == 422
    with pytest.raises(Invalid):
        set_retention(actor=world.alice, runs_days=30, texts_days=None)


def test_old_runs_go_in_batches_and_what_is_open_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.services.retention._BATCH", 2)
    used = workflow(world.tenant, "Busy")
    long_ago = timezone.now() - timedelta(days=60)

    def old(status: str) -> Run:
        run = make.run_of(world.bob, CHAIN, workflow=used, status=status, created_at=long_ago)
        Run.objects.filter(pk=run.pk).update(completed_at=long_ago if run.is_over else None)
        return run

    gone = [old("completed"), old("failed"), old("cancelled"), old("completed"), old("completed")]
    make.reached(gone[0], "a")
    kept = [old("running"), old("paused"), make.run_of(world.bob, CHAIN, workflow=used, status="completed")]
    gated = old("failed")
    make.gate(gated, "a")
    parent = old("completed")
    young = make.run_of(world.bob, CHAIN, workflow=used, status="completed", parent=parent)
    strange = make.run_of(world.charlie, CHAIN, status="completed", created_at=long_ago)
    Run.objects.filter(pk=strange.pk).update(completed_at=long_ago)
    assert prune_runs() == 0
    set_retention(actor=world.alice, runs_days=31, texts_days=None)
    assert prune_runs(parts=1) == 2
    assert prune_runs() == 3
    assert prune_runs() == 0
    left = set(Run.objects.values_list("pk", flat=True))
    assert left == {run.pk for run in (*kept, gated, parent, young, strange)}
    assert not StepRun.objects.filter(run__in=[run.pk for run in gone]).exists()


def test_texts_of_old_runs_go_and_their_results_stay(world: World) -> None:
    run = make.run_of(world.bob, CHAIN, status="completed")
    fresh = make.run_of(world.bob, CHAIN, name="New", status="completed")
    then = timezone.now() - timedelta(days=9)
    for one in (run, fresh):
        row = make.reached(one, "a")
        Attempt.objects.create(
            step_run=row,
            run=one,
            tenant=world.tenant,
            number=1,
            calls=[{"text": "hi"}],
            ended_at=then,
            cost="0.1",
        )
    Run.objects.filter(pk=run.pk).update(completed_at=then)
    set_retention(actor=world.alice, runs_days=None, texts_days=8)
    assert prune_runs() == 1
    assert prune_runs() == 0
    assert Attempt.objects.get(run=run).calls == []
    assert Attempt.objects.get(run=fresh).calls == [{"text": "hi"}]
    assert StepRun.objects.get(run=run).output is not None


def test_figures_outlive_the_runs_that_they_were_made_of(world: World) -> None:
    now = datetime(2026, 3, 18, 15, 30, tzinfo=UTC)
    made = factories.workflow(world.tenant, "Outline")
    graph = make.graph(make.step("clean", "clean_text"), make.step("ask", "llm"))
    assert world.bob.user
    history = list(facts(3, 120, [made], [world.bob.user], now - timedelta(minutes=5), timedelta(hours=8)))
    store(world.tenant, history, {made.pk: make.version(made, graph)})
    before = by_day(world.tenant, now, 45)
    RetentionPolicy.objects.create(tenant=world.tenant, runs_days=31)
    assert prune_runs(now) > 20
    after = by_day(world.tenant, now, 45)
    first, second = total(before.values()), total(after.values())
    assert (first.ended, first.cost, first.durations()) == (second.ended, second.cost, second.durations())
