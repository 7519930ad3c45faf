"""What starts a workflow: triggers of its draft are written here, and published ones held and let go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from django.db import transaction

from workflows.definition.edits import Edit, Effects, OperationRefused
from workflows.definition.graph import Definition, TriggerDef
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid, NotFound, Problem
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject
from workflows.models import PublishedTrigger, Workflow
from workflows.services.drafts import apply_operation
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission
from workflows.triggers import registry
from workflows.triggers.base import mapping_problems

EVENT = "event"


def save_event_trigger(
    *, workflow: Workflow, actor: Actor, config: JSONObject, input_mapping: JSONObject, key: str = ""
) -> str:
    """Write an event trigger into the draft (`key` empty: a new one); its key. The next version that is published has it.

    Raises Invalid with a problem for each setting that is wrong, OperationRefused for a key that is not there, and what
    `apply_operation` raises.
    """
    if problems := trigger_faults(config, input_mapping):
        raise Invalid(problems[0].message, problems=problems)
    chosen = key or f"event-{new_id().hex[-8:]}"
    names = config["event"] if isinstance(config.get("event"), list) else [config.get("event")]
    what = ", ".join(str(name) for name in names)

    def operation(definition: Definition) -> Edit:
        found = {trigger.id: trigger for trigger in definition.triggers}
        if key and (key not in found or found[key].type != EVENT):
            raise OperationRefused("gone", "This trigger is not in the draft any more.")
        found[chosen] = TriggerDef(chosen, EVENT, config, input_mapping)
        changed = replace(definition, triggers=tuple(found.values()))
        said = f"Starts when {what} happens." if not key else f"The trigger for {what} was changed."
        return Edit(changed, Effects(said))

    apply_operation(workflow=workflow, actor=actor, operation=operation)
    return chosen


def remove_trigger(*, workflow: Workflow, actor: Actor, key: str) -> None:
    """Take a trigger out of the draft; the published one goes with the next version. Raises OperationRefused."""

    def operation(definition: Definition) -> Edit:
        left = tuple(trigger for trigger in definition.triggers if trigger.id != key)
        if len(left) == len(definition.triggers):
            raise OperationRefused("gone", "This trigger is not in the draft any more.")
        return Edit(replace(definition, triggers=left), Effects("A trigger was removed."))

    apply_operation(workflow=workflow, actor=actor, operation=operation)


def switch_trigger(*, workflow: Workflow, actor: Actor, key: str, on: bool) -> PublishedTrigger:
    """Hold a published trigger or let it go on, at once and across versions. What happens meanwhile starts nothing.

    Raises NotAllowed, and NotFound where no published version has this trigger.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    with transaction.atomic():
        found = PublishedTrigger.objects.for_tenant(actor.tenant).filter(workflow=workflow, key=key)
        trigger = found.select_for_update().first()
        if trigger is None:
            raise NotFound("No published version has this trigger.")
        if (trigger.paused_at is None) != on:
            trigger.paused_at = None if on else utc_now()
            trigger.save(update_fields=["paused_at"])
            record(actor, "switched on a trigger of" if on else "switched off a trigger of", workflow)
    return trigger


def trigger_faults(config: JSONObject, input_mapping: Mapping[str, object]) -> tuple[Problem, ...]:
    """What is wrong with the settings of an event trigger; `field` names the setting, `input_mapping.NAME` a value."""
    kind = registry.find(EVENT)
    return (*(kind.check(config) if kind is not None else ()), *mapping_problems(dict(input_mapping)))
