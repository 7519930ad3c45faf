"""A small catalog of step types and short ways to write definitions, for tests of the pure graph."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

from workflows.definition.graph import (
    Definition,
    EdgeDef,
    ErrorChoice,
    StepDef,
    VariableDef,
    VariableKind,
    VariableType,
)
from workflows.definition.ids import IdMaker
from workflows.definition.ordering import reindex
from workflows.definition.types import Rewrite
from workflows.lib.errors import Problem

_PORTS = {
    "end": (),
    "condition": ("true", "false"),
    "review": ("approved", "rejected"),
}
_TYPES = (
    "start", "end", "llm", "condition", "review", "parallel", "merge", "loop", "fan_out", "filter", "delay",
    "set_variable", "transform", "email",
)  # fmt: skip
_ALIASES = {
    "prompt_execution": "llm",
    "data_transform": "transform",
    "human_approval": "review",
    "wait": "delay",
    "sleep": "delay",
}
_OTHER_SETTINGS = {"max_output_tokens": "max_tokens"}
_TEXTS = ("prompt", "system_prompt", "text", "to")
_EXPRESSIONS = ("condition", "expression", "result")


class FakeCatalog:
    """Types with config `prompt` (template) and `condition` (expression); it knows what the real registry knows."""

    def known(self, name: str) -> bool:
        return name in _TYPES

    def canonical(self, name: str) -> str | None:
        return name if name in _TYPES else _ALIASES.get(name)

    def ports(self, step: StepDef) -> tuple[str, ...]:
        ports: tuple[str, ...] = _PORTS.get(step.type, ("out",))
        names = [entry.get("name") for entry in step.config.get("cases") or step.config.get("branches") or ()]
        if step.type in ("condition", "parallel") and names:
            ports = tuple(str(name) for name in names)
        return (*ports, "error") if step.on_error.policy is ErrorChoice.ROUTE else ports

    def is_container(self, type: str) -> bool:
        return type in ("loop", "fan_out")

    def has_own_body(self, step: StepDef) -> bool:
        return step.type == "fan_out" and bool(step.config.get("prompt"))

    def own_body(self, step: StepDef) -> StepDef | None:
        return (
            StepDef(f"{step.key}-item", "llm", f"{step.label} item", parent=step.key)
            if self.has_own_body(step)
            else None
        )

    def can_disable(self, type: str) -> bool:
        return type not in ("start", "end")

    def clean(self, step: StepDef) -> tuple[StepDef, tuple[Problem, ...]]:
        config = {_OTHER_SETTINGS.get(name, name): value for name, value in step.config.items()}
        wrong = tuple(
            Problem("unknown_setting", f"There is no setting “{name}”.", field=name, fix="Leave it out.")
            for name in config
            if name.startswith("no_")
        )
        return replace(step, config=config), wrong

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        if step.type == "llm" and not step.config.get("prompt"):
            return (
                Problem("required", f"“{step.label}” has no prompt.", field="prompt", fix="Write a prompt."),
            )
        return ()

    def templates(self, step: StepDef) -> Iterable[tuple[str, str]]:
        return [(name, step.config[name]) for name in _TEXTS if isinstance(step.config.get(name), str)]

    def expressions(self, step: StepDef) -> Iterable[tuple[str, str]]:
        return [(name, step.config[name]) for name in _EXPRESSIONS if isinstance(step.config.get(name), str)]

    def sets_variables(self, step: StepDef) -> Iterable[tuple[str, str]]:
        return (
            [("name", step.config["name"])] if step.type == "set_variable" and "name" in step.config else []
        )

    def rewrite(self, step: StepDef, template: Rewrite, expression: Rewrite) -> StepDef:
        config = dict(step.config)
        for names, change in ((_TEXTS, template), (_EXPRESSIONS, expression)):
            for name in names:
                if isinstance(config.get(name), str):
                    config[name] = change(config[name])
        return replace(step, config=config)


CATALOG = FakeCatalog()


def counting_ids() -> IdMaker:
    """Ids `s_new1`, `e_new2`, …: the same edits give the same ids."""
    numbers = count(1)
    return lambda prefix: f"{prefix}_new{next(numbers)}"


def step(key: str, type: str = "llm", label: str = "", **fields: Any) -> StepDef:
    if type == "llm":
        fields.setdefault("config", {"prompt": "Write."})
    return StepDef(key, type, label or key.upper(), **fields)


def edge(text: str, **fields: Any) -> EdgeDef:
    """`a>b`, or `a:false>b` for another port than the main one; the id is the text without signs."""
    left, _, target = text.partition(">")
    source, _, port = left.partition(":")
    return EdgeDef(
        fields.pop("id", f"{source}-{port or 'out'}-{target}"), source, target, port or "out", **fields
    )


def definition(*parts: StepDef | EdgeDef | VariableDef | str) -> Definition:
    """Steps, edges (also as text `a>b>c`) and variables in any order; ports of `a>b` are the main ones."""
    steps: list[StepDef] = []
    edges: list[EdgeDef] = []
    variables: list[VariableDef] = []
    for part in parts:
        if isinstance(part, str):
            names = part.split(">")
            edges.extend(edge(f"{first}>{second.partition(':')[0]}") for first, second in pairwise(names))
        elif isinstance(part, StepDef):
            steps.append(part)
        elif isinstance(part, EdgeDef):
            edges.append(part)
        else:
            variables.append(part)
    mentioned = [key for one in edges for key in (one.source, one.target)]
    known = {one.key for one in steps}
    for key in dict.fromkeys(mentioned):
        if key not in known:
            steps.append(step(key))
    by_key = {one.key: one for one in steps}
    edges = [
        replace(one, port=CATALOG.ports(by_key[one.source])[0])
        if one.port == "out"
        and CATALOG.ports(by_key[one.source])
        and "out" not in CATALOG.ports(by_key[one.source])
        else one
        for one in edges
    ]
    counts: dict[str | None, int] = {}
    ordered = []
    for one in steps:
        ordered.append(replace(one, order=counts.get(one.parent, 0)))
        counts[one.parent] = counts.get(one.parent, 0) + 1
    return reindex(Definition(tuple(ordered), tuple(edges), tuple(variables)), CATALOG)


def variable(name: str, type: str = "string", *, kind: str = "input", **fields: Any) -> VariableDef:
    return VariableDef(name, VariableType(type), VariableKind(kind), **fields)


def paths(one: Definition) -> set[str]:
    """The edges as text: `a>b`, `a:false>b`; a condition stands after a question mark."""
    return {
        f"{edge.source}{'' if edge.port == 'out' else ':' + edge.port}>{edge.target}"
        f"{'?' + edge.condition if edge.condition else ''}"
        for edge in one.edges
    }


def keys(one: Definition) -> list[str]:
    return [step.key for step in one.steps]


def codes(problems: Iterable[Problem]) -> list[str]:
    return [problem.code for problem in problems]


def only(problems: Iterable[Problem], code: str) -> Problem:
    found = [problem for problem in problems if problem.code == code]
    assert len(found) == 1, [(problem.code, problem.message) for problem in problems]
    return found[0]


Check = Callable[[Definition], None]
