"""What stands between two cards of the step list: where a step can be put, which answers begin there, what ends there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from workflows.definition.graph import EdgeDef, StepDef
from workflows.definition.lanes import START_ROW, LaneRow, Strand
from workflows.definition.ordering import cycle, list_order
from workflows.definition.types import main_port
from workflows.presenters.builder_parts import Body, Chip, EndView, GapView, Place
from workflows.presenters.builder_rails import end_rail, gap_rail
from workflows.steps import registry
from workflows.steps.catalog import CATALOG

if TYPE_CHECKING:
    from workflows.presenters.builder_page import BuilderPage


class Gaps:
    """The part of a `BuilderPage` that reads paths: gaps, ways out, and what people call them."""

    def __init__(self, page: BuilderPage) -> None:
        self.page = page
        self.definition = page.definition

    def gap(self, body: Body, step: StepDef, lane: LaneRow, above: LaneRow) -> GapView:
        entering = self.definition.incoming(step.key)
        chips = self._chips(step, lane, above)
        tall = lane.gap.is_curved or len(above.leaving) > 1
        places = tuple(self.place_on(edge) for edge in self._default_first(entering, above.key))
        if not places:
            places = (Place(f"before:{step.key}", f"before {step.label}"),)
        if len(places) > 1:
            add = f"Add a step on one of {len(places)} paths"
        elif above.key == body.root and not chips:
            inside = "" if body.parent is None else self.definition.step(body.parent).label
            add = f"Add a step first in {inside}" if inside else "Add a step after the start"
        elif len(entering) == 1 and (answer := self.answer(entering[0])):
            add = f"Add a step on {answer}"
        else:
            add = f"Add a step before {step.label}"
        on = self.branches[step.key] if len(entering) == 1 else ""
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

    def place_on(self, edge: EdgeDef) -> Place:
        source, target = self.definition.step(edge.source), self.definition.step(edge.target)
        answer = self.answer(edge)
        label = (
            f"{answer}, between {source.label} and {target.label}"
            if answer
            else (f"between {source.label} and {target.label}")
        )
        lane = self.page.body(source.parent).lanes.get(edge.source)
        column = next(
            (strand.column for strand in (lane.leaving if lane else ()) if edge.id in strand.edges), 0
        )
        return Place(f"edge:{edge.id}", label, column)

    def places_after(self, step: StepDef) -> tuple[Place, ...]:
        """Right after a step: its one way on, or each of its paths, its free answers, and a new branch."""
        ports = self.ports(step)
        leaving = self.definition.outgoing(step.key)
        if not ports:
            return ()
        if len(ports) == 1 and len(leaving) < 2:
            token = f"edge:{leaving[0].id}" if leaving else f"after:{step.key}"
            return (Place(token, f"after {step.label}"),)
        taken = {edge.port for edge in leaving}
        found = [self.place_on(edge) for edge in leaving]
        if len(ports) > 1:
            found += [
                Place(f"after:{step.key}:{name}", f"on {label} of {step.label}")
                for name, label in ports
                if name not in taken
            ]
        if (main := main_port(step, CATALOG)) is not None and main in taken:
            found.append(Place(f"after:{step.key}", f"on a new branch of {step.label}"))
        return tuple(found)

    def targets_of(self, step: StepDef) -> tuple[tuple[str, str], ...]:
        """(key, label) of the steps that a path from this one can lead to: of its own list, none that is before it."""
        before = self.definition.ancestors(step.key) | {step.key}
        return tuple(
            (other.key, other.label) for other in self.page.body(step.parent).order if other.key not in before
        )

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
                    "words": f"on the path {self.place_on(edge).label}",
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
            by_answer: dict[str, list[Strand]] = {}
            for strand, answer in answers:
                by_answer.setdefault(answer, []).append(strand)
            if len(by_answer) > 1 or len(answers) == 1:
                for answer, strands in by_answer.items():
                    here = any(strand.target == step.key for strand in strands)
                    rest = "" if here else ", further down"
                    if len(strands) > 1:
                        rest += f", {len(strands)} branches at the same time"
                    chips.append(Chip(answer, rest, strands[0].column))
            else:
                chips.append(Chip("", f"{len(above.leaving)} branches, at the same time"))
            if step.key in {strand.target for strand in above.leaving}:
                return tuple(chips)
        for edge in self.definition.incoming(step.key):
            if len(self.definition.incoming(step.key)) > 1:
                break
            answer = self.answer(edge)
            beside = [other for other in self.definition.outgoing(edge.source) if other.port == edge.port]
            if len(beside) > 1 and edge.source != above.key:
                # One of several branches of the same answer: the split has said so, the lane leads here.
                answer = ""
            if answer and (edge.source != above.key or len(above.leaving) == 1):
                # Right below its step an answer needs no name of whose it is.
                of = "" if edge.source == above.key else f", of {self.definition.step(edge.source).label}"
                chips.append(Chip(answer, of, lane.column))
            elif edge.condition:
                chips.append(Chip("Only if", f" {edge.condition}", lane.column))
        return tuple(chips)

    def _answers_of(self, source: StepDef, strands: Sequence[Strand]) -> list[tuple[Strand, str]]:
        ports = dict(self.ports(source))
        if len(ports) < 2:
            return []
        by_id = {edge.id: edge for edge in self.definition.outgoing(source.key)}
        found: list[tuple[Strand, str]] = []
        for strand in strands:
            names = [ports.get(by_id[id].port, by_id[id].port) for id in strand.edges if id in by_id]
            found.append((strand, " and ".join(dict.fromkeys(names))))
        return found

    def ports(self, step: StepDef) -> list[tuple[str, str]]:
        """(name, what people read) of the step's ways out."""
        kind = registry.find(step.type)
        said = {port.name: port.label for port in kind.ports(step.config)} if kind else {}
        return [
            (name, said.get(name) or {"out": "Next", "error": "If it fails"}.get(name, name))
            for name in CATALOG.ports(step)
        ]

    def answer(self, edge: EdgeDef) -> str:
        """The answer that leads along the path, where its step has several."""
        source = self.definition.by_key.get(edge.source)
        ports = dict(self.ports(source)) if source is not None else {}
        return ports.get(edge.port, edge.port) if len(ports) > 1 else ""

    def ends(self, step: StepDef, lane: LaneRow, last: bool) -> tuple[EndView, ...]:
        """Ways out that lead nowhere yet. The last card's only one is the button at the end of the list."""
        taken = {edge.port for edge in self.definition.outgoing(step.key)}
        ports = self.ports(step)
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
    def branches(self) -> Mapping[str, str]:
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
            if answer := self.answer(edge):
                found[step.key] = f"on {answer} of {source.label}"
            elif len(self.definition.outgoing(edge.source)) > 1:
                found[step.key] = f"on the branch of {step.label}"
            else:
                found[step.key] = found.get(edge.source, "")
        return found
