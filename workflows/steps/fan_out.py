"""Does the same for each item of a list, several at a time: one prompt per item, or a body of steps."""

from __future__ import annotations

import math
from dataclasses import replace

from workflows.definition.graph import StepDef
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import Group, NewItem, OpenItems, Outcome, StepContext, StepError, StepType
from workflows.steps.fields import (
    MODEL_SETTINGS,
    BoolField,
    ChoiceField,
    ExpressionField,
    LibraryPromptField,
    ModelField,
    ModelSettings,
    NumberField,
    TemplateField,
    TextField,
    longest_field,
    temperature_field,
)
from workflows.steps.item_lists import SPLITS, items_of
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, clip, plural, text_of, value_of

_PROMPT_SETTINGS = ("library_prompt", "prompt", "system_prompt", *MODEL_SETTINGS)


@register
class FanOutStep(StepType):
    """Does the same for each item of a list, several at a time, and brings the results together in the list's order."""

    name, label, icon, group = "fan_out", "For each", "layers", Group.STEER
    tagline = "The same for every item"
    aliases = ("for_each", "map", "fan-out")
    is_container = True

    class ConfigForm(ModelSettings):
        field_order = (
            "items",
            "split",
            "heading",
            "concurrency",
            "prompt",
            "library_prompt",
            "system_prompt",
        )

        items = TemplateField(
            label="Items",
            help_text="A list, or a text that is taken apart: {{previous}}, {{input.contacts}}, {{steps.Outline.items}}.",
            section="Items",
            initial=PREVIOUS,
            rows=1,
            other_names=("list", "source"),
        )
        split = ChoiceField(label="A text is taken apart by", choices=SPLITS, section="Items", more=True)
        heading = TemplateField(
            label="Heading of an item",
            help_text="What people tell the items by, for example {{item.name}}. Left empty: its own heading or first line.",
            section="Items",
            rows=1,
            more=True,
        )
        concurrency = NumberField(
            label="At the same time", unit="items", section="Items", least=1, most=50, initial=5
        )
        library_prompt = LibraryPromptField(more=True)
        prompt = TemplateField(
            label="Prompt for each item",
            help_text="Sent once per item, with {{item}} and {{index}}. Left empty: the steps inside do the work.",
            section="Prompt",
            rows=6,
        )
        system_prompt = TemplateField(label="System prompt", section="Prompt", rows=3, more=True)
        model = ModelField(more=True)
        temperature = temperature_field()
        max_tokens = longest_field()
        tolerated = TextField(
            label="Failed items that are fine",
            help_text="A number, or a share such as 10%. One more, and the step fails.",
            section="Result",
            initial="0",
            other_names=("tolerated_failures",),
            more=True,
        )
        needed = TextField(
            label="Enough when so many are done",
            help_text="A number, or a share such as 50%. Left empty: all of them. The rest is cancelled.",
            section="Result",
            more=True,
        )
        result = ExpressionField(
            label="Result of an item",
            help_text="For example steps.Draft.content. Left empty: what the last step inside gives.",
            section="Result",
            more=True,
        )
        append_check = BoolField(
            label="Then check the results against each other",
            help_text="Adds a consistency check after this step in every run.",
            section="Afterwards",
            more=True,
        )
        append_prompts = BoolField(
            label="Then write an implementation prompt for each result",
            help_text="Adds one prompt per item after this step in every run.",
            section="Afterwards",
            more=True,
        )

    def summary(self, config: JSONObject) -> str:
        at_once = config.get("concurrency") or 5
        if named := (config.get("library_prompt") or {}).get("name"):
            return f"For each item, {at_once} at a time: {clip(named, 50)}"
        if config.get("prompt"):
            return f"For each item, {at_once} at a time: {clip(config['prompt'], 50)}"
        return f"The steps inside for each item, {at_once} at a time"

    def uses_model(self, config: JSONObject) -> bool:
        return asks(config)

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("items", "array"), ("count", "number"), ("failed", "number"))

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        return amount_problems(step, ("tolerated", "needed"))

    def own_body(self, step: StepDef) -> StepDef | None:
        """The prompt as a hidden step: one mechanism for prompts and bodies."""
        if not asks(step.config):
            return None
        return own_step(step, {name: step.config[name] for name in _PROMPT_SETTINGS if name in step.config})

    def generated(self, step: StepDef) -> tuple[StepDef, ...]:
        """The check and the prompts that the settings ask for, by the model of this step."""
        model = {name: step.config[name] for name in ("model",) if step.config.get(name)}
        found: list[StepDef] = []
        if step.config.get("append_check"):
            check = StepDef(f"{step.key}-check", "consistency_check", f"{step.label} - check", config=model)
            found.append(check)
        if step.config.get("append_prompts"):
            config = {**model, "plan": f"{{{{steps.{step.label}.items}}}}"}
            prompts = StepDef(
                f"{step.key}-prompts", "implementation_prompts", f"{step.label} - prompts", config=config
            )
            found.append(prompts)
        return tuple(found)

    def execute(self, context: StepContext) -> Outcome:
        """The items with their headings; what happens to them is the engine's affair."""
        config = context.config
        value = value_of(context, config.get("items", PREVIOUS), field="items")
        items = items_of(value, config.get("split", "auto"))
        if not items:
            notes = "The list is empty: there was nothing to do"
        else:
            notes = plural(len(items), "item")
        tolerated, percent = amount_of(str(config.get("tolerated") or "0")) or (0, None)
        return OpenItems(
            items=tuple(with_headings(context, items)),
            concurrency=int(config.get("concurrency") or 5),
            tolerated=tolerated,
            tolerated_percent=percent,
            needed=_needed(config.get("needed"), len(items)),
            result=config.get("result") or "",
            keeps_headings=asks(config),
            notes=notes,
        )


