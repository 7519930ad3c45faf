"""Finds the providers: every file of this package, and third parties by the entry point group `stepwell.providers`."""

from __future__ import annotations

import inspect
from typing import Final, TypeVar

from workflows.lib.errors import Fault, StepwellError
from workflows.lib.plugins import Plugins
from workflows.providers.base import Provider

ENTRY_POINTS: Final = "stepwell.providers"

_P = TypeVar("_P", bound=type[Provider])


class BadProvider(StepwellError):
    """A provider that lacks something; the message names what and where."""

    code = "bad_provider"
    fault = Fault.INTERNAL


class UnknownProvider(StepwellError):
    """No provider of this name is installed."""

    code = "unknown_provider"
    fault = Fault.AUTHOR
    status = 422


def register(cls: _P) -> _P:
    """Class decorator: make the provider known under its name, or refuse it with a sentence."""
    fault = _fault(cls)
    if fault:
        raise BadProvider(fault)
    with PLUGINS.lock:
        known = PLUGINS.known.get(cls.name)
        if known is not None and type(known) is not cls:
            raise BadProvider(
                f"Two providers are named {cls.name!r}: {cls.__module__} and {type(known).__module__}."
            )
        PLUGINS.add(cls.name, cls)
    return cls


PLUGINS: Final[Plugins[Provider]] = Plugins("workflows.providers", ENTRY_POINTS, register)


def _fault(cls: object) -> str | None:
    """What the class lacks, as a sentence."""
    where = f"{getattr(cls, '__module__', '?')}.{getattr(cls, '__qualname__', cls)}"
    if not inspect.isclass(cls) or not issubclass(cls, Provider):
        return f"{where} is no provider: it must be a subclass of workflows.providers.base.Provider."
    for attribute in ("name", "label"):
        value = getattr(cls, attribute, None)
        if not isinstance(value, str) or not value.strip():
            return f"The provider {where} has no {attribute}: give it a class attribute `{attribute}`."
    if ":" in cls.name or "/" in cls.name or cls.name == "default":
        return f"The provider {where} may not be named {cls.name!r}: a name holds no colon and no slash."
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    return f"The provider {where} has no method {missing[0]}." if missing else None


def get(name: str) -> Provider:
    """The provider of this name. Raises UnknownProvider."""
    known = PLUGINS.all()
    if name not in known:
        raise UnknownProvider(f"There is no provider named {name!r}. Known: {', '.join(sorted(known))}.")
    return known[name]


def is_known(name: str) -> bool:
    return name in PLUGINS.all()


def all_providers() -> tuple[Provider, ...]:
    """Every provider, in the order in which an account in the environment is looked for."""
    return tuple(sorted(PLUGINS.all().values(), key=lambda provider: (provider.rank, provider.name)))
