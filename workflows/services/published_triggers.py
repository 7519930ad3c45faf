"""The triggers of a version that is published become the ones that are looked at; and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from workflows.definition.graph import Definition
from workflows.lib.errors import Problem
from workflows.models import PublishedTrigger, WorkflowVersion
from workflows.triggers import registry
from workflows.triggers.base import mapping_problems


def trigger_problems(definition: Definition) -> Iterator[Problem]:
    """What is wrong with the settings of triggers, as far as their types are installed."""
    for number, trigger in enumerate(definition.triggers):
        kind = registry.find(trigger.type)
        if kind is None:
            continue
        path = f"definition.triggers[{number}]"
        for problem in kind.check(trigger.config):
            yield replace(problem, path=f"{path}.config.{problem.field}")
        for problem in mapping_problems(trigger.input_mapping):
            yield replace(problem, path=f"{path}.{problem.field}")


def take_triggers(version: WorkflowVersion, definition: Definition) -> None:
    """In the transaction that publishes: the version's triggers replace those of the one before; held ones stay held."""
    held = dict(
        PublishedTrigger.objects.filter(workflow_id=version.workflow_id, paused_at__isnull=False).values_list(
            "key", "paused_at"
        )
    )
    PublishedTrigger.objects.filter(workflow_id=version.workflow_id).delete()
    PublishedTrigger.objects.bulk_create(
        PublishedTrigger(
            workflow_id=version.workflow_id,
            tenant_id=version.tenant_id,
            version=version,
            key=trigger.id,
            type=trigger.type,
            config=trigger.config,
            input_mapping=trigger.input_mapping,
            paused_at=held.get(trigger.id),
        )
        for trigger in definition.triggers
    )
