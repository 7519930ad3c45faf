"""A template's definition as pages show it: its steps in list order with their words, and its shape as a small rail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from workflows.definition.graph import DEFAULT_PORT, Definition, StepDef, VariableDef, VariableKind
from workflows.definition.lanes import body_layout
from workflows.definition.ordering import body_order, list_order
from workflows.definition.schema import from_stored
from workflows.presenters.builder_rails import MARK, Rail, gap_rail, lane_css, step_rail, x_of
from workflows.presenters.mini_rail import Mini, mini_rail
from workflows.steps import registry
from workflows.steps.base import Group, StepType
from workflows.steps.catalog import CATALOG
from workflows.steps.fields import config_fields

LINE_STEPS: Final = 9
# Where paths part and meet (design README §4).
_DIAMONDS: Final = ("condition", "merge")


@dataclass(frozen=True, slots=True)
class Setting:
    """A text of a step's settings, with the label that its form gives it."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class StepView:
    """One step in words."""

    key: str
    label: str
    type_label: str
    icon: str
    tile: str
    description: str
    summary: str
    enabled: bool
    is_diamond: bool
    inside: str
    settings: tuple[Setting, ...]
    ways: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A step beside its piece of the rail."""

    step: StepView
    column: int
    rail: Rail
    gap: Rail
    folded: int

    @property
    def x(self) -> int:
        return x_of(self.column)

    @property
    def y(self) -> int:
        return MARK

    @property
    def css(self) -> str:
        return lane_css(self.column)


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything that pages show of one definition.

    `line` are the steps of a chain of nine, else empty; `gates` and `models` count the steps that are on.
    """

    rows: tuple[Row, ...]
    width: int
    steps: int
    gates: int
    models: int
    mini: Mini
    line: tuple[StepView, ...]
    variables: tuple[VariableDef, ...]


@lru_cache(maxsize=256)
def shape_of(document: str) -> Shape:
    """The shape of a stored document; step types that have gone keep their name."""
    return make_shape(from_stored(json.loads(document)))


def make_shape(definition: Definition) -> Shape:
    body = body_order(definition, None, CATALOG)
    lanes = body_layout(definition, body)
    placed = {row.key: row for row in lanes.rows}
    labels = {step.key: step.label for step in definition.steps}
    views = {step.key: _view(definition, step, labels) for step in definition.steps}
    rows = []
    for step in list_order(definition, CATALOG):
        lane = placed.get(step.key)
        if lane is None:  # in the body of another step, whose rail goes past it
            rows.append(Row(views[step.key], 0, Rail(), Rail(), 0))
        else:
            rows.append(
                Row(
                    views[step.key], lane.column, step_rail(lane), gap_rail(lane.gap, tall=False), lane.folded
                )
            )
    is_chain = lanes.width == 1 and len(body) == LINE_STEPS and all(step.parent is None for step in body)
    tiles = [view.tile for view in views.values() if view.enabled]
    return Shape(
        rows=tuple(rows),
        width=lanes.width,
        steps=len(definition.steps),
        gates=tiles.count("human"),
        models=tiles.count("ai"),
        mini=mini_rail(lanes, human=lambda key: views[key].tile == "human"),
        line=tuple(views[step.key] for step in body) if is_chain else (),
        variables=tuple(each for each in definition.variables if each.kind is VariableKind.INPUT),
    )


def _view(definition: Definition, step: StepDef, labels: Mapping[str, str]) -> StepView:
    kind = registry.find(step.type)
    return StepView(
        key=step.key,
        label=step.label,
        type_label=kind.label if kind else step.type,
        icon=kind.icon if kind else "puzzle",
        tile=_tile(kind, step),
        description=step.description,
        summary=kind.summary(step.config) if kind else "",
        enabled=step.enabled,
        is_diamond=step.type in _DIAMONDS,
        inside=labels.get(step.parent or "", ""),
        settings=tuple(_settings(kind, step)) if kind else (),
        ways=tuple(_ways(definition, kind, step, labels)),
    )


def _tile(kind: StepType | None, step: StepDef) -> str:
    if kind is None:
        return ""
    return "human" if kind.group is Group.ASK else "ai" if kind.uses_model(step.config) else ""


def _settings(kind: StepType, step: StepDef) -> list[Setting]:
    """The texts that were written for this step: prompts, questions, conditions. Defaults need no reading."""
    fields = config_fields(kind.ConfigForm)
    found = []
    for path, text in (*CATALOG.templates(step), *CATALOG.expressions(step)):
        name, _, rest = path.partition(".")
        name = name.partition("[")[0]
        if name in step.config and text.strip():
            label = str(fields[name].label or name)
            inner = rest.strip(".")
            found.append(Setting(f"{label}: {inner}" if inner and not inner.isdigit() else label, text))
    return found


def _ways(
    definition: Definition, kind: StepType | None, step: StepDef, labels: Mapping[str, str]
) -> list[tuple[str, str]]:
    """(way out, step it leads to), for steps that have more than the one plain way on."""
    ports = {port.name: port.label or port.name for port in kind.ports(step.config)} if kind else {}
    edges = definition.outgoing(step.key)
    if len(edges) < 2 and all(edge.port == DEFAULT_PORT for edge in edges):
        return []
    return [
        (
            ports.get(edge.port, edge.port) if edge.port != DEFAULT_PORT else "",
            labels.get(edge.target, edge.target),
        )
        for edge in edges
    ]
