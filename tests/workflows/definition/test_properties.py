"""Random graphs and random edits: what must hold whatever a person does."""

import json
from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workflows.definition.support import CATALOG
from tests.workflows.definition.support import step as make_step
from workflows.definition import operations as ops
from workflows.definition.availability import Availability, Verdict
from workflows.definition.bypass import bypass_disabled, off_steps
from workflows.definition.edits import body_of
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    ErrorChoice,
    ErrorPolicy,
    JoinKind,
    JoinRule,
    Position,
    StepDef,
)
from workflows.definition.operations import (
    After,
    AsRoot,
    AtEnd,
    Before,
    Between,
    OnEdge,
    OperationRefused,
    Place,
)
from workflows.definition.ordering import cycle, list_order, reindex
from workflows.definition.schema import canonical_json, parse_definition, to_json
from workflows.definition.structure import structure_problems
from workflows.definition.uses import uses
from workflows.definition.validation import validate

slow = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TYPES = ("llm", "llm", "llm", "condition", "review", "merge", "loop", "fan_out", "end", "parallel")


@st.composite
def definitions(draw: st.DrawFn, most: int = 12) -> Definition:
    """A valid definition: bodies in containers, edges forward only, any ports, some steps off, some references."""
    steps: list[StepDef] = []
    edges: list[EdgeDef] = []
    for number in range(draw(st.integers(0, most))):
        key = f"k{number}"
        containers: list[str | None] = [
            None,
            None,
            *(one.key for one in steps if CATALOG.is_container(one.type)),
        ]
        parent = draw(st.sampled_from(containers))
        type = draw(st.sampled_from(TYPES if parent is None else TYPES[:8]))
        routes = draw(st.integers(0, 5)) == 0 and type == "llm"
        config: dict = {"prompt": f"Step {number}"}
        if len(steps) > 0 and draw(st.booleans()):
            config["prompt"] += f" {{{{steps.{draw(st.sampled_from(steps)).label}.content}}}}"
        if type == "parallel":
            config = {"branches": [{"name": "one"}, {"name": "two"}]}
        steps.append(
            make_step(
                key,
                type,
                f"Label {number}",
                parent=parent,
                order=number,
                config=config,
                enabled=draw(st.integers(0, 3)) > 0,
                on_error=ErrorPolicy(ErrorChoice.ROUTE) if routes else ErrorPolicy(),
                join=JoinRule(draw(st.sampled_from(JoinKind)), 1),
                position=draw(st.none() | st.just(Position(number * 10.0, 5.5))),
            )
        )
        siblings = [one for one in steps[:-1] if one.parent == parent and CATALOG.ports(one)] or [steps[-1]]
        chosen = st.lists(st.sampled_from(siblings), max_size=3, unique_by=lambda one: one.key)
        for source in draw(chosen) if siblings[0].key != key else ():
            port = draw(st.sampled_from(CATALOG.ports(source)))
            condition = draw(st.sampled_from([None, None, None, "input.x > 1", f"steps.{source.label}.ok"]))
            edges.append(EdgeDef(f"e{len(edges)}", source.key, key, port, None, condition))
    return reindex(Definition(tuple(steps), tuple(edges)), CATALOG)


def check(one: Definition) -> None:
    """The shape that every definition keeps."""
    assert cycle(one) is None
    assert structure_problems(one, CATALOG) == ()
    for parent in {step.parent for step in one.steps}:
        assert [step.order for step in one.children(parent)] == list(range(len(one.children(parent))))
    assert [step.key for step in one.steps] == [step.key for step in list_order(one, CATALOG)]
    place = {step.key: number for number, step in enumerate(one.steps)}
    assert all(place[edge.source] < place[edge.target] for edge in one.edges)


def reaches(one: Definition) -> set[tuple[str, str]]:
    return {(step.key, other) for step in one.steps for other in one.descendants(step.key)}


def main_reaches(one: Definition) -> set[tuple[str, str]]:
    """Pairs that are joined by main ports alone: what healing must keep."""
    main = replace(
        one,
        edges=tuple(edge for edge in one.edges if edge.port == CATALOG.ports(one.step(edge.source))[0]),
    )
    return reaches(main)


