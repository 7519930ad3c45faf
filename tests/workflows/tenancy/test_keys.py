"""API keys: shown once, kept as a hash, ended at once."""

from datetime import timedelta

import pytest

from tests.support.factories import World
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid, NotAllowed
from workflows.tenancy.actor import Actor
from workflows.tenancy.keys import create_key, key_hash, revoke_key, verify_key
from workflows.tenancy.models import ApiKey, AuditEntry


def test_a_new_key_opens_its_tenant_with_its_role(alice: Actor):
    key, text = create_key(actor=alice, name="CI", role="editor")
    found = verify_key(text)
    assert found is not None
    assert (found.pk, found.tenant, found.role) == (key.pk, alice.tenant, "editor")
    assert text.startswith("sw_")
    assert text.startswith(key.prefix)


def test_only_the_hash_is_kept(alice: Actor):
    _, text = create_key(actor=alice, name="CI", role="editor")
    stored = ApiKey.objects.values().get()
    assert stored["hash"] == key_hash(text)
    assert text not in str(stored)
    assert text not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize("wrong", ["", "sw_", "no key", "sw_abcdefghij_x", "sw_" + "x" * 400])
def test_what_is_no_key_opens_nothing(alice: Actor, wrong: str):
    create_key(actor=alice, name="CI", role="editor")
    assert verify_key(wrong) is None


def test_the_right_prefix_with_another_secret_opens_nothing(alice: Actor):
    key, text = create_key(actor=alice, name="CI", role="editor")
    assert verify_key(key.prefix + "_" + "A" * (len(text) - len(key.prefix) - 1)) is None


def test_a_revoked_key_ends_at_once_and_says_when(alice: Actor):
    key, text = create_key(actor=alice, name="CI", role="editor")
    ended = revoke_key(actor=alice, key=key)
    assert verify_key(text) is None
    assert ended.revoked_at is not None
    assert revoke_key(actor=alice, key=key).revoked_at == ended.revoked_at


def test_a_key_ends_on_its_day(alice: Actor):
    now = utc_now()
    _, text = create_key(actor=alice, name="CI", role="editor", expires_at=now + timedelta(hours=1))
    assert verify_key(text, now=now) is not None
    assert verify_key(text, now=now + timedelta(hours=2)) is None


def test_a_tenant_that_is_off_takes_its_keys_along(alice: Actor):
    _, text = create_key(actor=alice, name="CI", role="editor")
    alice.tenant.is_active = False
    alice.tenant.save()
    assert verify_key(text) is None


def test_last_used_is_written_once_a_minute(alice: Actor, django_assert_num_queries):
    key, text = create_key(actor=alice, name="CI", role="editor")
    now = utc_now()
    with django_assert_num_queries(2):
        verify_key(text, now=now)
    with django_assert_num_queries(1):
        verify_key(text, now=now + timedelta(seconds=59))
    with django_assert_num_queries(2):
        verify_key(text, now=now + timedelta(seconds=60))
    key.refresh_from_db()
    assert key.last_used_at == now + timedelta(seconds=60)


def test_an_editor_makes_no_keys_and_an_admin_no_owners_key(world: World):
    with pytest.raises(NotAllowed):
        create_key(actor=world.bob, name="CI", role="editor")
    with pytest.raises(NotAllowed):
        create_key(actor=world.adam, name="CI", role="owner")
    assert not ApiKey.objects.exists()


def test_an_unknown_role_or_an_empty_name_is_refused(alice: Actor):
    for name, role in (("CI", "king"), ("  ", "editor")):
        with pytest.raises(Invalid):
            create_key(actor=alice, name=name, role=role)
