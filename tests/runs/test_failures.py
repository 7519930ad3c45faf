"""Cases, ways out of a failure, and dead letters: one cause is one case, and each way out does what it says."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.urls import reverse
from django.utils import timezone

from runs.engine.cases import case_of
from runs.models import Run
from runs.services.change_version import continue_without_step
from runs.services.control_run import cancel_run, retry_run
from runs.services.dead_letters import discard_case, retry_case
from runs.services.fixes import fixes_of
from runs.snapshots import run_snapshot
from runs.snapshots.cases import LettersFilter, cases_of, count_letters, found_letters, grouped, the_case
from tests.api.support import Api, error_of
from tests.runs.support import definition_of, driven, node, rows, started
from tests.runs.test_drive_items import each, failing, items, text
from tests.support import runs as make
from tests.support.factories import World, client_of
from workflows.lib.errors import Conflict, Invalid
from workflows.models import Workflow
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db

BROKEN = node("b", config={"mode": "expression", "expression": "input.missing"})


def failed(world: World, **given: Any) -> Run:
    run = driven(
        started(world.bob, definition_of([text("a", "A"), BROKEN, text("c", "C")], "a>b>c"), **given)
    )
    assert run.status == "failed"
    return run


def dead(world: World, many: int, case: str = "c" * 16, **fields: Any) -> list[Run]:
    """Rows of failed runs of one workflow, a minute apart, the newest last."""
    first = make.run_of(world.bob, make.graph(make.step("one")), status="failed")
    made = [first]
    for _ in range(many - 1):
        made.append(
            make.run_of(world.bob, make.graph(make.step("one")), workflow=first.workflow, status="failed")
        )
    for place, run in enumerate(made):
        run.case, run.error = case, {"code": "odd", "message": "It broke.", "retryable": True}
        run.dead_since = timezone.now() - timedelta(minutes=many - place)
        for name, value in fields.items():
            setattr(run, name, value)
        run.save()
    return made


# --- cases --------------------------------------------------------------------------------------------------------


def test_one_cause_is_one_case_and_two_are_two() -> None:
    error = {"code": "step", "message": "Row 12 of “Q3” has no name.", "step_key": "b"}
    one = case_of(error, workflow="w1", step_type="code")
    assert one == case_of(
        {**error, "message": "Row 7,100 of “Q4” has no name."}, workflow="w1", step_type="code"
    )
    others = {
        case_of({**error, "message": "The table is empty."}, workflow="w1", step_type="code"),
        case_of({**error, "step_key": "c"}, workflow="w1", step_type="code"),
        case_of(error, workflow="w2", step_type="code"),
        case_of({**error, "code": "timeout"}, workflow="w1", step_type="code"),
    }
    assert len(others) == 4
    assert one not in others
    credit = {"code": "quota", "message": "Used up.", "step_key": "b"}
    of_account = case_of(credit, workflow="w1", step_type="llm", provider="openai")
    assert of_account == case_of(
        {**credit, "step_key": "x"}, workflow="w2", step_type="llm", provider="openai"
    )
    assert of_account != case_of(credit, workflow="w1", step_type="llm", provider="google")
    accounts = {
        case_of(credit, workflow="w", step_type="llm", provider="openai", account=name)
        for name in ("EU", "US")
    }
    assert len({of_account, *accounts}) == 3
    asked = {"code": "http_status", "message": "api.example.org answered 503.", "step_key": "b"}
    elsewhere = {**asked, "message": "api.example.net answered 503."}
    assert case_of(asked, workflow="w", step_type="http_request") != case_of(
        elsewhere, workflow="w", step_type="http_request"
    )
    assert case_of(None, workflow="w")


def test_the_driver_files_a_failed_run_and_takes_it_out_again(world: World) -> None:
    run = failed(world)
    assert run.case
    assert run.dead_since == run.completed_at
    assert count_letters(world.tenant) == 1
    assert failed(world).case != run.case  # a step of another workflow
    assert retry_run(run=run, actor=world.bob).dead_since is None
    assert count_letters(world.tenant) == 1
    driven(run)
    assert run.status == "failed"
    assert run.dead_since is not None
    cancel_run(run=run, actor=world.bob)
    driven(run)
    assert Run.objects.get(pk=run.pk).status == "cancelled"
    assert not Run.objects.filter(pk=run.pk, dead_since__isnull=False).exists()


def test_test_runs_and_runs_below_others_are_no_dead_letters(world: World) -> None:
    run = failed(world, test=True)
    assert run.case
    assert run.dead_since is None


def test_older_runs_get_their_case_by_the_migration(world: World) -> None:
    runs = [failed(world) for _ in range(2)]
    known = [run.case for run in runs]
    test_run = failed(world, test=True)
    Run.objects.update(case="", dead_since=None)
    module: Any = import_module("runs.migrations.0019_fill_failure_cases")
    module.BATCH = 2
    module.fill(apps, None)
    for run, case in zip(runs, known, strict=True):
        run.refresh_from_db()
        assert (run.case, run.dead_since) == (case, run.completed_at)
    test_run.refresh_from_db()
    assert test_run.case
    assert test_run.dead_since is None


def test_a_hundred_failures_are_one_case_in_a_fixed_number_of_queries(
    world: World, django_assert_num_queries: Any
) -> None:
    made = dead(world, 12)
    dead(world, 2, "d" * 16)
    old = dead(world, 1, "e" * 16)[0]
    Run.objects.filter(pk=old.pk).update(dead_since=timezone.now() - timedelta(days=31))
    found = found_letters(world.tenant, LettersFilter())
    with django_assert_num_queries(4):
        cases = cases_of(found, list(grouped(found, "most")))
    assert [(case.runs, len(case.letters), case.others) for case in cases] == [(12, 3, 9), (2, 2, 0)]
    first = cases[0]
    assert (first.first, first.newest) == (made[0].dead_since, made[-1].dead_since)
    assert (first.version, first.headline, first.workflows) == (1, "It broke", 1)
    assert [letter.id for letter in first.letters] == [run.pk for run in made[:-4:-1]]
    assert count_letters(world.tenant) == 14
    assert count_letters(world.charlie.tenant) == 0
    assert the_case(world.charlie.tenant, "c" * 16) is None
    narrowed = found_letters(world.tenant, LettersFilter(text=str(made[3].number)))
    assert [run.pk for run in narrowed] == [made[3].pk]


# --- retry and discard --------------------------------------------------------------------------------------------


def test_a_case_is_retried_in_batches_that_leave_out_what_fails_again(world: World) -> None:
    made = dead(world, 5)
    done = retry_case(actor=world.bob, case="c" * 16, most=2)
    assert (done.runs, done.left) == (2, 3)
    assert [Run.objects.get(pk=run.pk).status for run in made[:3]] == ["pending", "pending", "failed"]
    Run.objects.filter(pk=made[0].pk).update(status="failed", dead_since=timezone.now())
    done = retry_case(actor=world.bob, case="c" * 16, until=done.until)
    assert (done.runs, done.left) == (3, 0)
    with pytest.raises(Conflict, match="None of these"):
        retry_case(actor=world.bob, case="c" * 16, until=done.until)
    assert retry_case(actor=world.bob, case="c" * 16).runs == 1
    assert AuditEntry.objects.filter(action="retried").count() == 6
    with pytest.raises(Invalid, match="model"):
        retry_case(actor=world.bob, case="c" * 16, model="nonsense")


def test_discarding_takes_a_reason_and_leaves_the_run_failed(world: World) -> None:
    made = dead(world, 3)
    with pytest.raises(Invalid, match="Say why"):
        discard_case(actor=world.bob, case="c" * 16, reason="  ")
    done = discard_case(actor=world.bob, case="c" * 16, reason="The order is void.", runs=[made[1].pk])
    assert (done.runs, done.left) == (1, 0)
    made[1].refresh_from_db()
    assert (made[1].status, made[1].dead_since) == ("failed", None)
    assert made[1].discarded["reason"] == "The order is void."
    assert made[1].discarded["by"] == world.bob.label
    assert AuditEntry.objects.get(action="discarded").object_id == str(made[1].pk)
    assert count_letters(world.tenant) == 2


def test_the_pages_show_and_do_it(world: World, django_assert_max_num_queries: Any) -> None:
    client = client_of(world.bob)
    empty = client.get(reverse("runs:dead_letters")).content.decode()
    assert "All clear" in empty
    made = dead(world, 4)
    with django_assert_max_num_queries(14):
        html = client.get(reverse("runs:dead_letters")).content.decode()
    assert "It broke" in html
    assert "4 runs" in html
    assert "and 1 more" in html
    assert '<span class="count">4<' in html
    address = reverse("runs:dead_letter", args=["c" * 16])
    html = client.get(address).content.decode()
    assert all(f'value="{run.pk}"' in html for run in made)
    nothing = client.post(reverse("runs:dead_letters_retry", args=["c" * 16]), {"chosen": "yes"}, follow=True)
    assert "No run is chosen" in nothing.content.decode()
    assert count_letters(world.tenant) == 4
    one = {"chosen": "yes", "runs": [made[0].pk], "next": address}
    said = client.post(reverse("runs:dead_letters_retry", args=["c" * 16]), one, follow=True)
    assert "1 run trying again" in said.content.decode()
    assert count_letters(world.tenant) == 3
    said = client.post(
        reverse("runs:dead_letters_discard", args=["c" * 16]), {"reason": "Not needed."}, follow=True
    )
    assert "3 runs discarded" in said.content.decode()
    assert count_letters(world.tenant) == 0
    assert client_of(world.vera).post(reverse("runs:dead_letters_retry", args=["c" * 16])).status_code == 403
    assert client.get(reverse("runs:dead_letter", args=["f" * 16])).status_code == 404


def test_over_the_api(world: World) -> None:
    made, api = dead(world, 3), Api(world.bob)
    found = api.get("/dead-letters", {"order": "most"}).json()
    assert found["count"] == 1
    case = found["items"][0]
    assert (case["id"], case["count"], case["message"], case["retryable"]) == ("c" * 16, 3, "It broke", True)
    assert api.get(f"/dead-letters/{case['id']}").json()["count"] == 3
    done = api.post(f"/dead-letters/{case['id']}/retry", {"limit": 1}).json()
    assert (done["done"], done["left"]) == (1, 2)
    only = {"executions": [str(made[2].pk)], "reason": "No longer needed."}
    assert api.post(f"/dead-letters/{case['id']}/discard", only).json()["done"] == 1
    error_of(api.post(f"/dead-letters/{case['id']}/discard", {"reason": " "}), 422)
    assert api.get("/dead-letters/ffffffffffffffff").status_code == 404
    assert api.post(f"/dead-letters/{case['id']}/retry", {"until": "2026-01-01T00:00:00"}).status_code == 422


# --- ways out -----------------------------------------------------------------------------------------------------


def test_the_page_of_a_failed_run_names_cause_kept_and_ways_out(world: World) -> None:
    run = failed(world)
    ways, case, _ = fixes_of(run_snapshot(run), world.bob)
    assert [fix.key for fix in ways] == ["input", "workflow", "without", "retry"]
    assert [fix.key for fix in ways if fix.primary] == ["workflow"]
    assert case is None
    assert fixes_of(run_snapshot(run), world.vera)[0] == ()
    mended = [text("a", "A"), text("b", "B {{ previous }}"), text("c", "C")]
    make.version(run.workflow, definition_of(mended, "a>b>c"), 2)
    Workflow.objects.filter(pk=run.workflow_id).update(latest_version=2)
    html = client_of(world.bob).get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert "Step 1 is kept" in html
    assert "Continue with version 2" in html
    answer = client_of(world.bob).post(reverse("runs:continue", args=[run.pk]), {"version": "2"})
    assert answer.status_code == 302
    driven(run)
    assert run.status == "completed", run.error


def test_a_step_is_given_something_else(world: World) -> None:
    given = node(
        "b", config={"mode": "expression", "expression": "previous.content == 'good' ? 'yes' : input.missing"}
    )
    run = driven(started(world.bob, definition_of([text("a", "bad"), given], "a>b")))
    way = next(fix for fix in fixes_of(run_snapshot(run), world.bob)[0] if fix.key == "input")
    assert way.editor is not None
    assert way.editor.value == "bad"
    client_of(world.bob).post(way.post, {**dict(way.fields), way.editor.name: "good"})
    driven(run)
    assert run.status == "completed", run.error
    assert (run.output or {})["content"] == "yes"


def test_a_run_goes_on_without_the_step_or_with_a_value_for_it(world: World) -> None:
    run = failed(world)
    with pytest.raises(Invalid, match="not the step that failed"):
        continue_without_step(run=run, actor=world.bob, step="a")
    continue_without_step(run=run, actor=world.bob, step="b")
    first = run.version.number
    driven(run)
    assert (run.status, first, rows(run)["b"].status) == ("completed", None, "skipped"), run.error
    run = failed(world)
    client_of(world.bob).post(reverse("runs:without", args=[run.pk]), {"step": "b", "value": "instead"})
    driven(run)
    assert run.status == "completed", run.error
    assert (rows(run)["b"].output or {})["content"] == "instead"
    with pytest.raises(Conflict, match="completed"):
        continue_without_step(run=run, actor=world.bob, step="b")


def test_failed_items_are_explained_by_cause_and_one_is_changed(world: World) -> None:
    nodes = [each(), failing("b", parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": [1, 20, 3, 30]}))
    row = run_snapshot(run).row("f")
    assert [case.indexes for case in row.item_cases] == [(1, 3)]
    way = next(fix for fix in fixes_of(run_snapshot(run), world.bob)[0] if fix.key == "item")
    assert way.editor is not None
    assert (way.editor.value, way.primary) == ("20", True)
    client = client_of(world.bob)
    assert "2 items: " in client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert client.post(way.post, {**dict(way.fields), "value": "{"}).status_code == 302
    run.refresh_from_db()
    assert run.status == "failed"
    client.post(way.post, {**dict(way.fields), "value": "2"})
    driven(run)
    assert [item.status for item in items(run)] == ["completed", "completed", "completed", "failed"]


def test_a_run_stopped_by_its_time_limit_has_ways_out(world: World) -> None:
    run = make.run_of(world.bob, make.graph(make.step("one"), make.step("two")), status="failed")
    make.reached(run, "one", cost="0.12")
    Run.objects.filter(pk=run.pk).update(
        error={"code": "out_of_time", "message": "The run took longer than 5 s."}
    )
    run.refresh_from_db()
    html = client_of(world.bob).get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert "The run took longer than 5 s" in html
    assert "Raise the time limit" in html
    assert "Step 1 is kept" in html
    assert "$0.12" in html
