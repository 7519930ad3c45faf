"""Breakpoints and single steps: the driver itself holds the run, with its reason (07 §4), and goes on when told to.

`Run.debug`: `breakpoints` (step keys), `once` (those of them that go when they have been reached), `stopped` (`[key, label]` of the steps before, or after, which it stopped),
`passed` (`[key, scope, round]` that were stopped at once already), `step` (one step more, then stop), `edits`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from runs.engine.commands import Command, StartStep
from runs.engine.planner import plan
from runs.engine.statuses import Intent
from runs.models import Mail
from runs.services.transition import Transition
from workflows.lib.jsontypes import JSONObject

if TYPE_CHECKING:
    from runs.services.loaded_run import LoadedRun

BREAKPOINT: Final = "a breakpoint"
ONE_STEP: Final = "a single step"
REASONS: Final = (BREAKPOINT, ONE_STEP)


def of(loaded: LoadedRun, t: Transition) -> JSONObject:
    """What holds after this transition so far."""
    found: JSONObject = t.run.get("debug", loaded.run.debug)
    return found or {}


def obey(loaded: LoadedRun, t: Transition, letter: Mail) -> None:
    """New breakpoints, or one step more."""
    now = dict(of(loaded, t))
    for name in ("breakpoints", "once", "step"):
        if name in letter.payload:
            now[name] = letter.payload[name]
    t.run["debug"] = now


def hold(
    loaded: LoadedRun, t: Transition, commands: tuple[Command, ...], now: datetime, *, may_start: bool
) -> tuple[Command, ...]:
    """What may be done of what is planned: up to a breakpoint, or one start only; then the run is held."""
    debug = of(loaded, t)
    starts = [command for command in commands if isinstance(command, StartStep)]
    if not debug or not starts or not may_start or loaded.state.intent is not Intent.NONE:
        return commands
    if debug.get("step"):
        first = starts[0]
        # It is started here and now, so no breakpoint before it counts any more.
        passed = [*debug.get("passed", []), _name(first)]
        _pause(loaded, t, {**debug, "step": False, "passed": passed}, [first], ONE_STEP)
        return tuple(
            command for command in commands if not isinstance(command, StartStep) or command is first
        )
    points, passed = set(debug.get("breakpoints") or ()), debug.get("passed", [])
    hits = [
        command
        for command in starts
        if command.place.key in points and command.attempt == 1 and _name(command) not in passed
    ]
    if not hits:
        return commands
    reached = {command.place.key for command in hits} & set(debug.get("once") or ())
    left = {name: sorted(set(debug.get(name) or ()) - reached) for name in ("breakpoints", "once")}
    _pause(loaded, t, {**debug, **left, "passed": [*passed, *map(_name, hits)]}, hits, BREAKPOINT)
    return plan(loaded.graph, loaded.state, now, None)


def _pause(loaded: LoadedRun, t: Transition, debug: JSONObject, at: list[StartStep], why: str) -> None:
    labels = [[command.place.key, loaded.graph.step(command.place.key).label] for command in at]
    t.run |= {"intent": Intent.PAUSE, "intent_by": why, "debug": {**debug, "stopped": labels}}
    loaded.state.intent = Intent.PAUSE
    t.remember(lambda: setattr(loaded.state, "intent", Intent.NONE))


def _name(command: StartStep) -> list[str | int]:
    return [command.place.key, command.place.scope, command.round]


def stopped_at(loaded: LoadedRun, t: Transition) -> tuple[str, str, str] | None:
    """Key and label of the step at which the run stopped by itself, and the sentence for people."""
    why = t.run.get("intent_by", loaded.run.intent_by)
    stopped = of(loaded, t).get("stopped") or []
    if why not in REASONS or not stopped:
        return None
    key, label = stopped[0]
    names = " and ".join(f"“{entry[1]}”" for entry in stopped[:3])
    if why == BREAKPOINT:
        return key, label, f"Stopped before {names}, at a breakpoint; continue or step."
    return key, label, f"Stopped after one step, {names}; continue or step again."
