"""The one way to an object: strangers find nothing, members without the right are told so."""

import uuid
from itertools import pairwise

import pytest

from tests.support.factories import World, workflow
from workflows.lib.errors import NotAllowed, NotFound
from workflows.models import Workflow
from workflows.tenancy.access import get_or_404
from workflows.tenancy.roles import PERMISSIONS, Permission, Role, may


def test_a_member_finds_what_belongs_to_the_tenant(world: World):
    mine = workflow(world.tenant)
    assert get_or_404(Workflow, world.vera, mine.pk) == mine


def test_a_stranger_a_missing_row_and_a_malformed_id_say_the_same(world: World):
    mine = workflow(world.tenant)
    said = set()
    for actor, pk in (
        (world.charlie, mine.pk),
        (world.bob, uuid.uuid4()),
        (world.bob, "no-uuid"),
        (world.bob, None),
    ):
        with pytest.raises(NotFound) as caught:
            get_or_404(Workflow, actor, pk)
        said.add((caught.value.message, caught.value.status, caught.value.code))
    assert len(said) == 1


def test_a_role_that_may_not_is_told_so_but_a_stranger_is_not(world: World):
    mine = workflow(world.tenant)
    with pytest.raises(NotAllowed) as caught:
        get_or_404(Workflow, world.vera, mine.pk, Permission.EDIT_WORKFLOWS)
    assert caught.value.status == 403
    assert world.tenant.name in caught.value.message
    with pytest.raises(NotFound):
        get_or_404(Workflow, world.charlie, mine.pk, Permission.EDIT_WORKFLOWS)


def test_a_narrowed_queryset_stays_narrow(world: World):
    gone = workflow(world.tenant, status=Workflow.Status.ARCHIVED)
    with pytest.raises(NotFound):
        get_or_404(Workflow.objects.filter(status="draft"), world.bob, gone.pk)


def test_each_role_may_all_that_the_one_below_may():
    ladder = [Role.VIEWER, Role.REVIEWER, Role.EDITOR, Role.ADMIN, Role.OWNER]
    for below, above in pairwise(ladder):
        assert PERMISSIONS[below] < PERMISSIONS[above]
    assert PERMISSIONS[Role.OWNER] == frozenset(Permission)


def test_an_unknown_role_may_nothing():
    assert not any(may("king", permission) for permission in Permission)
