"""The data that a text may see, by name, and how a value looks when it is written into text."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from workflows.expressions.errors import UnresolvedReference
from workflows.expressions.paths import Path, nearest, normal
from workflows.lib.jsontypes import JSONValue as Json

# Whole numbers beyond this cannot be told apart as doubles.
EXACT_INTEGER: Final = 2**53


class Missing(Enum):
    """Marks a name that does not exist here, since null is a value."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

# What each name means, for the error messages, the autocompletion and the docs.
NAMES: Final[Mapping[str, str]] = {
    "input": "what the run was started with",
    "inputs": "what arrives at this step over named paths",
    "steps": "the output of an earlier step, by its label",
    "vars": "the variables of the workflow",
    "item": "the item this loop or fan-out is at",
    "index": "the position of that item, from 0",
    "previous": "the output of the step before",
    "loop": "the state of the loop around this step",
    "run": "the run itself: id, number, started_at, is_test, feedback",
    "trigger": "what started the run: type, data",
    "project": "the project: notes, patterns, insights",
}

_WHERE: Final[Mapping[str, str]] = {
    "item": "only steps inside a loop or fan-out have an item",
    "index": "only steps inside a loop or fan-out have an index",
    "loop": "only steps inside a loop have it",
    "previous": "no step comes before this one",
    "project": "the workflow belongs to no project",
    "trigger": "nothing triggered this",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What `{{ … }}` and expressions may see at one step; a name left out does not exist there.

    `steps` maps labels to output objects; `skipped` maps labels to the reason there is no output;
    `labels` are further labels of the workflow, which have not run yet; `parameters` are a library prompt's.
    """

    input: Json = MISSING
    inputs: Json = MISSING
    steps: Mapping[str, Json] = field(default_factory=dict)
    vars: Json = MISSING
    item: Json = MISSING
    index: Json = MISSING
    previous: Json = MISSING
    loop: Json = MISSING
    run: Json = MISSING
    trigger: Json = MISSING
    project: Json = MISSING
    parameters: Mapping[str, Json] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()
    _by_label: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_label", {normal(label): label for label in self.steps})

    def available(self) -> Iterator[str]:
        """The names that exist here, in the order of `NAMES`, then the prompt parameters."""
        for name in NAMES:
            if name == "steps" or getattr(self, name) is not MISSING:
                yield name
        yield from self.parameters

    def start_of(self, path: Path) -> tuple[Json, int]:
        """The value at which a path starts, and how many of its parts are used up. Raises UnresolvedReference."""
        if path.root == "steps":
            return self._step(path)
        if path.root in NAMES:
            value = getattr(self, path.root)
            if value is not MISSING:
                return value, 0
            why = _WHERE.get(path.root, "it does not exist at this step")
            raise UnresolvedReference("not_available", f"{path} has no value here: {why}.", str(path))
        if path.root in self.parameters:
            return self.parameters[path.root], 0
        suggestion = nearest(path.root, self.available())
        hint = (
            f"Did you mean “{suggestion}”?" if suggestion else f"The names are {', '.join(self.available())}."
        )
        raise UnresolvedReference(
            "unknown_name", f"There is no “{path.root}” here. {hint}", str(path), suggestion
        )

    def _step(self, path: Path) -> tuple[Json, int]:
        label = path.label
        if label is None:
            message = f"{path} does not say which step: write steps.Label.content."
            raise UnresolvedReference("unknown_step", message, str(path))
        key = normal(label)
        if key in self._by_label:
            return self.steps[self._by_label[key]], 1
        for skipped, reason in self.skipped.items():
            if normal(skipped) == key:
                why = f": {reason.rstrip('.')}" if reason else ""
                message = f"{path} has no value: the step “{skipped}” was skipped{why}."
                raise UnresolvedReference("step_skipped", message, str(path))
        if any(normal(known) == key for known in self.labels):
            message = f"{path} has no value: the step “{label}” has not run yet."
            raise UnresolvedReference("step_not_run", message, str(path))
        found = nearest(label, [*self.steps, *self.skipped, *self.labels])
        suggestion = str(Path("steps", (found, *path.parts[1:]))) if found else None
        hint = f" Did you mean “{found}”?" if found else ""
        raise UnresolvedReference(
            "unknown_step", f"There is no step “{label}” before this one.{hint}", str(path), suggestion
        )


def plain_number(value: Json) -> Json:
    """Whole doubles as integers, deep inside lists and objects too; everything else as it is."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= EXACT_INTEGER else value
    if isinstance(value, list | tuple):
        return [plain_number(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: plain_number(entry) for key, entry in value.items()}
    return value


def as_json(value: Json) -> str:
    """A value as canonical JSON text: keys sorted, letters unescaped, whole doubles without a point.

    Keys are sorted because databases reorder them: the same value gives the same prompt everywhere.
    Raises ValueError on NaN, infinity and depth that cannot be written.
    """
    try:
        return json.dumps(plain_number(value), ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (RecursionError, TypeError) as error:
        raise ValueError("the value cannot be written as JSON") from error


def as_text(value: Json) -> str:
    """A value as it stands in text: text as it is, an object with `content` as that, everything else as JSON.

    Raises ValueError on what JSON cannot hold. Null is `null`: the template resolver refuses it before.
    """
    for _ in range(20):
        if not (isinstance(value, Mapping) and "content" in value):
            break
        value = value["content"]
    return value if isinstance(value, str) else as_json(value)
