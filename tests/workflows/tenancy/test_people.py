"""Who belongs to a tenant: invitations, roles, and the owner who must stay."""

import re
from datetime import timedelta

import pytest
from django.core import mail

from tests.support.factories import World, member, person
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound
from workflows.tenancy.models import AuditEntry, Invitation, Membership, User
from workflows.tenancy.people import (
    accept_invitation,
    change_role,
    invite_person,
    open_invitation,
    remove_member,
    withdraw_invitation,
)
from workflows.tenancy.roles import Role


def invited(world: World, capture, email: str = "nina@example.com", role: str = "editor") -> str:
    with capture(execute=True):
        invite_person(actor=world.alice, email=email, role=role)
    found = re.search(r"/invitations/([^/\s]+)/", str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


def membership_of(world: World, user: User | None) -> Membership:
    return Membership.objects.get(tenant=world.tenant, user=user)


def test_a_new_person_joins_with_the_link_once(world: World, django_capture_on_commit_callbacks):
    secret = invited(world, django_capture_on_commit_callbacks)
    assert mail.outbox[0].to == ["nina@example.com"]
    joined = accept_invitation(invitation=open_invitation(secret), name="Nina", password="a long secret")
    assert (joined.tenant, joined.role, joined.user.email) == (world.tenant, "editor", "nina@example.com")
    assert joined.user.check_password("a long secret")
    with pytest.raises(NotFound):
        open_invitation(secret)


def test_two_acceptances_of_one_offer_make_one_membership(world: World, django_capture_on_commit_callbacks):
    offer = open_invitation(invited(world, django_capture_on_commit_callbacks))
    accept_invitation(invitation=offer, name="Nina", password="a long secret")
    with pytest.raises(Conflict):
        accept_invitation(invitation=offer, user=User.objects.get(email="nina@example.com"))
    assert Membership.objects.filter(user__email="nina@example.com").count() == 1


def test_the_link_is_not_stored_and_not_in_the_audit_log(world: World, django_capture_on_commit_callbacks):
    secret = invited(world, django_capture_on_commit_callbacks)
    assert secret not in str(list(Invitation.objects.values()))
    assert secret not in str(list(AuditEntry.objects.values()))


def test_an_existing_account_is_never_opened_by_a_link_alone(
    world: World, django_capture_on_commit_callbacks
):
    person("nina@example.com", password="her own secret")
    offer = open_invitation(invited(world, django_capture_on_commit_callbacks))
    with pytest.raises(NotAllowed):
        accept_invitation(invitation=offer, name="Mallory", password="a long secret")
    with pytest.raises(NotAllowed):
        accept_invitation(invitation=offer, user=world.charlie.user)
    nina = User.objects.get(email="nina@example.com")
    assert nina.check_password("her own secret")
    assert accept_invitation(invitation=offer, user=nina).role == "editor"


def test_an_invitation_ends_after_a_week_when_withdrawn_and_when_sent_again(
    world: World, django_capture_on_commit_callbacks
):
    first = invited(world, django_capture_on_commit_callbacks)
    with pytest.raises(NotFound):
        open_invitation(first, now=utc_now() + timedelta(days=8))
    second = invited(world, django_capture_on_commit_callbacks)
    with pytest.raises(NotFound):
        open_invitation(first)
    withdraw_invitation(actor=world.alice, invitation=open_invitation(second))
    with pytest.raises(NotFound):
        open_invitation(second)


def test_a_member_or_a_broken_address_or_role_cannot_be_invited(world: World):
    with pytest.raises(Conflict):
        invite_person(actor=world.alice, email="BOB@example.com", role="viewer")
    with pytest.raises(Invalid):
        invite_person(actor=world.alice, email="nobody", role="viewer")
    with pytest.raises(Invalid):
        invite_person(actor=world.alice, email="nina@example.com", role="king")


@pytest.mark.parametrize("who", ["bob", "rita", "vera"])
def test_only_owners_and_admins_manage_people(world: World, who: str):
    actor = getattr(world, who)
    target = membership_of(world, world.adam.user)
    for act in (
        lambda: invite_person(actor=actor, email="nina@example.com", role="viewer"),
        lambda: change_role(actor=actor, membership=target, role="viewer"),
        lambda: remove_member(actor=actor, membership=target),
    ):
        with pytest.raises(NotAllowed):
            act()


def test_an_admin_makes_and_unmakes_no_owner(world: World):
    with pytest.raises(NotAllowed):
        change_role(actor=world.adam, membership=membership_of(world, world.bob.user), role=Role.OWNER)
    with pytest.raises(NotAllowed):
        change_role(actor=world.adam, membership=membership_of(world, world.alice.user), role=Role.VIEWER)
    with pytest.raises(NotAllowed):
        remove_member(actor=world.adam, membership=membership_of(world, world.alice.user))
    with pytest.raises(NotAllowed):
        invite_person(actor=world.adam, email="nina@example.com", role=Role.OWNER)


def test_the_last_owner_stays(world: World):
    alone = membership_of(world, world.alice.user)
    with pytest.raises(Conflict):
        change_role(actor=world.alice, membership=alone, role=Role.ADMIN)
    with pytest.raises(Conflict):
        remove_member(actor=world.alice, membership=alone)
    assert membership_of(world, world.alice.user).role == Role.OWNER
    member(world.tenant, Role.OWNER)
    remove_member(actor=world.alice, membership=membership_of(world, world.alice.user))
    assert not Membership.objects.filter(tenant=world.tenant, user=world.alice.user).exists()


def test_people_may_leave_by_themselves(world: World):
    remove_member(actor=world.vera, membership=membership_of(world, world.vera.user))
    assert not Membership.objects.filter(user=world.vera.user).exists()


def test_a_changed_role_is_in_the_audit_log_with_before_and_after(world: World):
    change_role(actor=world.alice, membership=membership_of(world, world.bob.user), role=Role.REVIEWER)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.before, entry.after) == (
        world.alice.user,
        {"role": "editor"},
        {"role": "reviewer"},
    )
