"""A workspace that has been used for months: generated runs, dead letters, open gates, notifications, saved views; and
every page that looks at them, by name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, Min
from django.urls import reverse

from runs.models import Notification, Run, RunCounter, SavedView
from tests.support import factories, runs
from tests.support.generated import CAUSES, RunFact, facts, store
from workflows.tenancy.actor import Actor

HTMX: Final = {"HX-Request": "true"}
# Numbers below are for runs that are made one by one (tests/support/runs.py counts from 1).
_FIRST_NUMBER: Final = 100_000
# A run every 100 s: 100,000 of them are 116 days.
APART: Final = timedelta(seconds=100)
# Dead letters wait for 30 days: all failures of the history are put within this time.
_DAYS: Final = 28
_WORKFLOWS: Final = (
    "Outline",
    "Triage",
    "Summary",
    "Lead desk",
    "Returns",
    "News",
    "Weekly report",
    "Invoices",
)

_GRAPH: Final = runs.graph(
    runs.step("clean", "clean_text"),
    runs.step("ask", "llm"),
    runs.step("each", "fan_out"),
    runs.step("gate", "review"),
)


@dataclass(frozen=True)
class Page:
    """One page: its address, whether it is asked for as a fragment; `ms` of processor time are promised."""

    name: str
    url: str
    fragment: bool = False
    ms: float = 150.0


class BigHistory:
    """Fills a tenant, in as many goes as wanted."""

    def __init__(self, actor: Actor, newest: datetime) -> None:
        assert actor.user is not None
        self.actor = actor
        self.tenant = actor.tenant
        self.next = newest
        self.facts: list[RunFact] = []
        self.people = [actor.user, *(factories.person() for _ in range(3))]
        self.workflows = [
            factories.workflow(self.tenant, name, settings={"minutes_saved": 20}) for name in _WORKFLOWS
        ]
        self.versions = {row.pk: runs.version(row, _GRAPH) for row in self.workflows}
        self.gate_workflows = self.workflows[:5]
        RunCounter.objects.update_or_create(tenant=self.tenant, defaults={"last": _FIRST_NUMBER})

    def more_runs(self, many: int, seed: int) -> None:
        made = list(facts(seed, many, self.workflows, self.people, self.next, APART))
        self.next -= APART * many
        store(self.tenant, made, self.versions)
        self.facts += made

    def bury(self, now: datetime) -> None:
        """Every failed run becomes a dead letter of a case for each workflow and cause."""
        failed = Run.objects.for_tenant(self.tenant).filter(status="failed", dead_since=None)
        for place, workflow in enumerate(self.workflows):
            for cause in CAUSES:
                failed.filter(workflow=workflow, error__code=cause).update(case=f"{cause[:9]}-{place}")
        first = failed.aggregate(first=Min("number"))["first"] or 0
        for day in range(_DAYS):
            failed.alias(day=(F("number") - first) % _DAYS).filter(day=day).update(
                dead_since=now - timedelta(days=day, minutes=30)
            )

    def more_gates(self, many: int, now: datetime) -> None:
        for number in range(many):
            run = runs.run_of(
                self.actor, _GRAPH, workflow=self.gate_workflows[number % 5], input={"text": f"Case {number}"}
            )
            runs.reached(run, "ask")
            runs.gate(
                run,
                "gate",
                content={"content": "A draft of some length. " * 60},
                assignees=["role:reviewer"] if number % 2 else [],
                due_at=now + timedelta(hours=number - 50),
            )

    def more_notifications(self, many: int, now: datetime) -> None:
        Notification.objects.bulk_create(
            Notification(
                tenant=self.tenant,
                person=self.actor.user,
                kind=Notification.Kind.RUN_FAILED,
                subject=f"run-{number}-{now.timestamp()}",
                title=f"Run {number} failed",
                text="The provider has no credit.",
                url="/runs/",
                created_at=now - timedelta(minutes=number),
                read_at=None if number % 3 else now,
            )
            for number in range(many)
        )

    def more_views(self, many: int) -> None:
        have = SavedView.objects.for_tenant(self.tenant).count()
        SavedView.objects.bulk_create(
            SavedView(
                tenant=self.tenant,
                user=self.actor.user,
                name=f"View {have + number}",
                query=f"workflow={self.workflows[number % 8].pk}&status=failed",
            )
            for number in range(many)
        )

    def items_run(self, many: int) -> Run:
        run = runs.run_of(self.actor, _GRAPH, workflow=self.workflows[0], status="completed")
        runs.reached(run, "clean")
        runs.reached(run, "ask")
        runs.worked_through(run, "each", ["completed" if n % 33 else "failed" for n in range(many)])
        return run


def pages(history: BigHistory, last_page: int) -> list[Page]:
    """Every page of the history as it stands; those about one run take one from it."""
    mine = Run.objects.for_tenant(history.tenant)
    ended = mine.filter(number__gt=_FIRST_NUMBER).order_by("-number")
    done, before = ended.filter(status="completed", workflow=history.workflows[0])[:2]
    failed = ended.filter(status="failed").exclude(dead_since=None).first()
    gate = mine.filter(reviews__status="open").order_by("number").first()
    assert failed is not None
    assert gate is not None
    review = gate.reviews.get()
    listed, one = reverse("runs:index"), history.workflows[1]
    person = history.people[1].pk

    def about(run: Run, name: str = "detail", *more: str) -> str:
        return reverse(f"runs:{name}", args=[run.pk, *more])

    found = [
        Page("history, newest page", listed),
        Page("history, last page", f"{listed}?page={last_page}"),
        Page("history, 7 days", f"{listed}?period=7d"),
        Page("history, one workflow, failed", f"{listed}?workflow={one.pk}&status=failed"),
        Page("history, one cause", f"{listed}?cause=credit"),
        Page("history, one person", f"{listed}?person={person}"),
        Page("history, words that are found", f"{listed}?q=Article+77"),
        Page("history, words that are not found", f"{listed}?q=nothing+like+it"),
        *(
            Page(f"history, {words} first", f"{listed}?sort={sort}")
            for sort, words in (
                ("cost", "dearest"),
                ("longest", "longest"),
                ("tokens", "most tokens"),
                ("oldest", "oldest"),
            )
        ),
        Page("history, what is new since", f"{reverse('runs:news')}?above={_FIRST_NUMBER + 10**8}"),
        Page("run page, completed", about(done)),
        Page("run page, failed", about(failed)),
        Page("one step's panel", about(done, "step", "ask"), fragment=True),
        Page("compare two runs", f"{reverse('runs:compare')}?a={before.pk}&b={done.pk}"),
        Page("compare, the partner is looked for", f"{reverse('runs:compare')}?b={done.pk}"),
        Page("dead letters", reverse("runs:dead_letters")),
        Page("dead letters, most first", f"{reverse('runs:dead_letters')}?sort=most"),
        Page("dead letters, with words", f"{reverse('runs:dead_letters')}?q=credit"),
        Page("dead letters, one case", reverse("runs:dead_letter", args=[failed.case])),
        Page("reviews, the inbox", reverse("reviews:index")),
        Page("reviews, only mine", f"{reverse('reviews:index')}?show=mine"),
        Page("reviews, decided", f"{reverse('reviews:index')}?show=decided"),
        Page("reviews, one gate", reverse("reviews:detail", args=[review.pk])),
        Page("reviews, the table of a run", reverse("reviews:table", args=[gate.pk])),
        Page("reviews, what is new", reverse("reviews:news")),
        *(
            Page(f"dashboard, {words}", f"{reverse('runs:dashboard')}?period={period}")
            for period, words in (
                ("24h", "24 hours"),
                ("7d", "7 days"),
                ("30d", "30 days"),
                ("90d", "90 days"),
            )
        ),
        Page("dashboard, 90 days, one workflow", f"{reverse('runs:dashboard')}?period=90d&workflow={one.pk}"),
        Page("dashboard, 90 days, by person", f"{reverse('runs:dashboard')}?period=90d&by=person"),
        Page("notifications", reverse("notifications:index")),
        Page("notifications, the bell", reverse("notifications:latest"), fragment=True),
        Page("list of workflows", reverse("workflows:index")),
        Page("API: run figures, 30 days", "/api/analytics/runs?period=30d"),
        Page("API: step figures, 30 days", "/api/analytics/steps?period=30d"),
        Page("API: runs", "/api/workflow-executions"),
    ]
    return found
