"""A run and the rows it owns: step runs, attempts, events. Only its driver writes them (07 §4)."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from runs.engine.statuses import AttemptStatus, Intent, RunStatus, StepStatus
from workflows.lib.ids import new_id
from workflows.models import Workflow, WorkflowVersion
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import ApiKey, Tenant


class Run(models.Model):
    """One execution of one version of a workflow.

    Lease (`lease_*`): the driver that may write. Mailbox: `mail_seq` rises with every mail. `event_seq` is the number
    of the newest event, and the version that conditional updates name. `wake_at`: when the keeper should ring (NULL:
    nothing to do). `waiting_for`: list of `{kind, step, who, until, sentence}`. Money is US dollars, durations ms.
    """

    class Kind(models.TextChoices):
        LIVE = "live", "Live"
        TEST = "test", "Test"
        STEP = "step", "Step test"
        REPLAY = "replay", "Replay"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="runs")
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="runs")
    version = models.ForeignKey(WorkflowVersion, on_delete=models.PROTECT, related_name="runs")
    number = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.LIVE)
    origin = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="copies"
    )
    from_step = models.CharField(max_length=64, blank=True)
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="children"
    )
    parent_step = models.OneToOneField(
        "runs.StepRun", on_delete=models.SET_NULL, null=True, blank=True, related_name="child_run"
    )
    depth = models.PositiveIntegerField(default=0, help_text="How many runs stand above this one.")
    status = models.CharField(max_length=16, default=RunStatus.PENDING)
    intent = models.CharField(max_length=8, default=Intent.NONE, blank=True)
    intent_by = models.CharField(max_length=200, blank=True)
    trigger_type = models.CharField(max_length=16, default="manual")
    trigger_data = models.JSONField(null=True, blank=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    input = models.JSONField(default=dict, blank=True)
    variables = models.JSONField(default=dict, blank=True, help_text="Context variables as set at start.")
    yolo = models.BooleanField(default=False)
    model_override = models.CharField(max_length=120, blank=True)
    output = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    case = models.CharField(
        max_length=16,
        default="",
        blank=True,
        help_text="Fingerprint of its last failure's cause; a case is the runs that share one.",
    )
    dead_since = models.DateTimeField(
        null=True, blank=True, help_text="In the dead letters since; NULL: not there."
    )
    discarded = models.JSONField(
        null=True, blank=True, help_text="{reason, by, at}: who took it out of the dead letters, and why."
    )
    waiting_for = models.JSONField(default=list, blank=True)
    current_step = models.CharField(max_length=64, blank=True)
    steps_total = models.PositiveIntegerField(default=0)
    steps_done = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    budget_extra = models.DecimalField(
        max_digits=14,
        decimal_places=8,
        default=0,
        help_text="What people have allowed beyond the run's budget.",
    )
    month_extra = models.DecimalField(
        max_digits=14, decimal_places=8, default=0, help_text="The same beyond the tenant's month."
    )
    budget_told = models.PositiveSmallIntegerField(
        default=0, help_text="Per cent of the run's budget that was last told."
    )
    month_told = models.PositiveSmallIntegerField(default=0)
    overrides = models.JSONField(
        default=dict,
        blank=True,
        help_text="A replay's changed settings: {step key: {field: value}}.",
    )
    debug = models.JSONField(
        default=dict,
        blank=True,
        help_text="{breakpoints: [step key], stopped: [label], passed: [[key, scope, round]], step: bool,"
        " edits: [{name, value, seq, by}]}; the driver writes it.",
    )
    event_seq = models.PositiveBigIntegerField(default=0)
    mail_seq = models.PositiveBigIntegerField(default=0)
    wake_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.CharField(max_length=40, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_owner = models.CharField(max_length=120, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True, help_text="When the run's time limit is up.")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Run"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "number"], name="run_number_once_per_tenant"),
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in RunStatus]), name="run_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(intent__in=[i.value for i in Intent]), name="run_intent_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-created_at"], name="run_history"),
            models.Index(fields=["workflow", "-created_at"], name="run_of_workflow"),
            models.Index(fields=["tenant", "status", "-created_at"], name="run_by_status"),
            models.Index(fields=["tenant", "completed_at"], name="run_ended"),
            # The histogram and sums of a whole history read nothing else; a run that is under way is not in it.
            models.Index(
                fields=["tenant", "created_at", "kind", "status", "cost"],
                name="run_shape",
                condition=models.Q(completed_at__isnull=False),
            ),
            models.Index(fields=["wake_at"], name="run_due", condition=models.Q(wake_at__isnull=False)),
            # The dead letters are grouped and counted from this index alone.
            models.Index(
                fields=["tenant", "case", "dead_since"],
                name="run_dead",
                condition=models.Q(dead_since__isnull=False),
            ),
            # Every claim counts its tenant's live leases; without it that is a walk over the whole history.
            models.Index(fields=["tenant"], name="run_leased", condition=models.Q(lease_until__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"Run {self.number}"

    @property
    def is_over(self) -> bool:
        return RunStatus(self.status).is_over

    @property
    def duration_ms(self) -> int | None:
        if self.started_at is None:
            return None
        return round(((self.completed_at or timezone.now()) - self.started_at).total_seconds() * 1_000)

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


# Whose failure waits for somebody: what an author tries out is looked at by its author. Runs below a run wait with it.
DEAD_LETTER_KINDS = (Run.Kind.LIVE, Run.Kind.REPLAY)


class RunCounter(models.Model):
    """The last run number that a tenant has given out; raised by one UPDATE in the run's own transaction."""

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True, related_name="+")
    last = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.last}"


