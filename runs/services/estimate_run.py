"""The estimate of a workflow's next run, from the history of its last ones (P4)."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Final, Literal

from django.db.models import Sum

from runs.engine.statuses import RunStatus
from runs.models import Run, StepRun
from workflows.definition.generated import with_generated
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow, WorkflowVersion
from workflows.providers import registry
from workflows.providers.models import is_default
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.services.estimate import Estimate, Used, estimate
from workflows.services.library import with_library
from workflows.services.provider_accounts import accounts_of
from workflows.steps.catalog import CATALOG

RUNS: Final = 20


def estimate_run(
    *, workflow: Workflow, input_data: JSONObject | None = None, version: int | Literal["draft"] | None = None
) -> Estimate:
    """Low and high of one run: of `version`, else the latest published one, else the draft. A fixed number of queries."""
    definition = None
    if version != "draft":
        number = version if version is not None else workflow.latest_version
        row = WorkflowVersion.objects.filter(
            workflow=workflow, tenant_id=workflow.tenant_id, number=number or None
        ).first()
        definition = load_definition(row) if row is not None and number else None
    if definition is None:
        definition = with_library(compile_draft(workflow), workflow.tenant)
    definition = with_generated(definition, CATALOG.generated)
    runs, history = _history(workflow)
    default = definition.settings.get("default_model")
    return estimate(
        definition,
        history=history,
        runs=runs,
        default_model=(None if is_default(default) else default)
        or workflow.tenant.default_model
        or _own_default(workflow),
        input_text=json.dumps(input_data, ensure_ascii=False) if input_data else "",
    )


def _own_default(workflow: Workflow) -> str | None:
    """The model of the tenant's first own account, as the driver takes it."""
    for name in accounts_of(workflow.tenant_id):
        if model := registry.get(name).default_model():
            return f"{name}:{model}"
    return None


def _history(workflow: Workflow) -> tuple[int, dict[str, list[Used]]]:
    """How many runs, and for each step that is in any of them its tokens in each: all its tries, rounds and items."""
    newest = (
        Run.objects.filter(tenant_id=workflow.tenant_id, workflow=workflow, status=RunStatus.COMPLETED)
        .filter(kind__in=[Run.Kind.LIVE, Run.Kind.TEST])
        .order_by("-created_at")
        .values_list("pk", flat=True)[:RUNS]
    )
    ids = list(newest)
    used: dict[str, dict[object, Used]] = defaultdict(dict)
    rows = (
        StepRun.objects.filter(run__in=ids)
        .order_by()
        .values_list("step_key", "run_id")
        .annotate(Sum("input_tokens"), Sum("output_tokens"))
    )
    for key, run, sent, came in rows:
        used[key][run] = (sent or 0, came or 0)
    return len(ids), {key: [found.get(run, (0, 0)) for run in ids] for key, found in used.items()}
