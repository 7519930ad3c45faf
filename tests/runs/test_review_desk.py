"""The review desk: order and filters, reminders and escalation once, handing over, out of office, many at once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from runs.models import Absence, Event, Mail, Notification, NotificationSend, Review
from runs.selectors import unread_count
from runs.services.absences import set_absence
from runs.services.decide_review import decide_many, decide_review
from runs.services.reassign_review import hand_over, remind_reviews
from runs.services.review_people import people_of
from runs.services.send_notifications import send_due
from runs.services.tell_people import tell_of_review, tell_people
from runs.services.viewing import waiting_for
from tests.api.support import Api
from tests.runs.support import definition_of, driven, node, started
from tests.runs.test_drive_items import each
from tests.support import runs as make
from tests.support.factories import World, client_of, member
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.lib.worddiff import changes_in, word_diff
from workflows.steps.review import read_reminders
from workflows.tenancy.models import AuditEntry
from workflows.tenancy.roles import Role

pytestmark = pytest.mark.django_db
GATE = make.graph(make.step("write", "llm"), make.step("gate", "review"), make.step("post", "llm"))


def a_gate(world: World, name: str = "Idea pipeline", **fields: Any) -> Review:
    return make.gate(make.run_of(world.bob, GATE, name=name), "gate", **fields)


def asked(world: World, config: dict[str, Any], **input_data: Any) -> Review:
    """A gate as the engine opens it."""
    nodes = [node("a"), node("gate", "review", config=config)]
    run = driven(started(world.bob, definition_of(nodes, "a>gate"), input_data))
    return Review.objects.get(run=run)


def past(review: Review, **fields: Any) -> Review:
    Review.objects.filter(pk=review.pk).update(**fields)
    review.refresh_from_db()
    return review


# --- the list -----------------------------------------------------------------------------------------


def test_what_is_due_first_stands_first_and_overdue_is_said(world: World) -> None:
    now = timezone.now()
    a_gate(world, "No date")
    a_gate(world, "Tomorrow", due_at=now + timedelta(days=1))
    late = a_gate(world, "Late", due_at=now - timedelta(minutes=10, seconds=5))
    a_gate(world, "Not mine", due_at=now - timedelta(days=9), assignees=["role:admin"])
    client = client_of(world.rita)
    html = client.get(reverse("reviews:index")).content.decode().split('class="inbox__pane"')[0]
    places = [html.index(name + ", run") for name in ("Late", "Tomorrow", "No date", "Not mine")]
    assert places == sorted(places)
    assert "Overdue by 10 min" in html
    overdue = client.get(reverse("reviews:index"), {"show": "overdue"}).content.decode()
    assert "No date, run" not in overdue
    one = client.get(reverse("reviews:index"), {"workflow": str(late.workflow_id)}).content.decode()
    assert "Late, run" in one
    assert "Tomorrow, run" not in one
    mine = client.get(reverse("reviews:news"), {"show": "mine"}).json()["open"]
    assert len(mine) == 3
    assert mine[0] == str(late.pk)


def test_a_thousand_gates_are_listed_with_few_queries(
    world: World, django_assert_max_num_queries: Any
) -> None:
    first = a_gate(world)
    rows = [
        Review(
            tenant=first.tenant,
            run=first.run,
            workflow=first.workflow,
            step_run=first.step_run,
            title=f"Gate {number}",
            content={"content": "word " * 300},
            buttons=first.buttons,
            due_at=timezone.now() + timedelta(hours=number),
            assignees=["role:reviewer"] if number % 2 else [],
        )
        for number in range(1000)
    ]
    Review.objects.bulk_create(rows)
    client = client_of(world.rita)
    client.get(reverse("reviews:index"))
    with django_assert_max_num_queries(18):
        answer = client.get(reverse("reviews:index"))
    assert b"901 more come up" in answer.content


def test_after_a_decision_the_next_one_opens_without_script(world: World) -> None:
    first, second = a_gate(world, "One"), a_gate(world, "Two")
    data = {"decision": "approve", "back": "inbox", "next": str(second.pk)}
    answer = client_of(world.rita).post(reverse("reviews:decide", args=[first.pk]), data)
    assert answer["Location"] == reverse("reviews:detail", args=[second.pk])


def test_rejecting_can_send_the_work_back_with_the_reason(world: World) -> None:
    review = a_gate(world)
    html = client_of(world.rita).get(reverse("reviews:detail", args=[review.pk])).content.decode()
    assert '<option value="write">Write</option>' in html
    assert '<option value="post">' not in html
    url = reverse("reviews:decide", args=[review.pk])
    back = {"decision": "reject", "then": "back", "to_step": "write"}
    refused = client_of(world.rita).post(url, back)
    assert refused.status_code == 422, "what is to be changed has to be said"
    assert client_of(world.rita).post(url, {**back, "reason": "Too long"}).status_code == 302
    review.refresh_from_db()
    assert (review.decision, review.back_to, review.comment) == ("changes", "write", "Too long")


def test_changes_are_shown_word_by_word_and_kept(world: World) -> None:
    review = past(a_gate(world), content={"content": "Three taps and a photo."})
    client = client_of(world.rita)
    url = reverse("reviews:changes", args=[review.pk])
    html = client.post(url, {"edited": "Three taps and two photos."}).content.decode()
    assert "<del>a photo</del><ins>two photos</ins>" in html.replace("\n", "")
    review.refresh_from_db()
    assert review.status == "open"
    decide_review(review=review, actor=world.rita, decision="approve", edited_text="Three taps.")
    html = client.get(reverse("reviews:detail", args=[review.pk])).content.decode()
    assert "What was changed" in html
    assert "<del>" in html


def test_a_word_diff_gives_both_texts_back() -> None:
    before, after = "One two three.\nFour\nfive", "One too three.\nFour and\nfive six"
    diff = word_diff(before, after)
    assert "".join(text for op, text in diff if op != "new") == before
    assert "".join(text for op, text in diff if op != "gone") == after
    assert changes_in(diff) == 2
    assert word_diff("", "") == []


# --- whom it waits for ---------------------------------------------------------------------------------


def test_people_computed_from_data_decide(world: World) -> None:
    config = {"assignees": ["{{ input.owner }}", "role:admin"], "title": "Fine?"}
    review = asked(world, config, owner="Rita@example.com, role:editor")
    assert review.assignees == ["user:rita@example.com", "role:editor", "role:admin"]
    nobody = {"assignees": ["{{ input.owner }}"]}
    nodes = [node("gate", "review", config=nobody)]
    for owner in ("", "the boss"):
        run = driven(started(world.bob, definition_of(nodes), {"owner": owner}))
        assert run.status == "failed", "data that names nobody does not mean everybody"


def test_who_started_the_run_may_not_decide_nor_get_it_handed_over(world: World) -> None:
    review = a_gate(world, bar_starter=True)
    assert world.bob.user is not None
    with pytest.raises(NotAllowed):
        decide_review(review=review, actor=world.bob, decision="approve")
    with pytest.raises(Invalid, match="started this run"):
        hand_over(review=review, actor=world.rita, to=world.bob.user)


def test_a_review_is_handed_over_once_told_and_written_down(world: World) -> None:
    review = asked(world, {"assignees": ["user:rita@example.com", "role:admin"]})
    eve = member(world.tenant, Role.REVIEWER, name="Eve Ends", email="eve@example.com")
    assert eve.user is not None
    with pytest.raises(NotAllowed):
        hand_over(review=review, actor=eve, to=eve.user)
    answer = client_of(world.rita).post(
        reverse("reviews:hand_over", args=[review.pk]), {"to": "eve@example.com", "note": "You know it"}
    )
    assert answer.status_code == 302
    review.refresh_from_db()
    assert review.assignees == ["user:eve@example.com", "role:admin"]
    told = Notification.objects.get(kind="review_delegated")
    assert (told.person, "You know it" in told.text) == (eve.user, True)
    assert AuditEntry.objects.filter(action="handed over", object_id=str(review.pk)).count() == 1
    driven(review.run)
    event = Event.objects.get(run=review.run, type="review_reassigned")
    assert event.data["to"] == ["user:eve@example.com"]
    assert "eve@example.com" in str(review.run.waiting_for)
    with pytest.raises(NotAllowed):
        decide_review(review=review, actor=world.rita, decision="approve")
    decide_review(review=review, actor=eve, decision="approve")
    with pytest.raises(Conflict):
        hand_over(review=review, actor=world.adam, to=eve.user)


def test_somebody_out_of_office_is_stood_in_for(world: World) -> None:
    assert world.adam.user is not None
    review = a_gate(world, assignees=["user:rita@example.com"])
    with pytest.raises(NotAllowed):
        decide_review(review=review, actor=world.bob, decision="approve")
    today = timezone.localdate()
    page = client_of(world.rita).post(
        reverse("reviews:away"),
        {
            "first_day": today.isoformat(),
            "last_day": (today + timedelta(days=3)).isoformat(),
            "substitute": str(world.bob.user.pk if world.bob.user else ""),
        },
    )
    assert page.status_code == 302
    assert people_of(review, review.run) == [world.rita.user, world.bob.user]
    html = client_of(world.bob).get(reverse("reviews:index")).content.decode()
    assert "Waiting for others" not in html
    assert (
        "Today you also decide for Rita Roth"
        in client_of(world.bob).get(reverse("reviews:away")).content.decode()
    )
    with pytest.raises(Invalid):
        set_absence(
            actor=world.rita, substitute=world.adam.user, first_day=today, last_day=today - timedelta(days=1)
        )
    Absence.objects.update(first_day=today + timedelta(days=1))
    with pytest.raises(NotAllowed):
        decide_review(review=review, actor=world.bob, decision="approve")
    Absence.objects.update(first_day=today)
    decide_review(review=review, actor=world.bob, decision="approve")
    assert client_of(world.rita).post(reverse("reviews:away"), {"back": "1"}).status_code == 302
    assert not Absence.objects.exists()


# --- time ---------------------------------------------------------------------------------------------


def test_reminders_are_read_from_words() -> None:
    assert read_reminders("1 day before, at due; 2 h after") == (
        timedelta(days=-1),
        timedelta(),
        timedelta(hours=2),
    )
    with pytest.raises(ValueError, match="before or after"):
        read_reminders("1 day")


def test_an_overdue_gate_is_reminded_of_and_escalated_exactly_once(world: World, mailoutbox: Any) -> None:
    review = asked(
        world,
        {
            "assignees": ["user:rita@example.com"],
            "due": "2 days",
            "reminders": "1 day before, 1 hour before",
            "escalate_to": ["role:admin"],
            "escalate_after": "1 hour",
        },
    )
    assert review.due_at is not None
    assert review.remind_at == review.due_at - timedelta(days=1)
    assert review.escalate_at == review.due_at + timedelta(hours=1)
    assert remind_reviews() == 0
    with pytest.raises(NotAllowed):
        decide_review(review=review, actor=world.adam, decision="approve")
    now = timezone.now()
    past(
        review,
        remind_at=now - timedelta(hours=3),
        escalate_at=now - timedelta(minutes=1),
        due_at=now - timedelta(hours=2),
        reminders=[(now - timedelta(hours=3)).isoformat(), (now + timedelta(hours=3)).isoformat()],
    )
    assert remind_reviews() == 2
    assert remind_reviews() == 0
    review.refresh_from_db()
    assert review.remind_at == now + timedelta(hours=3)
    assert review.assignees == ["user:rita@example.com", "role:admin"]
    reminded = Notification.objects.get(kind="review_reminder")
    assert (reminded.person, "overdue by 2 h" in reminded.text) == (world.rita.user, True)
    escalated = Notification.objects.get(kind="review_escalated")
    assert escalated.person == world.adam.user
    assert escalated.url == reverse("reviews:detail", args=[review.pk])
    assert escalated.sends.filter(channel="email").count() == 1
    assert Mail.objects.filter(run=review.run, kind="reassigned").count() == 1
    driven(review.run)
    assert Event.objects.get(run=review.run, type="review_reassigned").data["what"] == "escalated"
    decide_review(review=review, actor=world.adam, decision="approve")
    past(review, remind_at=now - timedelta(hours=1))
    assert remind_reviews() == 0, "what is decided is over"


# --- many ---------------------------------------------------------------------------------------------


def test_many_items_are_decided_in_one_request(world: World) -> None:
    nodes = [each(concurrency=40), node("ask", "review", parent="f")]
    things = [f"Thing {number}" for number in range(40)]
    run = driven(started(world.bob, definition_of(nodes), {"xs": things}))
    waiting = Review.objects.filter(run=run, status="open")
    assert waiting.count() == 40
    url = reverse("reviews:table", args=[run.pk])
    client = client_of(world.rita)
    html = client.get(url).content.decode()
    assert html.count('name="pick"') == waiting.count()
    chosen = list(waiting.values_list("pk", flat=True))
    lost = Review.objects.get(pk=chosen[0])
    decide_review(review=Review.objects.get(pk=chosen[-1]), actor=world.bob, decision="approve")
    data = {
        "pick": [str(pk) for pk in chosen],
        "every": "approve",
        f"decision-{lost.pk}": "reject",
        f"comment-{lost.pk}": "Not this",
    }
    html = client.post(url, data).content.decode()
    assert f"{len(chosen) - 1} of {len(chosen) - 1} decided" in html
    lost.refresh_from_db()
    assert (lost.decision, lost.comment) == ("reject", "Not this")
    assert not waiting.exists()


def test_many_decisions_cost_few_queries_each(world: World, django_assert_max_num_queries: Any) -> None:
    nodes = [each(concurrency=20), node("ask", "review", parent="f")]
    things = [f"Thing {number}" for number in range(20)]
    run = driven(started(world.bob, definition_of(nodes), {"xs": things}))
    waiting = list(Review.objects.filter(run=run).select_related("run"))
    decisions = [(review, "approve", "Fine") for review in waiting]
    # Each: its transaction, the run, the gate, the mail, the audit entry; whom one stands in for, who hears of it and
    # whose bells it leaves are asked once.
    with django_assert_max_num_queries(20 * 7 + 8):
        assert [error for _, error in decide_many(actor=world.rita, decisions=decisions)] == [None] * 20
    late = decide_many(actor=world.bob, decisions=decisions[:1])
    assert late[0][1] is not None
    assert late[0][1].status == 409


def test_the_table_asks_for_rows_and_stands_in_the_order_of_the_items(world: World) -> None:
    nodes = [each(concurrency=12), node("ask", "review", parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": [f"Thing {n}" for n in range(12)]}))
    client, url = client_of(world.rita), reverse("reviews:table", args=[run.pk])
    answer = client.post(url, {"every": "approve"})
    assert answer.status_code == 422
    html = answer.content.decode()
    assert "Choose rows first" in html
    numbers = [int(found) for found in re.findall(r"Item (\d+): ", html)]
    assert numbers == list(range(1, 13))
    listed = client.get(reverse("reviews:news")).json()
    assert listed["counts"] == {"all": 12, "mine": 12, "overdue": 0, "listed": 12}


# --- votes and news -----------------------------------------------------------------------------------


def test_who_has_voted_is_not_asked_any_more(world: World) -> None:
    review = a_gate(world, quorum=2)
    assert waiting_for(world.rita) == 1
    decide_review(review=review, actor=world.rita, decision="approve")
    assert waiting_for(world.rita) == 0
    assert waiting_for(world.bob) == 1
    html = client_of(world.rita).get(reverse("reviews:index")).content.decode()
    assert "Waiting for others" in html
    assert client_of(world.rita).get(reverse("reviews:news"), {"show": "mine"}).json()["open"] == []


def test_a_decided_review_is_no_news_at_anybodys_bell(world: World) -> None:
    review = a_gate(world, quorum=2)
    tell_of_review("review_asked", review, [world.rita.user, world.bob.user, world.adam.user])
    decide_review(review=review, actor=world.rita, decision="approve")
    assert [unread_count(actor) for actor in (world.rita, world.bob, world.adam)] == [0, 1, 1]
    decide_review(review=review, actor=world.bob, decision="approve")
    assert unread_count(world.adam) == 0


def test_a_review_is_handed_over_from_the_run_and_by_the_api(world: World) -> None:
    review = a_gate(world)
    page = client_of(world.bob).get(reverse("runs:detail", args=[review.run_id])).content.decode()
    assert '<option value="rita@example.com">' in page
    url = reverse("reviews:hand_over", args=[review.pk])
    answer = client_of(world.bob).post(url, {"to": "rita@example.com", "back": "run"})
    assert answer["Location"] == reverse("runs:detail", args=[review.run_id])
    by_script = client_of(world.rita).post(url, {"to": "vera@example.com"}, headers={"HX-Request": "true"})
    assert by_script.status_code == 422
    assert "Vera Voss" not in str(Review.objects.get().assignees)
    # A key is nobody in person: it hands over what its role manages.
    api = Api(world.adam)
    assert api.post(f"/reviews/{review.pk}/hand-over", {"to": "nobody@example.com"}).status_code == 422
    made = api.post(f"/reviews/{review.pk}/hand-over", {"to": "bob@example.com", "note": "Yours"})
    assert made.status_code == 200, made.content
    assert made.json()["assignees"] == ["user:bob@example.com"]
    assert made.json()["may_decide"] is False
    theirs = Api(world.rita).post(f"/reviews/{review.pk}/hand-over", {"to": "rita@example.com"})
    assert theirs.status_code == 403


# --- mail ---------------------------------------------------------------------------------------------


def test_thirteen_gates_of_one_run_are_one_mail_that_leads_to_the_table(
    world: World, mailoutbox: Any
) -> None:
    nodes = [each(concurrency=13), node("ask", "review", parent="f", config={"assignees": ["role:reviewer"]})]
    run = driven(started(world.bob, definition_of(nodes), {"xs": [f"Thing {n}" for n in range(13)]}))
    tell_people()
    assert send_due() == 13
    (mail,) = mailoutbox
    assert mail.to == ["rita@example.com"]
    assert mail.subject.startswith("13 reviews wait for you")
    assert reverse("reviews:table", args=[run.pk]) in mail.body
    assert [int(found) for found in re.findall(r"item (\d+): Thing", mail.body)] == list(range(1, 14))
    assert set(NotificationSend.objects.values_list("status", flat=True)) == {"sent"}
    assert send_due() == 0


def test_the_link_of_a_mail_leads_through_the_sign_in_to_its_gate(world: World) -> None:
    review = a_gate(world)
    assert world.rita.user is not None
    world.rita.user.set_password("a quiet morning 7")
    world.rita.user.save()
    browser = Client()
    link = reverse("reviews:detail", args=[review.pk])
    asked = browser.get(link)
    assert asked.status_code == 302
    form = {"username": "rita@example.com", "password": "a quiet morning 7"}
    page = browser.get(asked["Location"]).content.decode()
    assert f'name="next" value="{link}"' in page
    assert browser.post(reverse("accounts:sign_in"), {**form, "next": link})["Location"] == link
    away = Client().post(reverse("accounts:sign_in"), {**form, "next": "https://evil.example/reviews/"})
    assert away["Location"] == "/"
    assert browser.get(link).status_code == 200
    review.refresh_from_db()
    assert review.status == "open"
