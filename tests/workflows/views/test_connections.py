"""The page about connections: who sees it, what it says of health, and that keys only ever go in."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.support.factories import World, client_of
from tests.support.fake_openai import FakeOpenAI
from workflows.providers import errors
from workflows.providers.fallback import gate_name
from workflows.services.provider_accounts import account_of, create_account
from workflows.services.provider_gates import the_gates
from workflows.tenancy.models import ProviderAccount, Tenant

pytestmark = pytest.mark.django_db

KEY = "sk-canary-0815-never-shown"


def made(world: World, **fields: Any) -> ProviderAccount:
    return create_account(
        actor=world.alice, **({"provider": "openai", "name": "Production", "key": KEY} | fields)
    )


def test_an_admin_connects_a_provider_and_never_sees_the_key_again(world: World) -> None:
    client = client_of(world.adam)
    sent = {"provider": "anthropic", "name": "Claude", "key": KEY, "max_concurrency": "4"}
    assert client.post("/connections/new/", sent).status_code == 302
    account = ProviderAccount.objects.get()
    assert account.key.reveal() == KEY
    for path in ("/connections/", f"/connections/{account.pk}/"):
        page = client.get(path).content.decode()
        assert "Claude" in page
        assert KEY not in page
        assert account.key.token not in page
    assert "4 at one time" in client.get("/connections/").content.decode()
    assert "Not checked yet" in client.get("/connections/").content.decode()


def test_a_form_with_faults_comes_back_without_the_key(world: World) -> None:
    client = client_of(world.alice)
    response = client.post("/connections/new/", {"provider": "ollama", "name": "Ours", "key": KEY})
    assert response.status_code == 422
    page = response.content.decode()
    assert "needs the address of its server" in page
    assert KEY not in page
    made(world)
    response = client.post("/connections/new/", {"provider": "openai", "name": "production", "key": "k"})
    assert response.status_code == 422
    assert "already" in response.content.decode()


def test_an_empty_key_keeps_the_stored_one(world: World) -> None:
    account = made(world)
    client = client_of(world.alice)
    assert client.post(f"/connections/{account.pk}/", {"name": "Renamed", "key": ""}).status_code == 302
    account.refresh_from_db()
    assert (account.name, account.key.reveal()) == ("Renamed", KEY)
    moved = client.post(
        f"/connections/{account.pk}/", {"name": "Renamed", "base_url": "https://evil.example.com"}
    )
    assert moved.status_code == 422
    assert "Enter the key" in moved.content.decode()


def test_a_check_says_what_came(world: World, settings: Any) -> None:
    client = client_of(world.alice)
    with FakeOpenAI() as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        account = made(world, base_url=server.url)
        page = client.post(f"/connections/{account.pk}/check/", follow=True).content.decode()
        assert "2 models" in page
        assert "Answered in" in page
    page = client.post(f"/connections/{account.pk}/check/", follow=True).content.decode()
    assert "The last check failed" in page


def test_a_paused_account_says_why_and_when_it_is_probed(world: World) -> None:
    account = made(world)
    credit = errors.error_from_answer(provider="openai", label="OpenAI", model="m", status=402, body={})
    asyncio.run(the_gates().failed(gate_name(account_of(account)), credit))
    page = client_of(world.alice).get("/connections/").content.decode()
    assert "No credit left since" in page
    assert "Next probe at" in page


def test_the_servers_own_account_shows_until_the_tenant_has_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "g-of-the-server")
    client = client_of(world.alice)
    page = client.get("/connections/").content.decode()
    assert "The server&#x27;s own account" in page
    assert "g-of-the-server" not in page
    made(world, provider="google", name="Ours")
    page = client.get("/connections/").content.decode()
    assert page.count("<h3>Google</h3>") == 1
    assert "Ours" in page


def test_the_default_and_the_order_of_the_workspace_are_kept(world: World) -> None:
    client = client_of(world.alice)
    sent = {
        "default_model": "openai:gpt-4o-mini",
        "fallback": "google:gemini-2.5-flash\nanthropic:claude-haiku-4-5\n",
    }
    assert client.post("/connections/models/", sent).status_code == 302
    tenant = Tenant.objects.get(pk=world.tenant.pk)
    assert tenant.fallback == ["google:gemini-2.5-flash", "anthropic:claude-haiku-4-5"]
    assert "claude-haiku-4-5" in client.get("/connections/").content.decode()
    bad = client.post("/connections/models/", {"fallback": "nobody:x"})
    assert bad.status_code == 422
    assert "There is no provider named" in bad.content.decode()


def test_the_months_budget_is_kept(world: World) -> None:
    client = client_of(world.alice)
    assert (
        client.post(
            "/connections/budget/", {"monthly_budget_usd": "250", "budget_policy": "stop"}
        ).status_code
        == 302
    )
    tenant = Tenant.objects.get(pk=world.tenant.pk)
    assert (tenant.monthly_budget_usd, tenant.budget_policy) == (Decimal(250), "stop")
    assert "$250.00" in client.get("/connections/").content.decode()
    assert client.post("/connections/budget/", {"budget_policy": "explode"}).status_code == 422


def test_an_account_is_switched_and_removed(world: World) -> None:
    account = made(world)
    client = client_of(world.alice)
    client.post(f"/connections/{account.pk}/switch/", {"active": "0"})
    assert not ProviderAccount.objects.get().is_active
    client.post(f"/connections/{account.pk}/switch/", {"active": "1"})
    assert ProviderAccount.objects.get().is_active
    client.post(f"/connections/{account.pk}/remove/")
    assert not ProviderAccount.objects.exists()


def test_the_page_costs_the_same_for_few_and_many(world: World) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = client_of(world.alice)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert client.get("/connections/").status_code == 200
        return len(seen)

    made(world)
    few = queries()
    for number in range(5):
        made(world, name=f"Account {number}")
    assert queries() == few
    assert few <= 11


def test_editors_do_not_see_the_page_or_its_place(world: World) -> None:
    client = client_of(world.bob)
    assert client.get("/connections/").status_code == 403
    assert 'href="/connections/"' not in client.get("/workflows/").content.decode()
    assert 'href="/connections/"' in client_of(world.alice).get("/workflows/").content.decode()
