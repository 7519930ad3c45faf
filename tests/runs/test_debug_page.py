"""The run page looks into a run: breakpoints, single steps, changes of data while it is held, files, plain words."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from runs.models import Event, Run
from runs.services.debug_run import breakpoints_of
from runs.snapshots import run_snapshot
from runs.snapshots.receipt import receipt_of
from runs.snapshots.words import one_line, subject
from tests.runs.support import definition_of, driven, node, rows, started
from tests.runs.test_drive_items import each, text
from tests.support import runs as make
from tests.support.factories import World, client_of
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db

ABC = [text("a", "A"), text("b", "B of {{ previous }}"), text("c", "C of {{ previous }}")]


def post(client: Client, run: Run, deed: str, **data: Any) -> Any:
    return client.post(reverse(f"runs:{deed}", args=[run.pk]), data, headers={"HX-Request": "true"})


def panel(client: Client, run: Run, key: str) -> str:
    address = reverse("runs:step", args=[run.pk, key])
    return client.get(address, headers={"HX-Request": "true"}).content.decode()


def test_breakpoints_and_steps_and_changes_by_the_page_alone(world: World) -> None:
    client = client_of(world.bob)
    run = started(world.bob, definition_of(ABC, "a>b>c"))
    assert post(client, run, "breakpoints", toggle="b").status_code == 204
    assert breakpoints_of(run) == ["b"], "seen before the driver has obeyed"
    # Two presses before anybody has read the first: each starts from what the other asked for.
    post(client, run, "breakpoints", toggle="c")
    assert sorted(breakpoints_of(run)) == ["b", "c"]
    post(client, run, "breakpoints", toggle="c")
    driven(run)
    snapshot = run_snapshot(run)
    assert (snapshot.held, snapshot.row("b").breakpoint, snapshot.row("c").breakpoint) == (True, True, False)
    assert snapshot.note[1].startswith("Stopped before “B”, at a breakpoint")
    assert [control.name for control in snapshot.controls] == ["resume", "step_once", "cancel"]
    page = client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert "Stops here" in page
    assert 'data-key="s"' in page

    shown = panel(client, run, "a")
    assert "Change this output" in shown
    assert "Change what comes in" in panel(client, run, "b")
    answer = post(client, run, "edit", what="output", step="a", kind="text", value="Another A")
    assert answer.status_code == 204, answer.content
    driven(run)
    assert rows(run)["a"].output == {"content": "Another A"}
    assert "Output changed by" in panel(client, run, "a")
    answer = post(client, run, "edit", what="input", step="b", kind="json", value="{not")
    assert (answer.status_code, b"not JSON" in answer.content) == (422, True)
    post(client, run, "edit", what="input", step="b", kind="text", value="what I say")
    post(client, run, "step_once")
    driven(run)
    assert rows(run)["b"].output == {"content": "B of what I say"}
    assert run.status == "paused"
    assert post(client, run, "breakpoints", run_to="c").status_code == 204
    driven(run)
    assert (run.status, set(rows(run))) == ("paused", {"a", "b"})
    # Reached: it was for this once.
    assert (run.debug["breakpoints"], run.debug["once"]) == (["b"], [])
    post(client, run, "resume")
    assert driven(run).output == {"content": "C of B of what I say"}
    assert post(client, run, "step_once").status_code == 409
    assert Event.objects.filter(run=run, type="edited").count() == 2
    assert AuditEntry.objects.filter(tenant=world.bob.tenant, action="edited").count() == 2


def test_variables_are_shown_and_changed_while_held(world: World) -> None:
    client = client_of(world.bob)
    nodes = [text("a", "A"), text("b", "B in {{ vars.tone }}")]
    tone = {"name": "tone", "kind": "context", "type": "string", "default_value": "calm"}
    definition = definition_of(nodes, "a>b", variables=[tone])
    run = driven(started(world.bob, definition, breakpoints=["b"]))
    shown = panel(client, run, "b")
    assert "calm" in shown
    assert "tone" in shown
    assert (
        post(client, run, "edit", what="variable", name="tone", kind="text", value="loud").status_code == 204
    )
    driven(run)
    assert "changed by" in panel(client, run, "b")
    post(client, run, "resume")
    assert driven(run).output == {"content": "B in loud"}


def test_who_may_only_look_gets_no_controls_and_no_fields(world: World) -> None:
    run = driven(started(world.bob, definition_of(ABC, "a>b>c"), breakpoints=["b"]))
    client = client_of(world.vera)
    page = client.get(reverse("runs:detail", args=[run.pk]), {"step": "a"}).content.decode()
    assert "data-may-control" not in page
    assert "Change this output" not in page
    assert post(client, run, "step_once").status_code == 403


def test_the_whole_run_and_its_items_as_files(world: World) -> None:
    nodes = [each(), text("one", "=SUM({{ item }})", parent="f"), text("after", "{{ steps.F.count }}")]
    run = driven(started(world.bob, definition_of(nodes, "f>after"), {"xs": ["p", "q"]}))
    client = client_of(world.bob)
    whole = json.loads(client.get(reverse("runs:whole", args=[run.pk])).getvalue())
    assert whole["output"] == run.output
    assert len(whole["items"]) == 2
    assert len(whole["steps"]) == run.step_runs.count()
    assert [event["seq"] for event in whole["events"]] == list(range(1, run.event_seq + 1))
    body = client.get(reverse("runs:items_csv", args=[run.pk, "f"])).getvalue().decode()
    lines = list(csv.reader(io.StringIO(body)))
    assert [line[0] for line in lines] == ["item", "1", "2"]
    assert lines[1][-1] == "'=SUM(p)", "a sheet must not take it for a formula"


def test_a_pasted_page_is_told_by_its_words() -> None:
    page = "<!doctype html><html><head><title>x</title><style>p{}</style></head><body><p class='a'>Tea &amp; rye</p><p>in May"
    assert subject({"text": page}) == "Tea & rye in May"
    assert one_line("a < b and c > d") == "a < b and c > d"
    assert one_line("<p>cut <a href='http") == "cut"


def test_a_parallel_step_says_how_many_branches_it_started(world: World) -> None:
    nodes = [node("p", "parallel"), text("a", "A"), text("b", "B")]
    run = driven(started(world.bob, definition_of(nodes, "p>a", "p>b"), {"idea": "x" * 500}))
    assert run_snapshot(run).row("p").summary == "2 branches at the same time"


def test_rows_that_are_drawn_in_a_long_list_carry_one_form(world: World) -> None:
    run = make.run_of(world.bob, make.graph(*(make.step(f"s{n}") for n in range(60))))
    page = client_of(world.bob).get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert page.count('id="run-breakpoints"') == 1
    assert page.count('name="toggle"') == 60


def test_phones_fold_finished_steps_without_a_rail_that_ends_in_the_air(world: World) -> None:
    definition = make.graph(
        *(make.step(key) for key in ("a", "b", "c", "d", "e", "f")), paths="a>b b>c c>d c>e d>f e>f"
    )
    run = make.run_of(world.bob, definition)
    for key in ("a", "b", "c", "e"):
        make.reached(run, key)
    make.reached(run, "d", "running")
    shown = run_snapshot(run)
    # “e” is done too, but stands behind one that is not: folded alone it would cut the rails.
    assert {row.key for row in shown.rows if row.fold} == {"a", "b", "c"}
    assert shown.folded[0] == "3 steps done"
    assert {line.x for line in shown.fold_rail.lines} == {10}, "the split itself is drawn in the gap below"
    make.reached(run, "f", "running")
    Run.objects.filter(pk=run.pk).update(event_seq=9)
    run.step_runs.filter(step_key="d").update(status="completed", output={"content": "x"}, port="out")
    assert len([row for row in run_snapshot(run).rows if row.fold]) == 5


def test_the_receipt_says_what_was_lost_and_what_was_taken_over(
    world: World, django_assert_num_queries: Any
) -> None:
    run = make.run_of(world.bob, make.graph(make.step("a", "llm"), make.step("b")), status="completed")
    row = make.reached(run, "a", provider="openai", model="gpt-4o-mini")
    make.attempt(
        row, "failed", number=1, provider="openai", model="gpt-4o-mini", cost="0.002", input_tokens=10
    )
    hop = {"from": "openai:gpt-4o-mini", "to": "google:gemini", "code": "overloaded"}
    make.attempt(row, "succeeded", number=2, provider="google", model="gemini", cost="0.01", hops=[hop])
    make.reached(run, "b", reused=True)
    with django_assert_num_queries(3):
        receipt = receipt_of(run)
    assert (receipt.failed, receipt.failed_cost, receipt.fallbacks, receipt.reused) == (
        1,
        Decimal("0.002"),
        1,
        1,
    )
    assert [charge.model for charge in receipt.charges] == ["gemini", "gpt-4o-mini"]
    page = client_of(world.bob).get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert "Answered by a fallback" in page


def test_items_are_stopped_left_out_and_tried_with_another_input_by_the_page(world: World) -> None:
    definition = make.graph(make.step("each", "fan_out"))
    run = make.run_of(world.bob, definition)
    make.worked_through(run, "each", ["completed", "failed", "running", "pending"])
    client = client_of(world.bob)
    page = client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert "Stop the rest" in page
    assert "Retry 1 failed" in page
    one = client.get(
        reverse("runs:item", args=[run.pk, "each[2]"]), headers={"HX-Request": "true"}
    ).content.decode()
    assert "Leave this item out" in one
    assert post(client, run, "items_act", skip="each[2]").status_code == 204
    assert post(client, run, "items_act", stop=".each").status_code == 204
    sent = {"step": "each", "items": "1", "kind": "json", "value": '{"name": "Ada"}'}
    assert post(client, run, "retry_items", **sent).status_code == 204
    payloads = list(run.mail.order_by("id").values_list("payload", flat=True))
    assert [(payload["op"], payload["items"]) for payload in payloads] == [
        ("stop", [2]),
        ("stop", None),
        ("again", [1]),
    ]
    assert payloads[2]["values"] == {"1": {"value": {"name": "Ada"}}}


def test_going_on_as_far_as_a_step_leaves_a_breakpoint_there_that_was_set_before(world: World) -> None:
    client = client_of(world.bob)
    run = driven(started(world.bob, definition_of(ABC, "a>b>c"), breakpoints=["a", "c"]))
    for key in ("c", "b"):
        assert post(client, run, "breakpoints", run_to=key).status_code == 204
    # Another one is set meanwhile: it does not make the goal a lasting one.
    assert post(client, run, "breakpoints", toggle="a").status_code == 204
    driven(run)
    assert (set(rows(run)), run.debug["breakpoints"]) == ({"a"}, ["c"])
    post(client, run, "resume")
    driven(run)
    assert (set(rows(run)), run.debug["breakpoints"], run.status) == ({"a", "b"}, ["c"], "paused")


def test_steps_inside_a_container_have_a_panel_and_breakpoints_of_their_own(world: World) -> None:
    client = client_of(world.bob)
    nodes = [
        node("f", "fan_out", config={"items": "{{ input.xs }}", "concurrency": 2}),
        node("inner", config={"mode": "template", "template": "I say {{ item }}"}, parent="f"),
        node(
            "own",
            "fan_out",
            config={"items": "{{ input.xs }}", "prompt": "Ask about {{ item }}", "model": "demo:writer"},
        ),
    ]
    run = driven(
        started(world.bob, definition_of(nodes, "f>own"), {"xs": ["red", "blue"]}, breakpoints=["f"])
    )
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert all(f'name="toggle" value="{key}"' in page for key in ("inner", "own-item"))
    assert "It has not begun for any item yet." in panel(client, run, "inner")
    asks = panel(client, run, "own-item")
    assert "Ask about {{ item }}" in asks
    assert 'name="run_to" value="own-item"' in asks
    assert post(client, run, "breakpoints", run_to="own-item").status_code == 204
    driven(run)
    assert (run.status, run.debug["breakpoints"]) == ("paused", ["f"])
    done = panel(client, run, "inner")
    assert "2 done" in done
    assert 'name="run_to"' not in done, "its container has come to its end"
    assert all(word in done for word in ("red", "blue", "f%5B0%5D"))
    assert 'data-panel-of="inner"' in client.get(f"/runs/{run.pk}/?step=inner").content.decode()
