"""Used-up credit and refused keys: one alert for each account until it is cured, told to owners and admins; balances."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from runs.models import Attempt, Notification
from runs.services.credit import watch_credit
from runs.services.stack_state import stack_state
from runs.services.tell_people import tell_people
from tests.runs.support import definition_of, driven, node, started
from tests.support.factories import World, client_of
from tests.support.fake_openai import FakeOpenAI, Reply
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid, NotAllowed
from workflows.models import CreditAlert
from workflows.services.credit_alerts import raise_alert, state_balance
from workflows.services.provider_accounts import check_account, create_account
from workflows.services.provider_gates import the_gates
from workflows.tenancy.models import AuditEntry, ProviderAccount

pytestmark = pytest.mark.django_db(transaction=True)

NO_CREDIT = {"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota"}}
ASK = {"prompt": "Write.", "model": "openai:gpt-4o-mini"}


@pytest.fixture
def vendor(settings: Any) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        settings.OUTBOUND_ALLOW = [server.url.split("/")[2]]
        yield server


@pytest.fixture
def account(world: World, vendor: FakeOpenAI) -> ProviderAccount:
    return create_account(actor=world.alice, provider="openai", name="Ours", key="sk-1", base_url=vendor.url)


def asked(world: World) -> Any:
    step = node("a", "llm", config=ASK, retry_policy={"max_attempts": 1})
    return driven(started(world.bob, definition_of([step])))


def test_one_alert_until_it_is_cured_by_a_good_call(
    world: World, vendor: FakeOpenAI, account: ProviderAccount
) -> None:
    vendor.default = lambda request: Reply(status=429, body=NO_CREDIT)
    run = asked(world)
    assert run.status == "failed"
    from workflows.providers.fallback import gate_name
    from workflows.services.provider_accounts import account_of

    the_gates().reset(gate_name(account_of(account)))
    asked(world)
    alert = CreditAlert.objects.get()
    assert (alert.account, alert.code, alert.run, alert.closed_at) == (account, "quota", run.pk, None)
    tell_people()
    tell_people()
    credit = Notification.objects.filter(kind="credit")
    assert {row.person.email for row in credit} == {"alice@example.com", "adam@example.com"}
    assert credit.count() == 2
    page = client_of(world.alice).get(reverse("workflows:connections")).content.decode()
    assert "no credit left" in page
    (weather,) = stack_state(world.tenant, utc_now()).weather
    assert weather.name == "Ours"
    assert watch_credit() == 0, "nothing has answered"
    # Somebody has paid.
    vendor.default = lambda request: Reply(text="An answer.")
    the_gates().reset(gate_name(account_of(account)))
    assert asked(world).status == "completed"
    assert watch_credit() == 1
    alert.refresh_from_db()
    assert alert.closed_at is not None
    assert (
        "no credit left" not in client_of(world.alice).get(reverse("workflows:connections")).content.decode()
    )


def test_a_check_that_succeeds_closes_it_and_the_same_story_is_told_once(
    world: World, account: ProviderAccount
) -> None:
    for _ in range(2):
        raise_alert(
            tenant_id=world.tenant.pk, provider="openai", account_name="ours", code="bad_key", words="No."
        )
    assert CreditAlert.objects.count() == 1
    tell_people()
    assert check_account(actor=world.alice, account=account).ok
    assert not CreditAlert.objects.filter(closed_at=None).exists()
    # It comes back within the hour: the same row, and nobody is told again.
    raise_alert(
        tenant_id=world.tenant.pk, provider="openai", account_name="Ours", code="bad_key", words="No."
    )
    assert CreditAlert.objects.filter(closed_at=None).count() == 1
    tell_people()
    assert Notification.objects.filter(kind="credit").count() == 2


def test_an_account_of_the_server_is_told_by_its_provider_and_tenants_have_their_own_alerts(
    world: World,
) -> None:
    for tenant in (world.tenant, world.other):
        raise_alert(
            tenant_id=tenant.pk, provider="openai", account_name="environment", code="quota", words="Empty."
        )
    assert CreditAlert.objects.filter(account_key="env:openai").count() == 2
    page = client_of(world.charlie).get(reverse("runs:dashboard")).content.decode()
    assert "the server&#x27;s OpenAI account" in page


def test_a_stated_balance_is_counted_down_once_and_warns_below_its_threshold(
    world: World, vendor: FakeOpenAI, account: ProviderAccount
) -> None:
    vendor.default = lambda request: Reply(text="An answer.", usage=(1_000_000, 1_000_000))
    with pytest.raises(NotAllowed):
        state_balance(actor=world.bob, account=account, balance=Decimal(5), warn_below=None)
    with pytest.raises(Invalid):
        state_balance(actor=world.alice, account=account, balance=None, warn_below=Decimal(1))
    state_balance(actor=world.alice, account=account, balance=Decimal(5), warn_below=Decimal("4.50"))
    assert AuditEntry.objects.get(object_id=str(account.pk), action="changed").after == {
        "balance": "5.00",
        "warn below": "4.50",
    }
    ProviderAccount.objects.update(
        stated_at=utc_now() - timedelta(hours=1), spent_until=utc_now() - timedelta(hours=1)
    )
    run = asked(world)
    assert run.cost == Decimal("0.75")
    Attempt.objects.update(ended_at=utc_now() - timedelta(minutes=5))
    assert watch_credit() == 1
    assert watch_credit() == 0
    account.refresh_from_db()
    assert account.left_usd == Decimal("4.25")
    alert = CreditAlert.objects.get()
    assert alert.what == "low"
    assert "$4.25" in alert.words
    page = client_of(world.alice).get(reverse("workflows:connections")).content.decode()
    assert "about $4.25 left" in page
    # A new statement closes it and begins anew.
    answer = client_of(world.alice).post(
        reverse("workflows:connection_balance", args=[account.pk]), {"balance": "20", "warn_below": "2"}
    )
    assert answer.status_code == 302
    account.refresh_from_db()
    assert account.left_usd == Decimal(20)
    assert not CreditAlert.objects.filter(closed_at=None).exists()


def test_the_slack_address_is_kept_encrypted_and_never_shown(world: World) -> None:
    browser = client_of(world.alice)
    url = reverse("workflows:connection_slack")
    browser.post(url, {"url": "http://hooks.example.com/plain"})
    world.tenant.refresh_from_db()
    assert not world.tenant.slack_webhook
    browser.post(url, {"url": "https://hooks.example.com/canary-4711"})
    world.tenant.refresh_from_db()
    assert world.tenant.slack_webhook.reveal() == "https://hooks.example.com/canary-4711"
    assert "canary-4711" not in browser.get(reverse("workflows:connections")).content.decode()
    assert "canary-4711" not in str(list(AuditEntry.objects.values()))
    browser.post(url, {"forget": "1"})
    world.tenant.refresh_from_db()
    assert not world.tenant.slack_webhook
