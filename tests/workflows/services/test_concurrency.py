"""Several people at one draft at the same time: nobody's edit is lost, one of two rivals is told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from tests.support import factories
from tests.workflows.definition.support import CATALOG, step
from workflows.definition.graph import Definition, StepDef
from workflows.definition.operations import AtEnd, insert
from workflows.lib.errors import Conflict, StepwellError
from workflows.models import Workflow, WorkflowVersion
from workflows.services.choose_version import version_for_run
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import apply_operation, compile_draft
from workflows.services.publish_workflow import publish_workflow
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership
from workflows.tenancy.people import change_role
from workflows.tenancy.roles import Role
from workflows.tenancy.sign_in_links import make_token, use_token

pytestmark = pytest.mark.django_db(transaction=True)

RIVALS = 6
GOOD = Definition(steps=(StepDef("clean", "clean_text", "Clean", config={"text": "{{input.text}}"}),))


def at_once(act: Callable[[int], object], rivals: int = RIVALS) -> list[object]:
    """What each of several threads got that began together: its result, or the error raised on purpose."""
    start = Barrier(rivals)

    def run(number: int) -> object:
        try:
            start.wait(timeout=30)
            return act(number)
        except StepwellError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(rivals) as pool:
        return list(pool.map(run, range(rivals)))


@pytest.fixture
def editor() -> Actor:
    return factories.member(factories.tenant("marlowe"), email="bob@example.com")


def test_edits_at_the_same_time_all_arrive(editor: Actor):
    draft = create_workflow(actor=editor, name="Shared", definition=GOOD)

    def add(number: int) -> None:
        mine = Workflow.objects.get(pk=draft.pk)
        new = step(f"n{number}", label=f"New {number}")
        apply_operation(workflow=mine, actor=editor, operation=lambda now: insert(now, new, AtEnd(), CATALOG))

    assert at_once(add) == [None] * RIVALS
    found = compile_draft(draft)
    assert {one.key for one in found.steps} == {"clean", *(f"n{number}" for number in range(RIVALS))}
    assert draft.revision == 1 + RIVALS
    assert len(found.edges) == RIVALS


def test_of_edits_that_name_one_revision_one_wins(editor: Actor):
    draft = create_workflow(actor=editor, name="Shared", definition=GOOD)

    def add(number: int) -> None:
        mine = Workflow.objects.get(pk=draft.pk)
        new = step(f"n{number}", label=f"New {number}")
        apply_operation(
            workflow=mine,
            actor=editor,
            operation=lambda now: insert(now, new, AtEnd(), CATALOG),
            expected_revision=1,
        )

    answers = at_once(add)
    assert answers.count(None) == 1
    assert [one.code for one in answers if isinstance(one, StepwellError)] == ["stale"] * (RIVALS - 1)
    assert len(compile_draft(draft).steps) == 2


def test_one_draft_published_by_many_becomes_one_version(editor: Actor):
    draft = create_workflow(actor=editor, name="Shared", definition=GOOD)
    answers = at_once(lambda _: publish_workflow(workflow=Workflow.objects.get(pk=draft.pk), actor=editor))
    assert sum(isinstance(one, WorkflowVersion) for one in answers) == 1
    assert all(isinstance(one, WorkflowVersion | Conflict) for one in answers)
    assert WorkflowVersion.objects.count() == 1


def test_one_draft_run_by_many_is_frozen_once(editor: Actor):
    draft = create_workflow(actor=editor, name="Shared", definition=GOOD)
    answers = at_once(lambda _: version_for_run(workflow=Workflow.objects.get(pk=draft.pk), actor=editor).pk)
    assert len(set(answers)) == 1
    assert WorkflowVersion.objects.count() == 1


def test_a_sign_in_link_serves_one_of_many(editor: Actor):
    assert editor.user is not None
    token = make_token(editor.user)
    assert sum(one is not None for one in at_once(lambda _: use_token(token))) == 1


def test_two_owners_who_demote_each_other_leave_one(db: None):
    tenant = factories.tenant("corvus")
    owners = [factories.member(tenant, Role.OWNER) for _ in range(2)]

    def demote_the_other(number: int) -> object:
        other = Membership.objects.get(user=owners[1 - number].user)
        return change_role(actor=owners[number], membership=other, role=Role.ADMIN)

    at_once(demote_the_other, rivals=2)
    assert Membership.objects.filter(tenant=tenant, role=Role.OWNER).count() == 1
