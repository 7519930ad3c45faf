"""What a step that works on several outputs is given: those that it names, else everything that arrived."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from workflows.expressions.template import scan
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import StepContext, StepError
from workflows.steps.fields import ListField
from workflows.steps.values import arrivals, main_text, plain_text, plural, value_of

_BARE: Final = re.compile(r"[^{}|=][^{}|]*")


@dataclass(frozen=True, slots=True)
class Part:
    """One output as a model is shown it. `name` is what findings and headings call it; `items`: how many stand in it."""

    name: str
    text: str
    items: int = 0


def sources_field(what: str) -> ListField:
    """The setting that names the outputs, one reference on a line."""
    return ListField(
        label="Which outputs",
        help_text=f"{what} One on a line, such as {{{{steps.Research.content}}}}. Left empty: everything that arrives, "
        "all items of a “For each” among it.",
        placeholder="{{steps.Research.content}}",
        section="Outputs",
        templates=True,
        other_names=("steps", "inputs", "source_steps"),
    )


def adopt_labels(config: JSONObject) -> JSONObject:
    """The config with bare labels in the list of outputs put as references: `Research` is `{{steps.Research}}`."""
    found = dict(config)
    for name in ("sources", "steps", "inputs", "source_steps"):
        listed = found.get(name)
        if isinstance(listed, list) and all(isinstance(entry, str) for entry in listed):
            found[name] = [
                f"{{{{steps.{entry.strip()}}}}}" if _BARE.fullmatch(entry.strip()) else entry
                for entry in listed
            ]
    return found


def parts_of(context: StepContext, listed: list[str]) -> list[Part]:
    """The outputs to work on. Raises StepError where a reference has no value, or where nothing has any text."""
    found: list[Part] = []
    if listed:
        for place, text in enumerate(listed):
            value = value_of(context, text, field=f"sources[{place}]")
            found.append(_part(_name(text, place), value))
    else:
        arrived = arrivals(context) or _alone(context)
        found = [_part(name, output) for name, output in arrived]
    there = [part for part in found if part.text.strip()]
    if not there:
        raise StepError(
            "There is nothing to work on: no output has arrived, or all are empty.",
            code="empty_input",
            field="sources",
            fix="Connect the steps whose outputs it needs, or name them under “Which outputs”.",
        )
    return there


def as_sections(parts: list[Part]) -> str:
    """The outputs one after the other, each between marks that no text ends by accident."""
    return "\n\n".join(f'<output name="{part.name}">\n{part.text.strip()}\n</output>' for part in parts)


def in_words(parts: list[Part]) -> str:
    """“2 outputs, with 13 items”."""
    items = sum(part.items for part in parts)
    return plural(len(parts), "output") + (f", with {plural(items, 'item')}" if items else "")


def _alone(context: StepContext) -> tuple[tuple[str, JSONObject], ...]:
    previous = context.previous
    if isinstance(previous, dict):
        return (("Input", previous if "content" in previous else {"content": main_text(previous)}),)
    return (("Input", {"content": plain_text(previous)}),)


def _part(name: str, value: JSONValue) -> Part:
    if isinstance(value, dict) and isinstance(value.get("items"), list):
        return Part(name, plain_text(value), len(value["items"]))
    if isinstance(value, list):
        texts = [_item(entry, place) for place, entry in enumerate(value) if entry is not None]
        return Part(name, "\n\n".join(texts), len(value))
    return Part(name, plain_text(value))


def _item(value: JSONValue, place: int) -> str:
    heading = value.get("heading") if isinstance(value, dict) else None
    return f"## {heading or place + 1}\n\n{plain_text(value)}"


def _name(text: str, place: int) -> str:
    """A reference in the words of the editor: `{{steps.Research.content}}` is “Research”."""
    references = scan(text).references
    if len(references) != 1:
        return f"Text {place + 1}"
    written = references[0].text
    for ending in (".content", ".items"):
        written = written.removesuffix(ending)
    return written.removeprefix("steps.").removeprefix("input.").replace('"', "'") or f"Text {place + 1}"
