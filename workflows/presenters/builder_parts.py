"""The builder's page in frozen values: what one card, one gap, one list, the start and the panel show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workflows.definition.graph import StepDef
from workflows.definition.lanes import LaneLayout, LaneRow
from workflows.definition.repairs import Repair
from workflows.lib.errors import Problem
from workflows.presenters.builder_controls import Section, VariableRow
from workflows.presenters.builder_data import Groups
from workflows.presenters.builder_rails import MARK, Rail

if TYPE_CHECKING:
    from workflows.presenters.builder_page import BuilderPage


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere a step can be put: the token that is posted, and what people call it."""

    token: str
    label: str
    column: int = 0


@dataclass(frozen=True, slots=True)
class Chip:
    """A word between two cards: which answer begins here, how many branches."""

    name: str
    rest: str = ""
    column: int | None = None


@dataclass(frozen=True, slots=True)
class GapView:
    """The space above a card. `before` is that card's key, empty below the last one; `places` the paths into it.

    `words` says for screen readers on which branch it is; `lanes` (JSON) lists the paths that can be dropped on by
    their lane; `at` says where the + stands when lanes split or meet.
    """

    id: str
    before: str
    rail: Rail
    words: str
    add: str
    places: tuple[Place, ...]
    column: int = 0
    at: str = ""
    chips: tuple[Chip, ...] = ()
    lanes: str = "[]"

    @property
    def is_tall(self) -> bool:
        return self.rail.height > 32

    @property
    def choices(self) -> str:
        return json.dumps([{"place": place.token, "label": place.label} for place in self.places])


@dataclass(frozen=True, slots=True)
class EndView:
    """A way out of a step that nothing follows yet; `name` is the answer that leads there, if it has one."""

    name: str
    label: str
    place: str
    column: int
    rail: Rail
    words: str

    @property
    def choices(self) -> str:
        return json.dumps([{"place": self.place, "label": self.words}])


@dataclass(frozen=True, slots=True)
class PathView:
    """A path out of the step, in its open card."""

    id: str
    port: str
    target: str
    condition: str
    target_input: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class OpenCard:
    """What an open card shows below its head."""

    revision: int
    sections: tuple[Section, ...]
    paths: tuple[PathView, ...]
    ports: tuple[tuple[str, str], ...]
    targets: tuple[tuple[str, str], ...]
    general: tuple[Problem, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Nest:
    """What a container's card holds besides its settings: the list of the steps inside, drawn when it is asked for.

    `prompt_only`: its own prompt does the work, so that there is no list; `count` steps lie inside all the same.
    """

    key: str
    label: str
    lead: str
    items: str
    aside: str
    icon: str
    count: int
    prompt_only: bool
    is_folded: bool
    checks: tuple[Problem, ...]
    page: BuilderPage = field(repr=False, compare=False)

    @property
    def said(self) -> str:
        return inside(self.count)

    @property
    def width(self) -> int:
        return self.page.body(self.key).layout.width

    @property
    def rows(self) -> tuple[StepRow, ...]:
        return self.page.rows_of(self.key)

    @property
    def end_gap(self) -> GapView:
        return self.page.end_of(self.key)


@dataclass(frozen=True, slots=True)
class Body:
    """One list of steps: the workflow's own, or that of a container. `root` is the row that stands for its beginning.

    `containers` are the places in `order` of the steps with a list of their own.
    """

    parent: str | None
    order: tuple[StepDef, ...]
    layout: LaneLayout
    lanes: Mapping[str, LaneRow]
    root: str
    containers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepRow:
    """One card with the gap above it and its free ways out below.

    `into` is the container (key, label) beside it that it can be moved into, `out_of` the one that it is in; `after` the
    places right after it.
    """

    step: StepDef
    type_label: str
    icon: str
    tile: str
    summary: str
    column: int
    rail: Rail
    gap: GapView | None
    ends: tuple[EndView, ...]
    branch: str
    can_disable: bool
    is_diamond: bool
    problems: tuple[Problem, ...]
    used_by: tuple[str, ...]
    uses: tuple[str, ...]
    can_branch: bool
    card: OpenCard | None = None
    is_first: bool = False
    is_last: bool = False
    folded: int = 0
    mark: int = MARK
    nest: Nest | None = None
    into: tuple[str, str] | None = None
    out_of: str = ""
    after: tuple[Place, ...] = ()

    @property
    def key(self) -> str:
        return self.step.key

    @property
    def after_choices(self) -> str:
        """Where a step after this one can go (the key A), as `data-choices` has it."""
        return json.dumps([{"place": place.token, "label": place.label} for place in self.after])

    @property
    def label(self) -> str:
        return self.step.label

    @property
    def lane(self) -> str:
        return str(self.column) if self.column < 6 else "off"

    @property
    def is_open(self) -> bool:
        return self.card is not None

    @property
    def name(self) -> str:
        """The card's name for screen readers, with its branch (design README §8)."""
        return f"{self.label}, {self.branch}" if self.branch else self.label

    @property
    def errors(self) -> int:
        return sum(problem.is_error for problem in self.problems)


@dataclass(frozen=True, slots=True)
class StartRow:
    """The pill at the top: how a run starts, and (open) the form it starts with."""

    rail: Rail
    summary: str
    is_open: bool
    inputs: tuple[VariableRow, ...]
    context: tuple[VariableRow, ...]
    problems: tuple[Problem, ...]
    step: StepDef | None
    card: OpenCard | None


@dataclass(frozen=True, slots=True)
class Check:
    """A problem in the panel. `meant` is what an easy fix writes in place of `wrong`; `repairs` are other buttons."""

    problem: Problem
    key: str
    meant: str = ""
    wrong: str = ""
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """The right panel: of the open step, or of the whole workflow."""

    row: StepRow | None
    references: Groups
    checks: tuple[Check, ...]
    others: tuple[Check, ...]

    @property
    def count(self) -> int:
        return len(self.checks)


def inside(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'} inside" if count else "Nothing inside yet"
