"""What is worked out from a definition is kept with that definition, for one catalog, and for no other."""

from dataclasses import replace

from tests.workflows.definition.support import CATALOG
from workflows.definition.availability import availability_of
from workflows.definition.graph import Definition, EdgeDef, StepDef
from workflows.definition.validation import graph_problems, validate
from workflows.lib.jsontypes import JSONObject
from workflows.steps.catalog import Catalog


def _template(text: str) -> JSONObject:
    return {"mode": "template", "template": text}


USES_A_LATER_STEP = Definition(
    steps=(
        StepDef("a", "transform", "First", config=_template("{{ steps.Second.content }}"), order=0),
        StepDef("b", "transform", "Second", config=_template("{{ previous }}"), order=1),
    ),
    edges=(EdgeDef("e", "a", "b"),),
)


def test_the_same_definition_is_worked_out_once() -> None:
    one = replace(USES_A_LATER_STEP)
    assert availability_of(one, CATALOG) is availability_of(one, CATALOG)


def test_a_changed_definition_is_worked_out_anew() -> None:
    one, catalog = replace(USES_A_LATER_STEP), Catalog()
    assert [problem.code for problem in graph_problems(one, catalog)] == ["not_before"]
    first = one.step("a")
    mended = one.with_step(replace(first, config=_template("{{ previous }}")))
    assert graph_problems(mended, catalog) == ()
    assert [problem.code for problem in graph_problems(one, catalog)] == ["not_before"]


def test_each_catalog_has_its_own_answer() -> None:
    one = replace(USES_A_LATER_STEP)
    assert availability_of(one, Catalog()) is not availability_of(one, Catalog())


def test_what_is_kept_is_no_part_of_the_definition() -> None:
    one, other = replace(USES_A_LATER_STEP), replace(USES_A_LATER_STEP)
    validate(one, Catalog())
    assert one == other
    assert availability_of(replace(one), CATALOG) is not availability_of(one, CATALOG)
