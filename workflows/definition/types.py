"""What the graph must know of step types, given by argument because this package lies below the types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias

from workflows.definition.graph import DEFAULT_PORT, ERROR_PORT, StepDef
from workflows.lib.errors import Problem

START: Final = "start"
END: Final = "end"
FAN_OUT: Final = "fan_out"
# The only type that leaves by all of its ports at once.
PARALLEL: Final = "parallel"
# What such a step says it left by.
ALL_PORTS: Final = "*"

Rewrite: TypeAlias = Callable[[str], str]


class TypeCatalog(Protocol):
    """The registered step types, as the graph sees them. Every method is total: an unknown type has port `out`."""

    def known(self, name: str) -> bool:
        """Whether this is the canonical name of a type."""
        ...

    def canonical(self, name: str) -> str | None:
        """The canonical name behind a name or an alias; None when nobody has it."""
        ...

    def ports(self, step: StepDef) -> tuple[str, ...]:
        """Ways out, main one first; `error` is the last one when the step routes its errors; empty: nothing follows."""
        ...

    def is_container(self, type: str) -> bool:
        """Whether steps may stand in a body of this type."""
        ...

    def has_own_body(self, step: StepDef) -> bool:
        """Whether its settings make a body without steps (a fan-out with a prompt): its texts may say `item`."""
        ...

    def own_body(self, step: StepDef) -> StepDef | None:
        """The hidden step that such settings stand for, its `parent` the container; None for other steps."""
        ...

    def can_disable(self, type: str) -> bool: ...

    def clean(self, step: StepDef) -> tuple[StepDef, tuple[Problem, ...]]:
        """The step with its settings in canonical words, and what makes them malformed (unknown settings, wrong shapes)."""
        ...

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        """What is wrong with the settings: the form's and the type's own problems, `field` set."""
        ...

    def templates(self, step: StepDef) -> Iterable[tuple[str, str]]:
        """(field, text) of every text that may hold `{{ … }}`; the field is a path in the config: `headers.X-Id`."""
        ...

    def expressions(self, step: StepDef) -> Iterable[tuple[str, str]]:
        """(field, text) of every expression in the settings."""
        ...

    def sets_variables(self, step: StepDef) -> Iterable[tuple[str, str]]:
        """(field, variable name) of every context variable that the step sets."""
        ...

    def rewrite(self, step: StepDef, template: Rewrite, expression: Rewrite) -> StepDef:
        """The step with each of its templates and expressions put through a function."""
        ...


class ModelCheck(Protocol):
    """Says what is wrong with the model that a step would call."""

    def __call__(self, step: StepDef, default_model: str | None, /) -> Iterable[Problem]:
        """Problems of this step's `provider:model`, or of the workflow's default where the step has none."""
        ...


def leaves_by(left_by: str | None, port: str) -> bool:
    """Whether a step that left by `left_by` has taken the path on `port`; every way out does not take in `error`."""
    return port == left_by or (left_by == ALL_PORTS and port != ERROR_PORT)


def main_port(step: StepDef, catalog: TypeCatalog) -> str | None:
    """The port that healing and bypassing follow; None when nothing can follow the step."""
    ports = catalog.ports(step)
    return ports[0] if ports and ports[0] != ERROR_PORT else None


def port_rank(step: StepDef, port: str, catalog: TypeCatalog | None) -> int:
    """Place of a port among the step's ways out; unknown ones come last."""
    ports = catalog.ports(step) if catalog is not None else (DEFAULT_PORT,)
    return ports.index(port) if port in ports else len(ports)
