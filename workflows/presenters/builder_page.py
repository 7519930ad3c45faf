"""The builder's page as data: rows and gaps of the step list, the open cards, the panel. Asked once per answer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

from workflows.definition.diff import ChangeKind, Part, changes
from workflows.definition.graph import Definition, EdgeDef, StepDef
from workflows.definition.lanes import START_ROW, LaneRow, body_layout
from workflows.definition.ordering import body_order
from workflows.definition.types import END, START, main_port
from workflows.definition.uses import owner_step, uses
from workflows.expressions.paths import normal
from workflows.lib.errors import Problem
from workflows.models import Workflow, WorkflowVersion
from workflows.presenters.builder_cards import Cards
from workflows.presenters.builder_controls import variable_rows
from workflows.presenters.builder_data import data_groups
from workflows.presenters.builder_gaps import Gaps
from workflows.presenters.builder_library import LibraryChoices
from workflows.presenters.builder_nests import EMPTY_BODY, goes_on_words, nest_words, waits_words
from workflows.presenters.builder_parts import Body, GapView, Nest, Panel, Place, StartRow, StepRow, inside
from workflows.presenters.builder_rails import MARK, NESTED_MARK, Rail, step_rail
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
        self.gaps = Gaps(self)
        self.cards = Cards(self)
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
        if events := [name for trigger in self.definition.triggers for name in trigger.events]:
            asks = f"also by {_names(events)}; {asks}"
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
            card=self.cards.card(self.start) if self.start is not None and is_open else None,
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
        if step.type == "merge" and len(self.definition.incoming(step.key)) > 1:
            return (
                f"{waits_words(step, len(self.definition.incoming(step.key)))} · {kind.summary(step.config)}"
            )
        if not self._shows_body(step):
            return kind.summary(step.config)
        count = inside(len(self.definition.children(step.key)))
        return " · ".join(part for part in (count, nest_words(step)[2], goes_on_words(step)) if part)

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
            gap=self.gaps.gap(body, step, lane, above),
            ends=self.gaps.ends(step, lane, position == total),
            branch=self.gaps.branches[step.key],
            can_disable=CATALOG.can_disable(step.type),
            is_diamond=step.type in _DIAMONDS,
            problems=self._by_step.get(step.key, ()),
            used_by=used_by,
            uses=used,
            can_branch=main_port(step, CATALOG) is not None,
            card=self.cards.card(step) if step.key in self.opened else None,
            is_first=position == 1,
            is_last=position == total,
            folded=lane.folded,
            mark=mark,
            nest=self._nest(step, kind) if holds and kind is not None else None,
            into=self._beside(body, position - 1),
            out_of=self.definition.step(body.parent).label if body.parent is not None else "",
            after=self.gaps.places_after(step),
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

    def ports_of(self, step: StepDef) -> list[tuple[str, str]]:
        """(name, what people read) of the step's ways out, main one first."""
        return self.gaps.ports(step)

    def answer_of(self, edge: EdgeDef) -> str:
        """The answer that leads along the path, where its step has several; else nothing."""
        return self.gaps.answer(edge)

    def branch_of(self, key: str) -> str:
        """“on Yes of Worth a call?”, or nothing on the main lane."""
        return self.gaps.branches.get(key, "")

    def problems_of(self, key: str) -> tuple[Problem, ...]:
        return self._by_step.get(key, ())

    def summary_of(self, step: StepDef) -> str:
        """One line about a step, as its card says it."""
        return self._summary(step, registry.find(step.type))

    # --- the open card ---

    # --- the panel ---

    @cached_property
    def panel(self) -> Panel:
        key = next((step.key for step in self.listed if step.key in self.opened), None)
        row = self.row(key) if key is not None else None
        mine = self.cards.checks(problem for problem in self.problems if row and problem.step_key == row.key)
        others = self.cards.checks(
            problem for problem in self.problems if not row or problem.step_key != row.key
        )
        if row is None:
            return Panel(None, (), others, ())
        return Panel(row, data_groups(self.definition, row.step), mine, others)

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


def _names(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
