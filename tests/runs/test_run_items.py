"""Items of loops and fan-outs on the run page: the card, the table, the panel, gates inside; page and live the same."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from runs import partials
from runs.models import Item, Review, Run, StepRun
from runs.partials import changed_parts, part_ids, render_part
from runs.services.retry_items import retry_items
from runs.snapshots import run_snapshot
from runs.snapshots.item import item_panel
from tests.runs.support import definition_of, driven, node, started
from tests.runs.test_drive_items import each, failing, items, text
from tests.support import runs as make
from tests.support.factories import World, client_of

pytestmark = pytest.mark.django_db

BODY = replace(
    make.graph(
        make.step("before"),
        make.step("each", "fan_out", "Write an opener"),
        make.step("draft", label="Draft the opener", parent="each"),
        make.step("tone", label="Check the tone", parent="each"),
        make.step("after"),
        paths="before>each draft>tone each>after",
    )
)
THIRTEEN = ["completed"] * 7 + ["running"] * 2 + ["pending"] * 4


def fresh(run: Run) -> Run:
    return Run.objects.select_related("workflow", "version", "started_by", "api_key").get(pk=run.pk)


def card(run: Run, key: str = "each") -> str:
    return render_part(run_snapshot(fresh(run)), f"row-{key}")


def fan_run(world: World, statuses: list[str], **fields: Any) -> Run:
    run = make.run_of(world.bob, BODY, **fields)
    make.reached(run, "before")
    make.worked_through(run, "each", statuses)
    return run


def test_the_card_says_how_many_who_and_how_long(world: World) -> None:
    run = fan_run(world, THIRTEEN)
    view = run_snapshot(run).row("each").items
    assert view is not None
    assert (view.said, view.now, view.left) == ("7 of 13", "Canary 8 and Canary 9", "about 5 s left")
    html = card(run)
    assert re.findall(r'<i data-s="(\w+)">', html) == ["done"] * 7 + ["running"] * 2 + ["wait"] * 4
    assert html.count('data-step-link="each[') == 13
    assert "2 steps inside" in html
    assert html.index("Draft the opener") < html.index("Check the tone")
    assert 'id="row-draft"' not in "".join(part_ids(run_snapshot(run)))


def test_no_time_is_guessed_from_less_than_three(world: World) -> None:
    view = run_snapshot(fan_run(world, ["completed"] * 2 + ["running"] * 3)).row("each").items
    assert view is not None
    assert view.left == ""


def test_failed_items_stay_red_and_are_counted(world: World) -> None:
    run = fan_run(world, ["completed"] * 12 + ["failed"], status="completed", output={"content": "x"})
    html = card(run)
    assert "12 of 13, 1 failed" in html
    assert '<i data-s="failed">' in html
    control = run_snapshot(run).controls[0]
    assert (control.name, control.label, control.step) == ("retry_items", "Retry 1 failed item", "each")
    page = client_of(world.bob).get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert reverse("runs:retry_items", args=[run.pk]) in page
    assert (
        "retry-items" not in client_of(world.vera).get(reverse("runs:detail", args=[run.pk])).content.decode()
    )


def test_an_items_own_prompt_is_no_row(world: World) -> None:
    run = driven(
        started(world.bob, definition_of([each(prompt="Say {{ item }}", model="demo:writer")]), {"xs": ["a"]})
    )
    snapshot = run_snapshot(fresh(run))
    assert [row.key for row in snapshot.rows] == ["f"]
    (own,) = snapshot.row("f").inside
    assert (own.key, own.hidden, own.does) == ("f-item", True, "writer · Say the item")
    assert snapshot.demo
    panel = item_panel(fresh(run), "f[0]")
    assert panel is not None
    assert panel.lone is not None
    assert panel.lone.hidden
    assert panel.calls[0].call.messages[-1] == ("user", "Say a")
    html = client_of(world.bob).get(
        reverse("runs:item", args=[run.pk, "f[0]"]), headers={"HX-Request": "true"}
    )
    assert "Say a" in html.content.decode()


@pytest.mark.parametrize("gates", [False, True])
def test_queries_and_rows_stay_the_same_with_a_thousand_items(world: World, gates: bool) -> None:
    counts, sizes = [], []
    for number in (5, 1_000):
        statuses = ["completed"] * (number - 4) + ["failed", "running", "running", "pending"]
        run = fan_run(world, statuses)
        body = [
            StepRun(
                run=run, tenant_id=run.tenant_id, step_key="draft", scope=f"each[{index}]", label="Draft", type="llm",
                status="completed", port="out", output={"content": "x"}, attempt=1 + index % 2,
            )
            for index in range(number - 4)
        ]  # fmt: skip
        StepRun.objects.bulk_create(body)
        if gates:
            gate = make.gate(run, "after")
            assert gate.step_run_id is not None
            StepRun.objects.filter(pk=gate.step_run_id).update(step_key="tone", scope=f"each[{number - 2}]")
        run_snapshot(fresh(run))
        with CaptureQueriesContext(
            connection,
        ) as seen:
            html = client_of(world.bob).get(reverse("runs:detail", args=[run.pk])).content.decode()
        counts.append(len(seen))
        sizes.append(html.count('data-step-link="each['))
        if gates:
            assert f"item {number - 1}: Canary {number - 1}" in html
    # One question more: who of those beyond the sixtieth is under way.
    assert counts[1] - counts[0] == 1
    assert sizes == [6, 61]


def test_above_sixty_there_is_one_bar_and_a_table_that_the_server_filters(world: World) -> None:
    run = fan_run(world, ["completed"] * 150 + ["failed"] * 3 + ["pending"] * 47)
    html = card(run)
    assert "fan__bar" not in html
    assert '<rect data-s="done" width="750"' in html
    assert "1–60 of 200" in html
    client, url = client_of(world.bob), reverse("runs:items", args=[run.pk, "each"])

    def numbers(**query: Any) -> list[int]:
        answer = client.get(url, query, headers={"HX-Request": "true"}).content.decode()
        return [int(found) + 1 for found in re.findall(r'data-step-link="each\[(\d+)\]"', answer)]

    assert numbers(status="failed") == [151, 152, 153]
    assert numbers(q="nary 15") == [15, *range(150, 160)]
    assert numbers(page=4) == list(range(181, 201))
    assert numbers(page=999) == list(range(181, 201))
    assert numbers(status="failed", q="153") == [153]
    assert numbers(q="nobody") == []
    assert "<h1>Items of Write an opener</h1>" in client.get(url, {"status": "failed"}).content.decode()
    assert client.get(reverse("runs:items", args=[run.pk, "before"])).status_code == 404


def test_progress_redraws_only_the_card_and_the_same_as_a_new_page(world: World) -> None:
    run = fan_run(world, THIRTEEN)
    before = run_snapshot(fresh(run))
    item = Item.objects.get(run=run, index=7)
    Item.objects.filter(pk=item.pk).update(
        status="completed", result={"content": "x"}, completed_at=item.started_at + timedelta(seconds=2)
    )
    after = run_snapshot(fresh(run))
    assert changed_parts(before, after) == ["row-each"]
    assert "8 of 13" in render_part(after, "row-each")
    page = client_of(world.bob).get(reverse("runs:detail", args=[run.pk])).content.decode()
    partials._rendered.clear()
    live = partials.current(run.pk, run.tenant_id, 0)
    assert live is not None
    clock = re.compile(r'(data-clock-since="[^"]+">)[^<]*')
    assert clock.sub(r"\1", live.part("row-each")) in clock.sub(r"\1", page)


def test_an_item_opens_in_the_panel_with_its_steps(world: World) -> None:
    nodes = [each(tolerated="1"), failing("b", parent="f"), text("c", "{{ previous }}!", parent="f")]
    run = fresh(driven(started(world.bob, definition_of(nodes, "b>c"), {"xs": [1, 20]})))
    good, bad = item_panel(run, "f[0]"), item_panel(run, "f[1]")
    assert good is not None
    assert bad is not None
    assert (good.number, good.total, good.status, good.value.text) == (1, 2, "completed", "1")
    assert [(step.key, step.status) for step in good.steps] == [("b", "completed"), ("c", "completed")]
    assert good.result is not None
    assert good.result.text == "1!"
    assert bad.retryable
    client = client_of(world.bob)
    url = reverse("runs:item", args=[run.pk, "f[1]"])
    html = client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert reverse("runs:retry_items", args=[run.pk]) in html
    assert 'name="items" value="1"' in html
    away = client.get(url)
    assert away.status_code == 302
    assert 'data-panel-of="f[1]"' in client.get(away["Location"]).content.decode()
    for scope in ("f[2]", "b[0]", "f[-1]", "f[x]", "f[]", "f", "f[99999999999]", "]["):
        assert client.get(reverse("runs:item", args=[run.pk, scope])).status_code == 404, scope


def test_containers_in_containers_open_from_the_panel(world: World) -> None:
    nodes = [
        each("outer"),
        node("inner", "fan_out", config={"items": "{{ item.xs }}"}, parent="outer"),
        text("leaf", "{{ item }}", parent="inner"),
    ]
    run = fresh(driven(started(world.bob, definition_of(nodes), {"xs": [{"xs": ["a", "b"]}, {"xs": ["c"]}]})))
    assert run_snapshot(run).row("outer").inside[0].inside[0].key == "leaf"
    outer = item_panel(run, "outer[0]")
    assert outer is not None
    inner = outer.steps[0].items
    assert inner is not None
    assert [cell.scope for cell in inner.cells] == ["outer[0].inner[0]", "outer[0].inner[1]"]
    leaf = item_panel(run, "outer[0].inner[1]")
    assert leaf is not None
    assert leaf.result is not None
    assert leaf.result.text == "b"


def test_gates_inside_name_their_item_on_the_page_and_in_the_inbox(world: World) -> None:
    nodes = [each(heading="{{ item.name }}"), node("g", "review", config={"title": "Good?"}, parent="f")]
    people = [{"name": f"Person {number}"} for number in range(1, 13)]
    run = fresh(driven(started(world.bob, definition_of(nodes), {"xs": people})))
    snapshot = run_snapshot(run)
    assert (snapshot.status, len(snapshot.gates), snapshot.gates_more) == ("paused", 10, 2)
    assert snapshot.gates[2].item == "item 3: Person 3"
    assert [cell.review for cell in snapshot.row("f").items.cells] == [True] * 12
    client = client_of(world.rita)
    assert "item 3: Person 3" in client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    inbox = client.get(reverse("reviews:index")).content.decode()
    assert "Item 12: Person 12." in inbox
    last = Review.objects.filter(run=run).order_by("created_at", "id").last()
    assert last is not None
    alone = client.get(reverse("reviews:detail", args=[last.pk])).content.decode()
    assert f'id="gate-{last.pk}"' in alone


# --- again ---------------------------------------------------------------------------------------


def test_one_item_of_a_failed_run_is_done_alone_and_the_others_stay_as_they_are(world: World) -> None:
    nodes = [each(concurrency=5), failing("b", parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": [1, 20, 30]}))
    statuses = [item.status for item in items(run)]
    assert run.status == "failed"
    mended = next(index for index, status in enumerate(statuses) if status != "completed")
    Run.objects.filter(pk=run.pk).update(input={"xs": [1, 20, 30], "missing": 6})
    run.refresh_from_db()
    driven(retry_items(run=run, actor=world.bob, items=[mended]))
    assert run.status == "failed", "the other item has no result yet"
    after = [item.status for item in items(run)]
    assert after[mended] == "completed"
    other = next(index for index, status in enumerate(statuses) if status != "completed" and index != mended)
    assert after[other] == statuses[other]
    driven(retry_items(run=run, actor=world.bob))
    assert run.status == "completed", run.error
    assert [item.result["content"] for item in items(run)] == [1, 6, 6]
