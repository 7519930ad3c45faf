"""Reviews: one decision, by POST only, by the people it waits for; the inbox and what was decided."""

import pytest
from django.urls import reverse

from runs.engine.statuses import RunStatus
from runs.models import Mail, Review, Run
from tests.support import runs as make
from tests.support.factories import client_of

pytestmark = pytest.mark.django_db

CHAIN = make.graph(
    make.step("analyse", "llm", "Idea analysis"),
    make.step("gate", "review", "Review gate"),
    make.step("polish", "llm", "Polish"),
)


@pytest.fixture
def review(world):
    run = make.run_of(world.bob, CHAIN)
    make.reached(run, "analyse")
    return make.gate(run, "gate")


def decide(actor, review, decision="approve", headers=None, **data):
    url = reverse("reviews:decide", args=[review.pk])
    return client_of(actor).post(url, {"decision": decision, **data}, headers=headers or {})


def test_approving_decides_the_gate_and_leaves_mail_for_the_run(world, review):
    answer = decide(world.rita, review, comment="Mention the yard.", back="run")
    assert (answer.status_code, answer["Location"]) == (302, reverse("runs:detail", args=[review.run_id]))
    review.refresh_from_db()
    assert (review.status, review.decision, review.comment) == ("decided", "approve", "Mention the yard.")
    assert review.decided_by == world.rita.user
    assert review.edited is None
    assert Mail.objects.filter(run=review.run, kind="decision").count() == 1


def test_sending_the_text_unchanged_is_no_edit(world, review):
    decide(world.rita, review, edited=review.content["content"].replace("\n", "\r\n"))
    review.refresh_from_db()
    assert review.edited is None


def test_a_changed_text_is_kept_beside_the_original(world, review):
    decide(world.rita, review, edited="## Only this")
    review.refresh_from_db()
    assert review.edited["content"] == "## Only this"
    assert review.content["content"].startswith("## Must have")
    html = client_of(world.rita).get(reverse("reviews:detail", args=[review.pk])).content.decode()
    assert "Approved with edits by Rita Roth" in html
    assert "Before it was edited" in html


def test_data_is_edited_as_json_and_bad_json_is_refused_with_everything_kept(world):
    run = make.run_of(world.bob, CHAIN)
    review = make.gate(run, "gate", content={"score": 82})
    answer = decide(world.rita, review, edited="{score: 3}", comment="My thoughts")
    assert answer.status_code == 422
    html = answer.content.decode()
    assert "Your version is not JSON" in html
    assert "My thoughts" in html
    assert "{score: 3}" in html
    assert decide(world.rita, review, edited='{"score": 3}').status_code == 302
    review.refresh_from_db()
    assert review.edited == {"score": 3}


def test_a_second_decision_says_who_was_first_and_keeps_the_comment(world, review):
    decide(world.rita, review)
    for headers in ({}, {"HX-Request": "true"}):
        answer = decide(world.bob, review, "reject", comment="I would not do this", headers=headers)
        assert answer.status_code == 409
        html = answer.content.decode()
        assert "Rita Roth" in html
        assert "I would not do this" in html
    review.refresh_from_db()
    assert review.decision == "approve"


def test_a_get_decides_nothing(world, review):
    client = client_of(world.rita)
    assert client.get(reverse("reviews:decide", args=[review.pk]), {"decision": "approve"}).status_code == 405
    client.get(reverse("reviews:detail", args=[review.pk]), {"decision": "approve"})
    review.refresh_from_db()
    assert review.status == "open"


def test_csrf_is_asked_for(world, review):
    client = client_of(world.rita, enforce_csrf=True)
    assert (
        client.post(reverse("reviews:decide", args=[review.pk]), {"decision": "approve"}).status_code == 403
    )
    review.refresh_from_db()
    assert review.status == "open"


