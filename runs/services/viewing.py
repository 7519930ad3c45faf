"""What a person may do with what they look at: the part of a run's page that differs between people."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from runs.engine.statuses import RunStatus
from runs.models import Review, ReviewVote, Run
from runs.partials import Viewer
from runs.services.absences import colleagues, stands_in_for
from runs.services.eligibility import why_not_eligible
from runs.services.fixes import fixes_of
from runs.snapshots import Gate, RunSnapshot
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

_NOBODYS: Final = Run()


def viewer_of(run: RunSnapshot, actor: Actor) -> Viewer:
    """What this actor may do with the run now. One query, where a gate names its people, and one for whom it can be
    handed over to; a dozen where it failed: what its ways out rest on."""
    fixes, case, case_model = fixes_of(run, actor)
    away = stands_in_for(actor) if any(gate.assignees for gate in run.gates) else frozenset()
    refusals = {gate.id: reason for gate in run.gates if (reason := refusal(gate, run, actor, away))}
    people = tuple(colleagues(actor)) if len(refusals) < len(run.gates) else ()
    return Viewer(
        may_control=actor.may(Permission.CONTROL_RUNS),
        may_run=actor.may(Permission.RUN),
        may_edit=actor.may(Permission.EDIT_WORKFLOWS),
        refusals=refusals,
        fixes=fixes,
        case=case,
        case_model=case_model,
        people=people,
    )


def refusal(gate: Gate, run: RunSnapshot, actor: Actor, away: frozenset[str] = frozenset()) -> str:
    """Why this actor cannot decide the gate; empty when they can."""
    if actor.user is not None and actor.user.pk in gate.voters:
        return "You have decided; the others' decisions are waited for."
    asked = {"assignees": gate.assignees, "bar_starter": gate.bar_starter}
    started = Run(started_by_id=run.started_by_id)
    return why_not_eligible(asked, started, actor.user, actor.role, stands_in=away) or ""


def waiting_for(actor: Actor) -> int:
    """How many open gates wait for this actor's decision: the number in the navigation. One query, two where people are
    named, one more where several have to agree."""
    if not actor.may(Permission.REVIEW):
        return 0
    rows = (
        Review.objects.for_tenant(actor.tenant)
        .filter(status=Review.Status.OPEN)
        .exclude(run__status__in=[RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.COMPLETED])
        .order_by()
        .values_list("pk", "quorum", "assignees", "bar_starter", "run__started_by_id")
    )
    found = list(rows)
    away = stands_in_for(actor) if any(_names_people(named) for _, _, named, _, _ in found) else frozenset()
    voted = voted_by(actor) if any(quorum > 1 for _, quorum, _, _, _ in found) else frozenset()
    return sum(
        pk not in voted and is_for_person(named, bars, starter, actor, away)
        for pk, _, named, bars, starter in found
    )


def voted_by(actor: Actor) -> frozenset[UUID]:
    """Open gates at which this actor has voted already: they wait for the others. One query."""
    if actor.user is None:
        return frozenset()
    votes = ReviewVote.objects.filter(
        tenant_id=actor.tenant.pk, person=actor.user, review__status=Review.Status.OPEN
    )
    return frozenset(votes.values_list("review_id", flat=True))


def _names_people(assignees: Any) -> bool:
    return any(str(entry).startswith("user:") for entry in assignees or ())


def is_for_person(
    assignees: Any, bar_starter: bool, starter: int | None, actor: Actor, away: frozenset[str]
) -> bool:
    """Whether a gate with these facts waits for this actor. No query."""
    asked = {"assignees": assignees, "bar_starter": bar_starter}
    run = Run(started_by_id=starter) if bar_starter else _NOBODYS
    return why_not_eligible(asked, run, actor.user, actor.role, stands_in=away) is None


def is_for(review: Review, actor: Actor, away: frozenset[str] | None = None) -> bool:
    """Whether the gate waits for this actor. `away` (`stands_in_for`) left out: one query where people are named."""
    if away is None:
        away = stands_in_for(actor) if review.assignees else frozenset()
    return is_for_person(review.assignees, review.bar_starter, review.run.started_by_id, actor, away)


def known_models() -> tuple[str, ...]:
    """Models that can be offered without asking a vendor: the default one of each provider that has an account."""
    from workflows.providers import registry  # here: finding the providers reads their files

    found = []
    for provider in registry.all_providers():
        model = provider.default_model()
        if model and (provider.name == "demo" or provider.account_from_environment() is not None):
            found.append(f"{provider.name}:{model}")
    return tuple(found)
