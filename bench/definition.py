"""What a keystroke in the builder costs before any database: reading, editing and checking 200 steps, and filling texts."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any, Final

import bench.support  # noqa: F401 (sets Django up)
from bench.report import microseconds, milliseconds, row, section
from workflows.definition import operations
from workflows.definition.edits import Edit
from workflows.definition.graph import Definition
from workflows.definition.places import After
from workflows.definition.schema import canonical_json, from_stored, parse_definition, to_json
from workflows.definition.validation import validate
from workflows.expressions.language import compile_expression, evaluate_bool
from workflows.expressions.names import Scope
from workflows.expressions.template import render
from workflows.steps import registry
from workflows.steps.catalog import CATALOG

STEPS: Final = 200
KEYSTROKE_MS: Final = 50.0

# One of each sort, so that every kind of setting is read and checked.
_KINDS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("transform", {"mode": "template", "template": "{{ previous }} and {{ input.text }}"}),
    ("llm", {"prompt": "Write about {{ input.text }} after {{ previous }}", "model": "demo:writer"}),
    ("clean_text", {}),
    ("summarize", {}),
    ("extract_keywords", {}),
    ("llm", {"prompt": "Go on with {{ steps.Step 0.content }}"}),
    ("tag_category", {"categories": ["News", "Sport"]}),
    ("filter", {"condition": {"expression": "size(previous) > 0"}}),
    ("review", {}),
    ("merge", {}),
)


def mixed_document(steps: int, kinds: tuple[tuple[str, dict[str, Any]], ...] = _KINDS) -> dict[str, Any]:
    """A chain of every kind of step with its own texts, in the API's shape."""
    nodes = []
    for number in range(steps):
        type, config = kinds[number % len(kinds)]
        config = copy.deepcopy(config)
        if "prompt" in config:
            config["prompt"] += f" (number {number})"
        nodes.append({"id": f"s{number}", "type": type, "name": f"Step {number}", "config": config})
    edges = [
        {"id": f"e{n}", "source_node_id": f"s{n}", "target_node_id": f"s{n + 1}"} for n in range(steps - 1)
    ]
    return {"nodes": nodes, "edges": edges, "variables": [{"name": "text", "type": "string"}]}


def main() -> None:
    registry.all_types()
    document = mixed_document(STEPS)
    text = json.dumps(document)
    section(f"The pure definition, {STEPS} steps of nine types: milliseconds")
    floor = milliseconds(lambda: copy.deepcopy(json.loads(text)))
    row("floor: json.loads and a deep copy", floor, "ms")
    began = time.perf_counter()
    definition = parse_definition(document, CATALOG)
    row("read it for the first time in a process", (time.perf_counter() - began) * 1_000, "ms", floor=floor)
    began = time.perf_counter()
    problems = validate(replace(definition), CATALOG)
    row(
        "check it for the first time in a process",
        (time.perf_counter() - began) * 1_000,
        "ms",
        floor=floor,
        note=f"{len(problems)} problems found",
    )

    def timed(name: str, work: Callable[[], object], target: float | None = KEYSTROKE_MS) -> None:
        row(name, milliseconds(work, times=9), "ms", floor=floor, target=target)

    timed("read it (parse_definition)", lambda: parse_definition(document, CATALOG))
    timed("check it (validate)", lambda: validate(replace(definition), CATALOG))
    broken = _with_broken_references(document)
    began = time.perf_counter()
    found = len(validate(replace(broken), CATALOG))
    row(
        "check it for the first time, every prompt naming a wrong step",
        (time.perf_counter() - began) * 1_000,
        "ms",
        floor=floor,
        note=f"{found} problems found, each with the nearest name",
    )
    timed("check it again, every prompt naming a wrong step", lambda: validate(replace(broken), CATALOG))
    # A definition keeps what was worked out from it; every request begins with one of its own: `replace`.
    stored = to_json(definition)
    timed("read a stored version (from_stored)", lambda: from_stored(stored))
    timed("write it (canonical_json)", lambda: canonical_json(definition))
    for name, edit in _edits(definition):
        timed(f"edit: {name}", edit)
    changed = _keystrokes(definition)
    timed("a keystroke in a prompt: edit and check all", lambda: validate(changed(), CATALOG))
    _texts()


def _with_broken_references(document: dict[str, Any]) -> Definition:
    found = copy.deepcopy(document)
    for number, node in enumerate(found["nodes"]):
        if "prompt" in node["config"]:
            node["config"]["prompt"] = f"{{{{ steps.Stepp {number}x.content }}}}"
    return parse_definition(found, CATALOG)


def _edits(definition: Definition) -> tuple[tuple[str, Callable[[], Edit]], ...]:
    new = definition.step("s1")
    middle = f"s{STEPS // 2}"

    def insert() -> Edit:
        return operations.insert(
            replace(definition), replace(new, key="", label="A new one"), After(middle, "out"), CATALOG
        )

    return (
        ("insert a step in the middle", insert),
        ("move a step by one (move_down)", lambda: operations.move_down(replace(definition), "s21", CATALOG)),
        (
            "rename a step that others use",
            lambda: operations.rename(replace(definition), "s0", "First", CATALOG),
        ),
        ("turn a step off", lambda: operations.set_enabled(replace(definition), middle, False, CATALOG)),
        (
            "draw a path",
            lambda: operations.connect(replace(definition), "s10", "s50", CATALOG),
        ),
    )


def _keystrokes(definition: Definition) -> Callable[[], Definition]:
    numbers = count()

    def press() -> Definition:
        config = {**definition.step("s101").config, "prompt": f"Write {next(numbers)} {{{{ previous }}}}"}
        return operations.update_step(replace(definition), "s101", CATALOG, config=config).definition

    return press


def _texts() -> None:
    section("Templates and expressions: microseconds")
    scope = Scope(
        input={"text": "An article about returns.", "count": 3},
        steps={"First step": {"content": "A first answer.", "items": list(range(50))}},
        previous="A first answer.",
    )
    plain = "Write about {} after {}, and keep it short."
    floor = microseconds(lambda: plain.format("An article about returns.", "A first answer."))
    row("floor: str.format with two values", floor, "us")
    template = "Write about {{ input.text }} after {{ steps.First step.content }}, and keep it short."
    row(
        "fill a template with two references",
        microseconds(lambda: render(template, scope)),
        "us",
        floor=floor,
    )
    words = 'input.count > 2 && contains(steps.First step.content, "first")'
    row(
        "the same condition as plain Python (floor)",
        python := microseconds(
            lambda: scope.input["count"] > 2 and "first" in scope.steps["First step"]["content"]
        ),
        "us",
    )
    labels = ("First step",)
    expression = compile_expression(words, labels)
    row(
        "ask a compiled condition", microseconds(lambda: evaluate_bool(expression, scope)), "us", floor=python
    )
    numbers = count()
    row(
        "compile a condition never seen before",
        microseconds(
            lambda: compile_expression(f"{words} && input.count < {next(numbers)}", labels), rounds=200
        ),
        "us",
    )


if __name__ == "__main__":
    main()