@st.composite
def places(draw: st.DrawFn, one: Definition) -> Place:
    keys = [step.key for step in one.steps]
    parents: list[str | None] = [None, *(step.key for step in one.steps if CATALOG.is_container(step.type))]
    options: list[st.SearchStrategy[Place]] = [
        st.builds(AtEnd, st.sampled_from(parents)),
        st.builds(AsRoot, st.sampled_from(parents)),
    ]
    if keys:
        some = st.sampled_from(keys)
        options += [st.builds(After, some), st.builds(Before, some), st.builds(Between, some, some)]
    if one.edges:
        options.append(st.builds(OnEdge, st.sampled_from([edge.id for edge in one.edges])))
    return draw(st.one_of(options))


@slow
@given(st.data(), definitions())
def test_no_sequence_of_edits_breaks_the_graph(data: st.DataObject, one: Definition):
    check(one)
    numbers = count()

    def ids(prefix: str) -> str:
        return f"{prefix}_n{next(numbers)}"

    for _ in range(data.draw(st.integers(1, 6))):
        keys = [step.key for step in one.steps]
        before = {step.key for step in one.steps}
        deed = data.draw(
            st.sampled_from(
                ["insert", "remove", "move", "move_to", "up", "down", "connect", "disconnect", "enable", "rename",
                 "type", "copy", "paste"]
            )
        )  # fmt: skip
        if not keys and deed != "insert":
            continue
        key = data.draw(st.sampled_from(keys)) if keys else ""
        gone: set[str] = set()
        try:
            match deed:
                case "insert":
                    kind = data.draw(st.sampled_from((*TYPES, "start")))
                    edit = ops.insert(one, StepDef("", kind, "New"), data.draw(places(one)), CATALOG, ids)
                case "remove":
                    edit = ops.remove(one, key, CATALOG, ids)
                    gone = {key, *(child.key for child in body_of(one, key))}
                    assert set(edit.effects.removed) == gone
                    kept = {pair for pair in main_reaches(one) if not gone & set(pair)}
                    assert kept <= reaches(edit.definition)
                case "move":
                    edit = ops.move(one, key, data.draw(places(one)), CATALOG, ids)
                case "move_to":
                    edit = ops.move_to(one, key, data.draw(st.integers(0, len(keys))), CATALOG, ids)
                case "up":
                    edit = ops.move_up(one, key, CATALOG, ids)
                case "down":
                    edit = ops.move_down(one, key, CATALOG, ids)
                case "connect":
                    edit = ops.connect(one, key, data.draw(st.sampled_from(keys)), CATALOG, ids)
                case "disconnect":
                    edit = ops.disconnect(
                        one, data.draw(st.sampled_from([*(e.id for e in one.edges), "none"])), CATALOG
                    )
                case "enable":
                    edit = ops.set_enabled(one, key, data.draw(st.booleans()), CATALOG)
                case "rename":
                    edit = ops.rename(
                        one, key, data.draw(st.sampled_from(["Fresh", "Label 1", "Ünï & co"])), CATALOG
                    )
                case "type":
                    kind = data.draw(st.sampled_from((*TYPES, "start")))
                    edit = ops.change_type(one, key, kind, {}, CATALOG)
                    gone = set(edit.effects.removed)
                case "copy":
                    edit = ops.duplicate_step(one, key, CATALOG, ids)
                case _:
                    fragment = ops.copy_steps(one, data.draw(st.lists(st.sampled_from(keys), max_size=4)))
                    edit = ops.paste(one, fragment, data.draw(places(one)), CATALOG, ids)
        except OperationRefused:
            continue
        check(edit.definition)
        after = {step.key for step in edit.definition.steps}
        assert after == before - gone | set(edit.effects.created)
        one = edit.definition


@slow
@given(st.data(), definitions())
def test_a_lone_branch_of_a_port_that_is_not_the_main_one_stays_with_its_step(
    data: st.DataObject, one: Definition
):
    def others(of: Definition, key: str) -> set[tuple[str, str]]:
        main = CATALOG.ports(of.step(key))[:1]
        return {(edge.port, edge.target) for edge in of.outgoing(key) if edge.port not in main}

    lone = [
        step.key
        for step in one.steps
        if others(one, step.key)
        and len({edge.port for edge in one.outgoing(step.key)} - {"error"}) == 1
        and {edge.port for edge in one.outgoing(step.key)} & {"false", "rejected"}
        and not {edge.port for edge in one.outgoing(step.key)} & {"true", "approved"}
    ]
    if not lone:
        return
    key = data.draw(st.sampled_from(lone))
    try:
        edit = ops.move(one, key, data.draw(places(one)), CATALOG)
    except OperationRefused:
        return
    check(edit.definition)
    assert others(edit.definition, key) == others(one, key)
    assert {(edit.definition.step(target).parent) for _, target in others(one, key)} == {
        edit.definition.step(key).parent
    }


