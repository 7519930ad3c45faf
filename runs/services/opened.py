"""How an open container works through its items, as its step row keeps it (`StepRun.held`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from runs.engine.items import ItemRules, Tolerance
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import OpenItems


@dataclass(frozen=True, slots=True)
class Opened:
    """`passes_last`: the first steps of the body see the result of the item before as `previous`.

    `result` is the expression of an item's result; empty: the last step's output. `keeps_headings`: with its heading.
    """

    rules: ItemRules
    passes_last: bool = False
    result: str = ""
    keeps_headings: bool = False

    @classmethod
    def by(cls, outcome: OpenItems) -> Self:
        rules = ItemRules(
            concurrency=max(outcome.concurrency, 1),
            tolerance=Tolerance(outcome.tolerated, outcome.tolerated_percent),
            needed=outcome.needed,
            in_order=outcome.in_order,
            more=outcome.more,
        )
        return cls(rules, outcome.passes_last, outcome.result, outcome.keeps_headings)

    def closed(self) -> Opened:
        """The same, with no further items to come."""
        return replace(self, rules=replace(self.rules, more=False))

    def again(self, *, patient: bool = False) -> Opened:
        """The same for another go at its items; `patient`: at some of them only."""
        return replace(self, rules=replace(self.rules, patient=patient))

    def to_json(self) -> JSONObject:
        rules = self.rules
        return {
            "concurrency": rules.concurrency,
            "tolerated": rules.tolerance.number,
            "tolerated_percent": rules.tolerance.percent,
            "needed": rules.needed,
            "in_order": rules.in_order,
            "more": rules.more,
            "patient": rules.patient,
            "passes_last": self.passes_last,
            "result": self.result,
            "keeps_headings": self.keeps_headings,
        }

    @classmethod
    def from_json(cls, data: JSONObject) -> Self:
        rules = ItemRules(
            concurrency=data["concurrency"],
            tolerance=Tolerance(data["tolerated"], data["tolerated_percent"]),
            needed=data["needed"],
            in_order=data["in_order"],
            more=data["more"],
            patient=data.get("patient", False),
        )
        return cls(rules, data["passes_last"], data["result"], data.get("keeps_headings", False))
