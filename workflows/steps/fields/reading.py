"""A type's settings as a whole: from raw JSON or a posted form to the canonical config, with its problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from django import forms

from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.fields.base import (
    BAD_TEXT,
    STRUCTURAL,
    UNKNOWN_SETTING,
    WRONG_TYPE,
    ConfigField,
    WrongType,
)

_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


@lru_cache(maxsize=512)  # asked several times for every step whenever a workflow is read or checked
def config_fields(form: type[forms.Form]) -> Mapping[str, ConfigField]:
    """The settings of a type's form, those of its `field_order` first, the others as they are declared.

    The form is never instantiated: that would copy every field.
    """
    fields = {name: field for name, field in form.base_fields.items() if isinstance(field, ConfigField)}
    first = [name for name in form.field_order or () if name in fields]
    return MappingProxyType({name: fields[name] for name in (*first, *fields)})


@lru_cache(maxsize=1024)
def fields_with(form: type[forms.Form], which: str) -> tuple[tuple[str, ConfigField], ...]:
    """The settings that may hold `templates` or `expressions` (which of the two methods their field has of its own).

    A hundred steps are asked with every keystroke, and most of their settings are numbers and choices.
    """
    plain = getattr(ConfigField, which)
    return tuple(
        (name, field)
        for name, field in config_fields(form).items()
        if getattr(type(field), which) is not plain
    )


def filled(form: type[forms.Form], config: JSONObject) -> JSONObject:
    """The config with every setting that it leaves out at its default."""
    return {name: config.get(name, field.default) for name, field in config_fields(form).items()}


def clean_fields(form: type[forms.Form], data: Mapping[str, Any]) -> tuple[JSONObject, tuple[Problem, ...]]:
    """Raw JSON config as the canonical one, with its problems; `is_structural` tells which refuse it.

    What the data leaves out stays out (it is at its default); unknown settings are named and dropped.
    """
    fields = config_fields(form)
    names = {other: name for name, field in fields.items() for other in field.other_names}
    config: JSONObject = {}
    problems: list[Problem] = []
    for key, raw in data.items():
        name = names.get(key, key) if key not in fields else key
        found = fields.get(name)
        if found is None:
            known = ", ".join(fields) or "none"
            problems.append(
                Problem(
                    UNKNOWN_SETTING,
                    f"There is no setting “{key}”.",
                    field=key,
                    fix=f"Known settings: {known}.",
                )
            )
            continue
        if raw is None:
            continue
        if _has_unusable(raw):
            problems.append(
                Problem(
                    BAD_TEXT,
                    f"{found.called} holds characters that no text may have.",
                    field=name,
                    fix="Take them out.",
                )
            )
            continue
        try:
            config[name] = found.read(raw)
        except WrongType as error:
            problems.append(Problem(WRONG_TYPE, f"{found.called} must be {error}.", field=name))
    bad = {problem.field for problem in problems}
    for name, field in fields.items():
        if name not in bad:
            value = config.get(name, field.default)
            problems += [
                Problem(code, message, field=name, fix=fix) for code, message, fix in field.faults(value)
            ]
    return config, tuple(problems)


def posted_fields(form: type[forms.Form], data: Mapping[str, Any], *, prefix: str = "") -> JSONObject:
    """The raw config in a posted form (a QueryDict): give it to `clean_fields`. Settings that were not sent are left out."""
    found: JSONObject = {}
    for name, field in config_fields(form).items():
        raw = field.from_post(data, f"{prefix}{name}")
        if raw is not None:
            found[name] = raw
    return found


def without_defaults(form: type[forms.Form], config: JSONObject) -> JSONObject:
    """The config without what only repeats a default: a form sends every field, a document should say what was chosen.

    Settings that decide which others are of use stay: left out, they would be guessed from what is filled in.
    """
    fields = config_fields(form)
    deciders = {field.shown_when[0] for field in fields.values() if field.shown_when}
    return {
        name: value
        for name, value in config.items()
        if name in deciders or name not in fields or value != fields[name].default
    }


def is_structural(problem: Problem) -> bool:
    """Whether the problem makes the document malformed, so that it is not stored at all."""
    return problem.code in STRUCTURAL


def _has_unusable(value: JSONValue) -> bool:
    if isinstance(value, str):
        return _UNUSABLE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_unusable(key) or _has_unusable(part) for key, part in value.items())
    return any(_has_unusable(part) for part in value) if isinstance(value, list) else False
