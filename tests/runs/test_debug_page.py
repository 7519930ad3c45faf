"""The run page looks into a run: breakpoints, single steps, changes of data while it is held, files, plain words."""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from runs.models import Event, Run
from runs.services.debug_run import breakpoints_of
from runs.snapshots import run_snapshot
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
