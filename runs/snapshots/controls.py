"""What a run as a whole says of itself, and the buttons that apply to it now."""

from __future__ import annotations

from collections.abc import Sequence

from runs.engine.statuses import Intent, RunStatus, StepStatus
from runs.models import Review
from runs.snapshots import words
from runs.snapshots.reading import Reading
from runs.snapshots.shapes import Control, Gate, Row

_STEP = Control("step_once", "Step", "step-forward", key="s", text="One step more, then the run is held")


def status_word(read: Reading, failed: str, gates: Sequence[Gate]) -> str:
    run = read.run
    if run.intent == Intent.CANCEL and not RunStatus(run.status).is_over:
        return "Cancelling"
    over_budget = any(gate.kind == Review.Kind.BUDGET for gate in gates)
    if over_budget:
        return "Waiting for review"
    if run.intent == Intent.PAUSE and run.status in (RunStatus.RUNNING, RunStatus.PENDING):
        return "Pausing"
    if run.status == RunStatus.FAILED and failed in read.numbers:
        return f"Failed at step {read.numbers[failed]}"
    if gates and run.status in (RunStatus.PAUSED, RunStatus.RUNNING) and run.intent != Intent.PAUSE:
        return "Waiting for review"
    return ""


def note_of(read: Reading, gates: Sequence[Gate]) -> tuple[str, str, str]:
    """(kind, bold sentence, the rest) above the steps; empty when there is nothing to say."""
    run = read.run
    by = f" by {run.intent_by}" if run.intent_by else ""
    if run.intent == Intent.CANCEL and not RunStatus(run.status).is_over:
        return "warn", f"Cancelled{by}.", "Steps under way are being stopped; what is finished is kept."
    if any(gate.kind == Review.Kind.BUDGET for gate in gates):
        # The question itself says why the run holds.
        return "", "", ""
    if run.intent == Intent.PAUSE and run.status in (RunStatus.RUNNING, RunStatus.PENDING):
        return "warn", f"Pausing{by}.", "Steps under way finish first, then the run holds."
    if run.status == RunStatus.PAUSED and run.intent == Intent.PAUSE:
        stopped = next((e for e in run.waiting_for if e.get("kind") == "breakpoint"), None)
        if stopped is not None:
            return "warn", str(stopped["sentence"]), "Its data can be looked at and changed now."
        return "warn", f"Paused{by}.", "Nothing new starts until somebody continues the run."
    if run.status == RunStatus.CANCELLED:
        return "", f"Cancelled{by}.", "What was finished is kept below; a cancelled run is not continued."
    if run.status == RunStatus.FAILED and not any(
        r.status == StepStatus.FAILED for r in read.current.values()
    ):
        # The box of the failure says it, with the ways out.
        return "", "", ""
    return "", "", ""


def waits_for(read: Reading) -> str:
    """What an unfinished run waits for and until when, for the bar that stays in view."""
    run = read.run
    if RunStatus(run.status).is_over or run.intent != Intent.NONE:
        return ""
    said = list(dict.fromkeys(str(e.get("sentence")) for e in run.waiting_for if e.get("sentence")))
    more = f" And {len(said) - 2} more." if len(said) > 2 else ""
    return f"{' '.join(said[:2])}{more}"


def controls_of(
    read: Reading, rows: Sequence[Row], failed: str, gates: Sequence[Gate]
) -> tuple[Control, ...]:
    run = read.run
    kept = words.steps_kept(read.steps_done, approvals=read.approvals)
    found: list[Control] = []
    if run.status == RunStatus.FAILED:
        where = f"step {read.numbers[failed]}" if failed in read.numbers else "where it stopped"
        found.append(Control("retry", "Retry", "rotate-cw", text=f"{kept} The run goes on from {where}."))
        return tuple(found)
    if run.status == RunStatus.COMPLETED:
        return tuple(_again(row) for row in rows if row.items is not None and row.items.failed)
    if RunStatus(run.status).is_over or run.intent == Intent.CANCEL:
        return ()
    if any(gate.kind == Review.Kind.BUDGET for gate in gates):
        # It goes on by the decision, not by Continue.
        pass
    elif run.intent == Intent.PAUSE:
        found.append(Control("resume", "Continue", "play", key="p"))
        found.append(_STEP)
    elif read.status in (RunStatus.PENDING, RunStatus.RUNNING):
        found.append(Control("pause", "Pause", "pause", key="p"))
        found.append(_STEP)
    found.append(
        Control(
            "cancel",
            "Cancel run",
            "square",
            danger=True,
            ask=f"Cancel run {run.number}?",
            text=f"{kept} What is running is stopped, and a cancelled run cannot be continued.",
            keep="Keep it running",
        )
    )
    return tuple(found)


def _again(row: Row) -> Control:
    """The failed items of a completed run, in a new run."""
    assert row.items is not None
    failed = f"{row.items.failed:,} failed item{'s' if row.items.failed != 1 else ''}"
    text = "A new run does them and what follows; everything else is taken from this one."
    return Control("retry_items", f"Retry {failed}", "rotate-cw", text=text, step=row.key)
