"""Where steps stand on the canvas, and the edits that only a canvas makes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workflows.definition.support import CATALOG, counting_ids, definition, step
from workflows.definition import operations as ops
from workflows.definition.arranging import arrange, place_new, reroute, tidy
from workflows.definition.canvas import HEIGHT, WIDTH, Box, boxes, frozen, tidy_positions
from workflows.definition.graph import Definition, Position, StepDef
from workflows.definition.layout import RASTER, Size, layered
from workflows.definition.operations import OperationRefused


def diamond() -> Definition:
    """a → (b, c) → d, with a container f of two steps after it."""
    return definition(
        step("a"), step("b"), step("c"), step("d"),
        step("f", type="loop"), step("x", parent="f"), step("y", parent="f"),
        "a>b>d>f", "a>c>d", "x>y",
    )  # fmt: skip


def overlapping(found: dict[str, Box], of: Definition) -> list[tuple[str, str]]:
    return [
        (one.key, other.key)
        for one in of.steps
        for other in of.steps
        if one.key < other.key
        and one.parent == other.parent
        and found[one.key].x < found[other.key].right
        and found[other.key].x < found[one.key].right
        and found[one.key].y < found[other.key].bottom
        and found[other.key].y < found[one.key].bottom
    ]


def test_branches_stand_side_by_side_and_what_joins_them_in_their_middle() -> None:
    found = boxes(diamond(), CATALOG)
    assert found["b"].y == found["c"].y > found["a"].bottom
    assert found["b"].right < found["c"].x
    assert found["a"].middle == found["d"].middle == (found["b"].middle + found["c"].middle) / 2
    assert found["d"].y > found["b"].bottom


def test_a_frame_encloses_its_steps_in_the_middle_of_what_leads_to_it() -> None:
    found = boxes(diamond(), CATALOG)
    frame = found["f"]
    assert frame.is_frame
    assert not found["a"].is_frame
    for key in ("x", "y"):
        assert frame.x < found[key].x
        assert found[key].right < frame.right
        assert frame.y < found[key].y
        assert found[key].bottom < frame.bottom
    assert frame.middle == found["d"].middle
    assert found["x"].x == found["y"].x


def test_an_empty_frame_has_room_for_a_step() -> None:
    found = boxes(definition(step("f", type="loop")), CATALOG)["f"]
    assert found.width > WIDTH
    assert found.height > HEIGHT


def test_everything_stands_on_the_raster() -> None:
    for box in boxes(diamond(), CATALOG).values():
        assert box.x % RASTER == 0
        assert box.y % RASTER == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_two_boxes_of_one_body_overlap(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 24))
    names = [f"s{at:02}" for at in range(count)]
    links = data.draw(
        st.lists(
            st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda pair: pair[0] < pair[1]),
            max_size=40,
            unique=True,
        )
        if count > 1
        else st.just([])
    )
    of = definition(*(step(name) for name in names), *(">".join(link) for link in links))
    found = boxes(of, CATALOG)
    assert overlapping(found, of) == []
    for source, target in links:
        assert found[source].bottom < found[target].y
    assert tidy_positions(of, CATALOG) == tidy_positions(of, CATALOG)


def test_a_chain_is_a_straight_line() -> None:
    of = definition(
        *(step(f"s{at:03}") for at in range(40)),
        ">".join(f"s{at:03}" for at in range(40)),
    )
    assert len({box.x for box in boxes(of, CATALOG).values()}) == 1


def test_paths_that_could_be_drawn_without_crossing_are() -> None:
    sizes = {key: Size(100, 50) for key in "abcd"}
    corners = layered(sizes, [("a", "d"), ("b", "c")])
    assert (corners["a"][0] < corners["b"][0]) == (corners["d"][0] < corners["c"][0])


def test_a_new_step_gets_a_free_place_and_nothing_else_moves() -> None:
    before = frozen(diamond(), CATALOG)
    edge_id = before.outgoing("a")[0].id
    edit = ops.insert(before, StepDef("new", "llm", "New"), ops.OnEdge(edge_id), CATALOG, counting_ids())
    after = place_new(before, edit, CATALOG).definition
    found = boxes(after, CATALOG)
    assert overlapping(found, after) == []
    assert {key: after.step(key).position for key in before.by_key} == {
        one.key: one.position for one in before.steps
    }
    # The middle of the path is free in no direction, so it stands beside it, in the same row.
    assert found["a"].y < found["new"].y < found["d"].y


def test_a_workflow_that_nobody_saw_on_the_canvas_keeps_no_positions() -> None:
    before = diamond()
    edit = ops.insert(before, StepDef("new", "llm", "New"), ops.AtEnd(), CATALOG, counting_ids())
    assert all(one.position is None for one in place_new(before, edit, CATALOG).definition.steps)


def test_a_step_that_the_list_moved_into_a_container_stands_in_its_frame() -> None:
    before = frozen(diamond(), CATALOG)
    edit = ops.move(before, "b", ops.AtEnd("f"), CATALOG, counting_ids())
    after = place_new(before, edit, CATALOG).definition
    found = boxes(after, CATALOG)
    assert found["b"].y > found["y"].bottom
    assert found["b"].x == found["y"].x
    assert overlapping(found, after) == []
    assert after.step("a").position == before.step("a").position


def test_copies_do_not_lie_on_what_they_are_copies_of() -> None:
    before = frozen(diamond(), CATALOG)
    edit = ops.duplicate_step(before, "f", CATALOG, counting_ids())
    after = place_new(before, edit, CATALOG).definition
    assert overlapping(boxes(after, CATALOG), after) == []


def test_dropped_steps_stand_on_the_raster_and_everything_else_where_it_was_drawn() -> None:
    before = diamond()
    drawn = boxes(before, CATALOG)
    edit = arrange(before, {"a": Position(303, -48)}, CATALOG)
    after = edit.definition
    assert after.step("a").position == Position(308, -44)
    assert edit.effects.message == "“A” moved on the canvas."
    assert all(after.step(key).position == Position(box.x, box.y) for key, box in drawn.items() if key != "a")
    assert after.edges == before.edges


def test_a_frame_follows_what_stands_in_it() -> None:
    before = frozen(diamond(), CATALOG)
    spot = before.step("y").position
    assert spot is not None
    after = arrange(before, {"y": Position(spot.x + 220, spot.y)}, CATALOG).definition
    assert boxes(after, CATALOG)["f"].width == boxes(before, CATALOG)["f"].width + 220


def test_dropped_into_a_frame_a_step_goes_to_the_end_of_its_body_and_stays_where_it_was_dropped() -> None:
    before = frozen(diamond(), CATALOG)
    spot = Position(boxes(before, CATALOG)["y"].x, boxes(before, CATALOG)["y"].bottom + 44)
    edit = arrange(before, {"c": spot}, CATALOG, keys=["c"], into="f", reparent=True, ids=counting_ids())
    after = edit.definition
    assert after.step("c").parent == "f"
    assert [one.source for one in after.incoming("c")] == ["y"]
    assert after.step("c").position == spot
    assert {(one.source, one.target) for one in after.edges} >= {("a", "b"), ("a", "d"), ("b", "d")}


def test_dropped_into_a_frame_upon_a_step_it_stands_below_that_step() -> None:
    before = frozen(diamond(), CATALOG)
    on = boxes(before, CATALOG)["y"]
    edit = arrange(
        before,
        {"c": Position(on.x, on.y + 22)},
        CATALOG,
        keys=["c"],
        into="f",
        reparent=True,
        ids=counting_ids(),
    )
    after = boxes(edit.definition, CATALOG)
    assert not after["c"].touches(after["y"])
    assert (after["c"].x, after["c"].y) == (on.x, on.bottom + 44)
    assert edit.definition.step("y").position == before.step("y").position


def test_dropped_out_of_its_frame_a_step_follows_the_container() -> None:
    before = frozen(diamond(), CATALOG)
    edit = arrange(
        before, {"x": Position(990, 990)}, CATALOG, keys=["x"], into=None, reparent=True, ids=counting_ids()
    )
    assert edit.definition.step("x").parent is None
    assert [one.source for one in edit.definition.incoming("x")] == ["f"]
    assert edit.definition.step("x").position == Position(990, 990)


def test_what_cannot_stand_in_a_container_is_refused_in_words() -> None:
    with pytest.raises(OperationRefused, match="cannot be moved into itself"):
        arrange(diamond(), {}, CATALOG, keys=["f"], into="f", reparent=True)
    with pytest.raises(OperationRefused, match="cannot hold steps"):
        arrange(diamond(), {}, CATALOG, keys=["b"], into="a", reparent=True)
    with pytest.raises(OperationRefused, match="too far"):
        arrange(diamond(), {"a": Position(1e9, 0)}, CATALOG)
    with pytest.raises(OperationRefused, match="too far"):
        arrange(diamond(), {"a": Position(float("nan"), 0)}, CATALOG)


def test_a_rerouted_path_stays_the_same_path() -> None:
    before = diamond()
    first = before.outgoing("a")[0]
    before = replace(
        before,
        edges=tuple(
            replace(one, condition="input.n > 1", target_input="n") if one == first else one
            for one in before.edges
        ),
    )
    edit = reroute(before, first.id, CATALOG, target="d")
    moved = next(one for one in edit.definition.edges if one.id == first.id)
    assert (moved.target, moved.condition, moved.target_input) == ("d", "input.n > 1", "n")
    assert edit.effects.message == "The path from “A” now leads to “D”."
    assert [one.id for one in edit.definition.edges] == [one.id for one in before.edges]
    back = reroute(edit.definition, first.id, CATALOG, target="b")
    assert back.definition.edges == before.edges
    other = reroute(before, first.id, CATALOG, source="c", target="b")
    assert other.effects.message == "The path to “B” now comes from “C”."


def test_a_path_is_not_led_back_nor_across_a_border() -> None:
    before = diamond()
    last = next(one for one in before.edges if one.source == "b")
    with pytest.raises(OperationRefused, match="wait for each other"):
        reroute(before, last.id, CATALOG, target="a")
    with pytest.raises(OperationRefused, match="cannot cross its border"):
        reroute(before, last.id, CATALOG, target="x")


def test_tidying_up_forgets_where_things_were() -> None:
    before = diamond()
    moved = arrange(before, {"a": Position(2200, 2200)}, CATALOG).definition
    after = tidy(moved, CATALOG).definition
    assert {one.key: one.position for one in after.steps} == tidy_positions(before, CATALOG)
