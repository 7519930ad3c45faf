"""A workflow's life: made, changed, published, run from a version, duplicated, archived, deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.factories import World
from workflows.definition.graph import Definition, EdgeDef, StepDef, VariableDef
from workflows.definition.schema import content_hash
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound, Stale
from workflows.models import Workflow, WorkflowVersion
from workflows.services import definitions
from workflows.services.change_workflow import (
    archive_workflow,
    delete_workflow,
    unarchive_workflow,
    update_workflow,
)
from workflows.services.check_workflow import problems_of
from workflows.services.choose_version import version_for_run
from workflows.services.create_workflow import create_workflow
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft, save_draft
from workflows.services.duplicate_workflow import duplicate_workflow
from workflows.services.publish_workflow import publish_workflow
from workflows.tenancy.models import AuditEntry, Project

GOOD = Definition(
    steps=(
        StepDef("clean", "clean_text", "Clean", config={"text": "{{input.text}}"}, order=0),
        StepDef("sum", "summarize", "Summarize", config={"text": "{{steps.Clean.content}}"}, order=1),
    ),
    edges=(EdgeDef("e_1", "clean", "sum"),),
    variables=(VariableDef("text"),),
)
BROKEN = replace(
    GOOD, steps=(GOOD.steps[0], replace(GOOD.steps[1], config={"text": "{{steps.Nobody.content}}"}))
)


@pytest.fixture(autouse=True)
def _fresh_cache():
    definitions.forget()


def made(world: World, definition: Definition | None = GOOD, name: str = "Pipeline", **fields) -> Workflow:
    return create_workflow(actor=world.bob, name=name, definition=definition, **fields)


def noted(text: str, of: Definition = GOOD) -> Definition:
    return of.with_step(replace(of.steps[0], note=text))


def test_the_example_has_no_errors(world: World):
    assert [problem for problem in problems_of(made(world)) if problem.is_error] == []


# --- Made -------------------------------------------------------------------------------------------------------------


def test_a_new_workflow_is_a_draft_at_revision_one_with_its_graph(world: World):
    project = Project.objects.create(tenant=world.tenant, name="Launch")
    draft = made(world, tags=["  News ", "news", "daily  brief"], project=str(project.pk))
    draft.refresh_from_db()
    assert (draft.status, draft.revision, draft.created_by) == ("draft", 1, world.bob.user)
    assert (draft.tags, draft.project) == (["News", "daily brief"], project)
    assert compile_draft(draft) == GOOD
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.after) == ("created", {"name": "Pipeline", "steps": 2})


def test_an_empty_workflow_is_at_revision_one_too(world: World):
    for definition in (None, Definition()):
        draft = made(world, definition)
        draft.refresh_from_db()
        assert draft.revision == 1
        assert compile_draft(draft) == Definition()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"tags": ["x" * 51]}, "tags"),
        ({"tags": [f"tag {number}" for number in range(21)]}, "tags"),
        ({"project": "no-uuid"}, "project"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_fields_are_named_and_nothing_is_stored(world: World, fields: dict, field: str):
    with pytest.raises(Invalid) as caught:
        create_workflow(actor=world.bob, **{"name": "Pipeline", "definition": GOOD, **fields})
    assert [problem.field for problem in caught.value.problems] == [field]
    assert not Workflow.objects.exists()


def test_another_tenants_project_is_no_project(world: World):
    theirs = Project.objects.create(tenant=world.other, name="Theirs")
    with pytest.raises(Invalid):
        made(world, project=theirs)


def test_a_bad_graph_stores_nothing_at_all(world: World):
    with pytest.raises(Invalid):
        made(world, replace(GOOD, edges=(EdgeDef("e_1", "clean", "nowhere"),)))
    assert not Workflow.objects.exists()


# --- Changed ----------------------------------------------------------------------------------------------------------


def test_only_the_given_fields_change(world: World):
    draft = made(world, description="Old words", tags=["news"])
    update_workflow(workflow=draft, actor=world.bob, name="New name", expected_revision=1)
    draft.refresh_from_db()
    assert (draft.name, draft.description, draft.tags, draft.revision) == (
        "New name",
        "Old words",
        ["news"],
        2,
    )
    assert compile_draft(draft) == GOOD
    entry = AuditEntry.objects.latest("pk")
    assert (entry.before, entry.after) == ({"name": "Pipeline"}, {"name": "New name", "revision": 2})


def test_fields_and_graph_change_together_or_not_at_all(world: World):
    draft = made(world)
    with pytest.raises(Invalid):
        update_workflow(workflow=draft, actor=world.bob, name="", definition=noted("x"))
    update_workflow(workflow=draft, actor=world.bob, name="Both", definition=noted("x"))
    draft.refresh_from_db()
    assert (draft.name, draft.revision, compile_draft(draft)) == ("Both", 2, noted("x"))


def test_an_update_that_changes_nothing_leaves_the_revision(world: World):
    draft = made(world)
    update_workflow(workflow=draft, actor=world.bob, name="Pipeline", definition=GOOD)
    draft.refresh_from_db()
    assert draft.revision == 1


@pytest.mark.parametrize(
    "given", [{"name": "N"}, {"definition": noted("x")}, {"status": "archived"}, {}], ids=str
)
def test_a_stale_update_is_refused_whatever_it_changes(world: World, given: dict):
    draft = made(world)
    with pytest.raises(Stale):
        update_workflow(workflow=draft, actor=world.bob, expected_revision=7, **given)
    draft.refresh_from_db()
    assert (draft.name, draft.status, draft.revision) == ("Pipeline", "draft", 1)


def test_the_status_archives_and_restores_but_never_publishes(world: World):
    draft = made(world)
    with pytest.raises(Conflict, match="Publish it"):
        update_workflow(workflow=draft, actor=world.bob, status="active")
    update_workflow(workflow=draft, actor=world.bob, status="archived", name="Old one")
    draft.refresh_from_db()
    assert (draft.status, draft.name) == ("archived", "Old one")
    with pytest.raises(Conflict, match="archived"):
        update_workflow(workflow=draft, actor=world.bob, name="Other")
    update_workflow(workflow=draft, actor=world.bob, status="draft", name="Back")
    draft.refresh_from_db()
    assert (draft.status, draft.name) == ("draft", "Back")
    with pytest.raises(Invalid):
        update_workflow(workflow=draft, actor=world.bob, status="busy")


def test_archiving_twice_is_no_conflict_and_a_published_one_comes_back_active(world: World):
    draft = made(world)
    publish_workflow(workflow=draft, actor=world.bob)
    for _ in range(2):
        archive_workflow(workflow=draft, actor=world.bob)
    assert AuditEntry.objects.filter(action="archived").count() == 1
    for _ in range(2):
        unarchive_workflow(workflow=draft, actor=world.bob)
    draft.refresh_from_db()
    assert draft.status == "active"


def test_a_deleted_workflow_is_gone_for_everything_but_its_history(world: World):
    draft = made(world)
    version = version_for_run(workflow=draft, actor=world.bob)
    delete_workflow(workflow=draft, actor=world.bob)
    for act in (
        lambda: delete_workflow(workflow=draft, actor=world.bob),
        lambda: save_draft(workflow=draft, definition=noted("x"), actor=world.bob),
        lambda: publish_workflow(workflow=draft, actor=world.bob),
        lambda: version_for_run(workflow=draft, actor=world.bob),
        lambda: update_workflow(workflow=draft, actor=world.bob, name="x"),
    ):
        with pytest.raises(NotFound):
            act()
    assert load_definition(version) == GOOD


def test_viewers_and_strangers_change_nothing(world: World):
    draft = made(world)
    for actor, error in ((world.vera, NotAllowed), (world.rita, NotAllowed), (world.charlie, NotFound)):
        for act in (
            lambda actor=actor: update_workflow(workflow=draft, actor=actor, name="x"),
            lambda actor=actor: archive_workflow(workflow=draft, actor=actor),
            lambda actor=actor: delete_workflow(workflow=draft, actor=actor),
            lambda actor=actor: publish_workflow(workflow=draft, actor=actor),
            lambda actor=actor: version_for_run(workflow=draft, actor=actor),
        ):
            with pytest.raises(error):
                act()
    with pytest.raises(NotAllowed):
        create_workflow(actor=world.vera, name="x")
    draft.refresh_from_db()
    assert (draft.revision, draft.deleted_at, WorkflowVersion.objects.count()) == (1, None, 0)


# --- Published --------------------------------------------------------------------------------------------------------


def test_publishing_freezes_the_draft_under_the_next_number(world: World):
    draft = made(world)
    first = publish_workflow(workflow=draft, actor=world.bob, note=" First ")
    save_draft(workflow=draft, definition=noted("changed"), actor=world.bob)
    second = publish_workflow(workflow=draft, actor=world.bob)
    draft.refresh_from_db()
    assert (first.number, second.number, draft.latest_version, draft.status) == (1, 2, 2, "active")
    assert (first.note, first.created_by, first.content_hash) == ("First", world.bob.user, content_hash(GOOD))
    definitions.forget()
    assert load_definition(WorkflowVersion.objects.get(pk=first.pk)) == GOOD
    assert load_definition(WorkflowVersion.objects.get(pk=second.pk)) == noted("changed")


def test_a_draft_with_errors_is_not_published_and_every_problem_is_named(world: World):
    draft = made(world, BROKEN)
    with pytest.raises(Invalid) as caught:
        publish_workflow(workflow=draft, actor=world.bob)
    problem = next(problem for problem in caught.value.problems if problem.is_error)
    assert (problem.step, problem.field) == ("Summarize", "text")
    assert "Nobody" in problem.message
    assert problem.fix
    draft.refresh_from_db()
    assert (draft.status, draft.latest_version, WorkflowVersion.objects.count()) == ("draft", 0, 0)


def test_publishing_what_is_published_already_says_that_nothing_has_changed(world: World):
    draft = made(world)
    publish_workflow(workflow=draft, actor=world.bob)
    with pytest.raises(Conflict, match="Nothing has changed since version 1"):
        publish_workflow(workflow=draft, actor=world.bob)
    assert WorkflowVersion.objects.count() == 1
    # Back to what an older version said is a change all the same.
    save_draft(workflow=draft, definition=noted("x"), actor=world.bob)
    publish_workflow(workflow=draft, actor=world.bob)
    save_draft(workflow=draft, definition=GOOD, actor=world.bob)
    assert publish_workflow(workflow=draft, actor=world.bob).number == 3


def test_a_stale_publish_is_refused(world: World):
    with pytest.raises(Stale):
        publish_workflow(workflow=made(world), actor=world.bob, expected_revision=9)


# --- What a run executes ----------------------------------------------------------------------------------------------


def test_a_run_takes_the_newest_version_else_the_draft(world: World):
    draft = made(world)
    frozen = version_for_run(workflow=draft, actor=world.bob)
    assert (frozen.number, load_definition(frozen)) == (None, GOOD)
    published = publish_workflow(workflow=draft, actor=world.bob)
    save_draft(workflow=draft, definition=noted("later"), actor=world.bob)
    assert version_for_run(workflow=draft, actor=world.bob) == published
    assert version_for_run(workflow=draft, actor=world.bob, version=1) == published
    later = version_for_run(workflow=draft, actor=world.bob, version="draft")
    assert (later.number, load_definition(later)) == (None, noted("later"))


def test_one_draft_is_frozen_once_however_often_it_runs(world: World):
    draft = made(world)
    first = version_for_run(workflow=draft, actor=world.bob)
    assert version_for_run(workflow=draft, actor=world.alice) == first
    save_draft(workflow=draft, definition=noted("x"), actor=world.bob)
    save_draft(workflow=draft, definition=GOOD, actor=world.bob)
    assert version_for_run(workflow=draft, actor=world.bob) == first
    assert WorkflowVersion.objects.count() == 1


def test_what_cannot_run_says_why(world: World):
    draft = made(world, BROKEN)
    with pytest.raises(Invalid, match="Nobody"):
        version_for_run(workflow=draft, actor=world.bob)
    with pytest.raises(Invalid, match="no version 4"):
        version_for_run(workflow=draft, actor=world.bob, version=4)
    archive_workflow(workflow=draft, actor=world.bob)
    with pytest.raises(Conflict, match="archived"):
        version_for_run(workflow=draft, actor=world.bob)
    assert not WorkflowVersion.objects.exists()


def test_a_version_whose_step_type_has_gone_is_read_but_not_run(world: World):
    draft = made(world)
    published = publish_workflow(workflow=draft, actor=world.bob)
    gone = published.document.replace('"summarize"', '"gone_type"')
    WorkflowVersion.objects.filter(pk=published.pk).update(document=gone, content_hash="0" * 64)
    published.refresh_from_db()
    assert load_definition(published).step("sum").type == "gone_type"
    with pytest.raises(Invalid, match="gone_type"):
        version_for_run(workflow=draft, actor=world.bob)


def test_choosing_a_published_version_costs_one_query(world: World, django_assert_num_queries):
    draft = made(world)
    publish_workflow(workflow=draft, actor=world.bob)
    version_for_run(workflow=draft, actor=world.bob)
    with django_assert_num_queries(1):
        load_definition(version_for_run(workflow=draft, actor=world.bob))


# --- Duplicated -------------------------------------------------------------------------------------------------------


def test_a_copy_has_new_keys_the_same_meaning_and_no_generated_steps(world: World):
    generated = StepDef("gen", "summarize", "Check it", generated=True, order=2)
    source = replace(GOOD, steps=(*GOOD.steps, generated), edges=(*GOOD.edges, EdgeDef("e_2", "sum", "gen")))
    draft = made(world, source, tags=["news"], description="Words")
    copy = duplicate_workflow(workflow=draft, actor=world.alice)
    new = compile_draft(copy)
    assert (copy.name, copy.tags, copy.description, copy.status) == (
        "Copy of Pipeline",
        ["news"],
        "Words",
        "draft",
    )
    assert [step.label for step in new.steps] == ["Clean", "Summarize"]
    assert [step.order for step in new.steps] == [0, 1]
    assert not {step.key for step in new.steps} & {step.key for step in source.steps}
    assert [(new.step(edge.source).label, new.step(edge.target).label) for edge in new.edges] == [
        ("Clean", "Summarize")
    ]
    assert compile_draft(draft) == source
    assert duplicate_workflow(workflow=draft, actor=world.alice).name == "Copy of Pipeline 2"
    assert duplicate_workflow(workflow=draft, actor=world.alice, name="Mine").name == "Mine"
