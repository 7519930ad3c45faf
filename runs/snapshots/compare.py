"""Two runs of one workflow side by side: per step how it went, what it took and cost, and how the outputs differ."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from runs.engine.statuses import RunStatus, StepStatus, Wait
from runs.models import Run, StepRun
from runs.snapshots import words
from runs.snapshots.definitions import definitions_of, order_of, step_type_of, tile_of
from runs.snapshots.items import items_of
from runs.snapshots.values import as_json
from workflows.definition.graph import StepDef
from workflows.definition.textdiff import DiffLine, diff_lines
from workflows.definition.types import START
from workflows.lib.jsontypes import JSONObject, JSONValue

# What a person reads beside each other; a whole output stands in its run.
_CHARS = 12_000
_OUTPUTS = 60
# The marks of words are worth this much of a request, no more; then texts stand side by side without them.
_SECONDS = 1.0
_OTHERS = 20


@dataclass(frozen=True, slots=True)
class StepSide:
    """How a step went in one of the runs; `took_ms` None where it did not end."""

    status: str
    retried: bool
    review: bool
    reused: bool
    took_ms: int | None
    tokens: int
    cost: Decimal
    demo: bool
    model: str


@dataclass(frozen=True, slots=True)
class StepPair:
    """One step in both runs. `verdict` says in words how the outputs differ; `lines` and, past the limit, `texts`."""

    key: str
    label: str
    icon: str
    tile: str
    a: StepSide | None
    b: StepSide | None
    verdict: str
    lines: tuple[DiffLine, ...] = ()
    texts: tuple[str, str] = ("", "")

    @property
    def differs(self) -> bool:
        return bool(self.lines or any(self.texts))


@dataclass(frozen=True, slots=True)
class Changed:
    """A setting that the second run had for itself, before and after."""

    label: str
    setting: str
    lines: tuple[DiffLine, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything of the page; sums leave out what was reused, which cost nothing again."""

    pairs: tuple[StepPair, ...]
    changed: tuple[Changed, ...]
    input_differs: tuple[DiffLine, ...]
    output: StepPair | None

    @property
    def different(self) -> int:
        return sum(pair.differs for pair in self.pairs)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose replay a run is: `said` tells in a sentence what it does again and with what."""

    run: Run
    said: str
    adoptable: bool


def origin_of(run: Run) -> Origin | None:
    """None for a run that is no replay. One query."""
    if not run.origin_id:
        return None
    origin = Run.objects.filter(pk=run.origin_id, tenant_id=run.tenant_id).only("id", "number").first()
    if origin is None:
        return None
    by_key = definitions_of({run.version_id})[run.version_id].by_key
    labels: list[str] = []
    for key, fields in run.overrides.items():
        step = by_key.get(key)
        kind = step_type_of(step.type) if step is not None else None
        for name in fields:
            field = kind.ConfigForm.base_fields.get(name) if kind is not None else None
            labels.append(str(field.label if field is not None and field.label else name).lower())
    start = by_key[run.from_step].label if run.from_step in by_key else ""
    said = f"It does run {origin.number} again{f' from “{start}”' if start else ''}"
    if labels:
        said = f"{said}, with another {' and '.join(dict.fromkeys(labels))}"
    return Origin(origin, f"{said}.", bool(run.overrides))


def partner_of(run: Run) -> Run | None:
    """What a run is best compared with: its origin, else the run of the same workflow before it. One query."""
    mine = Run.objects.filter(tenant_id=run.tenant_id, workflow_id=run.workflow_id).select_related(
        "workflow", "version"
    )
    if run.origin_id:
        return mine.filter(pk=run.origin_id).first()
    before = mine.filter(number__lt=run.number).exclude(kind=Run.Kind.STEP)
    return before.order_by("-number").first()


def others_of(run: Run) -> list[Run]:
    """The newest runs of the same workflow, to choose from, newest first."""
    mine = Run.objects.filter(tenant_id=run.tenant_id, workflow_id=run.workflow_id).exclude(
        kind=Run.Kind.STEP
    )
    fields = ("id", "number", "status", "kind", "created_at", "origin_id", "from_step")
    return list(mine.only(*fields).order_by("-number")[:_OTHERS])


def compared(a: Run, b: Run) -> Comparison:
    """Both runs of one tenant and workflow. At most eight queries, whatever the number of steps."""
    definitions = definitions_of({a.version_id, b.version_id})
    steps: dict[str, StepDef] = {}
    for run in (b, a):
        for step in order_of(definitions[run.version_id]):
            if step.type != START:
                steps.setdefault(step.key, step)
    rows: dict[Run, dict[str, StepRun]] = {a: {}, b: {}}
    found = StepRun.objects.filter(run__in=[a, b], tenant_id=a.tenant_id, scope="")
    by_id = {a.pk: a, b.pk: b}
    for row in found.defer("output", "held", "variables").order_by("round"):
        rows[by_id[row.run_id]][row.step_key] = row
    sides = {run: {key: _side(row) for key, row in rows[run].items()} for run in (a, b)}
    for run in (a, b):
        with_items = items_of(run, list(rows[run].values()))
        for row in rows[run].values():
            if (view := with_items.get(row.pk)) is not None:
                old = sides[run][row.step_key]
                sides[run][row.step_key] = StepSide(
                    old.status, old.retried, old.review, old.reused, old.took_ms,
                    view.tokens, view.cost, view.demo, old.model,
                )  # fmt: skip
    outputs = _outputs(a, b, rows)
    clock = _Clock()
    pairs = tuple(
        _pair(step, sides[a].get(key), sides[b].get(key), outputs.get(key), clock)
        for key, step in steps.items()
    )
    whole = None
    if a.status == b.status == RunStatus.COMPLETED and (texts := _texts((a.output, b.output))) is not None:
        whole = _told("", "Result", "flag", "", None, None, texts, clock)
    return Comparison(pairs, tuple(_changed(a, b, clock)), _input(a, b, clock), whole)


class _Clock:
    """How much time is left for marking words."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _SECONDS

    @property
    def is_up(self) -> bool:
        return time.monotonic() > self._until


