"""Goes on by several branches at the same time, each with an input of its own where it is given one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django import forms

from workflows.definition.types import ALL_PORTS, Rewrite
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import Completed, Group, Outcome, Port, StepContext, StepType
from workflows.steps.fields import ConfigField, WrongType, filled
from workflows.steps.registry import register
from workflows.steps.values import as_output, clip, passed_on, plural, value_of

_FIRST: Final = [{"name": "Branch A", "port": "Branch A"}, {"name": "Branch B", "port": "Branch B"}]
_KEYS: Final = frozenset({"name", "port", "input"})


class BranchesField(ConfigField):
    """The branches in order: `[{"name", "port", "input"}]`; `input` is text with `{{ … }}`, left out: what arrives.

    A port keeps its name when the branch is renamed, so paths stay connected. Also read: a list of names.
    In a form: repeated `NAME__name`, `NAME__port` and `NAME__input`.
    """

    kind = "branches"
    json_type = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "port": {"type": "string"},
                "input": {"type": "string"},
            },
        },
    }
    RESERVED: Final = frozenset({"error", ALL_PORTS})

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        names, ports, inputs = (_sent(data, f"{name}__{part}") for part in ("name", "port", "input"))
        if not names and f"{name}__shown" not in data:
            return None
        return [
            {
                "name": called,
                "port": ports[place] if place < len(ports) else "",
                "input": inputs[place] if place < len(inputs) else "",
            }
            for place, called in enumerate(names)
        ]

    def read(self, raw: Any) -> JSONValue:
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            return []
        if isinstance(raw, str):
            raw = _listed(raw)
        if not isinstance(raw, list):
            raise WrongType("a list of branches")
        found = [self._one(entry) for entry in raw]
        return [entry for entry in found if entry]

    def _one(self, entry: Any) -> JSONObject:
        if isinstance(entry, str):
            entry = {"name": entry}
        if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
            raise WrongType("a list of branches, each with a name and what goes into it")
        if extra := set(entry) - _KEYS:
            raise WrongType(f"a list of branches, which have no “{sorted(extra)[0]}”")
        name, port = entry.get("name", "").strip(), entry.get("port", "").strip()
        given = entry.get("input", "")
        if not (name or port or given.strip()):
            return {}
        return {
            "name": name or port,
            "port": port or name,
            **({"input": given} if given.strip() else {}),
        }

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        ports: set[str] = set()
        for place, branch in enumerate(value or (), start=1):
            name, port = branch["name"], branch["port"]
            if not name:
                yield "bad_branch", f"{self.called}: branch {place} has no name.", "Name it, or take it out."
                continue
            if port.lower() in self.RESERVED:
                yield "bad_branch", f"{self.called}: no branch may be named “{port}”.", "Rename it."
            if port in ports:
                yield "bad_branch", f"{self.called}: two branches are named “{port}”.", "Rename one of them."
            ports.add(port)

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        for place, branch in enumerate(value or ()):
            if branch.get("input"):
                yield f"[{place}].input", branch["input"]

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return [
            {**branch, "input": template(branch["input"])} if branch.get("input") else branch
            for branch in value or ()
        ]


@register
class ParallelStep(StepType):
    """Goes on by several branches at the same time. The input passes through, or each branch gets one of its own."""

    name, label, icon, group = "parallel", "Parallel", "share-2", Group.STEER
    tagline = "Several at the same time"
    aliases = ("fork", "branches")

    class ConfigForm(forms.Form):
        branches = BranchesField(
            label="Branches",
            help_text="All of them start at once. What goes in: for example {{input.idea}}; left empty, what arrives. "
            "Where they meet, the step says how many it waits for.",
            section="Branches",
            initial=_FIRST,
            required=True,
        )

    def ports(self, config: JSONObject) -> tuple[Port, ...]:
        listed = config.get("branches") or _FIRST
        # A draft may name two alike or one not at all: such are told by a problem, and are one port here.
        names = {branch["port"]: branch["name"] for branch in listed if branch["port"]}
        return tuple(Port(port, name) for port, name in names.items()) or (Port(),)

    def summary(self, config: JSONObject) -> str:
        names = [port.label for port in self.ports(config)]
        return f"{plural(len(names), 'branch', 'branches')} at the same time: {clip(', '.join(names))}"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("branches", "object"))

    def along(self, config: JSONObject, output: JSONObject, port: str) -> JSONObject:
        """The branch's own input where the settings give it one, else what passed through."""
        if _own_inputs(config).get(port) is None:
            return output
        values = output.get("branches")
        return as_output(values[port]) if isinstance(values, dict) and port in values else output

    def execute(self, context: StepContext) -> Outcome:
        """The input on every way out; `branches` holds what goes into those with an input of their own."""
        branches = filled(self.ConfigForm, context.config)["branches"]
        output = passed_on(context)
        values: JSONObject = {}
        for place, branch in enumerate(branches):
            if branch.get("input"):
                values[branch["port"]] = value_of(context, branch["input"], field=f"branches[{place}].input")
        if values:
            output = {**output, "branches": values}
        notes = f"{plural(len(branches), 'branch', 'branches')} at the same time"
        return Completed(output, port=ALL_PORTS, notes=notes)


def _sent(data: Mapping[str, Any], name: str) -> list[Any]:
    getlist = getattr(data, "getlist", None)
    found = getlist(name) if getlist is not None else data.get(name, [])
    return list(found) if isinstance(found, list | tuple) else [found]


def _listed(text: str) -> list[Any]:
    """A text as a list: JSON, else a name on each line."""
    try:
        loaded = json.loads(text)
    except ValueError:
        loaded = None
    return loaded if isinstance(loaded, list) else [line for line in text.splitlines() if line.strip()]


def _own_inputs(config: JSONObject) -> dict[str, str]:
    return {branch["port"]: branch["input"] for branch in config.get("branches") or () if branch.get("input")}
