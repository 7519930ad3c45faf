"""What the builder says about a container's list: how often the steps inside run, and over what."""

from __future__ import annotations

import re
from typing import Final

from workflows.definition.graph import JoinKind, StepDef
from workflows.steps.conditions import in_words
from workflows.steps.values import PREVIOUS, clip, plural

EMPTY_BODY: Final = "empty_container"
_REFERENCE: Final = re.compile(r"^\s*\{\{\s*(?P<path>.+?)\s*\}\}\s*$", re.DOTALL)


def waits_words(step: StepDef, paths: int) -> str:
    """“Waits for all 3 branches”, by the rule of the join."""
    match step.join.rule:
        case JoinKind.ANY:
            return f"Goes on with the first of {paths} branches"
        case JoinKind.COUNT:
            return f"Waits for {min(step.join.count, paths)} of {paths} branches"
    return f"Waits for {'both' if paths == 2 else f'all {paths}'} branches"


def goes_on_words(step: StepDef) -> str:
    """“keeps going if one fails”, where the container stands failed items; else nothing."""
    fine = str(step.config.get("tolerated") or "0").strip()
    if fine in ("0", "0%"):
        return ""
    return f"keeps going if {'one fails' if fine == '1' else f'{fine} fail'}"


def nest_words(step: StepDef) -> tuple[str, str, str]:
    """(sentence, the data it ends with or nothing, how many at a time): “Runs once for each item of”, `previous`."""
    config = step.config
    if step.type == "loop" and (mode := config.get("mode", "for_each")) != "for_each":
        if mode == "count":
            return f"Runs {plural(config.get('count', 3), 'time')}", "", "one after the other"
        words = clip(in_words(config.get("condition") or {}), 60)
        return f"Runs again while {words or '…'}", "", "one after the other"
    text = str(config.get("plan" if "plan" in config else "items") or PREVIOUS)
    found = _REFERENCE.match(text)
    items = found["path"] if found else clip(text, 40)
    at_once = "one after the other" if step.type == "loop" else f"{config.get('concurrency') or 5} at a time"
    return "Runs once for each item of", items, at_once
