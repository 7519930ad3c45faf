"""What tries cost and how their attempt rows are closed, in a transition."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from runs.engine.statuses import AttemptStatus
from runs.models import Attempt, StepRun
from runs.services.execute_step import Task
from runs.services.values import error_json
from workflows.lib.errors import ErrorInfo
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject

if TYPE_CHECKING:
    from runs.services.apply_commands import Applier

_ZERO = Decimal(0)


class UsageApplier:
    """The part of an `Applier` that counts; it fills the same transition."""

    def __init__(self, applier: Applier) -> None:
        self.applier = applier
        self.loaded = applier.loaded
        self.state = applier.state
        self.graph = applier.graph
        self.run = applier.run
        self.t = applier.t
        self.now = applier.now

    def charge(self, task: Task) -> dict[str, Any]:
        """Add what the try cost to the run; the step row's columns with the sums over all its tries."""
        if not task.answers:
            return {}
        loaded = self.loaded
        before = (loaded.cost, loaded.input_tokens, loaded.output_tokens)
        for answer in task.answers:
            loaded.cost += answer.price.amount
            loaded.input_tokens += answer.usage.input_tokens
            loaded.output_tokens += answer.usage.output_tokens
        self.t.remember(lambda: self._restore_totals(before))
        self.t.run |= {
            "cost": loaded.cost,
            "input_tokens": loaded.input_tokens,
            "output_tokens": loaded.output_tokens,
        }
        spent = StepRun.objects.values_list("input_tokens", "output_tokens", "cost", "cost_known").get(
            pk=task.step_run
        )
        last = task.answers[-1]
        return {
            "input_tokens": spent[0] + sum(answer.usage.input_tokens for answer in task.answers),
            "output_tokens": spent[1] + sum(answer.usage.output_tokens for answer in task.answers),
            "cost": spent[2] + sum((answer.price.amount for answer in task.answers), _ZERO),
            "cost_known": spent[3] and all(answer.price.known for answer in task.answers),
            "provider": last.provider,
            "model": last.model,
        }

    def _restore_totals(self, before: tuple[Decimal, int, int]) -> None:
        self.loaded.cost, self.loaded.input_tokens, self.loaded.output_tokens = before

    def close_attempt(
        self,
        task: Task,
        status: AttemptStatus,
        ended_at: datetime,
        usage: JSONObject,
        error: ErrorInfo | None = None,
        *,
        counted: bool = True,
    ) -> None:
        values: dict[str, Any] = {
            "status": status,
            "counted": counted,
            "ended_at": ended_at,
            "calls": task.calls,
            "hops": task.hops,
            "error": error_json(error) if error is not None else None,
            "input_tokens": sum(answer.usage.input_tokens for answer in task.answers),
            "output_tokens": sum(answer.usage.output_tokens for answer in task.answers),
            "cost": sum((answer.price.amount for answer in task.answers), _ZERO),
        }
        if task.writer is not None:
            values["text"] = task.writer.text
        if task.calls:
            provider, _, model = str(task.calls[-1].get("model", "")).partition(":")
            values |= {
                "provider": str(task.calls[-1].get("provider") or provider)[:32],
                "model": model[:120],
                "prompt": next((str(call["prompt"])[:120] for call in task.calls if call.get("prompt")), ""),
            }
        if task.attempt_id is not None:
            self.t.attempt_updates.append((task.attempt_id, values))
        elif error is not None:
            # Steps that work at once keep an attempt only when there is something to explain.
            self.t.attempt_inserts.append(
                {
                    "id": new_id(),
                    "step_run_id": task.step_run,
                    "run_id": self.run.pk,
                    "tenant_id": self.run.tenant_id,
                    "number": task.attempt,
                    "started_at": task.started_at,
                    **values,
                }
            )


def closes_open_attempts(
    step_run: UUID, now: datetime, status: AttemptStatus = AttemptStatus.INTERRUPTED
) -> Any:
    def write() -> None:
        changes: dict[str, Any] = {"status": status, "ended_at": now}
        if status is AttemptStatus.INTERRUPTED:
            changes["counted"] = False
        Attempt.objects.filter(step_run_id=step_run, status=AttemptStatus.OPEN).update(**changes)

    return write
