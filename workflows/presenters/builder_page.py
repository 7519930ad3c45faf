"""The builder's page as data: rows and gaps of the step list, the open cards, the panel. Asked once per answer."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from workflows.definition.diff import ChangeKind, Part, changes
from workflows.definition.graph import Definition, EdgeDef, StepDef
from workflows.definition.lanes import START_ROW, LaneLayout, LaneRow, Strand, body_layout
from workflows.definition.ordering import body_order, cycle, list_order
from workflows.definition.repairs import Repair, repairs_of
from workflows.definition.types import END, START, main_port
from workflows.definition.uses import owner_step, uses
from workflows.expressions.paths import normal
from workflows.lib.errors import Problem
from workflows.models import Step, Workflow, WorkflowVersion
from workflows.presenters.builder_controls import (
    Control,
    Section,
    VariableRow,
    declared_section,
    field_of,
    join_section,
    sections_of,
    variable_rows,
    wrong_section,
)
from workflows.presenters.builder_data import Groups, data_groups
from workflows.presenters.builder_library import LibraryChoices
from workflows.presenters.builder_nests import EMPTY_BODY, nest_words
from workflows.presenters.builder_rails import MARK, NESTED_MARK, Rail, end_rail, gap_rail, step_rail
from workflows.selectors import published_versions
from workflows.services.check_workflow import problems_of
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.steps import registry
from workflows.steps.base import Group, StepType
from workflows.steps.catalog import CATALOG

PILL: Final = "start"  # what `?open=` says for the run form
GROUPS: Final = {Group.THINK: "Think", Group.ASK: "Ask a person", Group.STEER: "Steer", Group.DO: "Do"}
_DIAMONDS: Final = frozenset({"condition", "merge", "parallel", "filter"})
# Problems that get buttons; the rest say what to do.
_REPAIRED: Final = 20
_MEANT: Final = re.compile(r"^Did you mean “(?P<right>[^”]+)”\?$")
_WRONG: Final = re.compile(r"uses (?:the (?:step|input|variable) )?“(?P<wrong>[^”]+)”")


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
        return _inside(self.count)

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

    `into` is the container (key, label) beside it that it can be moved into, `out_of` the one that it is in.
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

    @property
    def key(self) -> str:
        return self.step.key

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


class BuilderPage:
    """Everything of one builder page, from one reading of the draft."""

    def __init__(
        self,
        workflow: Workflow,
        opened: Iterable[str] = (),
        *,
        definition: Definition | None = None,
        extra_rows: str = "",
        folded: Iterable[str] = (),
    ) -> None:
        self.workflow = workflow
        self.definition = compile_draft(workflow) if definition is None else definition
        self.opened = frozenset(opened)
        self.extra_rows = extra_rows
        self.folded = frozenset(folded)
        self.problems = problems_of(workflow, self.definition)
        self.start = next(
            (step for step in self.definition.steps if step.type == START and step.parent is None), None
        )
        self.library = LibraryChoices(workflow.tenant)
        self._bodies: dict[str | None, Body] = {}
        self._rows: dict[str | None, tuple[StepRow, ...]] = {}

    def body(self, parent: str | None) -> Body:
        """The list of the workflow (None) or of a container."""
        if parent not in self._bodies:
            order = body_order(self.definition, parent, CATALOG)
            start = self.start if parent is None else None
            # The start stands first, whatever else begins with it: its row is the pill.
            order = tuple(step for step in order if step is not start)
            listed = (start, *order) if start is not None else order
            layout = body_layout(self.definition, listed, start_row=start is None)
            lanes = {row.key: row for row in layout.rows}
            root = start.key if start is not None else START_ROW
            containers = tuple(place for place, step in enumerate(order) if self._shows_body(step))
            self._bodies[parent] = Body(parent, order, layout, lanes, root, containers)
        return self._bodies[parent]

    @property
    def order(self) -> tuple[StepDef, ...]:
        return self.body(None).order

    @property
    def root(self) -> str:
        return self.body(None).root

    @cached_property
    def listed(self) -> tuple[StepDef, ...]:
        """Every step that has a card, from the top of the page to its end."""
        found: list[StepDef] = []
        todo = list(reversed(self.order))
        while todo:
            step = todo.pop()
            found.append(step)
            if self._shows_body(step):
                todo.extend(reversed(self.body(step.key).order))
        return tuple(found)

    @cached_property
    def _shown(self) -> frozenset[str]:
        return frozenset(step.key for step in self.listed)

    def _shows_body(self, step: StepDef) -> bool:
        return CATALOG.is_container(step.type) and not CATALOG.has_own_body(step)

    # --- the list ---

    @cached_property
    def start_row(self) -> StartRow:
        inputs = self.definition.input_variables()
        names = [variable.name for variable in inputs]
        asks = f"asks for {_names(names)}" if names else "asks for nothing"
        mine = tuple(
            problem
            for problem in self.problems
            if (problem.path or "").startswith("definition.variables")
            or (self.start is not None and problem.step_key == self.start.key)
        )
        is_open = PILL in self.opened or (self.start is not None and self.start.key in self.opened)
        return StartRow(
            rail=step_rail(self.body(None).lanes[self.root], mark=22),
            summary=asks,
            is_open=is_open,
            inputs=variable_rows(self.definition, inputs, self.problems),
            context=variable_rows(self.definition, self.definition.context_variables(), self.problems),
            problems=mine,
            step=self.start,
            card=self._card(self.start) if self.start is not None and is_open else None,
        )

    @property
    def rows(self) -> tuple[StepRow, ...]:
        return self.rows_of(None)

    def rows_of(self, parent: str | None) -> tuple[StepRow, ...]:
        """The cards of one list; those inside a container come with its own card."""
        if parent not in self._rows:
            body = self.body(parent)
            self._rows[parent] = tuple(self._row_at(body, place) for place in range(len(body.order)))
        return self._rows[parent]

    def row(self, key: str) -> StepRow | None:
        """One row by itself: a keystroke in a card must not draw 200 of them."""
        if key not in self._shown:
            return None
        parent = self.definition.step(key).parent
        if parent in self._rows:
            return next(row for row in self._rows[parent] if row.key == key)
        body = self.body(parent)
        return self._row_at(body, next(place for place, step in enumerate(body.order) if step.key == key))

    def _row_at(self, body: Body, place: int) -> StepRow:
        step = body.order[place]
        above = body.lanes[body.order[place - 1].key] if place else body.lanes[body.root]
        return self._row(body, step, body.lanes[step.key], above, place + 1, len(body.order))

    @property
    def width(self) -> int:
        return self.body(None).layout.width

    @property
    def end_gap(self) -> GapView:
        return self.end_of(None)

    def end_of(self, parent: str | None) -> GapView:
        """Below the last card of a list: where a step at its end goes."""
        order = self.body(parent).order
        last = order[-1] if order else None
        end = "end" if parent is None else f"inside:{parent}"
        if last is None:
            # Nothing is there but, maybe, the start.
            place = f"after:{self.root}" if parent is None and self.start is not None else end
        elif main_port(last, CATALOG) is None:
            place = end
        else:
            place = f"after:{last.key}"
        inside = "" if parent is None else f" of {self.definition.step(parent).label}"
        return GapView(
            id="gap-end" if parent is None else f"gap-end-{parent}",
            before=f"end:{parent or ''}",
            rail=Rail(),
            words=f"at the end{inside}",
            add=f"Add a step at the end{inside}",
            places=(Place(place, f"at the end{inside}"),),
        )

    def _nest(self, step: StepDef, kind: StepType) -> Nest:
        children = self.definition.children(step.key)
        prompt_only = CATALOG.has_own_body(step)
        lead, items, aside = nest_words(step)
        return Nest(
            key=step.key,
            label=step.label,
            lead=lead,
            items=items,
            aside=aside,
            icon=kind.icon,
            count=len(children),
            prompt_only=prompt_only,
            is_folded=step.key in self.folded,
            checks=tuple(one for one in self._by_step.get(step.key, ()) if one.code == EMPTY_BODY),
            page=self,
        )

    def _summary(self, step: StepDef, kind: StepType | None) -> str:
        if kind is None:
            return f"Unknown kind of step: {step.type}"
        if not self._shows_body(step):
            return kind.summary(step.config)
        return f"{_inside(len(self.definition.children(step.key)))} · {nest_words(step)[2]}"

    def _beside(self, body: Body, place: int) -> tuple[str, str] | None:
        """The container nearest to a card in its list, the one below before the one above."""
        if body.order[place].type in (START, END):
            return None
        below = bisect_right(body.containers, place)
        above = bisect_left(body.containers, place) - 1
        if below < len(body.containers):
            other = body.order[body.containers[below]]
        elif above >= 0:
            other = body.order[body.containers[above]]
        else:
            return None
        return other.key, other.label

    def _row(
        self, body: Body, step: StepDef, lane: LaneRow, above: LaneRow, position: int, total: int
    ) -> StepRow:
        kind = registry.find(step.type)
        mark = MARK if body.parent is None else NESTED_MARK
        holds = kind is not None and CATALOG.is_container(step.type)
        used_by, used = self._links.get(step.key, ((), ()))
        return StepRow(
            step=step,
            type_label=kind.label if kind else step.type,
            icon=kind.icon if kind else "puzzle",
            tile=step_tile(kind, step),
            summary=self._summary(step, kind),
            column=lane.column,
            rail=step_rail(lane, mark=mark),
            gap=self._gap(body, step, lane, above),
            ends=self._ends(step, lane, position == total),
            branch=self._branches[step.key],
            can_disable=CATALOG.can_disable(step.type),
            is_diamond=step.type in _DIAMONDS,
            problems=self._by_step.get(step.key, ()),
            used_by=used_by,
            uses=used,
            can_branch=main_port(step, CATALOG) is not None,
            card=self._card(step) if step.key in self.opened else None,
            is_first=position == 1,
            is_last=position == total,
            folded=lane.folded,
            mark=mark,
            nest=self._nest(step, kind) if holds and kind is not None else None,
            into=self._beside(body, position - 1),
            out_of=self.definition.step(body.parent).label if body.parent is not None else "",
        )

    @cached_property
    def _by_step(self) -> Mapping[str, tuple[Problem, ...]]:
        found: dict[str, list[Problem]] = {}
        for problem in self.problems:
            if problem.step_key is not None:
                found.setdefault(problem.step_key, []).append(problem)
        return {key: tuple(problems) for key, problems in found.items()}

    @cached_property
    def _links(self) -> Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """For each step: who uses its output, and whose output it uses."""
        by_label = {normal(step.label): step.key for step in self.definition.steps}
        pairs: dict[tuple[str, str], None] = {}
        for use in uses(self.definition, CATALOG):
            owner = owner_step(self.definition, use.owner)
            wanted = by_label.get(normal(use.path.label)) if use.path.label else None
            if owner is not None and wanted is not None and owner.key != wanted:
                pairs[owner.key, wanted] = None
        by, of = {}, {}  # type: dict[str, list[str]], dict[str, list[str]]
        for user, wanted in pairs:
            by.setdefault(wanted, []).append(user)
            of.setdefault(user, []).append(wanted)
        return {key: (tuple(by.get(key, ())), tuple(of.get(key, ()))) for key in {*by, *of}}

    # --- gaps ---

    def _gap(self, body: Body, step: StepDef, lane: LaneRow, above: LaneRow) -> GapView:
        entering = self.definition.incoming(step.key)
        chips = self._chips(step, lane, above)
        tall = lane.gap.is_curved or len(above.leaving) > 1
        places = tuple(self._place_on(edge) for edge in self._default_first(entering, above.key))
        if not places:
            places = (Place(f"before:{step.key}", f"before {step.label}"),)
        if len(places) > 1:
            add = f"Add a step on one of {len(places)} paths"
        elif above.key == body.root and not chips:
            inside = "" if body.parent is None else self.definition.step(body.parent).label
            add = f"Add a step first in {inside}" if inside else "Add a step after the start"
        elif len(entering) == 1 and (answer := self._answer(entering[0])):
            add = f"Add a step on {answer}"
        else:
            add = f"Add a step before {step.label}"
        on = self._branches[step.key] if len(entering) == 1 else ""
        return GapView(
            id=f"gap-{step.key}",
            before=step.key,
            rail=gap_rail(lane.gap, tall=tall or bool(chips)),
            words=", ".join(part for part in (f"before {step.label}", on) if part),
            add=add,
            places=places,
            column=lane.column,
            at="high" if lane.gap.joins else "low" if lane.gap.splits else "",
            chips=chips,
            lanes=json.dumps(self._lanes_of(lane.gap.strands)),
        )

    def _default_first(self, edges: Sequence[EdgeDef], above: str) -> list[EdgeDef]:
        """The path from the card above before the others: what a press means when it says nothing else."""
        return sorted(edges, key=lambda edge: edge.source != above)

    def _place_on(self, edge: EdgeDef) -> Place:
        source, target = self.definition.step(edge.source), self.definition.step(edge.target)
        answer = self._answer(edge)
        label = (
            f"{answer}, between {source.label} and {target.label}"
            if answer
            else (f"between {source.label} and {target.label}")
        )
        lane = self.body(source.parent).lanes.get(edge.source)
        column = next(
            (strand.column for strand in (lane.leaving if lane else ()) if edge.id in strand.edges), 0
        )
        return Place(f"edge:{edge.id}", label, column)

    def _lanes_of(self, strands: Sequence[Strand]) -> list[dict[str, object]]:
        """The paths that run through a gap, by lane: dropping on a lane puts the step onto its path."""
        found: list[dict[str, object]] = []
        for strand in strands:
            if strand.source == START_ROW or strand.target not in self.definition.by_key:
                continue
            edge = self._edges[strand.edges[0]]
            found.append(
                {
                    "column": strand.column,
                    "place": f"edge:{edge.id}",
                    "source": edge.source,
                    "target": edge.target,
                    "words": f"on the path {self._place_on(edge).label}",
                }
            )
        return found

    @cached_property
    def _edges(self) -> Mapping[str, EdgeDef]:
        return {edge.id: edge for edge in self.definition.edges}

    def _chips(self, step: StepDef, lane: LaneRow, above: LaneRow) -> tuple[Chip, ...]:
        chips: list[Chip] = []
        source = self.definition.by_key.get(above.key)
        if len(above.leaving) > 1:
            answers = self._answers_of(source, above.leaving) if source is not None else []
            if answers:
                for strand, answer in answers:
                    rest = (
                        f", of {source.label}" if strand.target == step.key and source else ", further down"
                    )
                    chips.append(Chip(answer, rest, strand.column))
            else:
                chips.append(Chip("", f"{len(above.leaving)} branches, at the same time"))
            if step.key in {strand.target for strand in above.leaving}:
                return tuple(chips)
        for edge in self.definition.incoming(step.key):
            if len(self.definition.incoming(step.key)) > 1:
                break
            answer = self._answer(edge)
            if answer and (edge.source != above.key or len(above.leaving) == 1):
                chips.append(Chip(answer, f", of {self.definition.step(edge.source).label}", lane.column))
            elif edge.condition:
                chips.append(Chip("Only if", f" {edge.condition}", lane.column))
        return tuple(chips)

    def _answers_of(self, source: StepDef, strands: Sequence[Strand]) -> list[tuple[Strand, str]]:
        ports = dict(self._ports(source))
        if len(ports) < 2:
            return []
        by_id = {edge.id: edge for edge in self.definition.outgoing(source.key)}
        found: list[tuple[Strand, str]] = []
        for strand in strands:
            names = [ports.get(by_id[id].port, by_id[id].port) for id in strand.edges if id in by_id]
            found.append((strand, " and ".join(dict.fromkeys(names))))
        return found

    def ports_of(self, step: StepDef) -> list[tuple[str, str]]:
        """(name, what people read) of the step's ways out, main one first."""
        return self._ports(step)

    def answer_of(self, edge: EdgeDef) -> str:
        """The answer that leads along the path, where its step has several; else nothing."""
        return self._answer(edge)

    def branch_of(self, key: str) -> str:
        """“on Yes of Worth a call?”, or nothing on the main lane."""
        return self._branches.get(key, "")

    def problems_of(self, key: str) -> tuple[Problem, ...]:
        return self._by_step.get(key, ())

    def summary_of(self, step: StepDef) -> str:
        """One line about a step, as its card says it."""
        return self._summary(step, registry.find(step.type))

    def _ports(self, step: StepDef) -> list[tuple[str, str]]:
        """(name, what people read) of the step's ways out."""
        kind = registry.find(step.type)
        said = {port.name: port.label for port in kind.ports(step.config)} if kind else {}
        return [
            (name, said.get(name) or {"out": "Next", "error": "If it fails"}.get(name, name))
            for name in CATALOG.ports(step)
        ]

    def _answer(self, edge: EdgeDef) -> str:
        """The answer that leads along the path, where its step has several."""
        source = self.definition.by_key.get(edge.source)
        ports = dict(self._ports(source)) if source is not None else {}
        return ports.get(edge.port, edge.port) if len(ports) > 1 else ""

    def _ends(self, step: StepDef, lane: LaneRow, last: bool) -> tuple[EndView, ...]:
        """Ways out that lead nowhere yet. The last card's only one is the button at the end of the list."""
        taken = {edge.port for edge in self.definition.outgoing(step.key)}
        ports = self._ports(step)
        free = [(name, label) for name, label in ports if name not in taken]
        if len(ports) < 2:
            if last or not free:
                return ()
            return (
                EndView(
                    "",
                    "End of this branch",
                    f"after:{step.key}",
                    lane.column,
                    end_rail(lane),
                    f"after {step.label}",
                ),
            )
        return tuple(
            EndView(
                label,
                ", ends here",
                f"after:{step.key}:{name}",
                lane.column,
                end_rail(lane),
                f"on {label} of {step.label}",
            )
            for name, label in free
        )

    @cached_property
    def _branches(self) -> Mapping[str, str]:
        """For each step: “on Yes of Worth a call?”, “on the branch of Research”, or nothing on the main lane."""
        found: dict[str, str] = {}
        main = cycle(self.definition) is None
        for step in list_order(self.definition, CATALOG):
            entering = self.definition.incoming(step.key)
            if len(entering) != 1 or not main:
                found[step.key] = ""
                continue
            edge = entering[0]
            source = self.definition.step(edge.source)
            if answer := self._answer(edge):
                found[step.key] = f"on {answer} of {source.label}"
            elif len(self.definition.outgoing(edge.source)) > 1:
                found[step.key] = f"on the branch of {step.label}"
            else:
                found[step.key] = found.get(edge.source, "")
        return found

    # --- the open card ---

    @cached_property
    def _revisions(self) -> dict[str, int]:
        rows = Step.objects.filter(workflow=self.workflow, key__in=list(self.opened | {self.root}))
        return dict(rows.values_list("key", "revision"))

    def _card(self, step: StepDef) -> OpenCard:
        kind = registry.find(step.type)
        problems = self._by_step.get(step.key, ())
        sections: list[Section] = []
        if kind is not None:
            sections += sections_of(step, kind, problems, extra_rows=self.extra_rows, library=self.library)
        paths = {edge.source for edge in self.definition.incoming(step.key)}
        if len(paths) > 1:
            sections.append(join_section(step, len(paths), problems))
        if kind is not None and step.type not in ("start", "end"):
            sections.append(wrong_section(step, kind, problems))
            sections.append(declared_section(step, problems, extra_rows=self.extra_rows))
        ports = dict(self._ports(step))
        fields = {control.name.split("__")[0] for section in sections for control in _all(section)}
        before = self.definition.ancestors(step.key) | {step.key}
        return OpenCard(
            revision=self._revisions.get(step.key, 1),
            sections=tuple(sections),
            paths=tuple(
                PathView(
                    edge.id,
                    ports.get(edge.port, edge.port),
                    self.definition.step(edge.target).label,
                    edge.condition or "",
                    edge.target_input or "",
                    tuple(problem for problem in problems if self._is_about(problem, edge)),
                )
                for edge in self.definition.outgoing(step.key)
            ),
            ports=tuple(ports.items()),
            targets=tuple(
                (other.key, other.label) for other in self.body(step.parent).order if other.key not in before
            ),
            general=tuple(problem for problem in problems if field_of(problem) not in fields),
            description=kind.description() if kind else "",
        )

    def _is_about(self, problem: Problem, edge: EdgeDef) -> bool:
        at = next(place for place, other in enumerate(self.definition.edges) if other.id == edge.id)
        return (problem.path or "").startswith(f"definition.edges[{at}]")

    # --- the panel ---

    @cached_property
    def panel(self) -> Panel:
        key = next((step.key for step in self.listed if step.key in self.opened), None)
        row = self.row(key) if key is not None else None
        mine = self._checks(problem for problem in self.problems if row and problem.step_key == row.key)
        others = self._checks(problem for problem in self.problems if not row or problem.step_key != row.key)
        if row is None:
            return Panel(None, (), others, ())
        return Panel(row, data_groups(self.definition, row.step), mine, others)

    def _checks(self, problems: Iterable[Problem]) -> tuple[Check, ...]:
        """Problems with their easy fixes: the right spelling of a wrong word, or an operation on the graph."""
        found = []
        for place, problem in enumerate(problems):
            meant, wrong = _MEANT.match(problem.fix or ""), _WRONG.search(problem.message)
            key = problem.step_key or ""
            repairs = repairs_of(problem, self.definition, CATALOG) if place < _REPAIRED else ()
            if meant and wrong and key and field_of(problem) not in ("", "condition", "source_output"):
                found.append(Check(problem, key, meant["right"], wrong["wrong"], repairs))
            else:
                found.append(Check(problem, key, repairs=repairs))
        return tuple(found)

    # --- the top bar ---

    @cached_property
    def latest(self) -> WorkflowVersion | None:
        if not self.workflow.latest_version:
            return None
        return published_versions(self.workflow).filter(number=self.workflow.latest_version).first()

    @cached_property
    def change_count(self) -> int:
        """How many things differ from the newest version; 0 where nothing is published."""
        if self.latest is None:
            return 0
        found = [
            change
            for change in changes(load_definition(self.latest), self.definition)
            if not change.only_layout
        ]
        if any(change.part is Part.STEP and change.kind is not ChangeKind.CHANGED for change in found):
            # The paths around a step that came or went are part of that one change.
            found = [change for change in found if change.part is not Part.EDGE]
        return len(found)

    @cached_property
    def error_count(self) -> int:
        return sum(problem.is_error for problem in self.problems)


def picker_groups() -> tuple[tuple[str, tuple[StepType, ...]], ...]:
    """The kinds of step, as the picker shows them; the start is made with the run form."""
    return tuple(
        (GROUPS[group], tuple(kind for kind in kinds if kind.name != START))
        for group, kinds in registry.by_group()
    )


def tile_of(kind: StepType) -> str:
    """The tile's colour in the picker."""
    return "human" if kind.group is Group.ASK else "ai" if kind.uses_model({}) else ""


def step_tile(kind: StepType | None, step: StepDef) -> str:
    """The tile's colour: `ai` where a model answers, `human` where a person does."""
    if kind is None:
        return ""
    return "human" if kind.group is Group.ASK else "ai" if kind.uses_model(step.config) else ""


def _all(section: Section) -> tuple[Control, ...]:
    return (*section.controls, *section.more)


def _inside(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'} inside" if count else "Nothing inside yet"


def _names(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
