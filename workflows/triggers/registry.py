"""Finds the trigger types: every file of this package, and third parties by the entry point group `stepwell.triggers`."""

from __future__ import annotations

import inspect
from typing import Final, TypeVar

from workflows.lib.errors import Fault, StepwellError
from workflows.lib.plugins import Plugins
from workflows.triggers.base import TriggerType

_T = TypeVar("_T", bound=type[TriggerType])


class BadTriggerType(StepwellError):
    """A trigger type that lacks something; the message names what and where."""

    code = "bad_trigger_type"
    fault = Fault.INTERNAL


def register(cls: _T) -> _T:
    """Class decorator: make the type known under its name."""
    where = f"{getattr(cls, '__module__', '?')}.{getattr(cls, '__qualname__', cls)}"
    found: object = cls
    if not inspect.isclass(found) or not issubclass(found, TriggerType):
        raise BadTriggerType(f"{where} is no trigger type: it must be a subclass of TriggerType.")
    for name in ("name", "label", "icon"):
        if not getattr(cls, name, ""):
            raise BadTriggerType(f"The trigger type {where} has no {name}.")
    PLUGINS.add(cls.name, cls)
    return cls


PLUGINS: Final[Plugins[TriggerType]] = Plugins("workflows.triggers", "stepwell.triggers", register)


def find(name: str) -> TriggerType | None:
    """The type of this name; None where none is installed (schedules and webhooks are kept, not fired yet)."""
    return PLUGINS.all().get(name)
