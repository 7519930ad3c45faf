"""Starts what waits for an event: every published trigger that means it, once; by whoever told it, or by the keeper."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from runs.models import Firing, Run
from runs.services.start_run import TooManyRuns, start_run
from workflows.expressions.errors import TextError
from workflows.lib.clock import utc_now
from workflows.lib.errors import StepwellError
from workflows.lib.limits import EVENT_STARTS, RUN_DEPTH
from workflows.models import DomainEvent, PublishedTrigger, Workflow
from workflows.tenancy.actor import system_actor
from workflows.triggers import registry
from workflows.triggers.base import Occasion, TriggerType, mapped
from workflows.triggers.event import DAY_S

log = logging.getLogger(__name__)

EVENT: Final = "event"
# After so many tries that ended in a fault of our own the event stands as it is.
_TRIES: Final = 20


def fire_events(limit: int = 100) -> int:
    """Fire events that nobody has fired yet, oldest first; returns how many. Two keepers may do so at once."""
    waiting = DomainEvent.objects.filter(
        # A failing one waits longer each time, so that it blocks nobody.
        Q(tries=0) | Q(created_at__lt=Now() - timedelta(minutes=1)),
        fired_at__isnull=True,
        tries__lt=_TRIES,
    )
    done = 0
    for event in waiting.select_related("tenant").order_by("tries", "created_at")[:limit]:
        try:
            fire_event(event)
        except TooManyRuns:
            # The tenant's minute is full: it goes on in the next one.
            continue
        except Exception:
            DomainEvent.objects.filter(pk=event.pk).update(tries=F("tries") + 1)
            log.exception("event_not_fired", extra={"event_id": str(event.pk)})
            continue
        done += 1
    return done


def fire_event(event: DomainEvent) -> None:
    """Start what waits for this event, as far as that has not happened. Raises TooManyRuns: call again later."""
    occasion = Occasion(event.name, event.data, str(event.pk))
    started = 0
    for trigger, kind in _meant(event, occasion):
        if started >= EVENT_STARTS.value:
            _note(event, trigger, Firing.Outcome.REFUSED, EVENT_STARTS.says())
        elif _fire(event, trigger, kind, occasion):
            started += 1
    DomainEvent.objects.filter(pk=event.pk, fired_at__isnull=True).update(fired_at=utc_now())


def _meant(event: DomainEvent, occasion: Occasion) -> Iterator[tuple[PublishedTrigger, TriggerType]]:
    """Event triggers of active workflows that take the event's name in and have not answered it."""
    kind = registry.find(EVENT)
    assert kind is not None
    answered = set(Firing.objects.filter(event=event).values_list("workflow_id", "trigger_key"))
    rows = PublishedTrigger.objects.filter(
        tenant_id=event.tenant_id,
        type=EVENT,
        paused_at__isnull=True,
        workflow__status=Workflow.Status.ACTIVE,
        workflow__deleted_at__isnull=True,
    )
    for trigger in rows.select_related("workflow").order_by("workflow_id", "id"):
        if (trigger.workflow_id, trigger.key) not in answered and kind.matches(trigger.config, occasion):
            yield trigger, kind


def _fire(event: DomainEvent, trigger: PublishedTrigger, kind: TriggerType, occasion: Occasion) -> bool:
    """One trigger's answer, written with the run that it starts. Whether a run was started."""
    outcome = Firing.Outcome
    try:
        if not kind.passes(trigger.config, occasion):
            _note(event, trigger, outcome.FILTERED, "")
            return False
        key = _short(kind.dedupe_key(trigger.config, occasion))
        data = mapped(trigger.input_mapping, occasion, EVENT)
    except TextError as error:
        _note(event, trigger, outcome.REFUSED, f"{error}")
        return False
    if event.depth >= RUN_DEPTH.value:
        _note(event, trigger, outcome.REFUSED, RUN_DEPTH.says())
        return False
    try:
        with transaction.atomic():
            # The answer first: of two keepers the second one waits here, and then has nothing to do.
            firing = Firing.objects.create(**_of(event, trigger), outcome=outcome.STARTED, dedupe_key=key)
            if key and (earlier := _same(firing, trigger)) is not None:
                firing.outcome, firing.reason = outcome.DUPLICATE, f"Event {earlier.event_id} was the same."
                firing.save(update_fields=["outcome", "reason"])
                return False
            firing.run = _start(event, trigger, occasion, data)
            firing.save(update_fields=["run"])
    except IntegrityError:
        return False
    except TooManyRuns:
        raise
    except StepwellError as error:
        _note(event, trigger, outcome.REFUSED, error.message)
        return False
    return True


def _start(event: DomainEvent, trigger: PublishedTrigger, occasion: Occasion, data: dict[str, object]) -> Run:
    return start_run(
        workflow=trigger.workflow,
        actor=system_actor(event.tenant),
        input_data=data,
        trigger_type=EVENT,
        trigger_data={"name": occasion.name, "id": occasion.id, "data": occasion.data},
        depth=event.depth,
    )


def _same(firing: Firing, trigger: PublishedTrigger) -> Firing | None:
    window = float(trigger.config.get("dedupe_for_s") or DAY_S)
    earlier = Firing.objects.filter(
        workflow_id=firing.workflow_id,
        trigger_key=firing.trigger_key,
        dedupe_key=firing.dedupe_key,
        outcome=Firing.Outcome.STARTED,
        at__gt=utc_now() - timedelta(seconds=window),
    )
    return earlier.exclude(pk=firing.pk).order_by("-at").first()


def _short(key: str) -> str:
    return key if len(key) <= 200 else hashlib.sha256(key.encode()).hexdigest()


def _of(event: DomainEvent, trigger: PublishedTrigger) -> dict[str, object]:
    return {
        "event": event,
        "tenant_id": event.tenant_id,
        "workflow_id": trigger.workflow_id,
        "trigger_key": trigger.key,
    }


def _note(event: DomainEvent, trigger: PublishedTrigger, outcome: str, reason: str) -> None:
    """An answer without a run, so that the trigger's history says why."""
    Firing.objects.bulk_create(
        [Firing(**_of(event, trigger), outcome=outcome, reason=reason)], ignore_conflicts=True
    )
