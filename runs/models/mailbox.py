"""What others leave for a run's driver: mail, and people's decisions at gates."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from runs.models.run import Run, StepRun
from workflows.lib.ids import new_id
from workflows.models import Workflow
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class Mail(models.Model):
    """One message to a run; read by its driver in order of id, marked read in the transaction that obeys it."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="mail")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=16)
    payload = models.JSONField(default=dict, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    actor_label = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Mail"].as_manager()

    class Meta:
        ordering: ClassVar = ["id"]
        verbose_name_plural = "mail"
        indexes: ClassVar = [
            models.Index(fields=["run", "id"], name="mail_unread", condition=models.Q(read_at__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.kind} for run {self.run_id}"


class Review(models.Model):
    """A question that waits, or has waited, for a person. Decided once, by one conditional UPDATE from `open`.

    `kind` says who asks: a review step (`gate`), a step that may have sent something already (`effect`, about
    `delivery`), or the run itself, whose budget is spent (`budget`, without a step). `content` is the value under review as the step gave it; `edited` the person's version of it (NULL: unchanged).
    `held`: the run failed elsewhere, so the gate is out of the inbox until a retry.
    """

    class Kind(models.TextChoices):
        GATE = "gate", "Review"
        EFFECT = "effect", "Send again?"
        BUDGET = "budget", "Budget"

    class Status(models.TextChoices):
        OPEN = "open", "Waiting"
        HELD = "held", "Held"
        DECIDED = "decided", "Decided"
        CANCELLED = "cancelled", "Cancelled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="reviews")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="reviews")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.GATE)
    step_run = models.ForeignKey(
        StepRun, on_delete=models.CASCADE, null=True, blank=True, related_name="reviews"
    )
    delivery = models.ForeignKey(
        "runs.Delivery", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="+")
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    title = models.CharField(max_length=255)
    instructions = models.TextField(blank=True)
    content = models.JSONField()
    editable = models.BooleanField(default=True)
    assignees = models.JSONField(default=list, blank=True)
    quorum = models.PositiveIntegerField(default=1)
    bar_starter = models.BooleanField(default=False)
    fields = models.JSONField(default=list, blank=True)
    buttons = models.JSONField(default=list, blank=True, help_text="[{decision, label, port}]")
    due_at = models.DateTimeField(null=True, blank=True)
    default_decision = models.CharField(
        max_length=64,
        blank=True,
        help_text="Taken by itself when the gate is due; empty = it goes on waiting.",
    )
    remind_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="The next reminder, one of `reminders`; moved on by whoever sends it.",
    )
    reminders = models.JSONField(
        default=list, blank=True, help_text="Times (ISO) at which people are reminded, ascending."
    )
    escalate_at = models.DateTimeField(
        null=True, blank=True, help_text="When `escalate_to` may decide as well; NULL: never, or it has been."
    )
    escalate_to = models.JSONField(default=list, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    delegated_by_label = models.CharField(max_length=200, blank=True)
    decision = models.CharField(max_length=64, blank=True)
    comment = models.TextField(blank=True)
    edited = models.JSONField(null=True, blank=True)
    field_values = models.JSONField(default=dict, blank=True)
    back_to = models.CharField(
        max_length=64, blank=True, help_text="The step that was asked to be done again."
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_by_label = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Review"].as_manager()

    class Meta:
        ordering: ClassVar = ["created_at"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "status", "created_at"], name="review_inbox"),
            models.Index(
                fields=["remind_at"],
                name="review_remind",
                condition=models.Q(status="open", remind_at__isnull=False),
            ),
            models.Index(
                fields=["escalate_at"],
                name="review_escalate",
                condition=models.Q(status="open", escalate_at__isnull=False),
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind="budget") | models.Q(step_run__isnull=False),
                name="review_of_a_step_names_it",
            ),
            # Whatever two drivers believe: a run asks for one budget at a time.
            models.UniqueConstraint(
                fields=["run"],
                condition=models.Q(kind="budget", status="open"),
                name="one_open_budget_question",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class ReviewVote(models.Model):
    """One person's vote at a gate that needs several."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="votes")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    decision = models.CharField(max_length=64)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["ReviewVote"].as_manager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["review", "person"], name="vote_once")]

    def __str__(self) -> str:
        return f"{self.person}: {self.decision}"


class Absence(models.Model):
    """A person is out of office from one day to another, both included; meanwhile the substitute may decide for them."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    substitute = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    first_day = models.DateField()
    last_day = models.DateField()

    objects = TenantQuerySet["Absence"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "person"], name="absence_once"),
            models.CheckConstraint(
                condition=models.Q(last_day__gte=models.F("first_day")), name="absence_ends_after_it_begins"
            ),
            models.CheckConstraint(
                condition=~models.Q(substitute=models.F("person")), name="absence_substitute_is_another"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} is away until {self.last_day}"


class EarlyDecision(models.Model):
    """A decision that came before its gate existed; honoured when the gate opens, if the person may decide it then."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="early_decisions")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    step_key = models.CharField(max_length=64)
    scope = models.CharField(max_length=255, default="", blank=True)
    round = models.PositiveIntegerField(default=0)
    decision = models.CharField(max_length=64)
    comment = models.TextField(blank=True)
    edited = models.JSONField(null=True, blank=True)
    field_values = models.JSONField(default=dict, blank=True)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    person_label = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=16, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["EarlyDecision"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step_key", "scope", "round"], name="early_decision_once")
        ]

    def __str__(self) -> str:
        return f"{self.decision} for {self.step_key} of run {self.run_id}"


class IdempotencyKey(models.Model):
    """An `Idempotency-Key` of execute: the same key and body give the same run for 24 hours."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["IdempotencyKey"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "workflow", "key"], name="idempotency_key_once")
        ]

    def __str__(self) -> str:
        return self.key
