"""A run ("execution"), its events and its reviews as the API shows them (07 §1): the data, and its description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ninja import Field, Schema

from runs.api.trace import Values, contexts_of, prepared_of, traces_of
from runs.models import EarlyDecision, Event, Review, Run
from workflows.api.base import money, stamp
from workflows.lib.jsontypes import JSONObject

# --- the data -----------------------------------------------------------------------------------------------------


def executions_json(runs: Sequence[Run], *, whole: bool, steps: bool) -> list[JSONObject]:
    """These runs; `whole` with large values as they are, `steps` with their trace. `version` must be loaded.

    A fixed number of queries: versions, context variables, blobs, and with `steps` the three of the trace.
    """
    versions = prepared_of(runs)
    contexts = contexts_of(runs, versions)
    values = Values(runs, whole=whole)
    values.read((run.pk, run.output) for run in runs)
    traces = traces_of(runs, versions, values) if steps else {}
    found = []
    for run in runs:
        current = versions[run.pk].definition.by_key.get(run.current_step)
        one: JSONObject = {
            "id": str(run.pk),
            "number": run.number,
            "workflow_id": str(run.workflow_id),
            "workflow_version": run.version.number,
            "kind": run.kind,
            "origin": str(run.origin_id) if run.origin_id else None,
            "from_step": run.from_step or None,
            "config_overrides": run.overrides,
            "breakpoints": run.debug.get("breakpoints", []),
            "trigger": run.trigger_type,
            "status": run.status,
            "intent": run.intent or None,
            "waiting_for": run.waiting_for,
            "current_node_id": run.current_step or None,
            "progress": {
                "completed_nodes": run.steps_done,
                "total_nodes": run.steps_total,
                "current_step": current.label if current is not None else None,
            },
            "context": contexts[run.pk],
            "input_data": values.of(run.pk, run.input),
            "output_data": values.of(run.pk, run.output),
            "error_message": (run.error or {}).get("message"),
            "error": run.error,
            "tokens": run.tokens,
            "cost": money(run.cost),
            "created_at": stamp(run.created_at),
            "started_at": stamp(run.started_at),
            "completed_at": stamp(run.completed_at),
            "duration_ms": run.duration_ms,
        }
        if steps:
            one["execution_trace"] = traces[run.pk]
        found.append(one)
    return found


def event_json(event: Event) -> JSONObject:
    """An event of the log and of the stream; its own fields stand beside the common ones."""
    return {
        **event.data,
        "seq": event.seq,
        "type": event.type,
        "at": stamp(event.at),
        "stepId": event.step_key or None,
        "stepLabel": event.label or None,
        "scope": event.scope or None,
    }


def review_json(
    review: Review, content: Any, *, may_decide: bool, back_to: Sequence[tuple[str, str]] = ()
) -> JSONObject:
    """`run`, `step_run`, `workflow` must be loaded; `content` is the value under review, whole."""
    return {
        "id": str(review.pk),
        "kind": review.kind,
        "status": review.status,
        "title": review.title,
        "instructions": review.instructions,
        "workflow_id": str(review.workflow_id),
        "workflow_name": review.workflow.name,
        "execution_id": str(review.run_id),
        "execution_number": review.run.number,
        "node_id": review.step_run.step_key if review.step_run is not None else None,
        "scope": review.step_run.scope if review.step_run is not None else "",
        "round": review.step_run.round if review.step_run is not None else 0,
        "content": content,
        "editable": review.editable,
        "assignees": review.assignees,
        "quorum": review.quorum,
        "decisions": [
            {"decision": button["decision"], "label": button["label"]} for button in review.buttons
        ],
        "may_go_back_to": [{"node_id": key, "name": label} for key, label in back_to],
        "back_to": review.back_to or None,
        "form": review.fields,
        "due_at": stamp(review.due_at),
        "default_decision": review.default_decision or None,
        "may_decide": may_decide,
        "decision": review.decision or None,
        "comment": review.comment,
        "output": review.edited,
        "fields": review.field_values,
        "decided_by": review.decided_by_label or None,
        "created_at": stamp(review.created_at),
        "decided_at": stamp(review.decided_at),
    }


def early_json(early: EarlyDecision) -> JSONObject:
    return {
        "execution_id": str(early.run_id),
        "node_id": early.step_key,
        "scope": early.scope,
        "decision": early.decision,
        "comment": early.comment,
        "output": early.edited,
        "fields": early.field_values,
        "decided_by": early.person_label or None,
        "created_at": stamp(early.created_at),
    }


# --- its description ----------------------------------------------------------------------------------------------


class Waiting(Schema):
    kind: str = Field(..., description="pause, review, delay or retry.")
    step: str | None = None
    step_key: str | None = None
    who: str | None = None
    until: str | None = None
    sentence: str = ""


class Progress(Schema):
    completed_nodes: int
    total_nodes: int
    current_step: str | None = Field(..., description="Name of the step that started last.")


class TraceRow(Schema):
    """What one step did in one scope and round."""

    node_id: str
    node_name: str
    type: str
    scope: str = Field(..., description="Where inside containers: `each[7]`; empty at the top.")
    index: int | None = Field(..., description="The item's place in the innermost container.")
    round: int
    attempt: int
    status: str = Field(
        ..., description="pending, queued, running, waiting, completed, failed, skipped or cancelled."
    )
    input_data: Any = Field(
        ..., description="What reached the step: output of the step before, or the input."
    )
    output_data: Any
    error_message: str | None
    error: dict[str, Any] | None
    skip_reason: str | None
    execution_id: str = Field(..., description="Id of the attempt.")
    started_at: str | None
    completed_at: str | None
    duration_ms: int | None
    tokens: int
    cost: float
    progress: dict[str, Any] | None = Field(
        ..., description="Items of a loop or fan-out: `total`, and how many in each status."
    )
    provider: str | None
    model: str | None
    notes: str | None
    reused: bool = Field(..., description="Taken over from the origin.")
    feedback: str | None = Field(..., description="What a reviewer asked to be changed in this round.")
    pinned: bool = Field(
        False, description="A test run took the step's pinned output: nothing was done or called."
    )


class Execution(Schema):
    """A run of a workflow. In lists, values over 262,144 bytes are `{"too_large": true, "href": …}`."""

    id: str
    number: int = Field(..., description="For people; counts within the workspace.")
    workflow_id: str
    workflow_version: int | None = Field(..., description="null: an unpublished draft.")
    kind: str = Field(..., description="live, test, step or replay.")
    origin: str | None = Field(..., description="The execution that this one repeats.")
    from_step: str | None = Field(..., description="Id of the step from which it repeats its origin.")
    config_overrides: dict[str, Any] = Field(
        ..., description="Settings of steps that this execution alone has: `{node id: {setting: value}}`."
    )
    breakpoints: list[str] = Field(..., description="Ids of steps before which it stops.")
    trigger: str
    status: str = Field(..., description="pending, running, paused, completed, failed or cancelled.")
    intent: str | None = Field(..., description="What was asked of it and is under way: pause or cancel.")
    waiting_for: list[Waiting]
    current_node_id: str | None
    progress: Progress
    context: dict[str, Any] = Field(..., description="Context variables.")
    input_data: dict[str, Any]
    output_data: dict[str, Any] | None
    error_message: str | None
    error: dict[str, Any] | None
    tokens: int
    cost: float = Field(..., description="US dollars.")
    created_at: str
    started_at: str | None
    completed_at: str | None
    duration_ms: int | None
    execution_trace: list[TraceRow] | None = Field(
        None, description="In one execution, and in lists with `include=steps`."
    )


class ExecutionPage(Schema):
    items: list[Execution]
    count: int


class TracePage(Schema):
    items: list[TraceRow]
    count: int


class LogRow(Schema, extra="allow"):
    """An event; fields of its own type stand beside these."""

    seq: int
    type: str
    at: str
    stepId: str | None
    stepLabel: str | None
    scope: str | None


class LogPage(Schema):
    items: list[LogRow]
    count: int


class Decision(Schema):
    decision: str
    label: str


class ReviewOut(Schema):
    """A question that waits, or has waited, for a person."""

    id: str
    kind: str = Field(
        ...,
        description="gate (a review step), effect (a step asks whether it sends again what may have got through) or "
        "budget (the run itself asks whether it may spend more).",
    )
    status: str = Field(..., description="open, held (the run failed elsewhere), decided or cancelled.")
    title: str
    instructions: str
    workflow_id: str
    workflow_name: str
    execution_id: str
    execution_number: int
    node_id: str | None = Field(..., description="The step that asks; null where the run itself does.")
    scope: str
    round: int
    content: Any = Field(..., description="The value under review.")
    editable: bool
    assignees: list[str]
    quorum: int
    decisions: list[Decision]
    may_go_back_to: list[dict[str, str]] = Field(
        ..., description="`{node_id, name}` of the steps that the decision `changes` may name in `to_step`."
    )
    back_to: str | None = Field(..., description="Id of the step to which the work was sent back.")
    form: list[dict[str, Any]]
    due_at: str | None
    default_decision: str | None
    may_decide: bool
    decision: str | None
    comment: str
    output: Any = Field(..., description="The value as the person changed it; null: unchanged.")
    fields: dict[str, Any]
    decided_by: str | None
    created_at: str
    decided_at: str | None


class ReviewPage(Schema):
    items: list[ReviewOut]
    count: int


class EarlyDecisionOut(Schema):
    """A decision that waits for its gate to open."""

    execution_id: str
    node_id: str
    scope: str
    decision: str
    comment: str
    output: Any
    fields: dict[str, Any]
    decided_by: str | None
    created_at: str