class StepRun(models.Model):
    """What one step did in one scope and round. The current round is the highest; old rounds never change.

    `inputs` lists the ids of the edges that were live when it started; `edges` keeps what its outgoing edges'
    conditions said; `port` is the way out that was taken (None while undecided or when a failure holds);
    `held` keeps the outcome of a delay until it is due; `attempt` is the number of the current counted try.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="step_runs")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    step_key = models.CharField(max_length=64)
    scope = models.CharField(max_length=255, default="", blank=True)
    round = models.PositiveIntegerField(default=0)
    label = models.CharField(max_length=255)
    type = models.CharField(max_length=64)
    status = models.CharField(max_length=16, default=StepStatus.PENDING)
    skip_reason = models.CharField(max_length=16, blank=True)
    # NULL means undecided, which no name of a port can say.
    port = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    inputs = models.JSONField(default=list, blank=True)
    edges = models.JSONField(default=dict, blank=True)
    output = models.JSONField(null=True, blank=True)
    held = models.JSONField(null=True, blank=True)
    variables = models.JSONField(default=dict, blank=True)
    variables_seq = models.PositiveBigIntegerField(
        default=0, help_text="Seq of the event that set the variables."
    )
    error = models.JSONField(null=True, blank=True)
    given = models.JSONField(
        null=True, blank=True, help_text="{value}: what a person gave in place of what arrives."
    )
    feedback = models.TextField(blank=True, help_text="What a reviewer asked to be changed in this round.")
    notes = models.CharField(max_length=255, blank=True)
    ends_run = models.BooleanField(default=False)
    reused = models.BooleanField(default=False)
    pinned = models.BooleanField(
        default=False, help_text="A test run took the pinned output: nothing was done or called."
    )
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=1)
    crashes = models.PositiveIntegerField(default=0)
    wait = models.CharField(max_length=16, default="", blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    provider = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=120, blank=True)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    cost_known = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["StepRun"].as_manager()

    class Meta:
        ordering: ClassVar = ["created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step_key", "scope", "round"], name="step_run_once"),
            models.CheckConstraint(
                condition=~models.Q(status=StepStatus.COMPLETED) | models.Q(output__isnull=False),
                name="completed_step_has_output",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in StepStatus]), name="step_run_status_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(status=StepStatus.WAITING) | ~models.Q(wait=""),
                name="waiting_step_says_for_what",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label}{f' {self.scope}' if self.scope else ''} of run {self.run_id}"

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def duration_ms(self) -> int | None:
        if self.started_at is None:
            return None
        return round(((self.completed_at or timezone.now()) - self.started_at).total_seconds() * 1_000)


class Attempt(models.Model):
    """One try of a step run: what was sent, what came back, what it cost, why it ended.

    Steps that call nothing outside and succeed at once keep no attempt row; their step run says it all.
    `calls` lists model calls: `{provider, model, messages, temperature, max_tokens, text, finish_reason, usage, cost,
    is_demo, error}`. `counted` False: the worker stopped, which is not the step's fault.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    step_run = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="attempts")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    counted = models.BooleanField(default=True)
    status = models.CharField(max_length=16, default=AttemptStatus.OPEN)
    calls = models.JSONField(default=list, blank=True)
    hops = models.JSONField(
        default=list,
        blank=True,
        help_text="Models that did not answer: {from, to, account, code, reason, called, cost}.",
    )
    error = models.JSONField(null=True, blank=True)
    text = models.TextField(
        blank=True, help_text="Checkpoint of the streamed text while the attempt is open."
    )
    provider = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=120, blank=True)
    prompt = models.CharField(
        max_length=120, blank=True, default="", help_text="The library prompt that was sent, by its name."
    )
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Attempt"].as_manager()

    class Meta:
        ordering: ClassVar = ["started_at", "id"]
        indexes: ClassVar = [
            # The list of model calls: those of a tenant, newest first.
            models.Index(
                fields=["tenant", "-started_at"], name="attempt_of_model", condition=~models.Q(provider="")
            ),
            # Figures of an hour or a day: what was spent in it.
            models.Index(
                fields=["tenant", "ended_at"], name="attempt_ended", condition=~models.Q(provider="")
            ),
        ]

    def __str__(self) -> str:
        return f"try {self.number} of {self.step_run_id}"


class Event(models.Model):
    """A numbered thing that happened in a run; per run without gaps. `data` holds the type's own fields (07 §1)."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    seq = models.PositiveBigIntegerField()
    type = models.CharField(max_length=24)
    at = models.DateTimeField(default=timezone.now)
    step_key = models.CharField(max_length=64, blank=True)
    label = models.CharField(max_length=255, blank=True)
    scope = models.CharField(max_length=255, blank=True)
    data = models.JSONField(default=dict, blank=True)
    to_tell = models.BooleanField(
        null=True, blank=True, editable=False, help_text="People have yet to be told; NULL: nobody has to be."
    )

    objects = TenantQuerySet["Event"].as_manager()

    class Meta:
        ordering: ClassVar = ["seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "seq"], name="event_seq_once")]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="event_to_tell", condition=models.Q(to_tell__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"


class Blob(models.Model):
    """A large value kept beside its row; the row holds `{"$blob": id}`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="blobs")
    value = models.JSONField()
    size = models.PositiveBigIntegerField(help_text="Bytes of its JSON text.")

    objects = TenantQuerySet["Blob"].as_manager()

    def __str__(self) -> str:
        return f"{self.size} bytes of run {self.run_id}"
