"""Finds the providers: every file of this package, and third parties by the entry point group `stepwell.providers`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import threading
from importlib.metadata import entry_points
from typing import Final, TypeVar, cast

import workflows.providers
from workflows.lib.errors import Fault, StepwellError
from workflows.providers.base import Provider

ENTRY_POINTS: Final = "stepwell.providers"

_P = TypeVar("_P", bound=type[Provider])
_providers: dict[str, Provider] = {}
_lock = threading.RLock()
_discovered = False


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
    with _lock:
        known = _providers.get(cls.name)
        if known is not None and type(known) is not cls:
            raise BadProvider(
                f"Two providers are named {cls.name!r}: {cls.__module__} and {type(known).__module__}."
            )
        _providers[cls.name] = cls()
    return cls


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
    _discover()
    try:
        return _providers[name]
    except KeyError:
        known = ", ".join(sorted(_providers))
        raise UnknownProvider(f"There is no provider named {name!r}. Known: {known}.") from None


def is_known(name: str) -> bool:
    _discover()
    return name in _providers


def all_providers() -> tuple[Provider, ...]:
    """Every provider, in the order in which an account in the environment is looked for."""
    _discover()
    return tuple(sorted(_providers.values(), key=lambda provider: (provider.rank, provider.name)))


def _discover() -> None:
    global _discovered
    if not _discovered:
        with _lock:
            _find()
            _discovered = True


def _find() -> None:
    if _discovered:  # another thread was first
        return
    for module in pkgutil.iter_modules(workflows.providers.__path__):
        importlib.import_module(f"{workflows.providers.__name__}.{module.name}")
    for point in entry_points(group=ENTRY_POINTS):
        loaded: object = point.load()
        # A point may name a class, or a module whose decorators do the work when it is loaded.
        if inspect.isclass(loaded):
            register(cast(type[Provider], loaded))
