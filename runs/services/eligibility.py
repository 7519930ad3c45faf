"""Who may decide a gate: role, assignees, and the bar on the person who started the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runs.models import Run
from workflows.tenancy.models import User
from workflows.tenancy.roles import Permission, Role, may


def why_not_eligible(
    gate: Mapping[str, Any],
    run: Run,
    person: User | None,
    role: str,
    *,
    stands_in: frozenset[str] = frozenset(),
) -> str | None:
    """A sentence that says why this person may not decide the gate; None when they may.

    `gate` has `assignees` (`user:EMAIL`, `role:ROLE`; empty = everybody who may review) and `bar_starter`.
    `stands_in`: addresses of those out of office whose substitute the person is today (`absences.stands_in_for`).
    """
    if not may(role, Permission.REVIEW):
        return "Your role may look at reviews but not decide them."
    if gate.get("bar_starter") and person is not None and run.started_by_id == person.pk:
        return "You started this run, so somebody else has to decide its review."
    assignees = [str(entry) for entry in gate.get("assignees") or ()]
    if not assignees or role == Role.OWNER:
        return None
    email = person.email if person is not None else ""
    if f"user:{email}" in assignees or f"role:{role}" in assignees:
        return None
    if any(f"user:{away}" in assignees for away in stands_in):
        return None
    return f"This review is for {', '.join(entry.partition(':')[2] for entry in assignees)}."


def reviewers_in_words(assignees: list[str]) -> str:
    """Who may decide a gate, in words: `user:ana@x.org` and `role:admin` become "ana@x.org or any admin"."""
    names = [
        entry.partition(":")[2] if entry.startswith("user:") else f"any {entry.partition(':')[2]}"
        for entry in assignees
        if ":" in entry
    ]
    return " or ".join(names) if names else "a reviewer"
