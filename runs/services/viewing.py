"""What a person may do with what they look at: the part of a run's page that differs between people."""

from __future__ import annotations

from django.urls import reverse

from runs.engine.statuses import RunStatus
from runs.models import Review, Run
from runs.partials import Viewer
from runs.services.eligibility import why_not_eligible
from runs.snapshots import Gate, RunSnapshot
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission


def viewer_of(run: RunSnapshot, actor: Actor) -> Viewer:
    """What this actor may do with the run now. No query."""
    failed = run.row(run.failed_key) if run.failed_key else None
    return Viewer(
        may_control=actor.may(Permission.CONTROL_RUNS),
        may_run=actor.may(Permission.RUN),
        may_edit=actor.may(Permission.EDIT_WORKFLOWS),
        refusals={gate.id: reason for gate in run.gates if (reason := refusal(gate, run, actor))},
        models=known_models() if failed is not None and failed.tile == "ai" else (),
        workflow_url=reverse("workflows:builder", args=[run.workflow_id]) if not run.workflow_gone else "",
        model_step=failed is not None and failed.tile == "ai",
        retry_first=failed is not None and failed.failure is not None and failed.failure.retryable,
    )


def refusal(gate: Gate, run: RunSnapshot, actor: Actor) -> str:
    """Why this actor cannot decide the gate; empty when they can."""
    if actor.user is not None and actor.user.pk in gate.voters:
        return "You have decided; the others' decisions are waited for."
    asked = {"assignees": gate.assignees, "bar_starter": gate.bar_starter}
    return why_not_eligible(asked, Run(started_by_id=run.started_by_id), actor.user, actor.role) or ""


def waiting_for(actor: Actor) -> int:
    """How many open gates this actor can decide: the number in the navigation. One query."""
    if not actor.may(Permission.REVIEW):
        return 0
    rows = (
        Review.objects.for_tenant(actor.tenant)
        .filter(status=Review.Status.OPEN)
        .exclude(run__status__in=[RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.COMPLETED])
        .select_related("run")
        .only("assignees", "bar_starter", "run__started_by_id")
    )
    return sum(is_for(review, actor) for review in rows)


def is_for(review: Review, actor: Actor) -> bool:
    """Whether the gate waits for this actor."""
    asked = {"assignees": review.assignees, "bar_starter": review.bar_starter}
    return why_not_eligible(asked, review.run, actor.user, actor.role) is None


def known_models() -> tuple[str, ...]:
    """Models that can be offered without asking a vendor: the default one of each provider that has an account."""
    from workflows.providers import registry  # here: finding the providers reads their files

    found = []
    for provider in registry.all_providers():
        model = provider.default_model()
        if model and (provider.name == "demo" or provider.account_from_environment() is not None):
            found.append(f"{provider.name}:{model}")
    return tuple(found)
