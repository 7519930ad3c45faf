"""One sentence for everything that a run may wait for, so that no run is ever unexplained (E10)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from runs.engine.graph import Graph
from runs.engine.scopes import Place, item_of
from runs.engine.state import RunState, StepState
from runs.engine.statuses import Intent, Wait
from workflows.lib.jsontypes import JSONObject

# Who holds a run that has spent its budget, as `Run.intent_by` says it.
BUDGET: Final = "the budget"


def waiting_for(
    graph: Graph,
    state: RunState,
    *,
    who: dict[str, str],
    tries: dict[str, int],
    paused_by: str = "",
    stopped: tuple[str, str, str] | None = None,
    doubts: Collection[Place] = (),
    over_budget: tuple[str, str] | None = None,
) -> list[JSONObject]:
    """The list that `Run.waiting_for` keeps: `{kind, step, step_key, who, until, sentence}`, times ISO in UTC.

    `who` says for a step's key who may decide its gate, `tries` how many tries its policy allows. `doubts` are places
    that ask whether they send again; `stopped` is (key, label, sentence) of a run that stopped at a breakpoint; `over_budget` says (who may allow more, what is spent) of a run held by its budget.
    """
    found: list[JSONObject] = []
    if over_budget is not None:
        name, spent = over_budget
        found.append(
            _fact("budget", None, None, name, f"Waiting for {name} to allow more: {spent} are spent.")
        )
    if state.intent is Intent.PAUSE and stopped is not None:
        key, label, sentence = stopped
        found.append({**_fact("breakpoint", None, label, "", sentence), "step_key": key})
    elif state.intent is Intent.PAUSE and (over_budget is None or paused_by != BUDGET):
        by = f" by {paused_by}" if paused_by else ""
        found.append(_fact("pause", None, None, paused_by, f"Paused{by}. Press Continue to go on."))
    for step in sorted(state.waiting(), key=lambda s: graph.order.get(s.key, 0)):
        label = _label(graph, step)
        match step.wait:
            case Wait.REVIEW:
                name = who.get(step.key) or "a reviewer"
                if step.place in doubts:
                    said = (
                        f"Waiting for {name} to say whether “{label}” sends again what may have got through."
                    )
                    found.append(_fact("review", step, label, name, said))
                    continue
                found.append(_fact("review", step, label, name, f"Waiting for {name} to decide “{label}”."))
            case Wait.CHILD:
                found.append(_fact("child", step, label, "", f"“{label}” waits for the run that it started."))
            case Wait.DELAY:
                until = _clock(step.due_at)
                found.append(_fact("delay", step, label, "", f"“{label}” waits until {until}."))
            case Wait.RETRY:
                of = tries.get(step.key, step.attempt + 1)
                found.append(
                    _fact(
                        "retry",
                        step,
                        label,
                        "",
                        f"Trying “{label}” again at {_clock(step.due_at)}, try {step.attempt + 1} of {of}.",
                    )
                )
            case _:
                found.append(_fact(str(step.wait), step, label, "", f"“{label}” is waiting."))
    return found


def _label(graph: Graph, step: StepState) -> str:
    item = item_of(step.scope)
    label = graph.step(step.key).label
    return label if item is None else f"{label}, item {item.index + 1}"


def _fact(kind: str, step: StepState | None, label: str | None, who: str, sentence: str) -> JSONObject:
    until = step.due_at.astimezone(UTC).isoformat() if step is not None and step.due_at is not None else None
    return {
        "kind": kind,
        "step": label,
        "step_key": step.key if step is not None else None,
        "who": who,
        "until": until,
        "sentence": sentence,
    }


def _clock(at: datetime | None) -> str:
    return (
        at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at is not None else "a time that is not set"
    )
