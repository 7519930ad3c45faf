"""The page of a run: what it shows, to whom, and in how many queries."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from runs.engine.statuses import EventType, RunStatus, StepStatus, Wait
from runs.models import Run
from runs.snapshots import run_snapshot
from tests.support import runs as make
from tests.support.factories import client_of

pytestmark = pytest.mark.django_db

CHAIN = make.graph(
    make.step("start", "start"),
    make.step("analyse", "llm", "Idea analysis"),
    make.step("gate", "review", "Review gate"),
    make.step("polish", "llm", "Polish"),
    make.step("end", "end"),
)
BRANCHES = make.graph(
    make.step("tidy"),
    make.step("score", "llm", "Score the fit"),
    make.step("history", label="Check the history"),
    make.step("meet", "merge", "Combine findings"),
    make.step("worth", "condition", "Worth a call?", config={"expression": "input.score > 70"}),
    make.step("brief", "llm", "Write the brief"),
    make.step("nurture", label="Add to nurture list"),
    make.step("last", label="Update the CRM", enabled=False),
    paths="tidy>score tidy>history score>meet history>meet meet>worth worth.true>brief worth.false>nurture brief>last nurture>last",
)


def page(actor, run, **query):
    return client_of(actor).get(reverse("runs:detail", args=[run.pk]), query)


def test_the_page_lists_the_steps_of_the_version_in_order(world):
    run = make.run_of(world.bob, CHAIN)
    snapshot = run_snapshot(run)
    assert [row.label for row in snapshot.rows] == ["Idea analysis", "Review gate", "Polish", "End"]
    assert [row.status for row in snapshot.rows] == ["pending"] * 4
    html = page(world.bob, run).content.decode()
    places = [html.index(f'id="row-{key}"') for key in ("analyse", "gate", "polish", "end")]
    assert places == sorted(places)
    assert f"<h1>Run {run.number}</h1>" in html


def test_rails_are_solid_where_the_run_has_been_and_grey_where_it_will_not_go(world):
    run = make.run_of(world.bob, BRANCHES)
    for key in ("tidy", "score", "history", "meet"):
        make.reached(run, key)
    make.reached(run, "worth", port="true")
    make.reached(run, "nurture", StepStatus.SKIPPED, skip_reason="branch")
    snapshot = run_snapshot(run)
    css = {row.key: {line.css for line in row.rail.lines} for row in snapshot.rows}
    assert css["score"] == {"lane0", "lane1"}
    assert css["brief"] == {"lane0", "lane0 off", "lane1 off closed"}
    assert snapshot.row("nurture").rail.lines[-1].css == "lane1 off closed"
    assert snapshot.row("score").branch == ("", "2 branches, at the same time")
    assert snapshot.row("brief").branch[1] == ", taken"
    assert snapshot.row("nurture").branch[1] == ", not taken"
    assert snapshot.row("nurture").summary == "Not taken"


def test_a_step_that_is_off_says_so_and_lets_the_line_through(world):
    definition = make.graph(make.step("a"), make.step("b", enabled=False), make.step("c"))
    run = make.run_of(world.bob, definition)
    make.reached(run, "a")
    make.reached(run, "b", StepStatus.SKIPPED, skip_reason="off", port="out")
    snapshot = run_snapshot(run)
    assert snapshot.row("b").off
    assert {line.css for line in snapshot.row("b").rail.lines} == {"lane0"}
    assert "Off" in page(world.bob, run).content.decode()


def test_a_finished_step_tells_what_it_gave_and_what_it_cost(world):
    run = make.run_of(world.bob, CHAIN)
    make.reached(
        run,
        "analyse",
        provider="openai",
        model="gpt-4o-mini",
        input_tokens=900,
        output_tokens=100,
        cost="0.0212",
        output={"content": "## Goals\n\n- **Four** goals and three risks."},
    )
    row = run_snapshot(run).row("analyse")
    assert row.summary == "Goals Four goals and three risks."
    assert row.tokens == 1000
    html = page(world.bob, run).content.decode()
    assert "1,000 tok · $0.021" in html


def test_retries_are_told_as_a_story(world):
    run = make.run_of(world.bob, CHAIN)
    row = make.reached(run, "analyse", provider="openai", attempt=3)
    start = timezone.now() - timedelta(seconds=20)
    error = {"code": "rate_limited", "message": "OpenAI asks to slow down.", "retryable": True}
    for number, after in ((1, 0), (2, 3), (3, 8)):
        make.attempt(
            row,
            "failed" if number < 3 else "succeeded",
            number=number,
            provider="openai",
            error=error if number < 3 else None,
            started_at=start + timedelta(seconds=after),
            ended_at=start + timedelta(seconds=after + 1),
        )
    shown = run_snapshot(run).row("analyse")
    assert shown.retried
    assert shown.story[0].endswith("was rate limited twice.")
    assert shown.story[1] == "Waited 2 s, then 4 s. Then it worked."


def test_a_failed_step_says_the_cause_whether_a_retry_helps_and_what_is_kept(world):
    run = make.run_of(world.bob, CHAIN, status=RunStatus.FAILED)
    make.reached(run, "analyse")
    make.reached(
        run,
        "polish",
        StepStatus.FAILED,
        error={
            "code": "quota",
            "message": "Anthropic refuses because the account's credit is used up.",
            "retryable": False,
            "fix": "Top up the account, or choose another model.",
            "detail": "400 credit balance <b>too low</b>",
        },
    )
    html = page(world.bob, run).content.decode()
    assert "Anthropic refuses because the account&#x27;s credit is used up" in html
    assert "Trying again will not help until credit is added." in html
    assert "Step 1 is kept" in html
    assert "400 credit balance &lt;b&gt;too low&lt;/b&gt;" in html
    assert "Failed at step 3" in html
    assert reverse("runs:retry", args=[run.pk]) in html


def test_only_controls_that_apply_are_there(world):
    names = {}
    for status, intent in (
        ("running", ""),
        ("running", "pause"),
        ("paused", "pause"),
        ("running", "cancel"),
        ("completed", ""),
    ):
        run = make.run_of(world.bob, CHAIN, status=status, intent=intent)
        names[status, intent] = [control.name for control in run_snapshot(run).controls]
    assert names == {
        ("running", ""): ["pause", "step_once", "cancel"],
        ("running", "pause"): ["resume", "step_once", "cancel"],
        ("paused", "pause"): ["resume", "step_once", "cancel"],
        ("running", "cancel"): [],
        ("completed", ""): [],
    }


def test_a_viewer_sees_the_run_without_its_controls(world):
    run = make.run_of(world.bob, CHAIN)
    html = page(world.vera, run).content.decode()
    assert reverse("runs:pause", args=[run.pk]) not in html
    assert client_of(world.vera).post(reverse("runs:pause", args=[run.pk])).status_code == 403


def test_a_stranger_gets_what_a_missing_run_gets(world):
    run = make.run_of(world.bob, CHAIN)
    for name, args in (("detail", []), ("step", ["analyse"]), ("output", [])):
        hidden = client_of(world.charlie).get(reverse(f"runs:{name}", args=[run.pk, *args]))
        missing = client_of(world.charlie).get(
            reverse(f"runs:{name}", args=["00000000-0000-0000-0000-000000000000", *args])
        )
        assert hidden.status_code == missing.status_code == 404
    assert client_of(world.charlie).post(reverse("runs:cancel", args=[run.pk])).status_code == 404


def test_the_gate_stands_on_the_page_with_its_question_and_its_buttons(world):
    run = make.run_of(world.bob, CHAIN)
    make.reached(run, "analyse")
    review = make.gate(run, "gate")
    html = page(world.rita, run).content.decode()
    assert "Is this the right set of features to build on?" in html
    assert "<strong>Labels.</strong>" in html
    assert reverse("reviews:decide", args=[review.pk]) in html
    assert "Waiting for review" in html
    assert "Your role may look at reviews but not decide them." in page(world.vera, run).content.decode()


def test_a_gate_for_somebody_else_says_for_whom(world):
    run = make.run_of(world.bob, CHAIN)
    make.gate(run, "gate", assignees=["user:rita@example.com"])
    assert 'name="decision"' in page(world.rita, run).content.decode()
    assert 'name="decision"' not in page(world.bob, run).content.decode()


def test_the_result_is_safe_markdown_with_its_downloads(world):
    run = make.run_of(
        world.bob,
        CHAIN,
        status=RunStatus.COMPLETED,
        output={"content": "# Done\n\n<script>alert(1)</script> **well** [x](javascript:alert(1))"},
    )
    html = page(world.bob, run).content.decode()
    assert "<strong>well</strong>" in html
    assert "<script>alert" not in html
    assert 'href="javascript' not in html
    client = client_of(world.bob)
    url = reverse("runs:output", args=[run.pk])
    markdown = client.get(url, {"format": "md"})
    assert markdown.content.decode().startswith("# Done")
    assert markdown["Content-Type"].startswith("text/markdown")
    assert markdown["Content-Disposition"].endswith('idea-pipeline.md"')
    assert client.get(url, {"format": "json"}).json()["content"].startswith("# Done")


def test_a_result_of_several_steps_is_shown_part_by_part(world):
    run = make.run_of(
        world.bob,
        CHAIN,
        status=RunStatus.COMPLETED,
        output={"Brief": {"content": "*one*"}, "Score": {"score": 82}},
    )
    shown = run_snapshot(run).output
    assert [(part[0], part[1]) for part in shown.parts] == [("Brief", "*one*"), ("Score", None)]
    assert '"score": 82' in shown.parts[1][2]


def test_the_demonstration_is_labelled(world):
    run = make.run_of(world.bob, CHAIN)
    make.reached(run, "analyse", provider="demo", model="demo")
    assert "Demonstration answers" in page(world.bob, run).content.decode()


def test_the_inspector_shows_values_beside_their_paths_and_the_prompt_as_it_was_sent(world):
    definition = make.graph(
        make.step("tidy", label="Tidy up"),
        make.step(
            "brief",
            "llm",
            "Brief",
            config={
                "prompt": "Sum up {{ steps.Tidy up }} for {{ input.idea }} and {{ steps.Tidy up.nothing }}"
            },
        ),
    )
    run = make.run_of(world.bob, definition)
    make.reached(run, "tidy", output={"content": "tidied <text>"})
    row = make.reached(run, "brief")
    make.attempt(
        row,
        provider="openai",
        model="gpt-4o-mini",
        ended_at=timezone.now(),
        calls=[
            {
                "provider": "openai",
                "model": "gpt-4o-mini",
                "messages": [{"role": "user", "content": "Sum up <b>"}],
                "temperature": 0.2,
                "max_tokens": 100,
                "text": "fine",
                "finish_reason": "stop",
                "usage": {"input_tokens": 5, "output_tokens": 2},
                "cost": "0.001",
            },
        ],
    )
    make.happened(run, EventType.COMPLETED, "brief")
    url = reverse("runs:step", args=[run.pk, "brief"])
    html = client_of(world.bob).get(url, headers={"HX-Request": "true"}).content.decode()
    assert "tidied &lt;text&gt;" in html
    assert "A returns portal for warehouse customers" in html
    assert "Sum up &lt;b&gt;" in html
    assert "5 in, 2 out" in html
    assert "steps.Tidy up.nothing" in html
    assert "Finished" in html


def test_the_inspector_is_a_page_without_script(world):
    run = make.run_of(world.bob, CHAIN)
    make.reached(run, "analyse")
    client = client_of(world.bob)
    answer = client.get(reverse("runs:step", args=[run.pk, "analyse"]))
    assert answer.status_code == 302
    html = client.get(answer["Location"]).content.decode()
    assert "What Idea analysis gave." in html
    assert client.get(reverse("runs:step", args=[run.pk, "nothing"])).status_code == 404


def test_the_page_asks_the_database_as_often_for_many_steps_as_for_few(world, django_assert_num_queries):
    few = make.run_of(world.bob, make.graph(*(make.step(f"s{n}") for n in range(3))), name="Few")
    many = make.run_of(world.bob, make.graph(*(make.step(f"s{n}") for n in range(60))), name="Many")
    for run, count in ((few, 3), (many, 60)):
        for n in range(count):
            make.attempt(make.reached(run, f"s{n}"))
        run_snapshot(run)
    for run in (few, many):
        fresh = Run.objects.select_related("workflow", "version", "started_by", "api_key").get(pk=run.pk)
        with django_assert_num_queries(3):
            run_snapshot(fresh)
    client = client_of(world.bob)
    counts = []
    for run in (few, many):
        with django_assert_num_queries(10) as seen:
            assert client.get(reverse("runs:detail", args=[run.pk])).status_code == 200
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_waiting_is_said_in_words(world):
    run = make.run_of(
        world.bob, CHAIN, waiting_for=[{"kind": "delay", "sentence": "Polish tries again at 12:00."}]
    )
    make.reached(
        run,
        "polish",
        StepStatus.WAITING,
        wait=Wait.RETRY,
        due_at=timezone.now() + timedelta(seconds=5),
        attempt=2,
    )
    snapshot = run_snapshot(run)
    assert snapshot.waits == "Polish tries again at 12:00."
    assert snapshot.row("polish").summary.startswith("Tries again at ")
