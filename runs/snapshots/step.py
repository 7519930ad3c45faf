"""One step of a run in full: what the inspector shows. A fixed number of queries, whatever the step did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from runs.engine.statuses import AttemptStatus, StepStatus
from runs.models import Attempt, Delivery, Event, Review, Run, StepRun
from runs.selectors import variables_of
from runs.snapshots import words
from runs.snapshots.definitions import definitions_of, step_type_of, tile_of
from runs.snapshots.outbox import Sent, sent_of
from runs.snapshots.shapes import Output
from runs.snapshots.values import as_json, output_view, unpacked
from workflows.definition.graph import Definition, StepDef
from workflows.expressions.names import MISSING, Scope
from workflows.expressions.paths import Path, normal, resolve
from workflows.expressions.references import expression_references, references
from workflows.lib.errors import StepwellError
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import StepType
from workflows.steps.catalog import CATALOG

# Long values are cut for the eye; the whole text of a step stands under its own output.
_VALUE_CHARS = 20_000
_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Value:
    """A reference beside what it gave: `text` for reading, `problem` when it gave nothing."""

    path: str
    text: str
    is_text: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One model call as it was sent and answered."""

    provider: str
    model: str
    messages: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    answer: str
    finish: str
    tokens: str
    cost: Decimal | None
    error: str
    demo: bool
    account: str = ""


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt. `shape` is a status of `ui.status`; `then` says what happened next."""

    number: int
    status: str
    took_ms: int | None
    model: str
    tokens: int
    cost: Decimal
    said: str
    then: str
    detail: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of the step."""

    seq: int
    at: datetime
    words: str


@dataclass(frozen=True, slots=True)
class StepPanel:
    """Everything the inspector prints of one step."""

    key: str
    label: str
    icon: str
    tile: str
    does: str
    status: str
    retried: bool
    review: bool
    rounds: int
    took_ms: int | None
    since: datetime | None
    tokens: int
    cost: Decimal | None
    model: str
    demo: bool
    output: Output | None
    notes: str
    error: str
    live_attempt: str
    live_text: str
    values: tuple[Value, ...]
    previous: tuple[Value, ...]
    tries: tuple[Try, ...]
    happened: tuple[Happening, ...]
    decision: str
    decision_comment: str
    original: Output | None
    uses_model: bool
    sent: tuple[Sent, ...] = ()
    has_items: bool = False

    @property
    def sent_to(self) -> tuple[tuple[str, str], ...]:
        """Whom a failed step asked last, by name and value; empty where it asked nobody or came through."""
        if self.status != StepStatus.FAILED or not self.calls:
            return ()
        last = self.calls[-1]
        asked = list(dict.fromkeys(call.model for call in self.calls))
        account = (
            f"{last.provider}, “{last.account}”" if last.account not in ("", "environment") else last.provider
        )
        others = ", ".join(model for model in asked if model != last.model)
        fallback = (("Fallback", f"Asked before: {others}" if others else "None set"),)
        return (("Provider", account), ("Model", last.model.partition(":")[2]), *last.settings, *fallback)

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(call for one in self.tries for call in one.calls)


