"""The canvas as data: nodes with their ports, frames, wires with their lanes, and what stands around the chosen step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from workflows.definition.canvas import HEIGHT, WIDTH, Box, boxes
from workflows.definition.graph import EdgeDef, StepDef
from workflows.definition.layout import GAP_Y
from workflows.definition.types import START
from workflows.lib.errors import Problem
from workflows.presenters.builder_nests import nest_words
from workflows.presenters.builder_page import PILL, BuilderPage, step_tile
from workflows.presenters.builder_rails import lane_css
from workflows.steps import registry
from workflows.steps.base import StepType
from workflows.steps.catalog import CATALOG

# What the palette offers to be dragged; everything else is in the picker.
PALETTE: Final = (
    "llm", "review", "condition", "merge", "fan_out", "loop", "http_request", "transform", "delay", "subworkflow",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Port:
    """A way out at the lower edge: `at` is its place across, from 0 to 1."""

    name: str
    label: str
    at: float


@dataclass(frozen=True, slots=True)
class Node:
    """A step on the canvas; with `box.is_frame` the frame around the steps of a container."""

    step: StepDef
    box: Box
    ports: tuple[Port, ...]
    type_label: str
    icon: str
    tile: str
    summary: str
    branch: str
    problems: tuple[Problem, ...]
    inside: str = ""

    @property
    def key(self) -> str:
        return self.step.key

    @property
    def label(self) -> str:
        return self.step.label

    @property
    def errors(self) -> int:
        return sum(problem.is_error for problem in self.problems)

    @property
    def is_start(self) -> bool:
        return self.step.type == START

    @property
    def name(self) -> str:
        """What screen readers say: “Score the fit, step, on Yes of Worth a call?”."""
        kind = "container" if self.box.is_frame else "start" if self.is_start else "step"
        parts = [self.label, kind, self.branch]
        if self.inside:
            parts.append(f"in {self.inside}")
        if not self.step.enabled:
            parts.append("off")
        if self.problems:
            parts.append(f"{len(self.problems)} to check")
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Start:
    """The pill above the first steps of a workflow without a start step."""

    box: Box
    summary: str
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wire:
    """A path. `label` is the answer it leaves by, `words` what its buttons are about."""

    edge: EdgeDef
    css: str
    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Around:
    """What the panel says about where the chosen step stands."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    beside: tuple[str, ...]


class CanvasView:
    """Everything that the canvas draws, from one builder page."""

    def __init__(self, page: BuilderPage) -> None:
        self.page = page
        self.definition = page.definition
        self.boxes = boxes(page.definition, CATALOG)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """In the order of the list: what screen readers and the keyboard go through."""
        start = (self.page.start,) if self.page.start is not None else ()
        return tuple(self.node(step) for step in (*start, *self.page.listed))

    def node(self, step: StepDef) -> Node:
        kind = registry.find(step.type)
        around = self.definition.by_key.get(step.parent or "")
        return Node(
            step=step,
            box=self.boxes[step.key],
            ports=self._ports(step),
            type_label=kind.label if kind else step.type,
            icon=kind.icon if kind else "puzzle",
            tile=step_tile(kind, step),
            summary=nest_words(step)[2] if self.boxes[step.key].is_frame else self.page.summary_of(step),
            branch=self.page.branch_of(step.key),
            problems=self.page.problems_of(step.key),
            inside=around.label if around is not None else "",
        )

    def _ports(self, step: StepDef) -> tuple[Port, ...]:
        ports = self.page.ports_of(step)
        count = len(ports)
        apart = min(0.52, 0.76 / (count - 1)) if count > 1 else 0.0
        return tuple(
            Port(name, label, round(0.5 + (index - (count - 1) / 2) * apart, 4))
            for index, (name, label) in enumerate(ports)
        )

    @cached_property
    def start(self) -> Start | None:
        """None where a step of the workflow is its start: that one is a node."""
        if self.page.start is not None:
            return None
        roots = [step for step in self.definition.roots() if step.key in self.boxes]
        around = [self.boxes[step.key] for step in roots]
        if not around:
            return Start(Box(0, 0), self.page.start_row.summary, ())
        middle = (min(box.middle for box in around) + max(box.middle for box in around)) / 2
        top = min(box.y for box in self.boxes.values())
        box = Box(round(middle - WIDTH / 2, 1), min(top, min(box.y for box in around)) - HEIGHT - GAP_Y)
        return Start(box, self.page.start_row.summary, tuple(step.key for step in roots))

    @cached_property
    def wires(self) -> tuple[Wire, ...]:
        shown = {node.key for node in self.nodes}
        lanes = self._lanes
        # Where several paths leave by one answer, it is named once.
        first = {(edge.source, edge.port): edge.id for edge in reversed(self.definition.edges)}
        return tuple(
            Wire(
                edge,
                lanes.get(edge.id, "lane0"),
                self._label(edge, named=first[edge.source, edge.port] == edge.id),
                f"{self.definition.step(edge.source).label} and {self.definition.step(edge.target).label}",
            )
            for edge in self.definition.edges
            if edge.source in shown and edge.target in shown
        )

    def _label(self, edge: EdgeDef, *, named: bool) -> str:
        answer = self.page.answer_of(edge) if named else ""
        if edge.condition:
            return f"{answer}, only if …" if answer else "Only if …"
        return answer

    @cached_property
    def _lanes(self) -> Mapping[str, str]:
        """The colour of each path: the lane that it has beside the list."""
        parents = dict.fromkeys([None, *(step.parent for step in self.page.listed)])
        return {
            edge: lane_css(strand.column)
            for parent in parents
            for row in self.page.body(parent).lanes.values()
            for strand in row.leaving
            for edge in strand.edges
        }

    @property
    def is_empty(self) -> bool:
        return not self.page.listed

    @cached_property
    def around(self) -> Around | None:
        """Around the chosen step; None when none is chosen."""
        row = self.page.panel.row
        if row is None:
            return None
        before = dict.fromkeys(edge.source for edge in self.definition.incoming(row.key))
        after = dict.fromkeys(edge.target for edge in self.definition.outgoing(row.key))
        beside = dict.fromkeys(
            edge.target
            for source in before
            for edge in self.definition.outgoing(source)
            if edge.target != row.key
        )
        labels = self.definition.by_key
        return Around(
            tuple(labels[key].label for key in before),
            tuple(labels[key].label for key in after),
            tuple(labels[key].label for key in beside),
        )

    @property
    def chosen(self) -> str:
        """The key of the step whose settings the panel shows, `start` for the run form, or nothing."""
        if self.page.panel.row is not None:
            return self.page.panel.row.key
        if not self.page.start_row.is_open:
            return ""
        return self.page.start.key if self.page.start is not None else PILL


def palette() -> tuple[StepType, ...]:
    """The kinds of step beside the canvas."""
    return tuple(kind for name in PALETTE if (kind := registry.find(name)) is not None)
