"""The drafts of many workflows at once, in four queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from django.db import models

from workflows.definition.graph import Definition
from workflows.models import Edge, Step, Trigger, Variable, Workflow
from workflows.services.drafts import DraftRows, definition_of

M = TypeVar("M", bound=models.Model)


def compile_drafts(workflows: Sequence[Workflow]) -> list[Definition]:
    """The definition of each, in the same order; for one workflow `compile_draft` also watches its revision."""
    steps, edges = _grouped(Step, workflows, "place"), _grouped(Edge, workflows, "order")
    variables, triggers = _grouped(Variable, workflows, "order"), _grouped(Trigger, workflows, "order")
    return [
        definition_of(
            DraftRows(steps[row.pk], edges[row.pk], variables[row.pk], triggers[row.pk]), row.settings
        )
        for row in workflows
    ]


def _grouped(model: type[M], workflows: Sequence[Workflow], order: str) -> dict[Any, list[M]]:
    found: dict[Any, list[M]] = defaultdict(list)
    rows = model._default_manager.filter(workflow__in=[workflow.pk for workflow in workflows])
    for row in rows.order_by(order, "pk"):
        found[cast(Any, row).workflow_id].append(row)
    return found