def step_panel(run: Run, key: str, *, scope: str = "") -> StepPanel | None:
    """The step of this key in the run's version; None when there is none. `scope` names the item of a container's step."""
    definition = definitions_of({run.version_id})[run.version_id]
    if key not in definition.by_key:
        return None
    step = definition.step(key)
    kind = step_type_of(step.type)
    row = (
        StepRun.objects.filter(run=run, tenant_id=run.tenant_id, step_key=key, scope=scope)
        .order_by("-round")
        .first()
    )
    attempts = (
        list(Attempt.objects.filter(step_run=row, tenant_id=run.tenant_id).order_by("started_at", "id"))
        if row
        else []
    )
    review = (
        Review.objects.filter(step_run=row, tenant_id=run.tenant_id)
        .defer("content")
        .order_by("-created_at")
        .first()
        if row
        else None
    )
    events = Event.objects.filter(run=run, tenant_id=run.tenant_id, step_key=key).order_by("-seq")[:_EVENTS]
    open_attempt = next((a for a in reversed(attempts) if a.status == AttemptStatus.OPEN), None)
    running = row is not None and row.started_at is not None and row.completed_at is None
    # While it writes only the try knows who does.
    asked = open_attempt if open_attempt is not None and open_attempt.provider else row
    tries = tuple(tries_of(attempts))
    value = unpacked(row.output, run) if row is not None and row.output is not None else None
    decided = review is not None and review.status == Review.Status.DECIDED
    original = value.get("original") if decided and isinstance(value, dict) else None
    return StepPanel(
        key=key,
        label=step.label,
        icon=kind.icon if kind is not None else "puzzle",
        tile=tile_of(step, kind),
        does=kind.summary(step.config) if kind is not None else "",
        status=str(row.status)
        if row is not None
        else (StepStatus.PENDING if step.enabled else StepStatus.SKIPPED),
        retried=any(a.counted and a.error for a in attempts),
        review=row is not None and row.status == StepStatus.WAITING and row.wait == "review",
        rounds=(row.round + 1) if row is not None else 0,
        took_ms=None if row is None or running or row.completed_at is None else row.duration_ms,
        since=row.started_at if row is not None and running else None,
        tokens=row.tokens if row is not None else 0,
        cost=row.cost if row is not None and row.cost_known and row.tokens else None,
        model=words.model_words(asked.provider, asked.model)
        if asked is not None and (asked.model or asked.provider)
        else "",
        demo=row is not None and row.provider == "demo",
        output=output_view(value) if value is not None else None,
        notes=row.notes if row is not None else "",
        error=str((row.error or {}).get("message", "")) if row is not None else "",
        live_attempt=str(open_attempt.pk)
        if open_attempt is not None and row is not None and row.status == StepStatus.RUNNING
        else "",
        live_text=open_attempt.text if open_attempt is not None else "",
        values=tuple(_values(run, definition, step, row)),
        previous=tuple(_previous(run, definition, step, row)),
        tries=tries,
        happened=tuple(Happening(e.seq, e.at, told(e)) for e in events),
        decision=words.decided(review) if decided and review is not None else "",
        decision_comment=review.comment if decided and review is not None else "",
        original=output_view(original)
        if original is not None and review is not None and review.edited is not None
        else None,
        uses_model=kind is not None and kind.uses_model(step.config),
        sent=tuple(_sent(run, key, kind, scope)),
        has_items=CATALOG.is_container(step.type),
    )


def _sent(run: Run, key: str, kind: StepType | None, scope: str) -> Iterator[Sent]:
    """What this step has sent in any round, newest first; asked only of steps that send."""
    if kind is None or not (kind.is_outward or kind.name == "send_event"):
        return
    rows = Delivery.objects.filter(
        run=run, tenant_id=run.tenant_id, step_run__step_key=key, step_run__scope=scope
    )
    yield from (sent_of(row) for row in rows.order_by("-created_at")[:20])


# --- what it was given ---------------------------------------------------------------------------


def _outputs(run: Run, keys: set[str]) -> dict[str, JSONValue]:
    """The current outputs of these steps, in one query (and one for each that is kept beside its row)."""
    rows = (
        StepRun.objects.filter(
            run=run, tenant_id=run.tenant_id, step_key__in=keys, scope="", output__isnull=False
        )
        .order_by("round")
        .values_list("step_key", "output")
    )
    return {key: unpacked(output, run) for key, output in rows}


def _sources(definition: Definition, step: StepDef, row: StepRun | None) -> list[str]:
    """Keys of the steps whose paths were live when this one started."""
    edges = definition.incoming(step.key)
    live = [edge.source for edge in edges if row is None or not row.inputs or edge.id in row.inputs]
    return [key for key in dict.fromkeys(live) if key in definition.by_key]


def _previous(run: Run, definition: Definition, step: StepDef, row: StepRun | None) -> Iterator[Value]:
    """What came along the paths that lead here; the run's input for a first step."""
    sources = _sources(definition, step, row)
    if not definition.incoming(step.key):
        for name, value in run.input.items():
            yield shown_value(f"input.{name}", value)
        return
    outputs = _outputs(run, set(sources))
    for key in sources:
        if key in outputs:
            yield shown_value(definition.step(key).label, outputs[key])


