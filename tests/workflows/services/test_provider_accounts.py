"""Accounts of a tenant at providers: write-only keys, their one host, tests, and the tenant's own default and order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI
from workflows.lib.encryption import Secret, Undecipherable, decrypt, encrypt
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.providers import errors
from workflows.providers.fallback import gate_name
from workflows.services.provider_accounts import (
    account_of,
    accounts_of,
    check_account,
    create_account,
    delete_account,
    set_account_active,
    set_tenant_models,
    update_account,
)
from workflows.services.provider_gates import the_gates
from workflows.tenancy.models import AuditEntry, ProviderAccount, Tenant

pytestmark = pytest.mark.django_db

KEY = "sk-canary-0815-never-shown"


@pytest.fixture
def server(settings: Any) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(models=("small", "large")) as fake:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{fake.port}"]
        yield fake


def made(world: World, **fields: Any) -> ProviderAccount:
    return create_account(
        actor=world.alice, **({"provider": "openai", "name": "Production", "key": KEY} | fields)
    )


def stored_key(account: ProviderAccount) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key FROM tenancy_provideraccount WHERE id = %s",
            [account.pk.hex if connection.vendor == "sqlite" else account.pk],
        )
        return str(cursor.fetchone()[0])


def test_a_key_is_encrypted_and_shown_nowhere(world: World) -> None:
    account = made(world)
    account.refresh_from_db()
    assert KEY not in stored_key(account)
    assert account.key.reveal() == KEY
    assert KEY not in f"{account.key} {account.key!r} {account!r} {account_of(account)!r}"
    exported = StringIO()
    call_command("dumpdata", "tenancy.provideraccount", "tenancy.auditentry", stdout=exported)
    assert KEY not in exported.getvalue()
    assert stored_key(account) not in exported.getvalue()


def test_keys_are_sealed_anew_with_the_newest_key_of_the_server(world: World) -> None:
    with override_settings(ENCRYPTION_KEYS=["the-old-key-of-the-server"]):
        account = made(world)
        old = stored_key(account)
    with override_settings(ENCRYPTION_KEYS=["the-new-key", "the-old-key-of-the-server"]):
        call_command("rotate_keys", stdout=StringIO())
    assert stored_key(account) != old
    with override_settings(ENCRYPTION_KEYS=["the-new-key"]):
        account.refresh_from_db()
        assert account.key.reveal() == KEY
        with pytest.raises(Undecipherable):
            decrypt(old)


def test_a_key_that_the_server_can_no_longer_read_is_told_and_left_alone(world: World) -> None:
    with override_settings(ENCRYPTION_KEYS=["a-key-that-is-lost"]):
        account = made(world)
    account.refresh_from_db()
    old = stored_key(account)
    assert "cannot be read" in account_of(account).problem
    assert not check_account(actor=world.alice, account=account).ok
    with pytest.raises(CommandError, match="Production"):
        call_command("rotate_keys", stdout=StringIO())
    assert stored_key(account) == old


def test_only_owners_and_admins_manage_accounts(world: World) -> None:
    account = made(world)
    for actor in (world.bob, world.rita, world.vera):
        for act in (
            lambda actor=actor: create_account(actor=actor, provider="openai", name="X", key="k"),
            lambda actor=actor: update_account(actor=actor, account=account, name="X"),
            lambda actor=actor: set_account_active(actor=actor, account=account, active=False),
            lambda actor=actor: delete_account(actor=actor, account=account),
            lambda actor=actor: check_account(actor=actor, account=account),
            lambda actor=actor: set_tenant_models(actor=actor, default_model="", fallback=[]),
        ):
            with pytest.raises(NotAllowed):
                act()
    assert ProviderAccount.objects.get().is_active


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"provider": "nobody"}, "provider"),
        ({"provider": "demo"}, "provider"),
        ({"key": ""}, "key"),
        ({"provider": "ollama", "key": ""}, "base_url"),
        ({"provider": "custom"}, "base_url"),
        ({"base_url": "ftp://files.example.com"}, "base_url"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
    ],
)
def test_what_cannot_work_is_refused_with_its_field(world: World, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as raised:
        made(world, **fields)
    assert raised.value.problems[0].field == field
    assert not ProviderAccount.objects.exists()


def test_a_name_stands_once_in_a_tenant(world: World) -> None:
    made(world)
    with pytest.raises(Conflict):
        made(world, name="PRODUCTION")
    create_account(actor=world.charlie, provider="openai", name="Production", key="k")


def test_a_stored_key_never_goes_to_another_host(world: World) -> None:
    account = made(world)
    with pytest.raises(Invalid) as raised:
        update_account(
            actor=world.alice, account=account, name="Production", base_url="https://evil.example.com/v1"
        )
    assert raised.value.problems[0].field == "key"
    account.refresh_from_db()
    assert account.base_url == ""
    update_account(
        actor=world.alice,
        account=account,
        name="Production",
        base_url="https://proxy.example.com/v1",
        key="new",
    )
    account.refresh_from_db()
    assert account.key.reveal() == "new"
    update_account(
        actor=world.alice, account=account, name="Renamed", base_url="https://proxy.example.com/v2"
    )
    account.refresh_from_db()
    assert account.key.reveal() == "new"


def test_typed_addresses_are_guarded_and_the_vendors_own_is_not(world: World) -> None:
    assert account_of(made(world)).trusted
    assert account_of(made(world, name="Own", base_url="https://x.example.com")).trusted is False
    # Nobody's vendor: a tenant may not reach the operator's own machine by leaving the address out.
    with pytest.raises(Invalid):
        made(world, name="Local", provider="ollama")


def test_calls_get_active_accounts_by_provider_in_order(world: World) -> None:
    one, two = made(world), made(world, name="Second")
    made(world, name="Claude", provider="anthropic")
    found = accounts_of(world.tenant.pk)
    assert [account.name for account in found["openai"]] == ["Production", "Second"]
    assert found["openai"][0].api_key == KEY
    assert set(found) == {"openai", "anthropic"}
    set_account_active(actor=world.alice, account=one, active=False)
    assert [account.name for account in accounts_of(world.tenant.pk)["openai"]] == ["Second"]
    delete_account(actor=world.alice, account=two)
    assert "openai" not in accounts_of(world.tenant.pk)
    assert accounts_of(world.other.pk) == {}


def test_a_test_asks_for_the_models_and_keeps_what_came(world: World, server: FakeOpenAI) -> None:
    account = made(world, base_url=server.url)
    tested = check_account(actor=world.alice, account=account)
    assert tested.ok
    assert tested.models == ("large", "small")
    assert ProviderAccount.objects.get().checked_ok
    assert account.checked_at is not None
    server.stop()
    tested = check_account(actor=world.alice, account=account)
    assert not tested.ok
    assert account.checked_ok is False
    assert account.checked_code
    assert KEY not in account.checked_words


def test_a_test_that_succeeds_ends_a_pause(world: World, server: FakeOpenAI) -> None:
    import asyncio

    account = made(world, base_url=server.url)
    name = gate_name(account_of(account))
    credit = errors.error_from_answer(provider="openai", label="OpenAI", model="m", status=402, body={})
    asyncio.run(the_gates().failed(name, credit))
    assert not the_gates().breakers([name])[name].is_untouched
    check_account(actor=world.alice, account=account)
    assert the_gates().breakers([name])[name].is_untouched


def test_an_inner_address_is_refused_without_the_operators_word(world: World) -> None:
    with FakeOpenAI() as inner:
        account = made(world, base_url=inner.url)
        assert not check_account(actor=world.alice, account=account).ok
        assert inner.requests == []


def test_the_tenants_default_and_order_are_checked_kept_and_audited(world: World) -> None:
    with pytest.raises(Invalid):
        set_tenant_models(actor=world.alice, default_model="nobody:x", fallback=[])
    with pytest.raises(Invalid):
        set_tenant_models(actor=world.alice, default_model="", fallback=["google"])
    with pytest.raises(Invalid):
        set_tenant_models(actor=world.alice, default_model="", fallback=[f"openai:m{n}" for n in range(9)])
    set_tenant_models(
        actor=world.alice, default_model="openai:gpt-4o-mini", fallback=["google:g", " google:g ", ""]
    )
    tenant = Tenant.objects.get(pk=world.tenant.pk)
    assert (tenant.default_model, tenant.fallback) == ("openai:gpt-4o-mini", ["google:g"])
    entry = AuditEntry.objects.get(object_type="tenant")
    assert entry.after == {"default_model": "openai:gpt-4o-mini", "fallback": ["google:g"]}


def test_the_audit_log_tells_of_a_key_without_telling_it(world: World) -> None:
    account = made(world)
    update_account(actor=world.alice, account=account, name="Production", key="another-canary")
    said = json.dumps([[entry.before, entry.after] for entry in AuditEntry.objects.all()])
    assert "(changed)" in said
    assert KEY not in said
    assert "another-canary" not in said


def test_empty_stays_empty() -> None:
    assert encrypt("") == ""
    assert not Secret.of("")
    assert str(Secret.of("x")) == "••••••••"


def test_an_order_that_names_no_model_is_a_warning_of_the_workflow(world: World) -> None:
    from tests.support.factories import workflow
    from workflows.services.check_workflow import problems_of

    made_here = workflow(world.tenant, settings={"fallback": ["google:gemini-2.5-flash", "nonsense"]})
    [problem] = [one for one in problems_of(made_here) if one.field == "fallback"]
    assert problem.path == "definition.settings.fallback[1]"
    assert not problem.is_error
