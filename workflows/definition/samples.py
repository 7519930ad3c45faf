"""Sample inputs of a workflow: named inputs to test and run it with. They travel beside the definition, not in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from workflows.definition.graph import Definition
from workflows.definition.inputs import check_input
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import Limit

SAMPLE_NAME_CHARS: Final = 120
# Samples travel with every export, so they are kept smaller than what a run takes.
SAMPLE_BYTES: Final = Limit(200_000, "bytes", "A sample is at most {value} bytes of JSON.")
SAMPLES_PER_WORKFLOW: Final = Limit(
    50, "samples", "A workflow keeps at most {value} samples. Remove one first."
)


@dataclass(frozen=True, slots=True)
class SampleText:
    """A sample as it travels: its name, and the input of a run."""

    name: str
    input: JSONObject


def name_problem(name: str, path: str = "name") -> Problem | None:
    """What keeps this from being the name of a sample."""
    message = ""
    if not 0 < len(name) <= SAMPLE_NAME_CHARS:
        message = f"A sample has a name of 1 to {SAMPLE_NAME_CHARS} characters."
    elif _unstorable(name):
        message = "The name holds a character that cannot be stored."
    return Problem("bad_value", message, field="name", path=path) if message else None


def input_problem(data: JSONValue, path: str = "input") -> Problem | None:
    """What keeps this from being stored as an input, whatever the workflow asks for."""
    if not isinstance(data, Mapping):
        message = "The input of a sample must be an object with one value for each name."
        return Problem("bad_value", message, field="input", path=path, fix='Write {"name": "value"}.')
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        return Problem("bad_value", f"The input is not JSON: {error}.", field="input", path=path)
    if "\\u0000" in text or _unstorable(text):
        message = "The input holds a character that cannot be stored."
        return Problem("bad_value", message, field="input", path=path, fix="Remove it.")
    if len(text.encode()) > SAMPLE_BYTES.value:
        return Problem("too_large", SAMPLE_BYTES.says(), field="input", path=path)
    return None


def sample_problems(definition: Definition, data: JSONObject, path: str = "input") -> tuple[Problem, ...]:
    """Why a run would not take this input: each names the variable in `field`. Empty: it fits."""
    return check_input(definition, data, path=path).problems


def fitting(definition: Definition, data: JSONObject) -> JSONObject:
    """The values of an input that the workflow asks for; all of them where it declares nothing."""
    known = {variable.name for variable in definition.input_variables()}
    return {name: value for name, value in data.items() if name in known} if known else dict(data)


def samples_to_json(samples: Iterable[SampleText]) -> list[JSONObject]:
    """As a document holds them, in an order that does not depend on where they were kept."""
    ordered = sorted(samples, key=lambda one: (one.name.casefold(), one.name))
    return [{"name": one.name, "input": one.input} for one in ordered]


def read_samples(data: JSONValue, path: str) -> tuple[tuple[SampleText, ...], tuple[Problem, ...]]:
    """The samples of a document's workflow at this path, and everything that is wrong with them."""
    if data is None:
        return (), ()
    if not isinstance(data, list):
        message = f"{path} must be a list of samples."
        return (), (Problem("bad_value", message, field="samples", path=path),)
    if len(data) > SAMPLES_PER_WORKFLOW.value:
        return (), (Problem("too_many", SAMPLES_PER_WORKFLOW.says(), field="samples", path=path),)
    found: list[SampleText] = []
    wrong: list[Problem] = []
    seen: set[str] = set()
    for index, entry in enumerate(data):
        at = f"{path}[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            message = f"{at} must be an object with a name and an input."
            wrong.append(Problem("bad_value", message, field="samples", path=at))
            continue
        wrong += [
            Problem("unknown_key", f"{at} has no “{key}”.", field=key, path=f"{at}.{key}")
            for key in entry
            if key not in ("name", "input")
        ]
        name, given = " ".join(entry["name"].split()), entry.get("input", {})
        problems = (name_problem(name, f"{at}.name"), input_problem(given, f"{at}.input"))
        wrong += [problem for problem in problems if problem is not None]
        if name.casefold() in seen:
            message = f"Two samples are called “{name}”."
            wrong.append(Problem("name_taken", message, field="name", path=f"{at}.name"))
        seen.add(name.casefold())
        if isinstance(given, dict):
            found.append(SampleText(name, given))
    return tuple(found), tuple(wrong)


def _unstorable(text: str) -> bool:
    return "\x00" in text or (not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text))
