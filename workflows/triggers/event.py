"""Starts runs when an event of a name is told: by a step, over the API, or by Stepwell itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from workflows.expressions.language import compile_expression, evaluate, evaluate_bool
from workflows.expressions.names import as_text
from workflows.lib.errors import Problem
from workflows.lib.event_names import pattern_fault, takes_in
from workflows.lib.jsontypes import JSONObject
from workflows.triggers.base import Occasion, TriggerType, expression_problem
from workflows.triggers.registry import register

DAY_S: Final = 86_400
_KNOWN: Final = ("event", "filter", "dedupe_key", "dedupe_for_s", "paused")


@register
class EventTrigger(TriggerType):
    """`event`: a name, `*` for any part (or a list of them). `filter`: an expression that must hold, over `trigger.data`.
    `dedupe_key`: an expression; the same value within `dedupe_for_s` seconds (a day) starts one run. `paused`: off."""

    name, label, icon = "event", "Event", "zap"

    def check(self, config: JSONObject) -> Iterator[Problem]:
        patterns = _patterns(config)
        if not patterns:
            yield Problem(
                "required",
                "The trigger names no event.",
                field="event",
                fix="Name one, such as crm/lead.changed.",
            )
        for pattern in patterns:
            if fault := pattern_fault(pattern):
                yield Problem("bad_name", fault, field="event", fix="Write it like crm/lead.* .")
        for name in ("filter", "dedupe_key"):
            if config.get(name):
                yield from expression_problem(str(config[name]), name)
        window = config.get("dedupe_for_s", DAY_S)
        if isinstance(window, bool) or not isinstance(window, int | float) or not 1 <= window <= 90 * DAY_S:
            yield Problem(
                "bad_value",
                "The time in which events count as the same has 1 second to 90 days.",
                field="dedupe_for_s",
                fix="Give seconds.",
            )
        for name in config:
            if name not in _KNOWN:
                yield Problem(
                    "unknown_setting",
                    f"An event trigger has no setting “{name}”.",
                    field=name,
                    fix=f"Its settings are {', '.join(_KNOWN)}.",
                )

    def matches(self, config: JSONObject, occasion: Occasion) -> bool:
        return not config.get("paused") and any(
            takes_in(pattern, occasion.name) for pattern in _patterns(config)
        )

    def passes(self, config: JSONObject, occasion: Occasion) -> bool:
        text = str(config.get("filter") or "").strip()
        if not text:
            return True
        return evaluate_bool(compile_expression(text, frozenset()), occasion.scope(self.name))

    def dedupe_key(self, config: JSONObject, occasion: Occasion) -> str:
        text = str(config.get("dedupe_key") or "").strip()
        return as_text(evaluate(text, occasion.scope(self.name))) if text else ""


def _patterns(config: JSONObject) -> tuple[str, ...]:
    given = config.get("event")
    found = given if isinstance(given, list) else [given]
    return tuple(str(one).strip() for one in found if isinstance(one, str) and one.strip())
