"""Random definitions of every shape that may be stored, for properties of what stores them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from workflows.definition.graph import (
    Definition,
    EdgeDef,
    ErrorChoice,
    ErrorPolicy,
    FieldDecl,
    JoinKind,
    JoinRule,
    Losers,
    Position,
    StepDef,
    TriggerDef,
    VariableDef,
    VariableKind,
    VariableType,
)
from workflows.definition.retry import RetryPolicy

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
NUMBER = st.integers(-(2**53), 2**53) | st.floats(-1e12, 1e12, allow_nan=False).filter(
    lambda number: number == 0 or abs(number) > 1e-9
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
FIELDS = st.lists(
    st.builds(FieldDecl, TEXT, st.sampled_from(["string", "any"]), st.booleans(), TEXT), max_size=2
)
KEYS = ["a", "b", "c", "d", "e", "f", "g"]
LABELS = ["Draft", "Review", "Ask Ana", "Übersicht", "R&D-Plan", "7 steps", "日本"]


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Any storable definition over the same few keys and labels, so that two of them have much to change."""
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=7))
    labels = draw(st.permutations(LABELS))
    parents: dict[str, str | None] = {}
    types: dict[str, str] = {}
    for index, key in enumerate(keys):
        types[key] = draw(st.sampled_from(["llm", "transform", "loop", "fan_out"]))
        holders = [other for other in keys[:index] if types[other] in ("loop", "fan_out")]
        parents[key] = draw(st.sampled_from([None, *holders]))
    steps = [
        StepDef(
            key=key,
            type=types[key],
            label=labels[index],
            description=draw(TEXT),
            config=draw(OBJECT),
            enabled=draw(st.booleans()),
            parent=parents[key],
            order=draw(st.integers(0, 9)),
            position=draw(st.none() | st.builds(Position, st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))),
            retry=draw(st.none() | st.builds(RetryPolicy, st.integers(1, 5), st.integers(0, 9_000))),
            timeout_s=draw(st.none() | st.floats(0, 1e5)),
            on_error=ErrorPolicy(draw(st.sampled_from(ErrorChoice)), draw(JSON)),
            join=JoinRule(
                draw(st.sampled_from(JoinKind)), draw(st.integers(1, 3)), draw(st.sampled_from(Losers))
            ),
            inputs=tuple(draw(FIELDS)),
            outputs=tuple(draw(FIELDS)),
            pinned=draw(st.none() | OBJECT),
            note=draw(TEXT),
            generated=draw(st.booleans()),
        )
        for index, key in enumerate(keys)
    ]
    pairs = [
        (source, target)
        for index, source in enumerate(keys)
        for target in keys[index + 1 :]
        if parents[source] == parents[target]
    ]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=8)) if pairs else []
    edges = [
        EdgeDef(
            id=f"e{draw(st.integers(0, 3))}_{number}",
            source=source,
            target=target,
            port=draw(st.sampled_from(["out", "error", "case 1"])),
            target_input=draw(st.none() | st.sampled_from(["one", "two"])),
            condition=draw(st.none() | st.just("input.score > 3")),
        )
        for number, (source, target) in enumerate(chosen)
    ]
    names = draw(st.lists(st.sampled_from(["topic", "tone", "größe", "count"]), unique=True, max_size=4))
    return Definition(
        steps=tuple(draw(st.permutations(steps))),
        edges=tuple(edges),
        variables=tuple(
            VariableDef(
                name,
                draw(st.sampled_from(VariableType)),
                draw(st.sampled_from(VariableKind)),
                draw(st.booleans()),
                draw(JSON),
                draw(TEXT),
            )
            for name in names
        ),
        triggers=tuple(
            TriggerDef(
                f"t{number}", draw(st.sampled_from(["manual", "schedule"])), draw(OBJECT), draw(OBJECT)
            )
            for number in range(draw(st.integers(0, 2)))
        ),
        settings=draw(st.dictionaries(st.sampled_from(["yolo"]), st.booleans()))
        | draw(st.dictionaries(st.sampled_from(["default_model"]), st.just("demo:echo"))),
    )
