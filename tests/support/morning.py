"""A morning at the review desk: a workspace with its people, five workflows with gates, their runs, and what became of them.

It runs beside a whole Stepwell (`Stack.manage("shell", "-c", …)`): real runs, driven by real workers.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from runs.models import Absence, Notification, Review, Run, StepRun
from runs.services.start_run import start_run
from tests.runs.support import definition_of, node
from tests.support.factories import member, person, tenant
from workflows.definition.graph import Definition
from workflows.models import Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.publish_workflow import publish_workflow
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership
from workflows.tenancy.roles import Role

PASSWORD = "a quiet morning 7"
SLUG = "halden"
PEOPLE = {
    "olga": ("Olga Olsen", Role.OWNER),
    "ada": ("Ada Aron", Role.ADMIN),
    "bo": ("Bo Berg", Role.EDITOR),
    "rosa": ("Rosa Ruiz", Role.REVIEWER),
    "theo": ("Theo Tal", Role.REVIEWER),
    "nils": ("Nils Nord", Role.REVIEWER),
}
TOPICS = (
    "Self-service return labels",
    "Reason codes with photos",
    "Dock booking",
    "Live status",
    "Credit rules by customer",
    "Bulk upload",
    "Carrier pickup",
    "Damage photos",
    "Refund to account",
    "Yard calendar",
    "Label reprints",
    "Return fees",
    "Monthly report",
)


def address(name: str) -> str:
    return f"{name}@halden.example"


def actor(name: str) -> Actor:
    row = Membership.objects.select_related("tenant", "user").get(
        tenant__slug=SLUG, user__email=address(name)
    )
    return Actor(tenant=row.tenant, role=row.role, user=row.user)


def move_in() -> None:
    """The workspace and its people; all have the same password."""
    if Membership.objects.filter(tenant__slug=SLUG).exists():
        return
    here = tenant(SLUG, "Halden Cold Chain")
    for name, (words, role) in PEOPLE.items():
        member(here, role, user=person(address(name), words, PASSWORD))
    for words, definition in WORKFLOWS.items():
        made = create_workflow(actor=actor("bo"), name=words, definition=definition())
        publish_workflow(workflow=made, actor=actor("olga"))


def _draft(template: str) -> dict[str, Any]:
    return node("draft", name="Draft", config={"mode": "template", "template": template})


def _after(key: str, words: str, gate: str = "Gate") -> dict[str, Any]:
    template = f"{words}: {{{{ previous }}}} | said: {{{{ steps.{gate}.comment }}}}"
    return node(key, name=words, config={"mode": "template", "template": template})


def release_notes() -> Definition:
    """A text that may be changed; what was said goes on to the next step."""
    draft = _draft(
        "## Release {{ input.n }}\n\n1. **Labels.** Printed at home.\n2. **Photos.** Three taps and one photo.\n\n"
        "{{ run.feedback }}"
    )
    gate = node("gate", "review", name="Gate", config={"title": "Ready to go out?"})
    return definition_of([draft, gate, _after("post", "Published")], "draft>gate:approved>post")


def customer_answer() -> Definition:
    """Due, with reminders, an escalation, and a path for rejected work."""
    config = {
        "title": "Is this answer fair?",
        "instructions": "Look at the sum and at the tone.",
        "assignees": ["role:reviewer"],
        "due": "{}",
        "reminders": "1 hour before, at due",
        "escalate_to": ["role:admin"],
        "escalate_after": "30 minutes",
    }
    gate = node("gate", "review", name="Gate", config={**config, "due": "4 hours"})
    nodes = [
        _draft("Dear customer {{ input.n }},\n\nwe credit 40 euros for the late pallet.\n\nYours, Halden"),
        gate,
        _after("send", "Sent"),
        _after("sorry", "Not sent"),
    ]
    return definition_of(nodes, "draft>gate:approved>send", "gate:rejected>sorry")


def contract_check() -> Definition:
    """Two have to say yes, not the one who started it."""
    config = {"title": "Two signatures", "quorum": 2, "bar_starter": True}
    nodes = [
        _draft("Framework agreement {{ input.n }} with Osterkamp, 3 risks flagged."),
        node("gate", "review", name="Gate", config=config),
        _after("sign", "Signed"),
    ]
    return definition_of(nodes, "draft>gate:approved>sign")


def topic_analysis() -> Definition:
    """Thirteen gates at once, one for each item of a fan-out."""
    nodes = [
        node("each", "fan_out", name="Each topic", config={"items": "{{ input.topics }}", "concurrency": 13}),
        node("ask", "review", name="Ask", parent="each", config={"title": "Keep this topic?"}),
        node("note", name="Note", parent="each", config={"mode": "template", "template": "{{ previous }}"}),
        node("skip", name="Skip", parent="each", config={"mode": "template", "template": "left out"}),
        node("all", name="All", config={"mode": "template", "template": "{{ previous }}"}),
    ]
    return definition_of(nodes, "ask:approved>note", "ask:rejected>skip", "each>all")


def price_list() -> Definition:
    """Data instead of a text, with fields to fill in."""
    config = {
        "title": "Prices of next month",
        "content": "{{ input.prices }}",
        "assignees": ["user:nils@halden.example"],
        "form_fields": [
            {"name": "from_day", "label": "Valid from", "type": "text", "required": True},
            {"name": "margin", "label": "Margin in percent", "type": "number"},
        ],
    }
    nodes = [
        node("gate", "review", name="Gate", config=config),
        node(
            "load",
            name="Loaded",
            config={"mode": "template", "template": "From {{ steps.Gate.fields.from_day }}"},
        ),
    ]
    return definition_of(nodes, "gate:approved>load")


WORKFLOWS = {
    "Release notes": release_notes,
    "Customer answers": customer_answer,
    "Contract check": contract_check,
    "Topic analysis": topic_analysis,
    "Price list": price_list,
}


def begin(name: str, count: int, by: str = "bo", **input_data: Any) -> list[str]:
    """Start `count` runs of a workflow; their ids."""
    workflow = Workflow.objects.get(tenant__slug=SLUG, name=name)
    if name == "Topic analysis":
        input_data.setdefault("topics", list(TOPICS))
    if name == "Price list":
        input_data.setdefault("prices", {"pallet": 40, "rows": [{"lane": "Oslo", "eur": 12.5}] * 4})
    return [
        str(start_run(workflow=workflow, actor=actor(by), input_data={"n": number + 1, **input_data}).pk)
        for number in range(count)
    ]


def waiting() -> int:
    """How many gates wait in the workspace."""
    return Review.objects.filter(tenant__slug=SLUG, status=Review.Status.OPEN).count()


def ids_waiting() -> list[str]:
    rows = Review.objects.filter(tenant__slug=SLUG, status=Review.Status.OPEN)
    return [str(pk) for pk in rows.values_list("pk", flat=True)]


def unread(review: str) -> int:
    return Notification.objects.filter(subject=review, read_at=None).count()


def away(name: str, substitute: str) -> None:
    here, other = actor(name), actor(substitute)
    assert here.user is not None
    assert other.user is not None
    today = timezone.localdate()
    Absence.objects.create(
        tenant=here.tenant,
        person=here.user,
        substitute=other.user,
        first_day=today,
        last_day=today + timedelta(days=3),
    )


def due(name: str, minutes: int, count: int = 1) -> list[str]:
    """Move the due date of the oldest `count` gates of a workflow to so many minutes from now (negative: ago), with the
    reminders and the escalation that stand around it; their ids. The keeper does the rest."""
    moment = timezone.now() + timedelta(minutes=minutes)
    rows = Review.objects.filter(
        tenant__slug=SLUG, workflow__name=name, status=Review.Status.OPEN, escalated_at=None
    ).order_by("created_at")[:count]
    for review in rows:
        assert review.due_at is not None
        by = moment - review.due_at
        review.due_at = moment
        times = [datetime.fromisoformat(entry) + by for entry in review.reminders]
        review.reminders = [entry.isoformat() for entry in times]
        review.remind_at = min(times, default=None)
        if review.escalate_at is not None:
            review.escalate_at += by
        review.save(update_fields=["due_at", "reminders", "remind_at", "escalate_at"])
    return [str(review.pk) for review in rows]


def decisions() -> dict[str, dict[str, Any]]:
    """Every decided gate by its id, as the database has it, and what the step behind it made of it."""
    rows = Review.objects.filter(tenant__slug=SLUG, status=Review.Status.DECIDED).select_related(
        "decided_by", "run", "step_run"
    )
    found = {}
    for row in rows:
        assert row.step_run is not None
        assert row.step_run_id is not None
        after = (
            StepRun.objects.filter(
                run=row.run, scope=row.step_run.scope, round=row.step_run.round, status="completed"
            )
            .exclude(pk=row.step_run_id)
            .filter(step_key__in=("post", "send", "sorry", "sign", "note", "skip", "load"))
            .first()
        )
        found[str(row.pk)] = {
            "decision": row.decision,
            "comment": row.comment,
            "edited": row.edited,
            "content": row.content,
            "fields": row.field_values,
            "back_to": row.back_to,
            "by": row.decided_by.email if row.decided_by else "",
            "votes": sorted(vote.person.email for vote in row.votes.select_related("person")),
            "run": str(row.run_id),
            "run_status": row.run.status,
            "after": (after.output or {}).get("content") if after is not None else None,
            "step": after.step_key if after is not None else "",
        }
    return found


def runs() -> dict[str, int]:
    """How many runs there are in each state."""
    found: dict[str, int] = {}
    for status in Run.objects.filter(tenant__slug=SLUG).values_list("status", flat=True):
        found[status] = found.get(status, 0) + 1
    return found


def told(review: str) -> list[tuple[str, str]]:
    """(kind, address) of everything people were told about a review."""
    rows = Notification.objects.filter(subject=review).select_related("person")
    return sorted((row.kind, row.person.email) for row in rows)
