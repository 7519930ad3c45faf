"""Named events: told by a step or over the API, they start every workflow that waits for them, once, and leave a history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from runs.models import Delivery, Firing, Run
from runs.services.decide_review import decide_review
from runs.services.fire_events import fire_event, fire_events
from runs.services.recover_runs import prune_stale
from tests.runs.support import definition_of, driven, node, rows, started
from tests.support.factories import World, client_of
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid
from workflows.lib.limits import RUN_DEPTH
from workflows.models import DomainEvent, PublishedTrigger, Workflow
from workflows.services.change_workflow import archive_workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.events import send_event
from workflows.services.publish_workflow import publish_workflow
from workflows.tenancy.actor import Actor

pytestmark = pytest.mark.django_db(transaction=True)


def waits(
    actor: Actor, name: str, config: dict[str, Any], mapping: dict[str, Any] | None = None, *steps: Any
) -> Workflow:
    """A published workflow that an event starts."""
    trigger = {"id": "t1", "type": "event", "config": config, "input_mapping": mapping or {}}
    definition = definition_of(list(steps) or [node("a")], triggers=[trigger])
    made = create_workflow(actor=actor, name=name, definition=definition)
    publish_workflow(workflow=made, actor=actor)
    made.refresh_from_db()
    return made


def told(actor: Actor, name: str = "crm/lead.changed", data: Any = None, key: str = "") -> DomainEvent:
    event, _ = send_event(actor=actor, name=name, data=data, key=key)
    fire_event(event)
    event.refresh_from_db()
    return event


def outcomes(event: DomainEvent) -> dict[str, str]:
    return {firing.workflow.name: firing.outcome for firing in Firing.objects.filter(event=event)}


def test_one_event_starts_every_workflow_that_takes_its_name_in(world: World) -> None:
    waits(world.bob, "Exactly", {"event": "crm/lead.changed"})
    waits(world.bob, "All of CRM", {"event": ["orders/*", "crm/*"]})
    waits(world.bob, "Others", {"event": "crm/deal.*"})
    waits(world.bob, "Off", {"event": "crm/*", "paused": True})
    waits(world.charlie, "Another tenant's", {"event": "*"})
    archived = waits(world.bob, "Archived", {"event": "*"})
    archive_workflow(workflow=archived, actor=world.bob)
    event = told(world.bob, data={"id": 17})
    assert outcomes(event) == {"Exactly": "started", "All of CRM": "started"}
    assert event.fired_at is not None
    run = Run.objects.get(workflow__name="Exactly")
    assert (run.trigger_type, run.input, run.depth) == ("event", {"id": 17}, 0)
    assert run.trigger_data == {"name": "crm/lead.changed", "id": str(event.pk), "data": {"id": 17}}
    # Fired again, by a second keeper or after a crash: everybody has answered.
    fire_event(event)
    assert Run.objects.count() == 2


def test_filter_mapping_and_sameness_are_asked_of_the_data(world: World) -> None:
    config = {
        "event": "crm/lead.changed",
        "filter": 'trigger.data.status == "won"',
        "dedupe_key": "trigger.data.id",
        "dedupe_for_s": 60,
    }
    waits(
        world.bob,
        "Won",
        config,
        {
            "lead": "{{ trigger.data.id }}",
            "text": "Lead {{ trigger.data.id }}",
            "big": "= trigger.data.sum > 10",
        },
    )
    assert outcomes(told(world.bob, data={"id": 1, "status": "lost", "sum": 1})) == {"Won": "filtered"}
    assert outcomes(told(world.bob, data={"id": 1, "status": "won", "sum": 20})) == {"Won": "started"}
    assert Run.objects.get().input == {"lead": 1, "text": "Lead 1", "big": True}
    assert outcomes(told(world.bob, data={"id": 1, "status": "won", "sum": 2})) == {"Won": "duplicate"}
    assert outcomes(told(world.bob, data={"id": 2, "status": "won", "sum": 2})) == {"Won": "started"}
    Firing.objects.update(at=utc_now() - timedelta(seconds=61))
    assert outcomes(told(world.bob, data={"id": 1, "status": "won", "sum": 2})) == {"Won": "started"}
    # Data that the filter cannot be asked of is said, not swallowed.
    event = told(world.bob, data={"id": 3})
    assert outcomes(event) == {"Won": "refused"}
    assert "status" in Firing.objects.get(event=event).reason


def test_a_step_tells_its_event_with_its_completion_and_a_test_run_does_not(world: World) -> None:
    waits(world.bob, "Waits", {"event": "orders/*"})
    step = node("a", "send_event", config={"event": "orders/{{input.kind}}", "payload": {"n": "{{input.n}}"}})
    run = driven(started(world.bob, definition_of([step]), {"kind": "ready", "n": 3}))
    assert rows(run)["a"].output["data"] == {"n": 3}
    event = DomainEvent.objects.get()
    assert (event.name, event.data, event.source, event.source_run, event.depth) == (
        "orders/ready",
        {"n": 3},
        "step",
        run.pk,
        1,
    )
    assert (Delivery.objects.get().kind, Delivery.objects.get().status) == ("event", "sent")
    assert fire_events() == 1
    assert fire_events() == 0
    assert Run.objects.get(workflow__name="Waits").depth == 1
    tested = driven(started(world.bob, definition_of([step]), {"kind": "ready", "n": 3}, test=True))
    assert rows(tested)["a"].output["delivery"] == "outbox"
    assert Delivery.objects.get(run=tested).status == "outbox"
    assert DomainEvent.objects.count() == 1


def test_a_workflow_that_starts_itself_by_an_event_stops_at_the_depth_limit(world: World) -> None:
    step = node("a", "send_event", config={"event": "round/again"})
    waits(world.bob, "Round", {"event": "round/*"}, None, step)
    told(world.bob, "round/again")
    for _ in range(RUN_DEPTH.value + 3):
        for run in Run.objects.filter(status="pending"):
            driven(run)
        fire_events()
    assert Run.objects.count() == RUN_DEPTH.value
    last = Firing.objects.get(outcome="refused")
    assert "8 levels deep" in last.reason


def test_stepwell_itself_tells_of_ends_decisions_and_publishing_to_who_names_it(world: World) -> None:
    done = started(world.bob, definition_of([node("a")]))
    driven(done)
    assert not DomainEvent.objects.exists(), "nobody waits for it"
    waits(world.bob, "Everything of others", {"event": "*"})
    waits(world.bob, "After", {"event": "stepwell/*"}, {"what": "{{trigger.name}}"})
    DomainEvent.objects.all().delete()
    run = driven(started(world.bob, definition_of([node("a", "review"), node("b")], "a>b")))
    decide_review(review=run.reviews.get(), actor=world.bob, decision="approve")
    driven(run)
    failing = node("a", config={"mode": "template", "template": "{{ input.missing }}"})
    driven(started(world.bob, definition_of([failing])))
    waits(world.bob, "New", {"event": "x"})
    fire_events()
    names = set(Run.objects.filter(workflow__name="After").values_list("input__what", flat=True))
    assert names == {
        f"stepwell/{what}" for what in ("run.completed", "run.failed", "review.decided", "workflow.published")
    }
    assert not Run.objects.filter(workflow__name="Everything of others").exists()


def test_the_api_tells_an_event_once_and_shows_its_history(world: World) -> None:
    made = waits(world.bob, "Waits", {"event": "crm/*"})
    bob = client_of(world.bob)
    body = {"name": "crm/lead.changed", "data": {"id": 1}}

    def send(**more: Any) -> Any:
        headers = {"Idempotency-Key": "k1"}
        return bob.post("/api/events", {**body, **more}, "application/json", headers=headers)

    first = send()
    assert first.status_code == 202, first.content
    shown = first.json()
    [firing] = shown["firings"]
    assert (firing["outcome"], firing["workflow_id"]) == ("started", str(made.pk))
    assert Run.objects.get().pk.hex == firing["execution_id"].replace("-", "")
    again = send()
    assert (again.status_code, again.json()["id"]) == (200, shown["id"])
    assert send(data={"id": 2}).json()["error"]["code"] == "idempotency_key"
    assert send(name="stepwell/run.completed").status_code == 422
    assert bob.get("/api/events?name=crm/lead.changed").json()["count"] == 1
    assert bob.get(f"/api/events/{shown['id']}").json()["firings"] == shown["firings"]
    assert client_of(world.charlie).get("/api/events").json()["count"] == 0


def test_a_trigger_that_cannot_work_is_refused_when_it_is_published(world: World) -> None:
    with pytest.raises(Invalid) as caught:
        waits(
            world.bob, "Bad", {"event": "no blanks", "filter": "trigger.data ==", "colour": 1}, {"x": "= 1 +"}
        )
    paths = {problem.path for problem in caught.value.problems}
    assert {f"definition.triggers[0].config.{name}" for name in ("event", "filter", "colour")} <= paths
    assert "definition.triggers[0].input_mapping.x" in paths
    assert not PublishedTrigger.objects.exists()


def test_old_events_go(world: World) -> None:
    event = told(world.bob)
    assert prune_stale() == 0
    DomainEvent.objects.update(created_at=utc_now() - timedelta(days=91))
    assert prune_stale() == 1
    assert not DomainEvent.objects.filter(pk=event.pk).exists()
