"""The small rail of a template: steps never lie on each other, branches on lanes of their own, gates as squares."""

import xml.etree.ElementTree as ET

from django.template.loader import render_to_string
from hypothesis import given, settings
from hypothesis import strategies as st

from templates_app.shapes import Shape, make_shape
from tests.support.runs import graph, step
from workflows.definition.graph import Definition


def places(shape: Shape) -> list[tuple[float, float]]:
    return [(mark.x, mark.y) for mark in shape.mini.marks]


def test_a_chain_is_one_straight_line():
    shape = make_shape(graph(step("a"), step("b"), step("c")))
    assert len({y for _, y in places(shape)}) == 1
    assert [x for x, _ in places(shape)] == sorted({x for x, _ in places(shape)})
    assert all("C" not in path for _, path in shape.mini.paths)


def test_branches_stand_above_each_other_and_meet_again():
    shape = make_shape(
        graph(step("a"), step("b"), step("c"), step("d"), step("e", "merge"), paths="a>b a>c a>d b>e c>e d>e")
    )
    (ax, ay), *branches, (ex, ey) = places(shape)
    assert len({x for x, _ in branches}) == 1
    assert len({y for _, y in branches}) == 3
    assert (ay, ax < branches[0][0] < ex) == (ey, True)
    assert {css for css, _ in shape.mini.paths} == {"lane0", "lane1", "lane2"}


def test_a_gate_is_a_square_and_counted_and_steps_that_are_off_are_not():
    shape = make_shape(
        graph(step("a"), step("b", "review"), step("c", "llm"), step("d", "llm", enabled=False))
    )
    assert [mark.human for mark in shape.mini.marks] == [False, True, False, False]
    assert (shape.steps, shape.gates, shape.models) == (4, 1, 1)


def test_ways_out_are_said_in_words():
    shape = make_shape(
        graph(
            step("a", "condition", config={"cases": [{"expression": "input.n > 1"}]}),
            step("b", label="Large"),
            step("c", label="Small"),
            paths="a.true>b a.false>c",
        )
    )
    assert shape.rows[0].step.ways == (("Yes", "Large"), ("No", "Small"))
    assert [setting.text for setting in shape.rows[0].step.settings] == ["input.n > 1"]


def test_a_type_that_has_gone_is_still_shown():
    shape = make_shape(graph(step("a", "teleport", label="Beam")))
    assert (shape.rows[0].step.label, shape.rows[0].step.type_label) == ("Beam", "teleport")


@st.composite
def graphs(draw: st.DrawFn) -> Definition:
    size = draw(st.integers(1, 14))
    pairs = draw(
        st.sets(
            st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).filter(
                lambda pair: pair[0] < pair[1]
            ),
            max_size=30,
        )
    )
    # Without any path the helper would make a chain.
    paths = " ".join(f"s{a}>s{b}" for a, b in sorted(pairs)) or " "
    return graph(*(step(f"s{number}") for number in range(size)), paths=paths)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_steps_never_lie_on_each_other_and_the_drawing_keeps_its_size(definition: Definition):
    shape = make_shape(definition)
    folded = {mark.css for mark in shape.mini.marks} & {"lane-off"}
    if not folded:  # lanes beyond the sixth share one
        assert len(set(places(shape))) == len(shape.rows)
    for x, y in places(shape):
        assert 0 < x < shape.mini.width
        assert 0 < y < shape.mini.height
    by_place = {row.step.key: mark.x for row, mark in zip(shape.rows, shape.mini.marks, strict=True)}
    assert all(by_place[edge.source] < by_place[edge.target] for edge in definition.edges)
    drawing = ET.fromstring(render_to_string("parts/_mini.html", {"mini": shape.mini}))
    assert len(drawing.findall("path")) >= len({(edge.source, edge.target) for edge in definition.edges})
    assert "style" not in {name for element in drawing.iter() for name in element.attrib}
