"""Budgets of a run and of its tenant's month: told at four fifths; when spent, nothing more that is paid is started.

The driver asks before it starts steps that call models. Under `pause` the run waits for a person, and continuing allows a
stated sum more; under `stop` it fails with that reason, and a retry allows the same; `warn` only says so. Calls that are
under way end as they are, so a run may pass its budget by what was in flight. Test runs spend real money and count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

from runs.engine.commands import Command, StartStep
from runs.engine.statuses import EventType, Intent
from runs.selectors import month_of, spent_in_month
from runs.services.transition import Transition
from workflows.lib.errors import ErrorInfo, Fault
from workflows.tenancy.models import BudgetPolicy

if TYPE_CHECKING:
    from runs.services.loaded_run import LoadedRun

_WARN_AT: Final = Decimal("0.8")
# Of other runs' spending one knows what it was so many seconds ago.
_FRESH_S: Final = 5.0
_CENT: Final = Decimal("0.01")


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
        what = "for this run" if self.scope == "run" else "for this month"
        return f"{_dollars(self.spent)} of {_dollars(self.limit)} {what}"


@dataclass(slots=True)
class Purse:
    """What one driver knows of its run's budgets between turns."""

    others: Decimal = Decimal(0)
    asked_at: float | None = None
    stopped_by: Budget | None = None

    def error(self) -> ErrorInfo | None:
        """Why the run was stopped; None when no budget stopped it."""
        if self.stopped_by is None:
            return None
        where = (
            "Raise the budget in the workflow's settings"
            if self.stopped_by.scope == "run"
            else "Raise the month's budget under Connections"
        )
        return ErrorInfo(
            "budget",
            f"The budget is spent: {self.stopped_by.sentence}.",
            fault=Fault.AUTHOR,
            fix=f"{where}, or retry: that allows {_dollars(self.stopped_by.more)} more.",
        )


def budgets_of(loaded: LoadedRun, now: datetime) -> tuple[Budget, ...]:
    """The limits that hold for the run now, what a person has allowed on top included."""
    run, tenant, settings = loaded.run, loaded.run.tenant, loaded.prepared.definition.settings
    found = []
    if settings.get("budget_usd"):
        limit = Decimal(str(settings["budget_usd"]))
        policy = BudgetPolicy(settings.get("budget_policy") or BudgetPolicy.PAUSE)
        found.append(
            Budget("run", limit + run.budget_extra, loaded.cost, policy, max(_rounded(limit / 2), _CENT))
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
                limit + run.month_extra,
                purse.others + own_now,
                BudgetPolicy(tenant.budget_policy),
                _rounded(max(limit / 20, Decimal(1))),
            )
        )
    return tuple(found)


def hold(loaded: LoadedRun, t: Transition, commands: Sequence[Command], now: datetime) -> bool:
    """Look at the budgets where something paid would start. True: it may not, so the run has to be planned once more.

    The transition then says why, and holds or ends the run; what continuing allows is written with it.
    """
    if loaded.state.intent is not Intent.NONE or not any(_is_paid(loaded, command) for command in commands):
        return False
    held = False
    for budget in budgets_of(loaded, now):
        if not budget.is_nearly_spent:
            continue
        policy = budget.policy if budget.is_spent else BudgetPolicy.WARN
        if policy is BudgetPolicy.WARN:
            _warn(loaded, t, budget, now)
            continue
        if held:
            continue
        held = True
        # A person who goes on after this allows so much more; the driver alone writes it.
        extra = "budget_extra" if budget.scope == "run" else "month_extra"
        t.run[extra] = getattr(loaded.run, extra) + (budget.spent - budget.limit) + budget.more
        _tell(t, budget, now, "paused" if policy is BudgetPolicy.PAUSE else "stopped")
        if policy is BudgetPolicy.PAUSE:
            words = f"the budget: {budget.sentence} are spent. Continuing allows {_dollars(budget.more)} more"
            t.run |= {"intent": Intent.PAUSE, "intent_by": words}
            loaded.state.intent = Intent.PAUSE
            t.remember(lambda: setattr(loaded.state, "intent", Intent.NONE))
        else:
            before = loaded.state.deadline
            loaded.purse.stopped_by, loaded.state.deadline = budget, now
            t.remember(partial(_unstop, loaded, before))
    return held


def _unstop(loaded: LoadedRun, deadline: datetime | None) -> None:
    loaded.purse.stopped_by, loaded.state.deadline = None, deadline


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