def asks(config: JSONObject) -> bool:
    """Whether a prompt does the work, its own or one of the library, and no steps inside."""
    return bool(config.get("prompt") or config.get("library_prompt"))


def own_step(step: StepDef, config: JSONObject) -> StepDef:
    """The hidden step that asks a model once per item, with the container's own tries and time limit."""
    return StepDef(
        key=f"{step.key}-item",
        type="llm",
        label=f"{step.label} - item",
        config=config,
        parent=step.key,
        retry=step.retry,
        timeout_s=step.timeout_s,
        generated=True,
    )


def amount_problems(step: StepDef, names: tuple[str, ...]) -> tuple[Problem, ...]:
    """What is wrong with the settings that are a number or a share."""
    problems = []
    for name in names:
        text = step.config.get(name)
        if text not in (None, "") and amount_of(str(text)) is None:
            message = f"“{text}” is neither a number nor a share such as 10%."
            problems.append(Problem("bad_value", message, field=name, fix="Write 3, or 10%."))
    return tuple(problems)


def with_headings(context: StepContext, items: list[NewItem]) -> list[NewItem]:
    """The items with the heading that the setting writes, where there is one."""
    template = context.config.get("heading")
    if not template:
        return items
    found: list[NewItem] = []
    for index, item in enumerate(items):
        scope = replace(context.scope, item=item.value, index=index)
        found.append(replace(item, heading=text_of(context, template, field="heading", scope=scope)))
    return found


def amount_of(text: str) -> tuple[int, float | None] | None:
    """`3` is (3, None), `10%` is (0, 10.0); None for anything else."""
    text = text.strip()
    try:
        if text.endswith("%"):
            percent = float(text[:-1])
            return (0, percent) if 0 <= percent <= 100 else None
        number = int(text)
    except ValueError:
        return None
    return (number, None) if number >= 0 else None


def _needed(value: JSONValue, total: int) -> int | None:
    if value in (None, ""):
        return None
    found = amount_of(str(value))
    if found is None:
        raise StepError(
            f"“{value}” is neither a number nor a share such as 50%.", code="bad_value", field="needed"
        )
    number, percent = found
    return number if percent is None else math.ceil(total * percent / 100)