@slow
@given(st.data(), definitions(most=8))
def test_renaming_keeps_every_reference_pointing_to_its_step(data: st.DataObject, one: Definition):
    if not one.steps:
        return

    def targets(of: Definition) -> Counter:
        by_label = {step.label.casefold(): step.key for step in of.steps}
        return Counter(
            (
                getattr(use.owner, "key", "") or getattr(use.owner, "id", ""),
                by_label.get((use.path.label or "").casefold()),
            )
            for use in uses(of, CATALOG)
        )

    key = data.draw(st.sampled_from([step.key for step in one.steps]))
    label = data.draw(
        st.text(
            st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='.[]{}|"'),
            min_size=1,
            max_size=8,
        )
        | st.sampled_from(["If or else", "A - b", "input", "1st step", "Done & dusted", "it's"])
    )
    try:
        edit = ops.rename(one, key, label, CATALOG)
    except OperationRefused:
        return
    assert targets(edit.definition) == targets(one)


@slow
@given(definitions())
def test_a_definition_survives_json(one: Definition):
    data = json.loads(json.dumps(to_json(one)))
    assert parse_definition(data, CATALOG) == one
    assert canonical_json(parse_definition(data, CATALOG)) == canonical_json(one)


@slow
@given(definitions())
def test_bypassing_makes_no_new_roots_but_those_behind_a_first_step(one: Definition):
    result = bypass_disabled(one, CATALOG)
    off = off_steps(one, CATALOG)
    assert {step.key for step in result.definition.steps} == {step.key for step in one.steps} - off
    assert result.off == off
    assert len({edge.id for edge in result.definition.edges}) == len(result.definition.edges)
    assert bypass_disabled(one, CATALOG) == result
    again = bypass_disabled(result.definition, CATALOG)
    assert again.definition is result.definition
    places = {step.key for step in result.definition.steps}
    for edge in result.definition.edges:
        assert {edge.source, edge.target} <= places
    for parent in {step.parent for step in result.definition.steps}:
        for root in result.definition.roots(parent):
            if root.key in result.dead or not one.incoming(root.key):
                continue
            # A way back by main ports, without conditions, through steps that are off to one that starts the body.
            todo, found = [root.key], False
            while todo:
                for edge in one.incoming(todo.pop()):
                    main = edge.port == CATALOG.ports(one.step(edge.source))[0]
                    if edge.source in off and main and edge.condition is None:
                        found = found or not one.incoming(edge.source)
                        todo.append(edge.source)
            assert found
    for dead in result.dead:
        assert not result.definition.incoming(dead)
        assert one.incoming(dead)
    for key, sources in result.passed.items():
        assert key in off
        assert not set(sources) & off


@slow
@given(definitions())
def test_bypassing_keeps_which_steps_lead_to_which_by_their_main_ports(one: Definition):
    result = bypass_disabled(one, CATALOG)
    on = {step.key for step in result.definition.steps}
    kept = {(a, b) for a, b in main_reaches(one) if a in on and b in on}
    assert kept <= reaches(result.definition)


@slow
@given(definitions())
def test_duplicating_gives_the_same_graph_under_other_keys(one: Definition):
    copy = ops.duplicate(one, CATALOG).definition
    check(copy)
    assert [(step.label, step.type, step.order) for step in copy.steps] == [
        (step.label, step.type, step.order) for step in one.steps
    ]
    names = {step.key: step.label for step in (*one.steps, *copy.steps)}
    assert [(names[edge.source], edge.port, names[edge.target], edge.condition) for edge in copy.edges] == [
        (names[edge.source], edge.port, names[edge.target], edge.condition) for edge in one.edges
    ]


