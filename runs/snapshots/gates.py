"""A decision that a run waits for, as its page asks it."""

from __future__ import annotations

import json
from typing import Final

from runs.models import Review
from runs.selectors import people
from runs.snapshots import words
from runs.snapshots.reading import Reading
from runs.snapshots.shapes import Gate
from runs.snapshots.values import as_json
from workflows.definition.types import START

# Above this a text is read as it is.
_MOST_SPELLED: Final = 500_000


def gate_of(read: Reading, review: Review) -> Gate:
    row, is_gate = review.step_run, review.kind == Review.Kind.GATE
    key = row.step_key if row is not None else ""
    sources = [
        read.definition.step(edge.source).label
        for edge in read.definition.incoming(key)
        if edge.source in read.definition.by_key and (row is None or not row.inputs or edge.id in row.inputs)
    ]
    after = [
        read.definition.step(edge.target).label
        for edge in read.definition.outgoing(key)
        if edge.port != "rejected" and edge.target in read.definition.by_key
    ]
    text = words.text_of(review.content)
    count = len(text.split()) if text is not None else 0
    return Gate(
        id=review.pk,
        kind=review.kind,
        key=key,
        title=review.title or (row.label if row is not None else ""),
        instructions=review.instructions,
        source=" and ".join(sources),
        text=text,
        data=as_json(review.content),
        spelled=_spelled(text),
        facts=tuple(
            part
            for part in (
                " and ".join(sources),
                f"{count:,} word{'' if count == 1 else 's'}" if text and is_gate else "",
            )
            if part
        ),
        editable=review.editable,
        assignees=tuple(review.assignees),
        who=people(review.assignees),
        quorum=review.quorum,
        votes=tuple((str(v.person), v.decision, v.comment, v.created_at) for v in review.votes.all()),
        voters=frozenset(v.person_id for v in review.votes.all()),
        bar_starter=review.bar_starter,
        fields=tuple(review.fields),
        buttons=tuple((str(b.get("decision")), str(b.get("label"))) for b in review.buttons),
        opened=review.created_at,
        due=review.due_at,
        next_label=after[0] if len(set(after)) == 1 else "",
        reject_leads_on=any(edge.port == "rejected" for edge in read.definition.outgoing(key)),
        item=read.item_names.get(review.pk, ""),
        back_to=_back_to(read, key) if is_gate and key in read.definition.by_key else (),
    )


def _spelled(text: str | None) -> str:
    """A text that is JSON, spelled out so that it can be read; empty for every other text."""
    if text is None or len(text) > _MOST_SPELLED or not text.lstrip().startswith(("{", "[")):
        return ""
    try:
        return as_json(json.loads(text))
    except (ValueError, RecursionError):
        return ""


def _back_to(read: Reading, key: str) -> tuple[tuple[str, str], ...]:
    """(key, label) of the steps that may be asked to do their work again, the nearest first."""
    before = read.definition.ancestors(key)
    steps = [s for s in read.definition.steps if s.key in before and s.type != START]
    return tuple((step.key, step.label) for step in reversed(steps))
