"""A failed or held run goes on with another version where its finished part stands there; else the step is named."""

from __future__ import annotations

import pytest
from django.urls import reverse

from runs.models import Event, Run, StepRun
from runs.services.change_version import continue_on_version, versions_to_continue
from runs.services.control_run import pause_run, resume_run
from tests.api.support import Api, error_of
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.runs.test_drive_items import each, failing, items, text
from tests.support import runs as make
from tests.support.factories import World, client_of
from workflows.definition.graph import Definition
from workflows.lib.errors import Conflict, Invalid
from workflows.models import Workflow
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db

BROKEN = node("b", config={"mode": "expression", "expression": "input.missing"})


def failed(world: World) -> Run:
    run = driven(started(world.bob, definition_of([text("a", "A"), BROKEN, text("c", "C")], "a>b>c")))
    assert run.status == "failed"
    return run


def publish(run: Run, definition: Definition, number: int) -> None:
    make.version(run.workflow, definition, number)
    Workflow.objects.filter(pk=run.workflow_id).update(latest_version=number)


def test_a_failed_run_goes_on_with_the_mended_version(world: World) -> None:
    run = failed(world)
    mended = [text("a", "A"), text("n", "new {{ previous }}"), text("b", "B {{ previous }}"), text("c", "C")]
    publish(run, definition_of(mended, "a>n>b>c"), 2)
    publish(run, definition_of([text("a", "other"), text("b", "B")], "a>b"), 3)
    offers = versions_to_continue(run)
    assert [(offer.version, offer.reason) for offer in offers] == [
        (3, "The settings of “A” have changed."),
        (2, None),
    ]
    with pytest.raises(Conflict, match="“A” have changed"):
        continue_on_version(run=run, actor=world.bob, version=3)
    run.refresh_from_db()
    assert (run.status, run.version.number, run.mail_seq) == ("failed", 1, 0)
    with pytest.raises(Invalid, match="already"):
        continue_on_version(run=run, actor=world.bob, version=1)
    first = StepRun.objects.get(run=run, step_key="a").pk
    continue_on_version(run=run, actor=world.bob, version=2)
    driven(run)
    assert run.status == "completed", run.error
    assert rows(run)["a"].pk == first
    assert (rows(run)["b"].output or {})["content"] == "B new A"
    assert (run.version.number, run.steps_total, run.steps_done) == (2, 4, 4)
    assert Event.objects.get(run=run, type="resumed").data["version"] == 2
    assert AuditEntry.objects.filter(action="changed the version of").count() == 1
    event_types(run)
    with pytest.raises(Conflict, match="completed"):
        continue_on_version(run=run, actor=world.bob, version=3)
    assert versions_to_continue(run) == []


def test_the_failed_step_may_be_gone(world: World) -> None:
    run = failed(world)
    publish(run, definition_of([text("a", "A"), text("c", "C")], "a>c"), 2)
    continue_on_version(run=run, actor=world.bob, version=2)
    assert driven(run).status == "completed", run.error
    assert client_of(world.bob).get(reverse("runs:detail", args=[run.pk])).status_code == 200
    assert Api(world.bob).get(f"/workflow-executions/{run.pk}").json()["status"] == "completed"


def test_a_paused_run_stays_paused(world: World) -> None:
    nodes = [text("a", "A"), text("b", "B"), text("c", "C")]
    run = driven(started(world.bob, definition_of(nodes, "a>b>c"), breakpoints=["b"]))
    publish(run, definition_of([*nodes[:2], text("c", "Sea")], "a>b>c"), 2)
    continue_on_version(run=run, actor=world.bob, version=2)
    assert driven(run).status == "paused"
    resume_run(run=run, actor=world.bob)
    assert driven(run).output == {"content": "Sea"}
    event_types(run)
    fresh = started(world.bob, definition_of(nodes, "a>b>c"))
    pause_run(run=fresh, actor=world.bob)
    with pytest.raises(Conflict, match="pending"):
        continue_on_version(run=fresh, actor=world.bob, version=1)


def test_finished_items_hold_their_container_to_its_version(world: World) -> None:
    nodes = [each(), text("one", "{{ item }}", parent="f"), failing("b", parent="f")]
    run = driven(started(world.bob, definition_of(nodes, "one>b"), {"xs": [1, 20]}))
    assert run.status == "failed"
    mended = node("b", config={"mode": "expression", "expression": "item"}, parent="f")
    publish(run, definition_of([nodes[0], nodes[1], mended], "one>b"), 2)
    publish(run, definition_of([nodes[0], text("one", "x", parent="f"), nodes[2]], "one>b"), 3)
    reasons = {offer.version: offer.reason for offer in versions_to_continue(run)}
    assert reasons == {3: "The settings of “One” have changed.", 2: "The settings of “B” have changed."}
    assert len(items(run)) == 2


def test_over_the_api(world: World) -> None:
    run = failed(world)
    publish(run, definition_of([text("a", "other"), BROKEN], "a>b"), 2)
    api = Api(world.bob)
    assert api.get(f"/workflow-executions/{run.pk}/versions").json() == {
        "items": [{"version": 2, "reason": "The settings of “A” have changed."}],
        "count": 1,
    }
    wrong = error_of(api.post(f"/workflow-executions/{run.pk}/version", {"version": 2}), 409)
    assert (wrong["code"], "“A”" in wrong["message"]) == ("version_differs", True)
