"""Scopes: where inside loops and fan-outs a step runs. `k3[7].k9[0]` is item 0 of k9 within item 7 of k3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """Where a step runs: its key, and its scope (`""` at the top level)."""

    key: str
    scope: str = ""


@dataclass(frozen=True, slots=True, order=True)
class ItemPlace:
    """One item of a container: the container's place and the item's index from 0."""

    container: Place
    index: int

    @property
    def scope(self) -> str:
        """The scope in which the container's body runs for this item."""
        own = f"{self.container.key}[{self.index}]"
        return f"{self.container.scope}.{own}" if self.container.scope else own


def item_of(scope: str) -> ItemPlace | None:
    """The item whose body runs in this scope; None at the top level."""
    if not scope:
        return None
    outer, _, last = scope.rpartition(".")
    key, _, index = last.partition("[")
    return ItemPlace(Place(key, outer), int(index.rstrip("]")))


def enclosing(scope: str) -> tuple[str, ...]:
    """The scope itself and every scope around it, inside out, the top level left out."""
    found: list[str] = []
    while scope:
        found.append(scope)
        scope = scope.rpartition(".")[0]
    return tuple(found)


def is_within(scope: str, container: Place) -> bool:
    """Whether a scope belongs to the body of a container, at any depth."""
    start = f"{container.scope}.{container.key}[" if container.scope else f"{container.key}["
    return scope.startswith(start)


def indexes_of(scope: str) -> tuple[int, ...]:
    """The indexes of the items around this scope, outside in: what sorts scopes as their items are numbered."""
    return tuple(place.index for level in reversed(enclosing(scope)) if (place := item_of(level)) is not None)
