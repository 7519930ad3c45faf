"""A draft is kept as rows and read back as the same definition, whatever was there before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings

from tests.support.factories import World, workflow
from tests.workflows.definition.support import CATALOG, counting_ids, definition, edge, step, variable
from tests.workflows.services.strategies import definitions
from workflows.definition.graph import Definition, StepDef
from workflows.definition.operations import AtEnd, OperationRefused, insert, move_up, remove, rename
from workflows.definition.schema import canonical_json
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound, Stale
from workflows.models import Edge, Step, Trigger, Variable, Workflow
from workflows.services.drafts import apply_operation, compile_draft, save_draft
from workflows.tenancy.models import AuditEntry


def saved(world: World, new: Definition, draft: Workflow | None = None, **fields) -> Workflow:
    draft = draft or workflow(world.tenant)
    save_draft(workflow=draft, definition=new, actor=world.bob, catalog=CATALOG, **fields)
    return draft


def chain(*names: str) -> Definition:
    return definition(*(step(name) for name in names), *((">".join(names),) if len(names) > 1 else ()))


def queries_of(act) -> int:
    with CaptureQueriesContext(connection) as seen:
        act()
    return len(seen)


def step_revisions(draft: Workflow) -> dict[str, int]:
    return dict(Step.objects.filter(workflow=draft).values_list("key", "revision"))


# --- The property -----------------------------------------------------------------------------------------------------


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(first=definitions(), second=definitions())
def test_what_is_saved_is_read_back_equal_whatever_was_there_before(
    world: World, first: Definition, second: Definition
):
    draft = workflow(world.tenant)
    for wanted in (first, second):
        saved(world, wanted, draft)
        found = compile_draft(Workflow.objects.get(pk=draft.pk))
        assert found == wanted
        assert canonical_json(found) == canonical_json(wanted)
    rows = Step.objects.filter(workflow=draft).count(), Edge.objects.filter(workflow=draft).count()
    assert rows == (len(second.steps), len(second.edges))
    revision = draft.revision
    saved(world, second, draft)
    assert draft.revision == revision


# --- What is written --------------------------------------------------------------------------------------------------


def test_saving_the_same_writes_nothing(world: World):
    draft = saved(world, chain("a", "b"))
    before = Workflow.objects.values().get()
    entries = AuditEntry.objects.count()
    saved(world, chain("a", "b"), draft)
    assert Workflow.objects.values().get() == before
    assert AuditEntry.objects.count() == entries


def test_only_the_changed_steps_rise_in_revision(world: World):
    first = chain("a", "b", "c")
    draft = saved(world, first)
    ids = dict(Step.objects.values_list("key", "pk"))
    saved(world, first.with_step(replace(first.step("b"), note="Look again.")), draft)
    assert step_revisions(draft) == {"a": 1, "b": 2, "c": 1}
    assert dict(Step.objects.values_list("key", "pk")) == ids


def test_an_insertion_at_the_top_leaves_the_other_cards_their_revision(world: World):
    draft = saved(world, chain("a", "b"))
    saved(world, chain("new", "a", "b"), draft)
    assert step_revisions(draft) == {"new": 1, "a": 1, "b": 1}
    assert [step.key for step in compile_draft(draft).steps] == ["new", "a", "b"]


def test_true_and_one_are_not_the_same_setting(world: World):
    first = definition(step("a", "transform", config={"whole": True}))
    draft = saved(world, first)
    saved(world, definition(step("a", "transform", config={"whole": 1})), draft)
    assert compile_draft(draft).step("a").config["whole"] is not True


def test_a_number_in_another_spelling_is_the_same(world: World):
    draft = saved(world, definition(step("a", "transform", config={"low": [-0.0], "high": 2.0})))
    saved(world, definition(step("a", "transform", config={"low": [0], "high": 2})), draft)
    assert step_revisions(draft) == {"a": 1}


def test_two_steps_may_swap_their_names_in_one_save(world: World):
    draft = saved(world, definition(step("a", label="First"), step("b", label="Second")))
    swapped = definition(step("a", label="SECOND"), step("b", label="first"))
    saved(world, swapped, draft)
    assert compile_draft(draft) == swapped
    reused = definition(step("c", label="First"))
    saved(world, reused, draft)
    assert compile_draft(draft) == reused


def test_a_body_outlives_its_container(world: World):
    inside = definition(step("l", "loop"), step("a", parent="l"), step("b", parent="l"), "a>b")
    draft = saved(world, inside)
    outside = definition(step("a"), step("b"), "a>b")
    saved(world, outside, draft)
    assert compile_draft(draft) == outside
    saved(world, inside, draft)
    assert compile_draft(draft) == inside


def test_a_path_keeps_its_id_when_the_step_at_its_end_is_another(world: World):
    draft = saved(world, definition(step("a"), step("b"), edge("a>b", id="e_1")))
    turned = definition(step("a"), step("c"), edge("a>c", id="e_1"))
    saved(world, turned, draft)
    assert compile_draft(draft) == turned


def test_variables_and_triggers_come_change_and_go(world: World):
    draft = saved(world, definition(step("a"), variable("topic"), variable("tone")))
    new = definition(step("a"), variable("tone", "number", default=3), variable("length"))
    saved(world, new, draft)
    assert compile_draft(draft) == new
    assert set(Variable.objects.values_list("name", flat=True)) == {"tone", "length"}
    assert not Trigger.objects.exists()


def test_the_queries_do_not_grow_with_the_steps(world: World):
    def cost(steps: int) -> tuple[int, int, int]:
        names = [f"s{number}" for number in range(steps)]
        draft = workflow(world.tenant)
        first = chain(*names)
        saved(world, first, draft)
        read = queries_of(lambda: compile_draft(draft))
        changed = first.with_step(replace(first.step("s1"), note="New."))
        one = queries_of(lambda: saved(world, changed, draft))
        same = queries_of(lambda: saved(world, changed, draft))
        return read, one, same

    assert cost(3) == cost(60)
    read, one, same = cost(5)
    assert read <= 6
    assert one <= 13
    assert same <= 7


# --- Who may, and when not --------------------------------------------------------------------------------------------


def test_a_stale_draft_is_refused_and_nothing_is_written(world: World):
    draft = saved(world, chain("a"))
    other = Workflow.objects.get(pk=draft.pk)
    saved(world, chain("a", "b"), other, expected_revision=draft.revision)
    with pytest.raises(Stale) as caught:
        saved(world, chain("a", "c"), draft, expected_revision=draft.revision)
    assert caught.value.status == 412
    assert set(step_revisions(draft)) == {"a", "b"}


def test_strangers_viewers_and_archived_workflows_change_nothing(world: World):
    draft = saved(world, chain("a"))
    with pytest.raises(NotFound):
        save_draft(workflow=draft, definition=chain("b"), actor=world.charlie, catalog=CATALOG)
    with pytest.raises(NotAllowed):
        save_draft(workflow=draft, definition=chain("b"), actor=world.vera, catalog=CATALOG)
    Workflow.objects.update(status="archived")
    with pytest.raises(Conflict):
        saved(world, chain("b"), draft)
    assert set(step_revisions(draft)) == {"a"}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (Definition(steps=(StepDef("a", "king", "A"),)), "unknown_type"),
        (Definition(steps=(StepDef("a", "llm", "A"), StepDef("b", "llm", "a"))), "duplicate_label"),
        (Definition(steps=(StepDef("a", "llm", "A", order=2**40),)), "bad_value"),
        (Definition(steps=(StepDef("a", "llm", "A", config={"prompt": "\x00"}),)), "bad_text"),
        (Definition(steps=(StepDef("a", "llm", "A", note="\ud800"),)), "bad_text"),
    ],
    ids=["type", "label", "order", "nul", "surrogate"],
)
def test_a_shape_that_cannot_be_stored_is_named_and_nothing_is_written(
    world: World, bad: Definition, code: str
):
    draft = saved(world, chain("a"))
    with pytest.raises(Invalid) as caught:
        saved(world, bad, draft)
    assert code in {problem.code for problem in caught.value.problems}
    assert compile_draft(draft) == chain("a")


# --- Operations -------------------------------------------------------------------------------------------------------


def test_an_operation_is_one_transaction_with_its_effects_and_its_entry(world: World):
    draft = saved(world, chain("a", "b"))
    before = draft.revision
    edit = apply_operation(
        workflow=draft,
        actor=world.bob,
        operation=lambda now: insert(now, step("", label="New"), AtEnd(), CATALOG, counting_ids()),
        expected_revision=before,
    )
    assert compile_draft(draft) == edit.definition
    assert draft.revision == before + 1
    entry = AuditEntry.objects.latest("pk")
    assert entry.action == "edited"
    assert entry.after == {"revision": draft.revision, "what": edit.effects.message}


def test_a_refused_operation_writes_nothing(world: World):
    draft = saved(world, chain("a", "b"))
    before = compile_draft(draft), draft.revision
    with pytest.raises(OperationRefused):
        apply_operation(workflow=draft, actor=world.bob, operation=lambda now: move_up(now, "a", CATALOG))
    assert (compile_draft(draft), draft.revision) == before


def test_removing_and_renaming_are_stored(world: World):
    draft = saved(world, chain("a", "b", "c"))
    for operation in (
        lambda now: remove(now, "b", CATALOG, counting_ids()),
        lambda now: rename(now, "c", "Last one", CATALOG),
    ):
        edit = apply_operation(workflow=draft, actor=world.bob, operation=operation)
        assert compile_draft(draft) == edit.definition
    assert [(one.source, one.target) for one in compile_draft(draft).edges] == [("a", "c")]
