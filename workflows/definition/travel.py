"""What must be left behind or put in other words before a definition leaves its tenant: secrets, and ids of other things."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from workflows.definition.graph import Definition
from workflows.lib.jsontypes import JSONObject, JSONValue

_SUBWORKFLOW: Final = "subworkflow"
_HANDLER: Final = "error_workflow"
# Headers that carry keys, and settings of triggers that are one. Drafts refuse most of them; old ones may hold some.
_SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-auth-token",
        "x-goog-api-key",
    }
)
_SECRET_WORDS: Final = ("secret", "password", "passwd", "token", "api_key", "apikey", "private_key")


def workflow_names(definition: Definition) -> Iterator[tuple[str, str]]:
    """(step's label, name or id) of each workflow that this one runs; the label is empty for the one for failures."""
    for step in definition.steps:
        name = step.config.get("workflow") if step.type == _SUBWORKFLOW else None
        if isinstance(name, str) and name.strip():
            yield step.label, name.strip()
    handler = definition.settings.get(_HANDLER)
    if isinstance(handler, str) and handler.strip():
        yield "", handler.strip()


def with_workflow_names(definition: Definition, rename: Callable[[str], str]) -> Definition:
    """The definition with each of these names or ids put through a function."""
    steps = tuple(
        replace(step, config={**step.config, "workflow": rename(step.config["workflow"].strip())})
        if step.type == _SUBWORKFLOW and isinstance(step.config.get("workflow"), str)
        else step
        for step in definition.steps
    )
    settings = dict(definition.settings)
    if isinstance(settings.get(_HANDLER), str):
        settings[_HANDLER] = rename(settings[_HANDLER].strip())
    return replace(definition, steps=steps, settings=settings)


def without_secrets(definition: Definition) -> tuple[Definition, tuple[str, ...]]:
    """The definition without keys and passwords, and in words what was left out."""
    left: list[str] = []
    steps = []
    for step in definition.steps:
        headers = step.config.get("headers")
        if isinstance(headers, Mapping):
            kept = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
            if len(kept) < len(headers):
                left += [f"the header {name} of “{step.label}”" for name in headers if name not in kept]
                step = replace(step, config={**step.config, "headers": kept})
        steps.append(step)
    triggers = []
    for trigger in definition.triggers:
        config, names = _without_words(trigger.config)
        left += [f"{name} of the trigger “{trigger.type}”" for name in names]
        triggers.append(replace(trigger, config=config) if names else trigger)
    if not left:
        return definition, ()
    return replace(definition, steps=tuple(steps), triggers=tuple(triggers)), tuple(left)


def _without_words(config: JSONObject) -> tuple[JSONObject, list[str]]:
    kept: JSONObject = {}
    left: list[str] = []
    for name, value in config.items():
        # A connection is named, not held: its name may travel.
        if _is_secret(name, value):
            left.append(name)
        elif isinstance(value, dict):
            kept[name], inner = _without_words(value)
            left += inner
        else:
            kept[name] = value
    return kept, left


def _is_secret(name: str, value: JSONValue) -> bool:
    return isinstance(value, str) and value != "" and any(word in name.lower() for word in _SECRET_WORDS)
