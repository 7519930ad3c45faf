"""Finds the step types: every file of this package, and third parties by the entry point group `stepwell.steps`."""

from __future__ import annotations

import inspect
import re
from typing import Final, TypeVar

from django import forms

from workflows.definition.retry import RetryPolicy
from workflows.lib.errors import Fault, StepwellError
from workflows.lib.plugins import Plugins
from workflows.steps.base import Group, StepType
from workflows.steps.fields import ConfigField

ENTRY_POINTS: Final = "stepwell.steps"

_T = TypeVar("_T", bound=type[StepType])
_aliases: dict[str, str] = {}

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TEXTS: Final = {
    "name": "what workflows store, in small letters, digits and _",
    "label": "what people read",
    "icon": "the name of a Lucide icon",
}


class BadStepType(StepwellError):
    """A step type that lacks something; the message names what and where."""

    code = "bad_step_type"
    fault = Fault.INTERNAL


class UnknownStepType(StepwellError):
    """No step type of this name is installed."""

    code = "unknown_type"
    fault = Fault.AUTHOR
    status = 422


def register(cls: _T) -> _T:
    """Class decorator: make the type known under its name and aliases, or refuse it with a sentence."""
    fault = _fault(cls)
    if fault:
        raise BadStepType(fault)
    with PLUGINS.lock:
        where = f"{cls.__module__}.{cls.__qualname__}"
        for name in (cls.name, *cls.aliases):
            holder = PLUGINS.known.get(name) or PLUGINS.known.get(_aliases.get(name, ""))
            if holder is not None and type(holder) is not cls:
                raise BadStepType(
                    f"Two step types are named {name!r}: {where} and {type(holder).__module__}."
                )
        PLUGINS.add(cls.name, cls)
        _aliases.update(dict.fromkeys(cls.aliases, cls.name))
    return cls


PLUGINS: Final[Plugins[StepType]] = Plugins("workflows.steps", ENTRY_POINTS, register)


def _fault(cls: object) -> str | None:
    """What the class lacks, as a sentence."""
    where = f"{getattr(cls, '__module__', '?')}.{getattr(cls, '__qualname__', cls)}"
    if not inspect.isclass(cls) or not issubclass(cls, StepType):
        return f"{where} is no step type: it must be a subclass of workflows.steps.base.StepType."
    for attribute, meaning in _TEXTS.items():
        value = getattr(cls, attribute, None)
        if not isinstance(value, str) or not value.strip():
            return f"The step type {where} has no {attribute}: give it a class attribute `{attribute}` ({meaning})."
    if not _NAME.fullmatch(cls.name):
        return f"The step type {where} may not be named {cls.name!r}: use small letters, digits and _."
    group: object = getattr(cls, "group", None)
    if not isinstance(group, Group):
        return f"The step type {where} has no group: give it a class attribute `group` of workflows.steps.base.Group."
    if not cls.__dict__.get("__doc__", "") or not cls.description():
        return f"The step type {where} has no docstring: people read it as the description."
    form: object = cls.ConfigForm
    if not inspect.isclass(form) or not issubclass(form, forms.Form):
        return f"The step type {where} has no ConfigForm: give it a nested class ConfigForm(forms.Form)."
    for name, field in form.base_fields.items():
        if not isinstance(field, ConfigField):
            return (
                f"The step type {where} has a setting {name!r} that is no ConfigField: "
                "use the fields of workflows.steps.fields."
            )
        if not field.label:
            return f"The step type {where} has a setting {name!r} without a label."
    retry: object = cls.default_retry
    if not isinstance(retry, RetryPolicy):
        return f"The step type {where} has a default_retry that is no RetryPolicy."
    if (
        not cls.is_container
        and cls.execute is StepType.execute
        and cls.execute_async is StepType.execute_async
    ):
        return f"The step type {where} has no executor: write `execute` or `execute_async`."
    return None


def get(name: str) -> StepType:
    """The type of this name or alias. Raises UnknownStepType, which names the nearest one."""
    found = find(name)
    if found is None:
        from workflows.expressions.paths import nearest

        known = PLUGINS.all()
        near = nearest(name, known)
        hint = f" Did you mean {near!r}?" if near else f" Known: {', '.join(sorted(known))}."
        raise UnknownStepType(f"There is no step type {name!r}.{hint}")
    return found


def find(name: str) -> StepType | None:
    """The type of this name or alias, or None."""
    known = PLUGINS.all()
    return known.get(name) or known.get(_aliases.get(name, ""))


def all_types() -> tuple[StepType, ...]:
    """Every type, by group in the picker's order, then by label."""
    groups = list(Group)
    return tuple(sorted(PLUGINS.all().values(), key=lambda kind: (groups.index(kind.group), kind.label)))


def by_group() -> tuple[tuple[Group, tuple[StepType, ...]], ...]:
    """The groups of the picker that have types, with their types."""
    found = all_types()
    groups = ((group, tuple(kind for kind in found if kind.group is group)) for group in Group)
    return tuple((group, kinds) for group, kinds in groups if kinds)