def arriving(run: Run, key: str) -> JSONValue:
    """What the step of the top level got in its newest round: what a person gave, else the output of the one step
    before it, else the run's input. None where several steps lead to it."""
    definition = definitions_of({run.version_id})[run.version_id]
    step = definition.by_key.get(key)
    rows = StepRun.objects.filter(run=run, tenant_id=run.tenant_id, scope="", step_key=key)
    row = rows.defer("output", "variables").order_by("-round").first()
    if step is None or (row is not None and row.given is not None):
        return row.given.get("value") if row is not None and row.given is not None else None
    sources = _sources(definition, step, row)
    if not definition.incoming(key):
        return run.input
    outputs = _outputs(run, set(sources))
    return outputs.get(sources[0]) if len(sources) == 1 else None


def _values(run: Run, definition: Definition, step: StepDef, row: StepRun | None) -> Iterator[Value]:
    """Each reference in the step's settings beside what it gives in this run."""
    paths: dict[str, Path] = {}
    for _, text in CATALOG.templates(step):
        for reference in references(text):
            paths.setdefault(str(reference.path), reference.path)
    for _, text in CATALOG.expressions(step):
        for reference in expression_references(text, definition.labels()):
            paths.setdefault(str(reference.path), reference.path)
    if not paths:
        return
    by_label = {normal(other.label): other for other in definition.steps}
    wanted = {
        by_label[normal(p.label)].key for p in paths.values() if p.label and normal(p.label) in by_label
    }
    sources = _sources(definition, step, row)
    outputs = _outputs(run, wanted | set(sources))
    scope = Scope(
        input=run.input,
        steps={definition.step(key).label: value for key, value in outputs.items()},
        vars=_variables(run, definition),
        previous=_previous_value(run, definition, sources, outputs),
        run={
            "id": str(run.pk),
            "number": run.number,
            "started_at": (run.started_at or run.created_at).isoformat(),
        },
        trigger={"type": run.trigger_type, "data": run.trigger_data},
        labels=frozenset(definition.labels()),
    )
    for written, path in paths.items():
        try:
            yield shown_value(written, resolve(path, scope))
        except StepwellError as error:
            yield Value(written, "", is_text=True, problem=error.message)


def previous_of(run: Run, definition: Definition, step: StepDef, row: StepRun | None) -> Any:
    """What arrives at a step; MISSING where nothing has. Two queries at most."""
    sources = _sources(definition, step, row)
    return _previous_value(run, definition, sources, _outputs(run, set(sources)) if sources else {})


def _previous_value(
    run: Run, definition: Definition, sources: list[str], outputs: Mapping[str, JSONValue]
) -> Any:
    there = [key for key in sources if key in outputs]
    if not sources:
        return run.input
    if len(there) == 1:
        return outputs[there[0]]
    return {definition.step(key).label: outputs[key] for key in there} if there else MISSING


def _variables(run: Run, definition: Definition) -> JSONObject:
    """The context variables as the run's steps have set them so far."""
    values: JSONObject = {v.name: v.default for v in definition.context_variables()}
    values |= {k: v for k, v in run.input.items() if k in {w.name for w in definition.input_variables()}}
    values |= run.variables or {}
    setters = StepRun.objects.filter(run=run, tenant_id=run.tenant_id).exclude(variables={})
    by_steps = setters.values_list("variables_seq", "variables")
    return {**values, **variables_of(definition, values, by_steps, run.debug.get("edits", ()))}


def shown_value(path: str, value: JSONValue) -> Value:
    text = words.text_of(value)
    body = text if text is not None else as_json(value)
    if len(body) > _VALUE_CHARS:
        body = f"{body[:_VALUE_CHARS]}\n… {len(body) - _VALUE_CHARS:,} more characters"
    return Value(path, body, is_text=text is not None)


# --- what was tried ------------------------------------------------------------------------------


