"""Lanes of the rail, as the design's run page draws them."""

from hypothesis import given
from hypothesis import strategies as st

from workflows.definition.graph import Definition, EdgeDef, StepDef
from workflows.definition.lanes import LANES, START_ROW, LaneLayout, Link, body_layout, layout


def laid(order: str, *paths: str) -> LaneLayout:
    return layout(list(order), [Link(path, path[0], path[1]) for path in paths])


def lanes(result: LaneLayout) -> dict[str, int]:
    return {row.key: row.lane for row in result.rows}


def test_a_chain_stays_on_the_first_lane():
    result = laid("ABC", "AB", "BC")
    assert lanes(result) == {"A": 0, "B": 0, "C": 0}
    assert result.width == 1
    assert not any(row.gap.is_curved for row in result.rows)
    assert [strand.edges for strand in result.rows[1].gap.through] == [("AB",)]


def test_branches_of_a_split_take_the_next_lanes_and_meet_again():
    result = laid("ABCDE", "AB", "AC", "AD", "BE", "CE", "DE")
    assert lanes(result) == {"A": 0, "B": 0, "C": 1, "D": 2, "E": 0}
    split, meeting = result.rows[1].gap, result.rows[4].gap
    assert [(curve.start, curve.end) for curve in split.splits] == [(0, 1), (0, 2)]
    assert [(curve.start, curve.end) for curve in meeting.joins] == [(1, 0), (2, 0)]
    assert [strand.target for strand in result.rows[1].passing] == ["C", "D"]


def test_a_lane_is_reused_when_its_branch_has_ended():
    result = laid("ABCDEF", "AB", "AC", "BD", "CD", "DE", "DF")
    assert lanes(result)["C"] == lanes(result)["F"] == 1


def test_a_second_root_takes_a_lane_of_its_own():
    assert lanes(laid("ABC", "AC", "BC")) == {"A": 0, "B": 1, "C": 0}


def test_two_paths_between_the_same_steps_lie_on_one_lane():
    result = layout(["A", "B"], [Link("yes", "A", "B"), Link("no", "A", "B")])
    assert result.width == 1
    assert result.rows[0].leaving[0].edges == ("yes", "no")


def test_paths_upwards_are_not_drawn():
    assert laid("AB", "AB", "BA").rows[0].arriving == ()


def test_the_start_row_leads_to_every_root():
    steps = tuple(StepDef(key=key, type="x", label=key) for key in "AB")
    result = body_layout(Definition(steps=steps), steps, start_row=True)
    assert [row.key for row in result.rows] == [START_ROW, "A", "B"]
    assert [strand.target for strand in result.rows[0].leaving] == ["A", "B"]


def test_edges_of_the_definition_are_drawn_without_a_start_row():
    steps = tuple(StepDef(key=key, type="x", label=key) for key in "AB")
    definition = Definition(steps=steps, edges=(EdgeDef(id="e", source="A", target="B"),))
    assert [row.key for row in body_layout(definition, steps).rows] == ["A", "B"]


def test_lanes_beyond_the_sixth_fold_into_one():
    targets = "BCDEFGHI"
    result = laid("A" + targets, *(f"A{target}" for target in targets))
    assert result.width == LANES + 1
    assert max(row.column for row in result.rows) == LANES
    assert result.rows[1].folded == 2


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.tuples(
            st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=20)
        )
    )
)
def test_every_path_is_drawn_from_its_step_to_its_target_without_two_on_one_lane(case):
    n, pairs = case
    keys = [str(i) for i in range(n)]
    down = {(a, b) for a, b in pairs if a < b}
    result = layout(keys, [Link(f"{a}-{b}", str(a), str(b)) for a, b in pairs])
    for index, row in enumerate(result.rows):
        crossing = {(a, b) for a, b in down if a < index < b}
        assert {(int(s.source), int(s.target)) for s in row.passing} == crossing
        used = [strand.lane for strand in row.passing] + [row.lane]
        assert len(used) == len(set(used))
        assert {(int(s.source), int(s.target)) for s in row.arriving} == {p for p in down if p[1] == index}
        assert {(int(s.source), int(s.target)) for s in row.leaving} == {p for p in down if p[0] == index}