def _side(row: StepRun) -> StepSide:
    return StepSide(
        status=str(row.status),
        retried=row.status == StepStatus.COMPLETED and row.attempt > 1,
        review=row.status == StepStatus.WAITING and row.wait == Wait.REVIEW,
        reused=row.reused,
        took_ms=row.duration_ms if row.completed_at is not None and not row.reused else None,
        tokens=row.tokens,
        cost=row.cost,
        demo=row.provider == "demo",
        model=words.model_words(row.provider, row.model) if row.model or row.provider else "",
    )


def _outputs(
    a: Run, b: Run, rows: Mapping[Run, Mapping[str, StepRun]]
) -> dict[str, tuple[JSONValue, JSONValue]]:
    """Outputs of the steps that both runs completed, apart from those that the one took from the other. One query."""
    keys = [
        key
        for key, row in rows[b].items()
        if row.status == StepStatus.COMPLETED
        and (other := rows[a].get(key)) is not None
        and other.status == StepStatus.COMPLETED
        and not (row.reused and b.origin_id == a.pk)
        and not (other.reused and a.origin_id == b.pk)
    ][:_OUTPUTS]
    wanted = {rows[run][key].pk: (run.pk, key) for run in (a, b) for key in keys}
    values: dict[tuple[object, str], JSONValue] = {
        wanted[pk]: output
        for pk, output in StepRun.objects.filter(pk__in=wanted, tenant_id=a.tenant_id).values_list(
            "pk", "output"
        )
    }
    return {key: (values.get((a.pk, key)), values.get((b.pk, key))) for key in keys}


def _texts(values: tuple[JSONValue, JSONValue]) -> tuple[str, str] | None:
    """Both values as text; None for one that is kept beside its row because of its size."""
    if any(isinstance(value, dict) and set(value) == {"$blob"} for value in values):
        return None
    found = []
    for value in values:
        text = words.text_of(value)
        found.append(text if text is not None else as_json(value))
    return found[0], found[1]


def _pair(
    step: StepDef,
    a: StepSide | None,
    b: StepSide | None,
    values: tuple[JSONValue, JSONValue] | None,
    clock: _Clock,
) -> StepPair:
    kind = step_type_of(step.type)
    about = (step.key, step.label, kind.icon if kind is not None else "puzzle", tile_of(step, kind), a, b)
    if values is None:
        if a is not None and b is not None and (a.reused or b.reused):
            return StepPair(*about, verdict="Taken from the other run")
        if a is None or b is None:
            return StepPair(*about, verdict="Only in one of them" if a or b else "Not reached")
        return StepPair(*about, verdict="")
    texts = _texts(values)
    if texts is None:
        return StepPair(*about, verdict="Too large to compare here; open the step to read it")
    return _told(*about, texts, clock)


def _told(
    key: str,
    label: str,
    icon: str,
    tile: str,
    a: StepSide | None,
    b: StepSide | None,
    texts: tuple[str, str],
    clock: _Clock,
) -> StepPair:
    about = (key, label, icon, tile, a, b)
    if texts[0] == texts[1]:
        return StepPair(*about, verdict="The same output")
    counts = [len(text.split()) for text in texts]
    said = (
        f"{counts[0]:,} words, then {counts[1]:,}"
        if counts[0] != counts[1]
        else f"{counts[0]:,} words in both"
    )
    if any(len(text) > _CHARS for text in texts):
        said = f"{said}; the beginning is compared"
    cut = (texts[0][:_CHARS], texts[1][:_CHARS])
    if clock.is_up:
        return StepPair(*about, verdict=said, texts=cut)
    return StepPair(*about, verdict=said, lines=diff_lines(*cut))


def _changed(a: Run, b: Run, clock: _Clock) -> list[Changed]:
    """The settings that `b` had for itself, against those of `a`'s version."""
    found: list[Changed] = []
    before = definitions_of({a.version_id})[a.version_id].by_key
    overrides: Mapping[str, JSONObject] = b.overrides
    for key, fields in overrides.items():
        step = before.get(key)
        kind = step_type_of(step.type) if step is not None else None
        for name, value in fields.items():
            field = kind.ConfigForm.base_fields.get(name) if kind is not None else None
            old = step.config.get(name) if step is not None else None
            texts = [
                one if isinstance(one, str) else "" if one is None else as_json(one) for one in (old, value)
            ]
            if texts[0] == texts[1]:
                continue
            label = str(field.label) if field is not None and field.label else name
            lines = diff_lines(texts[0][:_CHARS], texts[1][:_CHARS])
            found.append(Changed(step.label if step is not None else key, label, lines))
    return found


def _input(a: Run, b: Run, clock: _Clock) -> tuple[DiffLine, ...]:
    if a.input == b.input:
        return ()
    texts = [
        "\n".join(
            f"{name}: {value if isinstance(value, str) else as_json(value)}"
            for name, value in run.input.items()
        )
        for run in (a, b)
    ]
    return diff_lines(texts[0][:_CHARS], texts[1][:_CHARS])
