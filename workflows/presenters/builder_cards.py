"""What an open card of the step list holds, and what the panel says is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Final

from workflows.definition.graph import EdgeDef, StepDef
from workflows.definition.repairs import repairs_of
from workflows.lib.errors import Problem
from workflows.models import Step
from workflows.presenters.builder_controls import (
    Control,
    Section,
    declared_section,
    field_of,
    join_section,
    sections_of,
    wrong_section,
)
from workflows.presenters.builder_parts import Check, OpenCard, PathView
from workflows.steps import registry
from workflows.steps.catalog import CATALOG

if TYPE_CHECKING:
    from workflows.presenters.builder_page import BuilderPage

# Problems that get buttons; the rest say what to do.
_REPAIRED: Final = 20
_MEANT: Final = re.compile(r"^Did you mean “(?P<right>[^”]+)”\?$")
_WRONG: Final = re.compile(r"uses (?:the (?:step|input|variable) )?“(?P<wrong>[^”]+)”")


class Cards:
    """The part of a `BuilderPage` that reads settings and problems."""

    def __init__(self, page: BuilderPage) -> None:
        self.page = page
        self.definition = page.definition

    @cached_property
    def _revisions(self) -> dict[str, int]:
        rows = Step.objects.filter(
            workflow=self.page.workflow, key__in=list(self.page.opened | {self.page.root})
        )
        return dict(rows.values_list("key", "revision"))

    def card(self, step: StepDef) -> OpenCard:
        kind = registry.find(step.type)
        problems = self.page.problems_of(step.key)
        sections: list[Section] = []
        if kind is not None:
            sections += sections_of(
                step, kind, problems, extra_rows=self.page.extra_rows, library=self.page.library
            )
        paths = {edge.source for edge in self.definition.incoming(step.key)}
        if len(paths) > 1:
            sections.append(join_section(step, len(paths), problems))
        if kind is not None and step.type not in ("start", "end"):
            sections.append(wrong_section(step, kind, problems))
            sections.append(declared_section(step, problems, extra_rows=self.page.extra_rows))
        ports = dict(self.page.gaps.ports(step))
        fields = {control.name.split("__")[0] for section in sections for control in _all(section)}
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
            targets=self.page.gaps.targets_of(step),
            general=tuple(problem for problem in problems if field_of(problem) not in fields),
            description=kind.description() if kind else "",
        )

    def _is_about(self, problem: Problem, edge: EdgeDef) -> bool:
        at = next(place for place, other in enumerate(self.definition.edges) if other.id == edge.id)
        return (problem.path or "").startswith(f"definition.edges[{at}]")

    def checks(self, problems: Iterable[Problem]) -> tuple[Check, ...]:
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


def _all(section: Section) -> tuple[Control, ...]:
    return (*section.controls, *section.more)
