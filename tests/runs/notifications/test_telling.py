"""From what happened to what people are told and sent: each once, to whom it concerns, as they wish."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import time, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.locmem import EmailBackend
from django.db import connections
from django.test import Client

from runs.models import Event, Notification, NotificationSend, NotificationSettings, Review, Run
from runs.notifications import KINDS, Channel, Occasion, tell
from runs.services.decide_review import decide_review
from runs.services.digests import write_digests
from runs.services.notification_settings import mark_read, save_settings, settings_of
from runs.services.send_notifications import MOST_TRIES, send_due
from runs.services.tell_people import tell_people
from tests.runs.support import definition_of, driven, node, started
from tests.support import runs
from tests.support.factories import World, person
from tests.support.outside import Answer, Outside
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid, NotAllowed
from workflows.tenancy.models import AuditEntry, Membership

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def outside(settings: Any) -> Iterator[Outside]:
    with Outside() as server:
        settings.OUTBOUND_ALLOW = [server.host]
        yield server


def failing() -> Any:
    return definition_of([node("a", "transform", config={"mode": "expression", "expression": "1 / 0"})])


def occasion(world: World, kind: str = "run_failed", **fields: Any) -> Occasion:
    values = {"subject": "s", "title": "It failed", "text": "Because.", "url": "/runs/", **fields}
    return Occasion(world.tenant.pk, kind, **values)


def told(kind: str | None = None) -> list[tuple[str, str]]:
    rows = Notification.objects.select_related("person").order_by("person__email", "kind")
    return [(row.person.get_short_name(), row.kind) for row in rows if kind in (None, row.kind)]


def wants(actor: Any, **choices: list[str]) -> NotificationSettings:
    return save_settings(actor=actor, choices=choices)


# --- causes ---------------------------------------------------------------------------------------------------------


def test_a_failed_run_is_told_to_who_started_it_and_who_made_its_workflow(world: World) -> None:
    run = driven(started(world.bob, failing()))
    assert run.status == "failed"
    assert tell_people() == 1
    assert ("Bob", "run_failed") in told()
    assert all(name == "Bob" for name, _ in told())
    row = Notification.objects.get()
    assert "failed" in row.title
    assert "“A”" in row.text
    assert str(run.pk) in row.url
    # The mark is gone with the rows; nobody is told twice.
    assert not Event.objects.filter(to_tell__isnull=False).exists()
    assert tell_people() == 0
    assert Notification.objects.count() == 1


def test_a_run_that_fails_again_is_told_again_and_tests_are_not(world: World) -> None:
    from runs.services.control_run import retry_run

    run = driven(started(world.bob, failing()))
    tell_people()
    retry_run(run=run, actor=world.bob)
    driven(run)
    tell_people()
    assert Notification.objects.count() == 2
    driven(started(world.bob, failing(), test=True))
    tell_people()
    assert Notification.objects.count() == 2


def test_who_wants_to_hear_everything_hears_of_others_runs(world: World) -> None:
    save_settings(actor=world.vera, choices={}, everything=True)
    driven(started(world.bob, failing()))
    tell_people()
    assert {name for name, _ in told()} == {"Bob", "Vera"}


def test_a_quick_run_leaves_no_mark_and_a_long_one_is_told_by_its_starters_measure(world: World) -> None:
    good = definition_of([node("a", "transform", config={"mode": "expression", "expression": "1"})])
    driven(started(world.bob, good))
    assert not Event.objects.filter(to_tell__isnull=False).exists()
    run = started(world.bob, good)
    Run.objects.filter(pk=run.pk).update(started_at=utc_now() - timedelta(minutes=12))
    driven(run)
    assert Event.objects.filter(to_tell=True).count() == 1
    tell_people()
    assert told() == [("Bob", "run_long")]
    assert not NotificationSend.objects.exists(), "by default that is for the bell only"


def test_a_review_is_told_to_who_may_decide_it_and_mailed_with_a_link_that_decides_nothing(
    world: World,
) -> None:
    gate = definition_of(
        [
            node("a", "transform", config={"mode": "expression", "expression": "1"}),
            node("r", "review", config={"assignees": ["role:reviewer"]}),
        ],
        "a>r",
    )
    driven(started(world.bob, gate))
    tell_people()
    assert told() == [("Rita", "review_asked")]
    assert send_due() == 1
    (sent,) = mail.outbox
    review = Review.objects.get()
    assert f"/reviews/{review.pk}/" in sent.body
    assert sent.to == ["rita@example.com"]
    assert isinstance(sent, EmailMultiAlternatives)
    html = str(sent.alternatives[0][0])
    assert "<form" not in html
    assert f"/reviews/{review.pk}/" in html


def test_a_mail_about_a_review_that_was_decided_meanwhile_is_not_sent(world: World) -> None:
    driven(started(world.bob, definition_of([node("r", "review", config={})])))
    tell_people()
    review = Review.objects.get()
    decide_review(review=review, actor=world.alice, decision="approve")
    send_due()
    assert mail.outbox == []
    assert set(NotificationSend.objects.values_list("status", flat=True)) == {"dropped"}


# --- wishes ---------------------------------------------------------------------------------------------------------


def test_wishes_hold_for_each_way_and_strangers_are_never_told(world: World) -> None:
    wants(world.bob, run_failed=[])
    wants(world.rita, run_failed=["email"])
    made = tell(occasion(world), [world.bob.user, world.rita.user, world.alice.user, world.charlie.user])
    assert {row.person_id for row in made} == {world.rita.user.pk, world.alice.user.pk}
    rita = next(row for row in made if row.person_id == world.rita.user.pk)
    assert not rita.in_app
    assert NotificationSend.objects.filter(notification=rita, channel="email").count() == 1


def test_credit_is_for_owners_and_admins_only(world: World) -> None:
    made = tell(occasion(world, "credit"), [world.alice.user, world.adam.user, world.bob.user])
    assert {row.person_id for row in made} == {world.alice.user.pk, world.adam.user.pk}


def test_in_quiet_hours_the_bell_rings_and_the_mail_waits(world: World) -> None:
    now = utc_now()
    hour = (now.hour - 1) % 24
    save_settings(actor=world.bob, choices={}, quiet_from=time(hour, 0), quiet_to=time((hour + 4) % 24, 0))
    tell(occasion(world), [world.bob.user])
    send = NotificationSend.objects.get()
    assert send.due_at > now + timedelta(hours=1)
    assert send_due() == 0
    assert Notification.objects.filter(in_app=True).count() == 1
    NotificationSend.objects.update(due_at=now - timedelta(seconds=1))
    assert send_due() == 1
    assert len(mail.outbox) == 1


def test_saving_wishes_refuses_what_cannot_be_and_audits_who_sets_them_for_others(world: World) -> None:
    with pytest.raises(Invalid):
        save_settings(actor=world.bob, choices={"nothing": ["email"]})
    with pytest.raises(Invalid):
        save_settings(actor=world.bob, choices={}, quiet_from=time(22))
    with pytest.raises(NotAllowed):
        save_settings(actor=world.bob, choices={}, person=world.rita.user)
    save_settings(actor=world.adam, choices={"run_failed": []}, person=world.rita.user)
    entry = AuditEntry.objects.get(object_type="notificationsettings")
    assert entry.after["choices"] == {"run_failed": []}
    assert not settings_of(world.rita).wants("run_failed", Channel.EMAIL)
    save_settings(actor=world.rita, choices={})
    assert AuditEntry.objects.filter(object_type="notificationsettings").count() == 1


# --- sending ----------------------------------------------------------------------------------------------------------


def test_sending_that_fails_is_tried_again_later_at_most_so_often_and_is_visible(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: EmailBackend, messages: Any) -> int:
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(EmailBackend, "send_messages", away)
    tell(occasion(world), [world.bob.user])
    for number in range(1, MOST_TRIES):
        assert send_due() == 1
        send = NotificationSend.objects.get()
        assert (send.status, send.tries) == ("waiting", number)
        assert send.due_at > utc_now() + timedelta(seconds=50)
        assert "could not be reached" in send.words
        assert send_due() == 0, "it is not due yet"
        NotificationSend.objects.update(due_at=utc_now() - timedelta(seconds=1))
    send_due()
    send = NotificationSend.objects.get()
    assert (send.status, send.tries) == ("failed", MOST_TRIES)
    assert send_due() == 0


def test_two_keepers_at_once_tell_and_send_each_thing_once(world: World) -> None:
    for _ in range(4):
        driven(started(world.bob, failing()))
    together = threading.Barrier(2)

    def keeper(do: Any) -> None:
        together.wait()
        for _ in range(3):
            do()
        connections.close_all()

    for do in (tell_people, send_due):
        threads = [threading.Thread(target=keeper, args=(do,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Notification.objects.count() == 4
    assert len(mail.outbox) == 4
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == 4


def test_what_a_crash_cut_off_while_sending_is_not_sent_again_and_says_so(world: World) -> None:
    tell(occasion(world), [world.bob.user])
    NotificationSend.objects.update(status="sending", tries=1, due_at=utc_now() - timedelta(seconds=1))
    send_due()
    send = NotificationSend.objects.get()
    assert send.status == "unknown"
    assert mail.outbox == []


def test_a_crash_between_cause_and_rows_loses_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    driven(started(world.bob, failing()))
    with monkeypatch.context() as patched:
        patched.setattr("runs.services.tell_people.tell", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tell_people()
    assert Event.objects.filter(to_tell=True).count() == 1
    tell_people()
    assert Notification.objects.count() == 1


def test_slack_gets_one_post_for_all_who_want_it_and_data_mentions_nobody(
    world: World, outside: Outside
) -> None:
    from workflows.lib.encryption import Secret

    world.tenant.slack_webhook = Secret.of(f"{outside.url}/services/T/B/x")
    world.tenant.save()
    wants(world.bob, run_failed=["slack"])
    save_settings(actor=world.alice, choices={"run_failed": ["slack"]}, slack_member="u012ab3cd")
    tell(occasion(world, title="<!channel> failed & more"), [world.bob.user, world.alice.user])
    assert send_due() == 1
    (post,) = outside.requests
    text = post.json["blocks"][0]["text"]["text"]
    assert "&lt;!channel&gt; failed &amp; more" in text
    assert "<@U012AB3CD>" in text
    assert "Bob Bell" in text
    assert NotificationSend.objects.get().status == "sent"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(status=404, body=b"no_service"), "failed"),
        (Answer(status=503), "waiting"),
        (Answer(status=500), "unknown"),
    ],
)
def test_what_slack_refuses_is_repeated_only_where_surely_nothing_was_posted(
    world: World, outside: Outside, answer: Answer, status: str
) -> None:
    from workflows.lib.encryption import Secret

    world.tenant.slack_webhook = Secret.of(f"{outside.url}/hook")
    world.tenant.save()
    outside.answer("/hook", answer)
    wants(world.bob, run_failed=["slack"])
    tell(occasion(world), [world.bob.user])
    send_due()
    assert NotificationSend.objects.get().status == status


def test_what_was_read_here_is_not_mailed_and_others_cannot_read_it_away(world: World) -> None:
    (row,) = tell(occasion(world), [world.bob.user])
    assert mark_read(world.alice, [row.pk]) == 0
    assert mark_read(world.bob, [row.pk]) == 1
    assert mark_read(world.bob) == 0
    send_due()
    assert mail.outbox == []


# --- digests ----------------------------------------------------------------------------------------------------------


def test_the_digest_says_what_happened_once_each_day(world: World) -> None:
    now = utc_now()
    row = save_settings(
        actor=world.rita,
        choices={"digest_daily": ["email"]},
        digest_at=(now - timedelta(minutes=30)).time().replace(second=0, microsecond=0),
    )
    NotificationSettings.objects.filter(pk=row.pk).update(updated_at=now - timedelta(days=2))
    one = runs.graph(runs.step("one"))
    yesterday = now - timedelta(hours=3)
    for status in ("completed", "completed", "failed"):
        run = runs.run_of(world.bob, one, name="Invoices", status=status)
        Run.objects.filter(pk=run.pk).update(completed_at=yesterday)
    test = runs.run_of(world.bob, one, name="A test", status="failed", kind=Run.Kind.TEST)
    Run.objects.filter(pk=test.pk).update(completed_at=yesterday)
    other = runs.run_of(world.charlie, one, name="Another tenant's", status="failed")
    Run.objects.filter(pk=other.pk).update(completed_at=yesterday)
    assert write_digests(now) == 1
    assert write_digests(now) == 0
    assert write_digests(now + timedelta(minutes=5)) == 0
    told = Notification.objects.get()
    assert told.person == world.rita.user
    assert "3 runs: 2 succeeded, 1 failed." in told.text
    assert "- Invoices: 1" in told.detail
    assert "Another tenant" not in told.detail
    send_due()
    assert "Invoices" in mail.outbox[0].body
    # The next day has nothing to say.
    assert write_digests(now + timedelta(days=1)) == 0


def test_every_kind_has_words_and_a_place_in_the_table() -> None:
    from runs.notifications import GROUPS

    placed = [kind for _, kinds in GROUPS for kind in kinds]
    assert sorted(placed) == sorted(KINDS) == sorted(Notification.Kind.values)


def test_a_person_who_left_is_told_nothing_more(world: World) -> None:
    tell(occasion(world), [world.bob.user])
    Membership.objects.filter(user=world.bob.user).delete()
    send_due()
    assert mail.outbox == []
    assert tell(occasion(world, round="2"), [world.bob.user, person()]) == []


def test_the_admin_shows_what_was_not_sent(world: World, admin_client: Client) -> None:
    tell(occasion(world), [world.bob.user])
    NotificationSend.objects.update(status="failed", words="The mail server refuses the mail.")
    page = admin_client.get("/admin/runs/notificationsend/?status__exact=failed").content.decode()
    assert "The mail server refuses the mail." in page
