"""Kinds of things that are found by themselves: the files of a package, and third parties' entry points."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Plugins(Generic[T]):
    """One instance of each registered class, by name.

    `package` is the dotted name of the package whose files are imported on first use, `group` the entry point group,
    `register` the decorator of the kind, which refuses a class that lacks something and then calls `add`.
    """

    def __init__(self, package: str, group: str, register: Callable[[Any], object]) -> None:
        self.package, self.group, self.register = package, group, register
        self.lock = threading.RLock()
        self.discovered = False
        self.known: dict[str, T] = {}

    def add(self, name: str, cls: Callable[[], T]) -> T:
        """Keep an instance of the class under its name; the caller has looked whether the name is free."""
        with self.lock:
            made = self.known[name] = cls()
            return made

    def all(self) -> Mapping[str, T]:
        """Everything there is, by name."""
        if not self.discovered:
            with self.lock:
                if not self.discovered:  # else another thread was first
                    self._find()
                    self.discovered = True
        return self.known

    def _find(self) -> None:
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        for point in entry_points(group=self.group):
            loaded: object = point.load()
            # A point may name a class, or a module whose decorators do the work when it is loaded.
            if inspect.isclass(loaded):
                self.register(loaded)
