"""JSON ⇄ Definition in the shape of the API: aliases in, canonical words out, every problem named with its path."""

from __future__ import annotations

from workflows.definition.canvas import positions, with_positions
from workflows.definition.graph import Definition
from workflows.definition.reading import BUDGET_POLICIES, TRIGGER_TYPES, DocumentReader
from workflows.definition.reading_pieces import MAX_DEPTH
from workflows.definition.reading_steps import FIELD_TYPES
from workflows.definition.structure import structure_problems
from workflows.definition.types import TypeCatalog
from workflows.definition.writing import (
    canonical_json,
    content_hash,
    edge_to_json,
    step_to_json,
    to_json,
    variable_to_json,
)
from workflows.lib.errors import Invalid, Problem
from workflows.lib.jsontypes import JSONObject, JSONValue

__all__ = [
    "BUDGET_POLICIES",
    "FIELD_TYPES",
    "MAX_DEPTH",
    "TRIGGER_TYPES",
    "canonical_json",
    "content_hash",
    "edge_to_json",
    "from_stored",
    "parse_definition",
    "step_to_json",
    "to_json",
    "variable_to_json",
]


def parse_definition(data: JSONValue, catalog: TypeCatalog, *, path: str = "definition") -> Definition:
    """Read a definition in the API's shape.

    Aliases are accepted and written canonically; missing ids, names, orders and positions get defaults that
    depend on the input alone. Raises Invalid with all structural problems at once, each with its JSON path.
    """
    reader = DocumentReader(catalog)
    definition = reader.definition(data, path)
    if not reader.problems:
        reader.problems.extend(structure_problems(definition, catalog, path=path))
    elif not reader.left_out:
        # What is wrong with the shape is said beside what is wrong with the words: one look, one mending.
        said = {problem.path for problem in reader.problems}
        reader.problems.extend(
            problem
            for problem in structure_problems(definition, catalog, path=path)
            if problem.path not in said
        )
    if reader.problems:
        raise Invalid(_headline(reader.problems), problems=tuple(reader.problems))
    if not reader.unplaced:
        return definition
    spots = positions(definition, catalog)
    return with_positions(definition, {key: spots[key] for key in reader.unplaced})


def from_stored(data: JSONObject) -> Definition:
    """Read what `to_json` wrote, without asking for step types: versions must load when a type has gone."""
    reader = DocumentReader(None)
    definition = reader.definition(data, "definition")
    if reader.problems:
        raise Invalid(_headline(reader.problems), problems=tuple(reader.problems))
    return definition


def _headline(problems: list[Problem]) -> str:
    if len(problems) == 1:
        return problems[0].says
    return f"The workflow cannot be read: {len(problems)} problems. The first: {problems[0].says}"
