"""Short ways to make a workflow, start it and drive it in the test's own thread."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from runs.engine.statuses import RunStatus
from runs.models import Event, Run, StepRun
from runs.services.drive_run import drive
from tests.support import factories
from workflows.definition.graph import Definition
from workflows.definition.schema import canonical_json, content_hash, parse_definition
from workflows.models import Workflow, WorkflowVersion
from workflows.steps import registry
from workflows.steps.catalog import CATALOG, clean_config
from workflows.tenancy.actor import Actor


def node(key: str, type: str = "transform", **fields: Any) -> dict[str, Any]:
    """A node of the API's shape; a transform passes its input's text on unless a config is given."""
    config = fields.pop(
        "config",
        {"mode": "template", "template": f"{key} after {{{{ previous }}}}"} if type == "transform" else {},
    )
    config, problems = clean_config(registry.get(type), config)
    assert not problems, problems
    return {"id": key, "type": type, "name": fields.pop("name", key.title()), "config": config, **fields}


def edges(*paths: str) -> list[dict[str, Any]]:
    """`a>b>c`, or `a:false>b` for a named port."""
    found: list[dict[str, Any]] = []
    for path in paths:
        names = path.split(">")
        for left, right in pairwise(names):
            source, _, port = left.partition(":")
            target = right.partition(":")[0]
            found.append(
                {
                    "id": f"e{len(found)}-{source}-{target}",
                    "source_node_id": source,
                    "target_node_id": target,
                    **({"source_output": port} if port else {}),
                }
            )
    return found


def definition_of(nodes: list[dict[str, Any]], *paths: str, **more: Any) -> Definition:
    document = {"nodes": nodes, "edges": [*edges(*paths), *more.pop("edges", [])], **more}
    return parse_definition(document, CATALOG)


def version_of(actor: Actor, definition: Definition, number: int | None = 1) -> WorkflowVersion:
    workflow: Workflow = factories.workflow(actor.tenant)
    Workflow.objects.filter(pk=workflow.pk).update(
        latest_version=number or 0, status="active" if number else "draft", settings=definition.settings
    )
    return WorkflowVersion.objects.create(
        workflow=workflow,
        tenant=actor.tenant,
        number=number,
        document=canonical_json(definition),
        content_hash=content_hash(definition),
    )


def started(
    actor: Actor, definition: Definition, input_data: dict[str, Any] | None = None, **fields: Any
) -> Run:
    """A run of a new published workflow with this definition, started but not driven."""
    from runs.services.start_run import start_run

    version = version_of(actor, definition)
    version.workflow.refresh_from_db()
    return start_run(workflow=version.workflow, actor=actor, input_data=input_data or {}, **fields)


def driven(run: Run) -> Run:
    """Drive until the run rests or is over."""
    drive(run.pk)
    run.refresh_from_db()
    return run


def rows(run: Run) -> dict[str, StepRun]:
    """The current step row of each step."""
    return {row.step_key: row for row in StepRun.objects.filter(run=run).order_by("round")}


def statuses(run: Run) -> dict[str, str]:
    return {key: row.status for key, row in rows(run).items()}


def event_types(run: Run) -> list[str]:
    events = list(Event.objects.filter(run=run).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), "event numbers have a gap"
    assert run.event_seq == len(events)
    return [event.type for event in events]


def finished(run: Run) -> bool:
    return RunStatus(run.status).is_over
