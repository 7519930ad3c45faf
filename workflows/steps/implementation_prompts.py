"""Turns a plan into prompts: one for each of its items, ready to be given to whoever builds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from workflows.definition.graph import StepDef
from workflows.expressions.names import as_text
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import Group, NewItem, OpenItems, Outcome, StepContext, StepType
from workflows.steps.fan_out import amount_of, amount_problems, own_step, with_headings
from workflows.steps.fields import (
    MODEL_SETTINGS,
    ChoiceField,
    ModelSettings,
    NumberField,
    TemplateField,
    TextField,
    filled,
    longest_field,
    temperature_field,
)
from workflows.steps.item_lists import SPLITS, heading_of, items_of
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, plain_text, plural, value_of

_SYSTEM: Final = (
    "You write prompts for people and assistants who build things. Each prompt stands by itself: whoever gets it "
    "has nothing else."
)
_TASK: Final = (
    "Write one actionable implementation prompt for the item below: the goal in a sentence, what to build or change "
    "step by step, what it must fit together with, and how to tell that it is done."
)
_ITEM: Final = "Topic (item {{loop.number}} of {{loop.count}}): {{item.heading}}\n\n{{item.content}}"


@register
class ImplementationPromptsStep(StepType):
    """Turns a plan into prompts that can be worked through: one for each item of the plan, under the item's heading."""

    name, label, icon, group = "implementation_prompts", "Implementation prompts", "list-checks", Group.THINK
    tagline = "A prompt per item of a plan"
    aliases = ("implementation-prompts", "implementation-prompt", "implementation_prompt")
    is_container = True

    class ConfigForm(ModelSettings):
        field_order = ("plan", "split", "heading", "instructions", "background", "concurrency")

        plan = TemplateField(
            label="Plan",
            help_text="A list, or a text that is taken apart: {{previous}}, {{steps.Analysis.items}}.",
            section="Plan",
            initial=PREVIOUS,
            rows=1,
            other_names=("items", "list", "source"),
        )
        split = ChoiceField(label="A text is taken apart by", choices=SPLITS, section="Plan", more=True)
        heading = TemplateField(
            label="Heading of an item",
            help_text="For example {{item.name}}. Left empty: its own heading or first line.",
            section="Plan",
            rows=1,
            more=True,
        )
        instructions = TemplateField(
            label="What each prompt must hold",
            section="Prompts",
            rows=4,
            initial=_TASK,
            required=True,
            other_names=("prompt",),
        )
        background = TemplateField(
            label="Background",
            help_text="What every prompt may draw on, for example {{input.idea}} or {{steps.Synthesis.content}}.",
            section="Prompts",
            rows=2,
            other_names=("context",),
        )
        concurrency = NumberField(
            label="At the same time", unit="items", section="Prompts", least=1, most=50, initial=5, more=True
        )
        temperature = temperature_field(0.4)
        max_tokens = longest_field(4_000, label="Longest prompt")
        tolerated = TextField(
            label="Failed items that are fine",
            help_text="A number, or a share such as 10%. One more, and the step fails.",
            section="Result",
            initial="0",
            other_names=("tolerated_failures",),
            more=True,
        )

    def uses_model(self, config: JSONObject) -> bool:
        # The settings' model is called by the hidden step, which has its own tries; checks and estimates ask here.
        return True

    def summary(self, config: JSONObject) -> str:
        at_once = config.get("concurrency") or 5
        return f"A prompt for each item of the plan, {at_once} at a time"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("items", "array"), ("count", "number"), ("failed", "number"))

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        return amount_problems(step, ("tolerated",))

    def own_body(self, step: StepDef) -> StepDef | None:
        """One hidden step asks a model for the prompt of an item, as in a “For each” with a prompt."""
        setting = filled(self.ConfigForm, step.config)
        parts = [setting["instructions"].strip(), _ITEM]
        if setting["background"].strip():
            parts.append(f"Background:\n{setting['background'].strip()}")
        config = {name: setting[name] for name in MODEL_SETTINGS}
        return own_step(step, {**config, "system_prompt": _SYSTEM, "prompt": "\n\n".join(parts)})

    def execute(self, context: StepContext) -> Outcome:
        """The plan's items, each an object with its `heading` and its `content`."""
        setting = filled(self.ConfigForm, context.config)
        found = items_of(value_of(context, setting["plan"], field="plan"), setting["split"])
        items = [_with_parts(item) for item in with_headings(context, found)]
        tolerated, percent = amount_of(str(setting["tolerated"] or "0")) or (0, None)
        return OpenItems(
            items=tuple(items),
            concurrency=int(setting["concurrency"] or 5),
            tolerated=tolerated,
            tolerated_percent=percent,
            keeps_headings=True,
            notes=plural(len(items), "item") if items else "The plan has no items: there was nothing to do",
        )


def _with_parts(item: NewItem) -> NewItem:
    """The item with the two fields that the hidden prompt names, whatever it was; its own fields stay."""
    value: JSONValue = item.value
    heading = item.heading or heading_of(value)
    if isinstance(value, dict):
        text = plain_text(value) if "content" in value else as_text(value)
        return replace(item, value={**value, "heading": heading, "content": text}, heading=heading)
    return replace(item, value={"heading": heading, "content": plain_text(value)}, heading=heading)
