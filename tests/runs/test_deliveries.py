"""What leaves the house: once per key, with a copy and a receipt; test runs fill the outbox; doubt is never repeated unasked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import smtplib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import call_command

from runs.engine.scopes import Place
from runs.engine.statuses import RunStatus
from runs.models import Attempt, Delivery, Review, Run, StepRun
from runs.services.decide_review import decide_review
from runs.services.deliveries import Ledger, message_id_of
from runs.services.effect_questions import AskEffect
from runs.services.execute_step import Task, Work
from tests.runs.support import definition_of, driven, node, rows, started
from tests.support.factories import World, client_of
from tests.support.outside import Answer, Outside
from workflows.expressions.names import Scope
from workflows.lib.clock import utc_now
from workflows.lib.jsontypes import JSONObject
from workflows.lib.signing import webhook_secrets, webhook_signature
from workflows.steps import registry
from workflows.steps.base import (
    DeliveryStatus,
    Effect,
    Email,
    ExecutionKind,
    NoEffect,
    OnUnknown,
    Receipt,
    RunFacts,
    StepError,
)

# The ledger writes from threads of its own, which see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

MAIL = {"to": "{{input.email}}", "subject": "Your order", "body": "It is **ready**."}
ORDER = {"email": "ann@example.com"}


@pytest.fixture
def outside(settings: Any) -> Iterator[Outside]:
    with Outside() as server:
        settings.OUTBOUND_ALLOW = [server.host]
        yield server


@pytest.fixture
def work(world: World) -> Work:
    """A try of a step of a run, as the driver makes it."""
    run = started(world.bob, definition_of([node("a", "email", config=MAIL)]), ORDER)
    row = StepRun.objects.create(run=run, tenant=run.tenant, step_key="a", label="A", type="email")
    step = definition_of([node("a", "email", config=MAIL)]).steps[0]
    return Work(
        task=Task(Place("a"), 0, 1, row.pk, None, ExecutionKind.ASYNC, utc_now()),
        step=step,
        type=registry.get("email"),
        scope=Scope(),
        previous=None,
        arrived=(),
        facts=RunFacts(id=str(run.pk), started_at=utc_now()),
        run_id=run.pk,
        timeout_s=60,
        tenant_id=run.tenant_id,
    )


class Act:
    """An outward act: its results in order, an error or a receipt; counts how often it was made."""

    def __init__(self, *results: JSONObject | BaseException) -> None:
        self.results = list(results)
        self.made = 0

    async def __call__(self) -> JSONObject:
        self.made += 1
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


def tried(work: Work, act: Act, on_unknown: OnUnknown = OnUnknown.REPEAT) -> Receipt:
    """One try of the same step: a ledger of its own, the same key."""

    async def make() -> Receipt:
        return await Ledger(work, "key").deliver(
            Effect("email", "ann@example.com", {"n": 1}, on_unknown), act
        )

    return asyncio.run(make())


def lost() -> StepError:
    return StepError("The line broke.", code="network", retryable=True)


# --- the ledger -----------------------------------------------------------------------------------


def test_an_act_leaves_a_copy_and_a_receipt(work: Work) -> None:
    receipt = tried(work, Act({"id": 7}))
    assert receipt == Receipt(DeliveryStatus.SENT, {"id": 7})
    row = Delivery.objects.get()
    assert (row.status, row.receipt, row.copy, row.target) == ("sent", {"id": 7}, {"n": 1}, "ann@example.com")
    assert row.settled_at is not None
    assert (row.run_id, row.step_run_id, row.tenant_id) == (work.run_id, work.task.step_run, work.tenant_id)


@pytest.mark.parametrize("on_unknown", list(OnUnknown))
def test_what_has_a_receipt_is_not_sent_again(work: Work, on_unknown: OnUnknown) -> None:
    """The worker stopped after the receipt and before the step was completed."""
    tried(work, Act({"id": 7}), on_unknown)
    again = Act({"id": 8})
    assert tried(work, again, on_unknown) == Receipt(DeliveryStatus.SENT, {"id": 7}, again=True)
    assert again.made == 0


@pytest.mark.parametrize("on_unknown", list(OnUnknown))
def test_what_surely_had_no_effect_is_tried_again(work: Work, on_unknown: OnUnknown) -> None:
    with pytest.raises(NoEffect):
        tried(work, Act(NoEffect("Away.", code="mail_server_away", retryable=True)), on_unknown)
    row = Delivery.objects.get()
    assert (row.status, row.error["code"]) == ("failed", "mail_server_away")
    assert tried(work, Act({"id": 7}), on_unknown).status == DeliveryStatus.SENT
    row.refresh_from_db()
    assert (row.status, row.tries, row.error) == ("sent", 2, None)


def test_doubt_is_repeated_where_the_other_side_knows_the_key(work: Work) -> None:
    with pytest.raises(StepError):
        tried(work, Act(lost()))
    assert Delivery.objects.get().status == "unknown"
    assert tried(work, Act({"id": 7})).detail == {"id": 7}


def test_doubt_is_skipped_where_the_step_says_so(work: Work) -> None:
    with pytest.raises(StepError):
        tried(work, Act(lost()), OnUnknown.SKIP)
    again = Act({"id": 7})
    assert tried(work, again, OnUnknown.SKIP).status == DeliveryStatus.SKIPPED
    assert tried(work, again, OnUnknown.SKIP).status == DeliveryStatus.SKIPPED
    assert again.made == 0


def test_doubt_asks_a_person_until_they_have_said_that_it_goes_out_again(work: Work) -> None:
    with pytest.raises(StepError):
        tried(work, Act(lost()), OnUnknown.ASK)
    again = Act({"id": 7})
    with pytest.raises(AskEffect):
        tried(work, again, OnUnknown.ASK)
    # The worker stopped before the question stood: it is asked once more, nothing is sent.
    with pytest.raises(AskEffect) as caught:
        tried(work, again, OnUnknown.ASK)
    assert (caught.value.code, caught.value.info.retryable) == ("unknown_effect", False)
    assert caught.value.question.delivery == Delivery.objects.get().pk
    assert "ann@example.com" in caught.value.message
    assert again.made == 0
    assert Delivery.objects.get().asked_at is not None
    Delivery.objects.update(resend=True)
    assert tried(work, again, OnUnknown.ASK).status == DeliveryStatus.SENT
    assert again.made == 1
    assert not Delivery.objects.get().resend


def test_a_crash_in_the_middle_of_an_act_leaves_doubt(work: Work) -> None:
    with pytest.raises(asyncio.CancelledError):
        tried(work, Act(asyncio.CancelledError()), OnUnknown.ASK)
    assert Delivery.objects.get().status == "unknown"
    with pytest.raises(StepError, match="not known"):
        tried(work, Act({}), OnUnknown.ASK)


def test_a_receipt_without_its_whole_answer_counts_as_doubt(work: Work) -> None:
    tried(work, Act({"body": "half", "whole": False}))
    again = Act({"body": "all", "whole": True})
    assert tried(work, again).detail["body"] == "all"
    assert again.made == 1


def test_two_acts_of_one_try_have_keys_of_their_own(work: Work) -> None:
    effect = Effect("http", "POST x", {})

    async def two(*acts: Act) -> list[JSONObject]:
        ledger = Ledger(work, "key")
        return [(await ledger.deliver(effect, act)).detail for act in acts]

    assert asyncio.run(two(Act({"n": 1}), Act({"n": 2}))) == [{"n": 1}, {"n": 2}]
    assert asyncio.run(two(Act(), Act())) == [{"n": 1}, {"n": 2}]
    assert sorted(row.key for row in Delivery.objects.all()) == ["key", "key:1"]


def rounds(work: Work) -> Iterator[Work]:
    """The same step in one round after the other, as retries make them."""
    yield work
    for number in range(1, 9):
        first = StepRun.objects.get(pk=work.task.step_run)
        row = StepRun.objects.create(
            run=first.run, tenant=first.tenant, step_key="a", label="A", type="email", round=number
        )
        yield replace(work, task=replace(work.task, round=number, step_run=row.pk))


def of_round(work: Work, act: Act, on_unknown: OnUnknown) -> Receipt:
    async def make() -> Receipt:
        key = f"key:{work.task.round}"
        return await Ledger(work, key).deliver(Effect("email", "ann@example.com", {}, on_unknown), act)

    return asyncio.run(make())


def test_a_new_round_asks_before_it_sends_what_was_sent(work: Work) -> None:
    again = rounds(work)
    of_round(next(again), Act({"id": 1}), OnUnknown.ASK)
    act = Act({"id": 2})
    with pytest.raises(StepError, match="went out on") as caught:
        of_round(next(again), act, OnUnknown.ASK)
    assert caught.value.code == "unknown_effect"
    assert act.made == 0
    third = next(again)
    with pytest.raises(AskEffect, match="went out on"):
        of_round(third, act, OnUnknown.ASK)
    with pytest.raises(AskEffect, match="went out on"):
        of_round(third, act, OnUnknown.ASK)
    Delivery.objects.filter(step_run=third.task.step_run).update(resend=True)
    assert of_round(third, act, OnUnknown.ASK).detail == {"id": 2}


def test_a_new_round_after_doubt_asks_too(work: Work) -> None:
    again = rounds(work)
    with pytest.raises(StepError):
        of_round(next(again), Act(lost()), OnUnknown.ASK)
    with pytest.raises(AskEffect, match="not known"):
        of_round(next(again), Act(), OnUnknown.ASK)


def test_a_new_round_leaves_out_what_was_sent_where_the_step_says_so(work: Work) -> None:
    again = rounds(work)
    of_round(next(again), Act({"id": 1}), OnUnknown.SKIP)
    for _ in range(2):
        left = of_round(next(again), Act(), OnUnknown.SKIP)
        assert (left.status, left.detail) == (DeliveryStatus.SKIPPED, {"id": 1})


def test_a_new_round_asks_about_a_receipt_though_doubt_is_repeated(work: Work) -> None:
    """The receiver knows a copy by its key, and a new round has a new one."""
    again = rounds(work)
    of_round(next(again), Act({"id": 1}), OnUnknown.REPEAT)
    act = Act({"id": 2})
    second = next(again)
    for _ in range(2):
        with pytest.raises(AskEffect, match="went out on"):
            of_round(second, act, OnUnknown.REPEAT)
    assert act.made == 0
    Delivery.objects.filter(step_run=second.task.step_run).update(status="skipped")
    assert of_round(second, act, OnUnknown.REPEAT).detail == {"id": 1}
    with pytest.raises(AskEffect, match="went out on"):
        of_round(next(again), act, OnUnknown.REPEAT)


def test_a_new_round_repeats_doubt_where_the_step_says_so(work: Work) -> None:
    again = rounds(work)
    with pytest.raises(StepError):
        of_round(next(again), Act(lost()), OnUnknown.REPEAT)
    assert of_round(next(again), Act({"id": 4}), OnUnknown.REPEAT).detail == {"id": 4}


# --- mail -----------------------------------------------------------------------------------------


def test_a_mail_goes_out_with_the_message_id_of_its_key(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a", "email", config=MAIL)]), ORDER))
    assert run.status == RunStatus.COMPLETED, run.error
    (sent,) = mail.outbox
    assert isinstance(sent, mail.EmailMultiAlternatives)
    row = Delivery.objects.get()
    assert sent.to == ["ann@example.com"]
    assert sent.subject == "Your order"
    assert sent.body == "It is **ready**."
    assert "<strong>ready</strong>" in str(sent.alternatives[0])
    assert (
        sent.extra_headers["Message-ID"] == row.receipt["message_id"] == message_id_of(f"{run.pk.hex}:a::0")
    )
    assert row.copy["to"] == ["ann@example.com"]
    assert rows(run)["a"].output == {
        "content": "It is **ready**.",
        "to": ["ann@example.com"],
        "subject": "Your order",
        "message_id": row.receipt["message_id"],
        "delivery": "sent",
    }


def test_a_test_run_keeps_its_mail_in_the_outbox(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a", "email", config=MAIL)]), ORDER, test=True))
    assert run.kind == Run.Kind.TEST
    assert run.status == RunStatus.COMPLETED, run.error
    assert mail.outbox == []
    row = Delivery.objects.get()
    assert (row.status, row.copy["text"], row.copy["subject"]) == ("outbox", "It is **ready**.", "Your order")
    assert rows(run)["a"].output["delivery"] == "outbox"
    assert "outbox" in rows(run)["a"].notes


@pytest.mark.parametrize(
    ("error", "code", "retryable", "sure"),
    [
        (smtplib.SMTPRecipientsRefused({"a@x.org": (550, b"no such user")}), "bad_recipient", False, True),
        (smtplib.SMTPRecipientsRefused({"a@x.org": (450, b"greylisted")}), "bad_recipient", True, True),
        (smtplib.SMTPDataError(451, b"later"), "mail_refused", True, True),
        (smtplib.SMTPDataError(554, b"spam"), "mail_refused", False, True),
        (smtplib.SMTPServerDisconnected("gone"), "mail_unknown", True, False),
        (TimeoutError("slow"), "mail_unknown", True, False),
    ],
)
def test_the_mail_servers_no_is_told_apart_from_silence(
    work: Work, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, retryable: bool, sure: bool
) -> None:
    def refuse(self: object, messages: object) -> int:
        raise error

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)

    async def send() -> Receipt:
        return await Ledger(work, "key").send_email(Email(("a@x.org",), "S", "T"))

    with pytest.raises(StepError) as caught:
        asyncio.run(send())
    assert (caught.value.code, caught.value.info.retryable) == (code, retryable)
    assert isinstance(caught.value, NoEffect) == sure
    assert Delivery.objects.get().status == ("failed" if sure else "unknown")


def test_a_mail_server_that_is_away_took_nothing(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: object) -> bool:
        raise TimeoutError("no route")

    monkeypatch.setattr(EmailBackend, "open", away)

    async def send() -> Receipt:
        return await Ledger(work, "key").send_email(Email(("a@x.org",), "S", "T"))

    with pytest.raises(NoEffect) as caught:
        asyncio.run(send())
    assert (caught.value.code, caught.value.info.retryable) == ("mail_server_away", True)


@pytest.mark.parametrize("answer", ["send_again", "skip"])
def test_a_mail_in_doubt_waits_for_a_person_who_says_whether_it_goes_out(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """The whole way: cut off, not repeated by itself, explained, asked about, answered, and done once or not at all."""
    real = EmailBackend.send_messages
    calls: list[int] = []

    def cut_off_once(self: EmailBackend, messages: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise smtplib.SMTPServerDisconnected("gone")
        return real(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", cut_off_once)
    step = node("a", "email", config=MAIL, retry_policy={"max_attempts": 3, "delay_ms": 0})
    run = driven(started(world.bob, definition_of([step]), ORDER))
    assert run.status == RunStatus.PAUSED, run.error
    [waits] = run.waiting_for
    assert waits["sentence"] == (
        "Waiting for a reviewer to say whether “A” sends again what may have got through."
    )
    assert len(calls) == 1
    asked = Review.objects.get(run=run, status="open")
    assert (asked.kind, asked.title) == ("effect", "Send the mail to ann@example.com again?")
    assert "is not known: that try broke off" in asked.instructions
    assert "Subject: Your order" in asked.content["content"]
    decide_review(review=asked, actor=world.rita, decision=answer)
    run = driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    sent = answer == "send_again"
    assert len(mail.outbox) == int(sent)
    row = Delivery.objects.get()
    assert (row.status, row.tries) == (("sent", 2) if sent else ("skipped", 1))
    assert rows(run)["a"].output["delivery"] == ("sent" if sent else "skipped")
    # Being asked is no try of the step's.
    assert [(a.number, a.counted, a.status) for a in Attempt.objects.filter(run=run)] == [
        (1, True, "failed"),
        (2, False, "failed"),
        (2, True, "succeeded"),
    ]


# --- other servers ----------------------------------------------------------------------------------


def test_a_changing_request_carries_its_key_and_leaves_a_receipt(world: World, outside: Outside) -> None:
    outside.answer("/orders", Answer(201, json={"id": 7}))
    config = {
        "method": "POST",
        "url": f"{outside.url}/orders",
        "body": "fields",
        "body_fields": {"to": "{{input.email}}"},
    }
    run = driven(started(world.bob, definition_of([node("a", "http_request", config=config)]), ORDER))
    assert run.status == RunStatus.COMPLETED, run.error
    (sent,) = outside.requests
    assert sent.json == {"to": "ann@example.com"}
    assert sent.headers["idempotency-key"] == f"{run.pk.hex}:a::0"
    assert rows(run)["a"].output["json"] == {"id": 7}
    row = Delivery.objects.get()
    assert (row.kind, row.status, row.receipt["status"]) == ("http", "sent", 201)
    assert row.copy["body"] == '{"to": "ann@example.com"}'


def test_reading_requests_are_made_in_test_runs_and_changing_ones_are_not(
    world: World, outside: Outside
) -> None:
    nodes = [
        node("a", "http_request", config={"url": f"{outside.url}/read"}),
        node("b", "http_request", config={"method": "DELETE", "url": f"{outside.url}/all"}),
        node("c", "webhook", config={"url": f"{outside.url}/hook"}),
    ]
    run = driven(started(world.bob, definition_of(nodes, "a>b>c"), ORDER, test=True))
    assert run.status == RunStatus.COMPLETED, run.error
    assert [(sent.method, sent.path) for sent in outside.requests] == [("GET", "/read")]
    assert sorted(row.kind for row in Delivery.objects.filter(status="outbox")) == ["http", "webhook"]
    assert rows(run)["b"].output["delivery"] == "outbox"


def test_a_refusal_is_no_delivery_and_a_broken_server_is_doubt(world: World, outside: Outside) -> None:
    outside.answer("/no", Answer(422, json={"error": "bad"}))
    config = {"method": "POST", "url": f"{outside.url}/no"}
    run = driven(started(world.bob, definition_of([node("a", "http_request", config=config)])))
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "http_4xx")
    assert len(outside.requests) == 1, "trying again cannot help"
    assert Delivery.objects.get(run=run).status == "failed"

    outside.answer("/broken", Answer(500))
    config = {"method": "POST", "url": f"{outside.url}/broken"}
    nodes = [node("a", "http_request", config=config, retry_policy={"max_attempts": 1})]
    run = driven(started(world.bob, definition_of(nodes)))
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "http_5xx")
    assert Delivery.objects.get(run=run).status == "unknown"


def test_a_webhook_is_signed_so_that_its_receiver_can_check_it(
    world: World, outside: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    run = driven(
        started(
            world.bob,
            definition_of(
                [node("a", "webhook", config={"url": f"{outside.url}/in", "event": "order.ready"})]
            ),
            {"text": "hello"},
        )
    )
    assert run.status == RunStatus.COMPLETED, run.error
    (sent,) = outside.requests
    call_command("webhook_secret", "--tenant", run.tenant.slug)
    secret = capsys.readouterr().out.split()[0]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert wanted in sent.headers["webhook-signature"].split()
    assert sent.json["type"] == "order.ready"
    assert sent.json["id"] == sent.headers["webhook-id"] == rows(run)["a"].output["id"]
    assert sent.json["run"] == {"id": str(run.pk), "test": False}
    assert "signature" not in str(Delivery.objects.get().copy["headers"])
    age = datetime.now(UTC).timestamp() - int(sent.headers["webhook-timestamp"])
    assert -5 < age < 300, "it is the time of sending, in seconds"


def test_a_webhook_secret_is_the_tenants_own_and_outlives_a_rotation(settings: Any) -> None:
    one, two = uuid.uuid4(), uuid.uuid4()
    settings.ENCRYPTION_KEYS = ["old"]
    before = webhook_secrets(one)
    assert webhook_secrets(two) != before
    settings.ENCRYPTION_KEYS = ["new", "old"]
    assert webhook_secrets(one)[1] == before[0]
    assert len(webhook_signature(one, "msg_1", 1, b"{}").split()) == 2


# --- who reads the ledger ---------------------------------------------------------------------------


def test_the_outbox_and_the_receipts_are_on_their_page_in_the_panel_and_in_the_api(
    world: World,
) -> None:
    step = definition_of([node("a", "email", config=MAIL)])
    sent, tested = driven(started(world.bob, step, ORDER)), driven(started(world.bob, step, ORDER, test=True))
    assert len(mail.outbox) == 1
    vera = client_of(world.vera)
    page = vera.get("/outbox/").content.decode()
    assert page.count("data-item") == 2
    assert "In the outbox" in page
    assert "It is **ready**." in page
    only = vera.get("/outbox/?status=outbox&kind=email&q=ANN").content.decode()
    assert (only.count("data-item"), f"run {tested.number}" in only) == (1, True)
    assert "Nothing fits" in vera.get("/outbox/?q=nobody").content.decode()
    panel = vera.get(f"/runs/{sent.pk}/steps/a/", headers={"HX-Request": "true"}).content.decode()
    assert "Mail to ann@example.com" in panel
    assert "accepted_at" in panel
    [row] = vera.get(f"/api/workflow-executions/{sent.pk}/deliveries").json()["items"]
    assert (row["status"], row["rendered"]["subject"], row["node_id"]) == ("sent", "Your order", "a")
    assert row["receipt"]["message_id"] == row["rendered"]["message_id"]
    assert vera.get(f"/api/workflow-executions/{tested.pk}/deliveries?status=sent").json()["count"] == 0
    assert "data-item" not in client_of(world.charlie).get("/outbox/").content.decode()
