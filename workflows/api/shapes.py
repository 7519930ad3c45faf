"""A workflow, its versions and its step types as the API shows them (07 §1): the data, and its description."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ninja import Field, Schema

from workflows.api.base import ProblemOut, stamp
from workflows.definition.graph import Definition
from workflows.definition.schema import to_json
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow, WorkflowVersion
from workflows.steps.base import StepType
from workflows.steps.docs import type_schema
from workflows.tenancy.error_pages import problem_json

# --- the data -----------------------------------------------------------------------------------------------------


def workflow_summary(workflow: Workflow) -> JSONObject:
    """A workflow without its definition; `project` and `created_by` must be loaded."""
    return {
        "id": str(workflow.pk),
        "name": workflow.name,
        "description": workflow.description,
        "status": workflow.status,
        "version": workflow.latest_version or None,
        "revision": workflow.revision,
        "tags": workflow.tags,
        "project": str(workflow.project_id) if workflow.project_id else None,
        "created_by": str(workflow.created_by) if workflow.created_by is not None else None,
        "created_at": stamp(workflow.created_at),
        "updated_at": stamp(workflow.updated_at),
    }


def workflow_json(workflow: Workflow, definition: Definition, problems: Iterable[Problem]) -> JSONObject:
    return {
        **workflow_summary(workflow),
        "problems": [problem_json(problem) for problem in problems],
        "definition": to_json(definition),
    }


def version_json(version: WorkflowVersion) -> JSONObject:
    return {
        "number": version.number,
        "note": version.note,
        "content_hash": version.content_hash,
        "created_by": str(version.created_by) if version.created_by is not None else None,
        "created_at": stamp(version.created_at),
    }


def step_type_json(kind: StepType) -> JSONObject:
    ports = kind.ports({})
    return {
        "type": kind.name,
        "name": kind.label,
        "description": kind.description(),
        "group": str(kind.group),
        "icon": kind.icon,
        "aliases": list(kind.aliases),
        "is_container": kind.is_container,
        "is_outward": kind.is_outward,
        "ports": [{"name": port.name, "label": port.label} for port in ports],
        "output": [{"name": name, "type": of} for name, of in kind.output_fields({})],
        "retry_policy": kind.retry_policy({}).to_json(),
        "timeout_s": kind.default_timeout.total_seconds(),
        "config_schema": type_schema(kind),
    }


# --- its description ----------------------------------------------------------------------------------------------


class Position(Schema):
    x: float
    y: float


class FieldDeclaration(Schema):
    """A declared input or output of a step, checked before and after it runs."""

    name: str
    type: str = Field("any", description="string, number, boolean, object, array or any.")
    required: bool = False
    description: str = ""


class RetryPolicy(Schema):
    max_attempts: int = Field(1, description="Counts the first try.")
    delay_ms: float = 1_000
    backoff_multiplier: float = 2
    max_delay_ms: float = 60_000
    jitter: float = 0.1
    retry_on_errors: list[str] = Field(
        [], description="Codes of errors that are tried again; empty: all where it can help."
    )


class OnError(Schema):
    policy: str = Field("fail", description="fail, continue (with `default`) or route (by the port `error`).")
    default: Any = None


class Join(Schema):
    """When a step with several incoming edges starts."""

    rule: str = Field("all", description="all, any or count.")
    count: int = 1
    losers: str = Field(
        "cancel", description="What becomes of branches that are no longer waited for: cancel or leave."
    )


class Node(Schema):
    """A step. Everything but the type may be left out."""

    id: str = Field("", description="1 to 64 letters, digits, - or _; made from its place when left out.")
    type: str = Field(..., description="See GET /api/step-types; aliases are accepted.")
    name: str = ""
    description: str = ""
    position: Position | None = None
    config: dict[str, Any] = Field(
        {}, description="The type's settings: `config_schema` of GET /api/step-types."
    )
    inputs: list[FieldDeclaration] = []
    outputs: list[FieldDeclaration] = []
    enabled: bool = True
    parent: str | None = Field(None, description="Id of the container whose body the step is in.")
    order: int = 0
    retry_policy: RetryPolicy | None = None
    timeout_s: float | None = None
    on_error: OnError = OnError(policy="fail", default=None)
    join: Join = Join(rule="all", count=1, losers="cancel")
    pinned: dict[str, Any] | None = None
    note: str = ""
    generated: bool = False


class Edge(Schema):
    """A path from a step's port to a step."""

    id: str = ""
    source_node_id: str
    target_node_id: str
    source_output: str = Field("out", description="The port of the source.")
    target_input: str | None = Field(
        None, description="Names the source's output as {{inputs.NAME}} in the target."
    )
    condition: str | None = Field(None, description="An expression; the path is taken when it holds.")


class Variable(Schema):
    name: str
    type: str = Field("string", description="string, number, boolean, object or array.")
    kind: str = Field(
        "input", description="`input`: part of the run's input; `context`: lives through the run."
    )
    required: bool = False
    default_value: Any = None
    description: str = ""


class Trigger(Schema):
    id: str = ""
    type: str = Field(..., description="manual, schedule, webhook or event.")
    config: dict[str, Any] = {}
    input_mapping: dict[str, Any] = {}


_SETTINGS = (
    "yolo, default_model, max_run_time_s, error_workflow; fallback: models (provider:model) that answer, in order, where"
    " a step's own cannot; fallback_on_refusal; budget_usd: what one run may spend; budget_policy: warn, pause or stop."
)


class WorkflowDefinition(Schema):
    """The graph of a workflow."""

    nodes: list[Node] = []
    edges: list[Edge] = []
    variables: list[Variable] = []
    triggers: list[Trigger] = []
    settings: dict[str, Any] = Field({}, description=_SETTINGS)


class WorkflowSummary(Schema):
    """A workflow in a list."""

    id: str
    name: str
    description: str
    status: str = Field(..., description="draft, active (has a published version) or archived.")
    version: int | None = Field(..., description="Number of the newest published version.")
    revision: int = Field(..., description="Rises with every change of the draft; If-Match names it.")
    tags: list[str]
    project: str | None
    created_by: str | None
    created_at: str
    updated_at: str


class WorkflowRow(WorkflowSummary):
    """A workflow in a list; `definition` and `problems` are there with `include=definition`."""

    steps_count: int
    problems: list[ProblemOut] | None = None
    definition: WorkflowDefinition | None = None


class WorkflowOut(WorkflowSummary):
    """A workflow with its draft and what is wrong with it."""

    problems: list[ProblemOut]
    definition: WorkflowDefinition


class WorkflowPage(Schema):
    items: list[WorkflowRow]
    count: int


class Version(Schema):
    """A published version: immutable."""

    number: int
    note: str
    content_hash: str
    created_by: str | None
    created_at: str


class VersionWithDefinition(Version):
    definition: WorkflowDefinition


class VersionPage(Schema):
    items: list[Version]
    count: int


class Check(Schema):
    valid: bool = Field(..., description="Whether it could be published and run now.")
    problems: list[ProblemOut]


class StepTypePort(Schema):
    name: str
    label: str


class StepTypeOutput(Schema):
    name: str
    type: str


class StepTypeOut(Schema):
    """A kind of step, from its declaration."""

    type: str
    name: str
    description: str
    group: str
    icon: str
    aliases: list[str]
    is_container: bool
    is_outward: bool
    ports: list[StepTypePort]
    output: list[StepTypeOutput]
    retry_policy: RetryPolicy
    timeout_s: float
    config_schema: dict[str, Any] = Field(..., description="JSON Schema of its config.")


class StepTypePage(Schema):
    items: list[StepTypeOut]
    count: int
