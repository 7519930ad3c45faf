"""What if: a step of a finished run once more with changes, both runs side by side, and taking over what was better."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from runs.models import Run
from runs.services.replay_run import replay_run
from runs.snapshots.compare import compared
from tests.runs.support import definition_of, driven, started
from tests.runs.test_drive_items import text
from tests.support import runs as make
from tests.support.factories import World, client_of
from workflows.services.drafts import compile_draft, save_draft

pytestmark = pytest.mark.django_db

CHAIN = [
    text("a", "A of {{ input.idea }}"),
    text("b", "B of\n{{ previous }}"),
    text("c", "C of {{ previous }}"),
]
IDEA = {"name": "idea", "kind": "input", "type": "string", "required": True}


def chain(world: World) -> Run:
    run = driven(started(world.bob, definition_of(CHAIN, "a>b>c", variables=[IDEA]), {"idea": "tea"}))
    assert run.status == "completed", run.error
    return run


def test_from_the_panel_to_the_draft(world: World) -> None:
    origin, client = chain(world), client_of(world.bob)
    save_draft(
        workflow=origin.workflow, actor=world.bob, definition=definition_of(CHAIN, "a>b>c", variables=[IDEA])
    )
    address = reverse("runs:what_if", args=[origin.pk, "b"])
    panel = client.get(reverse("runs:detail", args=[origin.pk]), {"step": "b"}).content.decode()
    assert address in panel
    form = client.get(address).content.decode()
    assert "B of\n{{ previous }}" in form
    assert "tea" in form
    fields: dict[str, Any] = {
        "set_mode": "template",
        "set_template": "Bee of\r\n{{ previous }}",
        "input_idea": "tea",
    }
    answer = client.post(address, fields)
    made = driven(Run.objects.get(origin=origin))
    assert answer["Location"] == reverse("runs:detail", args=[made.pk])
    assert made.overrides == {"b": {"template": "Bee of\n{{ previous }}"}}
    assert made.input == origin.input
    page = client.get(answer["Location"]).content.decode()
    assert f"It does run {origin.number} again from “B”, with another" in page
    assert reverse("runs:adopt", args=[made.pk]) in page

    found = compared(origin, made)
    by_key = {pair.key: pair for pair in found.pairs}
    assert by_key["a"].verdict == "Taken from the other run"
    marked = [span.text for line in by_key["b"].lines for span in line.spans if span.marked]
    assert marked == ["B", "Bee"]
    assert [(one.label, one.setting) for one in found.changed] == [("B", "Text")]
    side = client.get(reverse("runs:compare"), {"a": str(origin.pk), "b": str(made.pk)}).content.decode()
    assert "<ins>Bee</ins>" in side
    client.post(reverse("runs:adopt", args=[made.pk]))
    assert compile_draft(origin.workflow).step("b").config["template"] == "Bee of\n{{ previous }}"


def test_other_input_and_a_stop_before_the_step(world: World) -> None:
    origin, client = chain(world), client_of(world.bob)
    address = reverse("runs:what_if", args=[origin.pk, "c"])
    fields = {
        "set_mode": "template",
        "set_template": "C of {{ previous }}",
        "input_idea": "rye",
        "stop": "on",
    }
    client.post(address, fields)
    made = driven(Run.objects.get(origin=origin))
    assert (made.input, made.overrides, made.status) == ({"idea": "rye"}, {}, "paused")
    assert made.waiting_for[0]["kind"] == "breakpoint"
    # A run under way is no origin.
    assert client.get(reverse("runs:what_if", args=[made.pk, "c"])).status_code == 302
    assert client.post(reverse("runs:again", args=[origin.pk])).status_code == 302
    assert Run.objects.filter(origin=origin).count() == 2


def test_a_setting_that_cannot_be_is_said_beside_its_field(world: World) -> None:
    origin, client = chain(world), client_of(world.bob)
    fields = {"set_mode": "riddle", "set_template": "B", "input_idea": "tea"}
    answer = client.post(reverse("runs:what_if", args=[origin.pk, "b"]), fields)
    assert (answer.status_code, b"riddle is not one" in answer.content) == (422, True)
    assert not Run.objects.filter(origin=origin).exists()
    assert client.post(reverse("runs:what_if", args=[origin.pk, "nothing"])).status_code == 404


def test_the_comparison_asks_as_often_for_many_steps_as_for_few(
    world: World, django_assert_max_num_queries: Any
) -> None:
    counts = []
    for count in (3, 80):
        definition = make.graph(*(make.step(f"s{n}") for n in range(count)))
        a = make.run_of(world.bob, definition, status="completed", output={"content": "x"}, name=f"W{count}")
        b = make.run_of(
            world.bob, definition, status="completed", output={"content": "y"}, workflow=a.workflow
        )
        for run in (a, b):
            for n in range(count):
                make.reached(run, f"s{n}", output={"content": f"{run.number}: {n}\n" + "word " * 300})
        compared(a, b)
        client = client_of(world.bob)
        with django_assert_max_num_queries(17) as seen:
            assert client.get(reverse("runs:compare"), {"a": str(a.pk), "b": str(b.pk)}).status_code == 200
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_runs_of_two_workflows_are_not_compared_and_strangers_see_nothing(world: World) -> None:
    a = make.run_of(world.bob, make.graph(make.step("one")), name="One")
    b = make.run_of(world.bob, make.graph(make.step("one")), name="Two")
    address = reverse("runs:compare")
    assert client_of(world.bob).get(address, {"a": str(a.pk), "b": str(b.pk)}).status_code == 404
    assert client_of(world.charlie).get(address, {"b": str(a.pk)}).status_code == 404
    assert "no other run yet" in client_of(world.bob).get(address, {"b": str(a.pk)}).content.decode()


def test_replays_reuse_by_service_too(world: World) -> None:
    origin = chain(world)
    made = driven(replay_run(run=origin, actor=world.bob, from_step="c"))
    found = {pair.key: pair.verdict for pair in compared(origin, made).pairs}
    assert found == {"a": "Taken from the other run", "b": "Taken from the other run", "c": "The same output"}