def tries_of(attempts: list[Attempt]) -> Iterator[Try]:
    counted = 0
    for place, attempt in enumerate(attempts):
        counted += attempt.counted
        after = attempts[place + 1] if place + 1 < len(attempts) else None
        error: JSONObject = attempt.error or {}
        took = attempt.ended_at - attempt.started_at if attempt.ended_at is not None else None
        then = ""
        if error and after is not None and attempt.ended_at is not None:
            wait = after.started_at - attempt.ended_at
            then = (
                f"Waited {words.seconds(wait)}." if wait >= timedelta(seconds=0.3) else "Tried again at once."
            )
        elif error and attempt.status == AttemptStatus.FAILED:
            then = "Gave up." if error.get("retryable") else "Not tried again."
        yield Try(
            number=attempt.number,
            status={
                AttemptStatus.OPEN: "running",
                AttemptStatus.SUCCEEDED: "completed",
                AttemptStatus.FAILED: "failed",
                AttemptStatus.INTERRUPTED: "paused",
                AttemptStatus.CANCELLED: "cancelled",
            }[AttemptStatus(attempt.status)],
            took_ms=round(took.total_seconds() * 1000) if took is not None else None,
            model=words.model_words(attempt.provider, attempt.model)
            if attempt.model or attempt.provider
            else "",
            tokens=attempt.input_tokens + attempt.output_tokens,
            cost=attempt.cost,
            said=str(error.get("message") or "")
            if attempt.counted
            else "The worker stopped, which does not count as a try.",
            then=then,
            detail=str(error.get("detail") or ""),
            calls=tuple(_call(call) for call in attempt.calls),
        )


def _call(call: JSONObject) -> Call:
    usage: JSONObject = call.get("usage") or {}
    error = call.get("error")
    settings = [
        (name, str(call[key]))
        for name, key in (("Temperature", "temperature"), ("Max tokens", "max_tokens"))
        if call.get(key) is not None
    ]
    if call.get("response_schema"):
        settings.append(("Answer", "JSON of a given shape"))
    cost = call.get("cost")
    return Call(
        provider=words.provider_name(str(call.get("provider") or "")),
        model=str(call.get("model") or ""),
        messages=tuple(
            (str(m.get("role", "")), str(m.get("content", ""))) for m in call.get("messages") or ()
        ),
        settings=tuple(settings),
        answer=str(call.get("text") or ""),
        finish=str(call.get("finish_reason") or ""),
        tokens=f"{usage.get('input_tokens', 0):,} in, {usage.get('output_tokens', 0):,} out" if usage else "",
        cost=Decimal(str(cost)) if cost is not None else None,
        error=str(error.get("message") if isinstance(error, dict) else error or ""),
        demo=bool(call.get("is_demo")),
        account=str(call.get("account") or ""),
    )


def told(event: Event) -> str:
    """An event in words."""
    data: JSONObject = event.data
    match event.type:
        case "progress":
            return f"Started, try {data['attempt']}" if data.get("attempt", 1) != 1 else "Started"
        case "completed":
            return "Finished"
        case "skipped":
            return "Skipped"
        case "retry":
            return f"Try {data.get('attempt', '')} of {data.get('of', '')} to come: {data.get('reason', '')}"
        case "fallback":
            return f"Used a fallback: {data.get('reason', '')}"
        case "error":
            return f"Failed: {data.get('message', '')}"
        case "review_requested":
            return "Asked for a review"
        case "review_reassigned":
            who = ", ".join(str(entry).partition(":")[2] for entry in data.get("to") or ())
            return f"Handed over to {who}" if data.get("what") == "delegated" else f"Escalated to {who}"
        case "review_decided":
            return f"Decided by {data.get('by', '')}: {data.get('decision', '')}"
        case "variable_set":
            by = f" by {data['by']}" if data.get("by") else ""
            return f"{data.get('name', 'A variable')} set{by}"
        case "edited":
            if data.get("refused"):
                return f"{data.get('by', '')} could not change the {data.get('what')}: {data['refused']}"
            return f"{str(data.get('what', 'data')).capitalize()} changed by {data.get('by', '')}"
        case _:
            return event.type.replace("_", " ").capitalize()
