"""An event trigger against a sample: what it would do with an event, and a real event sent to see what it does."""

from __future__ import annotations

from dataclasses import dataclass

from runs.models import Firing
from runs.services.fire_events import fire_event
from runs.services.start_run import TooManyRuns
from workflows.expressions.errors import TextError
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.models import DomainEvent
from workflows.services.events import send_event
from workflows.tenancy.actor import Actor
from workflows.triggers import registry
from workflows.triggers.base import Occasion, mapped


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trigger would do: `starts`, why (a sentence), the input of the run, and the value that makes events one."""

    starts: bool
    why: str
    input: JSONObject | None = None
    same_as: str = ""


def would_start(*, config: JSONObject, input_mapping: JSONObject, name: str, data: JSONValue) -> Tried:
    """The trigger's answer to an event of this name with this data; nothing is sent or started."""
    kind = registry.find("event")
    assert kind is not None
    occasion = Occasion(name, data, "sample")
    if not kind.matches({**config, "paused": False}, occasion):
        return Tried(False, f"It does not wait for events named “{name}”.")
    try:
        if not kind.passes(config, occasion):
            return Tried(False, "The filter does not hold for this data.")
    except TextError as error:
        return Tried(False, f"The filter cannot be told: {error}.")
    try:
        given = mapped(input_mapping, occasion, "event")
        same = kind.dedupe_key(config, occasion)
    except TextError as error:
        return Tried(False, f"The run's input cannot be made: {error}.")
    held = " It is off at the moment." if config.get("paused") else ""
    return Tried(True, f"It would start a run.{held}", given, same)


def send_sample(*, actor: Actor, name: str, data: JSONValue) -> tuple[DomainEvent, list[Firing]]:
    """Send this event as the API would, and what every trigger that waits for it answered.

    An empty list: nothing waits for it, or (a full minute) the keeper fires it in the next one. Raises NotAllowed,
    Invalid, TooLarge.
    """
    event, _ = send_event(actor=actor, name=name, data=data)
    try:
        fire_event(event)
    except TooManyRuns:
        return event, []
    answers = Firing.objects.for_tenant(actor.tenant).filter(event=event).select_related("workflow", "run")
    return event, list(answers)
