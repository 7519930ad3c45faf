"""Goes round and round: for each item, so many times, or while a condition holds; one after the other."""

from __future__ import annotations

from django import forms

from workflows.expressions.errors import TextError
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Group, NewItem, OpenItems, Outcome, StepContext, StepType
from workflows.steps.conditions import holds, in_words
from workflows.steps.fan_out import amount_of, with_headings
from workflows.steps.fields import (
    ChoiceField,
    ExpressionField,
    NumberField,
    RowsField,
    TemplateField,
    TextField,
)
from workflows.steps.item_lists import SPLITS, items_of
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, as_step_error, clip, plural, value_of


@register
class LoopStep(StepType):
    """Goes through the steps inside again and again, one round after the other; each round sees the result before."""

    name, label, icon, group = "loop", "Loop", "repeat", Group.STEER
    tagline = "Again, until it is good"
    is_container = True

    class ConfigForm(forms.Form):
        mode = ChoiceField(
            label="Goes round",
            choices=(
                ("for_each", "For each item"),
                ("while", "While a condition holds"),
                ("count", "So many times"),
            ),
            section="Rounds",
        )
        items = TemplateField(
            label="Items",
            help_text="A list, or a text that is taken apart: {{previous}}, {{input.chapters}}.",
            section="Rounds",
            initial=PREVIOUS,
            rows=1,
            shown_when=("mode", ("for_each",)),
        )
        split = ChoiceField(
            label="A text is taken apart by",
            choices=SPLITS,
            section="Rounds",
            shown_when=("mode", ("for_each",)),
            more=True,
        )
        condition = RowsField(
            label="Goes on while",
            help_text="Asked before each round, with {{index}} and {{previous}}, the result of the round before.",
            section="Rounds",
            shown_when=("mode", ("while",)),
        )
        count = NumberField(
            label="Times", section="Rounds", least=0, most=5_000, initial=3, shown_when=("mode", ("count",))
        )
        max_iterations = NumberField(
            label="Stops at",
            unit="rounds",
            help_text="However the rest is set; the step says so when it happens.",
            section="Rounds",
            least=1,
            most=5_000,
            initial=100,
        )
        heading = TemplateField(label="Heading of a round", section="Rounds", rows=1, more=True)
        tolerated = TextField(
            label="Failed rounds that are fine",
            help_text="A number, or a share such as 10%. One more, and the step fails.",
            section="Result",
            initial="0",
            more=True,
        )
        result = ExpressionField(
            label="Result of a round",
            help_text="For example steps.Draft.content. Left empty: what the last step inside gives.",
            section="Result",
            more=True,
        )

    def summary(self, config: JSONObject) -> str:
        match config.get("mode", "for_each"):
            case "while":
                return f"The steps inside while {clip(in_words(config.get('condition') or {})) or '…'}"
            case "count":
                return f"The steps inside {plural(config.get('count', 3), 'time')}"
            case _:
                return "The steps inside for each item, one after the other"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("items", "array"), ("count", "number"), ("failed", "number"))

    def execute(self, context: StepContext) -> Outcome:
        """The rounds to come; a `while` loop is asked before each."""
        config = context.config
        most = _most(context)
        mode = config.get("mode", "for_each")
        notes = ""
        items: list[NewItem] = []
        if mode == "for_each":
            value = value_of(context, config.get("items", PREVIOUS), field="items")
            items = with_headings(context, items_of(value, config.get("split", "auto")))
        elif mode == "count":
            items = [
                NewItem(number + 1, f"Round {number + 1}") for number in range(int(config.get("count", 3)))
            ]
        if len(items) > most:
            notes = f"Stopped at its limit of {most} of {plural(len(items), 'round')}"
            items = items[:most]
        tolerated, percent = amount_of(str(config.get("tolerated") or "0")) or (0, None)
        return OpenItems(
            items=tuple(items),
            tolerated=tolerated,
            tolerated_percent=percent,
            in_order=True,
            more=mode == "while",
            passes_last=mode != "for_each",
            result=config.get("result") or "",
            notes=notes,
        )

    def next_item(self, context: StepContext, index: int) -> NewItem | None:
        """The next round of a `while` loop, unless its condition no longer holds or its limit is reached."""
        if index >= _most(context):
            return None
        try:
            if not holds(context.config.get("condition") or {}, context.scope):
                return None
        except TextError as error:
            raise as_step_error(error, "condition") from error
        return NewItem(index + 1, f"Round {index + 1}")

    def why_no_more(self, context: StepContext, index: int) -> str:
        """A `while` loop whose condition still holds says that its limit was the reason."""
        most = _most(context)
        if index < most:
            return ""
        try:
            goes_on = holds(context.config.get("condition") or {}, context.scope)
        except TextError:
            goes_on = True
        return f"Stopped at its limit of {plural(most, 'round')}" if goes_on else ""


def _most(context: StepContext) -> int:
    return int(context.config.get("max_iterations") or 100)