@slow
@given(definitions())
def test_validation_never_fails_and_every_problem_says_what_to_do(one: Definition):
    for problem in validate(one, CATALOG):
        assert problem.message
        assert problem.severity in ("error", "warning")
        assert problem.path is not None


@st.composite
def broken_definitions(draw: st.DrawFn) -> Definition:
    """Anything that has the types of a definition: dangling edges, lost parents, doubled keys, cycles."""
    keys = st.sampled_from(["a", "b", "c", "d", "gone"])
    steps = draw(
        st.lists(
            st.builds(
                make_step,
                keys,
                st.sampled_from((*TYPES, "start", "nonsense")),
                st.sampled_from(["", "A", "a", "B.c", "D"]),
                parent=st.none() | keys,
                order=st.integers(0, 3),
                enabled=st.booleans(),
                config=st.sampled_from(
                    [{}, {"prompt": "{{steps.A.x}} {{item}} {{"}, {"condition": "steps.D.x =", "name": "v"}]
                ),
            ),
            max_size=6,
        )
    )
    conditions = st.sampled_from([None, "input.x", "steps.A.x and"])
    edges = draw(
        st.lists(
            st.builds(
                EdgeDef,
                st.sampled_from("xyz"),
                keys,
                keys,
                st.sampled_from(["out", "true", "error"]),
                st.none(),
                conditions,
            ),
            max_size=8,
        )
    )
    return Definition(tuple(steps), tuple(edges))


@slow
@given(broken_definitions())
def test_checks_of_a_broken_definition_end_with_problems_and_not_with_a_crash(one: Definition):
    problems = validate(one, CATALOG)
    assert any(problem.is_error for problem in problems) or not structure_problems(one, CATALOG)
    if len({step.key for step in one.steps}) == len(one.steps):
        assert len(reindex(one, CATALOG).steps) == len(one.steps)
    bypass_disabled(one, CATALOG)


def _holds(held: dict[tuple[str, str], bool], asked: tuple[str, str], draw_port) -> bool:
    if asked not in held:
        held[asked] = bool(draw_port((True, False)))
    return held[asked]


def _outcomes(one: Definition, draw_port) -> dict[str, str | None]:
    """A plain run of one body's graph: the port each step left by, or None where it was skipped."""
    live: dict[str, bool] = {}
    left: dict[str, str | None] = {}
    # Conditions are asked when their source is done: the same one says the same on each of its paths.
    held: dict[tuple[str, str], bool] = {}
    for step_ in list_order(one, CATALOG):
        incoming = one.incoming(step_.key)
        arrived = [live[edge.id] for edge in incoming]
        if incoming and not any(arrived):
            left[step_.key] = None
        else:
            ports = CATALOG.ports(step_)
            left[step_.key] = draw_port(ports) if ports else ""
        for edge in one.outgoing(step_.key):
            went = left[step_.key]
            all_at_once = step_.type == "parallel"
            live[edge.id] = (
                went is not None
                and (all_at_once or went == edge.port)
                and (edge.condition is None or _holds(held, (edge.source, edge.condition), draw_port))
            )
    return left


@slow
@given(st.data(), definitions(most=9))
def test_a_step_that_is_called_sure_has_run_in_every_run(data: st.DataObject, one: Definition):
    """Against a simulation with joins that wait for all: what is SURE was never skipped where it is used."""
    one = replace(
        one,
        steps=tuple(
            replace(
                step, enabled=True, parent=None, join=JoinRule(), type="llm" if step.parent else step.type
            )
            for step in one.steps
        ),
    )
    one = replace(
        one,
        edges=tuple(edge for edge in one.edges if edge.port in CATALOG.ports(one.step(edge.source))),
    )
    available = Availability(one, CATALOG)
    left = _outcomes(one, lambda ports: data.draw(st.sampled_from(ports)))
    for user in one.steps:
        if left[user.key] is None:
            continue
        for other in one.steps:
            if available.verdict(user.key, other.key) is Verdict.SURE:
                assert left[other.key] not in (None, "error"), (user.key, other.key)


@pytest.mark.parametrize("size", [0, 1])
def test_the_smallest_workflows_are_fine(size: int):
    one = Definition(tuple(make_step(f"k{number}") for number in range(size)))
    check(one)
    assert validate(one, CATALOG) == ()