def test_only_the_people_it_waits_for_decide(world):
    run = make.run_of(world.bob, CHAIN)
    review = make.gate(run, "gate", assignees=["role:admin"])
    assert decide(world.vera, review).status_code == 403
    assert decide(world.charlie, review).status_code == 404
    assert decide(world.rita, review).status_code == 403
    review.refresh_from_db()
    assert review.status == "open"
    assert decide(world.adam, review).status_code == 302


def test_an_unknown_decision_is_refused(world, review):
    answer = decide(world.rita, review, "launch")
    assert answer.status_code == 422
    assert "not one of the decisions" in answer.content.decode()


def test_fields_of_the_gate_are_asked_for_and_kept(world):
    run = make.run_of(world.bob, CHAIN)
    review = make.gate(
        run,
        "gate",
        fields=[
            {"name": "budget", "label": "Budget", "type": "number", "required": True},
            {"name": "why", "label": "Why"},
        ],
    )
    html = client_of(world.rita).get(reverse("reviews:detail", args=[review.pk])).content.decode()
    assert 'name="field_budget"' in html
    refused = decide(world.rita, review, field_why="Because")
    assert refused.status_code == 422
    assert "Budget: This field is required." in refused.content.decode()
    assert "Because" in refused.content.decode()
    assert decide(world.rita, review, field_budget="12.5", field_why="Because").status_code == 302
    review.refresh_from_db()
    assert review.field_values == {"budget": 12.5, "why": "Because"}


def test_the_script_gets_an_empty_answer_and_a_word_for_the_toast(world, review):
    answer = decide(world.rita, review, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert "Approved" in answer["HX-Trigger"]


def test_the_inbox_tells_mine_from_others(world):
    for number, who in enumerate((["user:rita@example.com"], [], ["role:admin"])):
        run = make.run_of(world.bob, CHAIN, name=f"Pipeline {number}")
        make.gate(run, "gate", assignees=who)
    html = client_of(world.rita).get(reverse("reviews:index")).content.decode()
    mine, others = html.split("Waiting for others")
    assert "Pipeline 0" in mine
    assert "Pipeline 1" in mine
    assert "Pipeline 2" in others.split('class="inbox__pane"')[0]
    assert '<span class="count count--human" id="review-count" data-review-count>2' in html


def test_gates_of_a_failed_run_are_out_of_the_inbox(world, review):
    Run.objects.filter(pk=review.run_id).update(status=RunStatus.FAILED)
    assert "Nothing waits for you" in client_of(world.rita).get(reverse("reviews:index")).content.decode()
    assert (
        "The run failed elsewhere"
        in client_of(world.rita).get(reverse("reviews:detail", args=[review.pk])).content.decode()
    )


def test_what_was_decided_is_listed(world, review):
    decide(world.rita, review, "reject", comment="Too thin")
    html = client_of(world.vera).get(reverse("reviews:index"), {"show": "decided"}).content.decode()
    assert "Rejected by Rita Roth" in html
    assert "Too thin" in html


def test_a_stranger_sees_no_review(world, review):
    answer = client_of(world.charlie).get(reverse("reviews:detail", args=[review.pk]))
    assert answer.status_code == 404
    assert review.title not in client_of(world.charlie).get(reverse("reviews:index")).content.decode()


def test_the_inbox_asks_the_database_as_often_for_many_as_for_few(world, django_assert_max_num_queries):
    def gates(count):
        for _ in range(count):
            make.gate(make.run_of(world.bob, CHAIN), "gate")

    client = client_of(world.rita)
    gates(2)
    client.get(reverse("reviews:index"))
    with django_assert_max_num_queries(30) as few:
        client.get(reverse("reviews:index"))
    gates(20)
    with django_assert_max_num_queries(30) as many:
        client.get(reverse("reviews:index"))
    # The pane's own version may have to be read once more for another run.
    assert len(many) <= len(few) <= 17
    assert Review.objects.filter(status="open").count() == 22
