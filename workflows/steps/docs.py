"""Writes `docs/step-types.md` from the declarations: `python -m workflows.steps.docs` (or the management command)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from workflows.lib.jsontypes import JSONObject
from workflows.steps import registry
from workflows.steps.base import ExecutionKind, Group, StepType
from workflows.steps.fields import ChoiceField, ConfigField, NumberField, config_fields

DOCS_FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "step-types.md"

_GROUPS: Final = {Group.THINK: "Think", Group.ASK: "Ask a person", Group.STEER: "Steer", Group.DO: "Do"}
_KINDS: Final = {
    "text": "text",
    "template": "text with `{{ … }}`",
    "expression": "expression",
    "number": "number",
    "bool": "on or off",
    "choice": "choice",
    "model": "model",
    "schema": "JSON Schema",
    "mapping": "names and values",
    "rows": "condition",
    "cases": "conditions, named",
    "duration": "length of time",
    "list": "list",
    "assignees": "people and roles",
    "categories": "categories",
    "form": "form fields",
    "buttons": "buttons",
    "branches": "branches",
}
_INTRO: Final = """\
# Step types

Written from the declarations in `workflows/steps/`; do not edit by hand (`.venv/bin/python -m workflows.steps.docs`
writes it, a test keeps it current). How to add one: [adding-a-step-type.md](adding-a-step-type.md).

The output of every step is a JSON object whose main text is `content`. Settings that are left out stand at their
default. In “names and values”, a value is text with `{{ … }}`, or an expression after `=`.
"""


def step_types_page() -> str:
    """The whole page as Markdown, the same for the same declarations."""
    parts = [_INTRO]
    for group, kinds in registry.by_group():
        # Types of other packages have documentation of their own.
        own = [kind for kind in kinds if type(kind).__module__.startswith("workflows.steps.")]
        if own:
            parts.append(f"## {_GROUPS[group]}\n")
            parts += [_type(kind) for kind in own]
    return "\n".join(parts).rstrip() + "\n"


def type_schema(kind: StepType) -> JSONObject:
    """JSON Schema of a type's config, for the OpenAPI document."""
    fields = config_fields(kind.ConfigForm)
    return {
        "type": "object",
        "title": kind.label,
        "description": kind.description(),
        "additionalProperties": False,
        "properties": {
            name: {
                **field.schema(),
                "title": str(field.label),
                "default": field.default,
                **({"description": str(field.help_text)} if field.help_text else {}),
            }
            for name, field in fields.items()
        },
    }


def _type(kind: StepType) -> str:
    ports = kind.ports({})
    ways = ", ".join(f"`{port.name}`" + (f" ({port.label})" if port.label else "") for port in ports)
    policy = kind.retry_policy({})
    facts = [f"- Type: `{kind.name}`" + (f"; also read as {_codes(kind.aliases)}" if kind.aliases else "")]
    facts.append(f"- Ways out: {ways or 'none, nothing follows it'}")
    facts.append(
        f"- Output: {', '.join(f'`{name}` ({json_type})' for name, json_type in kind.output_fields({}))}"
    )
    tries = "tried once" if policy.max_attempts == 1 else f"tried {policy.max_attempts} times"
    runs = {
        ExecutionKind.INLINE: "at once",
        ExecutionKind.CPU: "in a thread",
        ExecutionKind.ASYNC: "while others run",
    }
    facts.append(f"- Runs {runs[kind.kind({})]}, {tries} unless set otherwise")
    if not kind.can_disable:
        facts.append("- Cannot be switched off")
    rows = [_row(name, field) for name, field in config_fields(kind.ConfigForm).items()]
    table = ["| Setting | Label | Kind | Default | |", "| --- | --- | --- | --- | --- |", *rows]
    return "\n".join([f"### {kind.label}", "", kind.description(), "", *facts, "", *table, ""])


def _row(name: str, field: ConfigField) -> str:
    kind = _KINDS.get(field.kind, field.kind)
    if isinstance(field, ChoiceField):
        shown = [value for value, _ in field.choices]
        kind = " \\| ".join(f"`{value}`" for value in shown[:6]) + (" …" if len(shown) > 6 else "")
    if isinstance(field, NumberField) and field.unit:
        kind = f"{kind} ({field.unit})"
    default = "" if field.is_empty(field.default) else f"`{json.dumps(field.default, ensure_ascii=False)}`"
    if field.required and not default:
        default = "required"
    notes = [str(field.help_text)] if field.help_text else []
    if field.other_names:
        notes.append(f"Also read as {_codes(field.other_names)}.")
    said = " ".join(notes).replace("|", "\\|")
    return f"| `{name}` | {field.label} | {kind} | {default} | {said} |".replace("  |", " |")


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def write() -> Path:
    """Write the page where the documentation is."""
    DOCS_FILE.write_text(step_types_page(), encoding="utf-8")
    return DOCS_FILE


if __name__ == "__main__":
    write()
