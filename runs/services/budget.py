"""Budgets of a run and of its tenant's month: told at four fifths; when spent, nothing more that is paid is started.

The driver asks before it starts steps that call models. Under `pause` the run asks in a review of its own: a person who
may allows a stated sum more, or ends it. Under `stop` it fails with that reason; a retry allows a run the same sum, while
the month's budget has to be raised. `warn` only says so. Calls that are under way end as they are, so a run may pass its
budget by what was in flight. Test runs spend real money and count.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from runs.engine.commands import Command, StartStep
from runs.engine.sentences import BUDGET
from runs.engine.statuses import EventType, Intent
from runs.models import Review
from runs.selectors import month_of, spent_in_month
from runs.services.eligibility import reviewers_in_words
from runs.services.transition import Transition
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy.models import BudgetPolicy

if TYPE_CHECKING:
    from runs.services.loaded_run import LoadedRun

# `Run.intent_by` of a run that its budget holds, and that no person has paused besides.
HELD_BY: Final = BUDGET
_WARN_AT: Final = Decimal("0.8")
# Of other runs' spending one knows what it was so many seconds ago.
_FRESH_S: Final = 5.0
_CENT: Final = Decimal("0.01")
_WHAT: Final = {"run": "for this run", "month": "for this month"}
# A run's own budget is for those who steer runs; the month is the workspace's money.
_MAY_ALLOW: Final = {
    "run": ("role:owner", "role:admin", "role:editor"),
    "month": ("role:owner", "role:admin"),
}


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit and what is spent of it. `more` is what continuing allows on top of everything spent by then."""

    scope: str
    limit: Decimal
    spent: Decimal
    policy: BudgetPolicy
    more: Decimal

    @property
    def is_spent(self) -> bool:
        return self.spent >= self.limit

    @property
    def is_nearly_spent(self) -> bool:
        return self.spent >= self.limit * _WARN_AT

    @property
    def sentence(self) -> str:
        """“$4.10 of $4.00 for this run”."""
        return f"{_dollars(self.spent)} of {_dollars(self.limit)} {_WHAT[self.scope]}"


@dataclass(slots=True)
class Purse:
    """What one driver knows of its run's budgets between turns."""

    others: Decimal = Decimal(0)
    asked_at: float | None = None
    stopped_by: Budget | None = None
    # Who was asked for more and said no.
    refused_by: str = ""

    def error(self) -> ErrorInfo | None:
        """Why the run was stopped; None when no budget stopped it."""
        if self.stopped_by is None:
            return None
        spent = f"The budget is spent: {self.stopped_by.sentence}"
        if self.refused_by:
            message = f"{spent}, and {self.refused_by} did not allow more."
            fix = "Retry the run to ask again."
            return ErrorInfo("budget", message, fault=Fault.AUTHOR, fix=fix)
        where = (
            "Raise the budget in the workflow's settings"
            if self.stopped_by.scope == "run"
            else "Raise the month's budget under Connections"
        )
        return ErrorInfo(
            "budget",
            f"{spent}.",
            fault=Fault.AUTHOR,
            fix=f"{where}, or retry: that allows {_dollars(self.stopped_by.more)} more."
            if self.stopped_by.scope == "run"
            else f"{where}, then retry.",
        )


def budgets_of(
    loaded: LoadedRun, now: datetime, allowed: Mapping[str, Any] | None = None
) -> tuple[Budget, ...]:
    """The limits that hold for the run now, what people have allowed on top included.

    `allowed` has columns of the run that are about to be written.
    """
    run, tenant, settings = loaded.run, loaded.run.tenant, loaded.prepared.definition.settings
    found = []
    new = allowed or {}
    if settings.get("budget_usd"):
        limit = Decimal(str(settings["budget_usd"]))
        policy = BudgetPolicy(settings.get("budget_policy") or BudgetPolicy.PAUSE)
        found.append(
            Budget(
                "run",
                limit + new.get("budget_extra", run.budget_extra),
                loaded.cost,
                policy,
                max(_rounded(limit / 2), _CENT),
            )
        )
    if tenant.monthly_budget_usd is not None:
        limit = tenant.monthly_budget_usd
        purse = loaded.purse
        if purse.asked_at is None or time.monotonic() - purse.asked_at > _FRESH_S:
            own = run.cost if month_of(now) <= run.created_at else Decimal(0)
            purse.others = spent_in_month(tenant.pk, now) - Decimal(own)
            purse.asked_at = time.monotonic()
        own_now = loaded.cost if month_of(now) <= run.created_at else Decimal(0)
        found.append(
            Budget(
                "month",
                limit + new.get("month_extra", run.month_extra),
                purse.others + own_now,
                BudgetPolicy(tenant.budget_policy),
                _rounded(max(limit / 20, Decimal(1))),
            )
        )
    return tuple(found)


def hold(loaded: LoadedRun, t: Transition, commands: Sequence[Command], now: datetime) -> bool:
    """Look at the budgets where something paid would start. True: it may not, so the run has to be planned once more.

    The transition then says why, and holds the run with a question to people, or ends it.
    """
    if loaded.state.intent is not Intent.NONE or not any(_is_paid(loaded, command) for command in commands):
        return False
    held = False
    for budget in budgets_of(loaded, now, t.run):
        if not budget.is_nearly_spent:
            continue
        policy = budget.policy if budget.is_spent else BudgetPolicy.WARN
        if policy is BudgetPolicy.WARN:
            _warn(loaded, t, budget, now)
            continue
        if held:
            continue
        held = True
        _tell(t, budget, now, "paused" if policy is BudgetPolicy.PAUSE else "stopped")
        if policy is BudgetPolicy.PAUSE:
            _ask(loaded, t, budget, now)
            continue
        if budget.scope == "run":
            # Who retries allows so much more; the driver alone writes it. The month is not theirs to raise.
            t.run["budget_extra"] = loaded.run.budget_extra + (budget.spent - budget.limit) + budget.more
        _stop(loaded, t, budget, now)
    return held


def _ask(loaded: LoadedRun, t: Transition, budget: Budget, now: datetime) -> None:
    """The run holds, and asks whether it may spend more: a review of the run itself."""
    run, who = loaded.run, _MAY_ALLOW[budget.scope]
    asked = {
        "id": new_id(),
        "tenant_id": run.tenant_id,
        "run_id": run.pk,
        "kind": Review.Kind.BUDGET,
        "step_run_id": None,
        "workflow_id": run.workflow_id,
        "status": Review.Status.OPEN,
        "title": f"{budget.sentence}: allow {_dollars(budget.more)} more?",
        "instructions": "The run holds before its next paid step. What is finished is kept, whatever you decide.",
        "content": {
            "content": f"**{_dollars(budget.spent)}** of {_dollars(budget.limit)} {_WHAT[budget.scope]} are spent."
            f" Allowing more raises the limit of this run alone by {_dollars(budget.more)} beyond that;"
            " stopping ends it as failed, and a retry asks again.",
            "scope": budget.scope,
            "spent": f"{budget.spent:f}",
            "limit": f"{budget.limit:f}",
            "more": f"{budget.more:f}",
            "sentence": budget.sentence,
        },
        "editable": False,
        "assignees": list(who),
        "buttons": [
            {"decision": "approve", "label": f"Allow {_dollars(budget.more)} more", "port": ""},
            {"decision": "reject", "label": "Stop the run", "port": ""},
        ],
        "created_at": now,
    }
    t.review_inserts.append(asked)
    facts = {"reviewId": str(asked["id"]), "title": asked["title"], "assignees": list(who)}
    t.event(EventType.REVIEW_REQUESTED, now, facts)
    t.run |= {"intent": Intent.PAUSE, "intent_by": HELD_BY}
    loaded.state.intent = Intent.PAUSE
    loaded.over_budget = (reviewers_in_words(list(who)), budget.sentence)
    t.remember(partial(_unask, loaded))


def _unask(loaded: LoadedRun) -> None:
    loaded.state.intent, loaded.over_budget = Intent.NONE, None


def allow_more(loaded: LoadedRun, t: Transition, asked: JSONObject, now: datetime) -> None:
    """A person has said yes: the limit of this run rises to what is spent now and the stated sum."""
    scope, more = str(asked["scope"]), Decimal(str(asked["more"]))
    for budget in budgets_of(loaded, now, t.run):
        if budget.scope == scope:
            column = "budget_extra" if scope == "run" else "month_extra"
            over = max(budget.spent - budget.limit, Decimal(0))
            t.run[column] = getattr(loaded.run, column) + over + more
            _tell(t, replace(budget, limit=budget.limit + over + more), now, "raised")


def end_for_good(loaded: LoadedRun, t: Transition, asked: JSONObject, by: str, now: datetime) -> None:
    """A person has said no: the run fails with that reason, finished steps are kept."""
    spent, limit = Decimal(str(asked["spent"])), Decimal(str(asked["limit"]))
    budget = Budget(str(asked["scope"]), limit, spent, BudgetPolicy.PAUSE, Decimal(str(asked["more"])))
    _stop(loaded, t, budget, now, by=by or "Somebody")
    _tell(t, budget, now, "stopped")


def _stop(loaded: LoadedRun, t: Transition, budget: Budget, now: datetime, by: str = "") -> None:
    """End the run as if its time were up, with the budget as the reason."""
    before = loaded.state.deadline
    loaded.purse.stopped_by, loaded.purse.refused_by, loaded.state.deadline = budget, by, now
    t.remember(partial(_unstop, loaded, before))


def _unstop(loaded: LoadedRun, deadline: datetime | None) -> None:
    loaded.purse.stopped_by, loaded.purse.refused_by, loaded.state.deadline = None, "", deadline


def _warn(loaded: LoadedRun, t: Transition, budget: Budget, now: datetime) -> None:
    """Say it once at four fifths and once at the whole."""
    level = 100 if budget.is_spent else 80
    told = "budget_told" if budget.scope == "run" else "month_told"
    if getattr(loaded.run, told) < level:
        t.run[told] = level
        _tell(t, budget, now, "spent" if level == 100 else "nearly_spent")


def _tell(t: Transition, budget: Budget, now: datetime, what: str) -> None:
    t.event(
        EventType.BUDGET,
        now,
        {
            "what": what,
            "scope": budget.scope,
            "spent": f"{budget.spent:f}",
            "limit": f"{budget.limit:f}",
            "sentence": f"{budget.sentence}.",
        },
    )


def _is_paid(loaded: LoadedRun, command: Command) -> bool:
    if not isinstance(command, StartStep):
        return False
    step = loaded.graph.step(command.place.key)
    return not loaded.takes_pinned(step) and loaded.prepared.type_of(step).uses_model(step.config)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT)


def _dollars(amount: Decimal) -> str:
    """Dollars and cents; less than ten cents with the digits that it has, to a millionth."""
    if amount and abs(amount) < Decimal("0.1") and amount != _rounded(amount):
        return "$" + f"{amount.quantize(Decimal('0.000001')):f}".rstrip("0")
    return f"${_rounded(amount):,}"
