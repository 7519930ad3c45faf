"""Puts a text into one of the given categories, by a model that reads it."""

from __future__ import annotations

from typing import Final

from workflows.definition.graph import StepDef
from workflows.definition.retry import THREE_TIMES
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.asking import answer_notes, ask_fields
from workflows.steps.base import (
    Completed,
    ExecutionKind,
    Group,
    Outcome,
    Port,
    StepContext,
    StepError,
    StepType,
)
from workflows.steps.fields import (
    BoolField,
    CategoriesField,
    ModelSettings,
    TemplateField,
    filled,
)
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, clip, needed_text, text_of

NONE: Final = "none"
_RESERVED: Final = frozenset({NONE, "error", "out"})


@register
class ClassifyStep(StepType):
    """Reads a text and puts it into one of your categories. Each category may have a path of its own."""

    name, label, icon, group = "classify", "Classify", "shuffle", Group.THINK
    tagline = "A model picks one of a few"
    aliases = ("classifier", "classification", "router")
    default_retry = THREE_TIMES

    class ConfigForm(ModelSettings):
        field_order = ("text", "categories", "instructions", "allow_none", "branch", "reason")

        text = TemplateField(label="Text", section="Text", rows=2, initial=PREVIOUS, required=True)
        categories = CategoriesField(
            label="Categories",
            help_text="Each with words that say what belongs to it.",
            section="Categories",
            required=True,
        )
        instructions = TemplateField(
            label="How to choose",
            help_text="Rules for cases that could go either way.",
            section="Categories",
            more=True,
        )
        allow_none = BoolField(
            label="“None of these” is an answer",
            help_text="Else the nearest category is taken.",
            section="Categories",
        )
        branch = BoolField(
            label="One path for each category",
            help_text="Else the category is only in the data.",
            section="Paths",
            other_names=("ports",),
        )
        reason = BoolField(
            label="Say why", help_text="One sentence, kept with the category.", section="Model", more=True
        )

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC

    def uses_model(self, config: JSONObject) -> bool:
        return True

    def ports(self, config: JSONObject) -> tuple[Port, ...]:
        names = _names(config)
        if not config.get("branch") or not names:
            return (Port(),)
        usable = dict.fromkeys(name for name in names if name.casefold() not in _RESERVED)
        ports = tuple(Port(name, name) for name in usable)
        return (*ports, Port(NONE, "None of these")) if config.get("allow_none") else ports or (Port(),)

    def summary(self, config: JSONObject) -> str:
        names = _names(config)
        how = ", a path for each" if config.get("branch") else ""
        return f"One of {clip(', '.join(names))}{how}" if names else "No categories yet"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        found = [("content", "string"), ("category", "string")]
        return (*found, ("reason", "string")) if config.get("reason") else tuple(found)

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        problems = []
        names = _names(step.config)
        if len(names) == 1 and not step.config.get("allow_none"):
            problems.append(
                Problem(
                    "one_category",
                    "With a single category there is nothing to choose.",
                    field="categories",
                    fix="Add another, or let “none of these” be an answer.",
                    severity="warning",
                )
            )
        for name in names:
            if name.casefold() in _RESERVED and (step.config.get("branch") or step.config.get("allow_none")):
                problems.append(
                    Problem(
                        "bad_category",
                        f"A category with a path of its own may not be named “{name}”.",
                        field="categories",
                        fix="Give it another name.",
                    )
                )
        return tuple(problems)

    async def execute_async(self, context: StepContext) -> Outcome:
        """The category as `content` and `category` (null for none of these), on its port. Raises StepError."""
        setting = filled(self.ConfigForm, context.config)
        categories = setting["categories"]
        if not categories:
            raise StepError(
                "There are no categories to choose from.",
                code="required",
                field="categories",
                fix="Add categories.",
            )
        text = needed_text(context, setting["text"], field="text", label="Text")
        names = _names(setting)
        schema = _schema([*names, *([NONE] if setting["allow_none"] else [])], reason=setting["reason"])
        rules = text_of(context, setting["instructions"], field="instructions").strip()
        listed = "\n".join(
            f"- {entry['name']}" + (f": {', '.join(entry['terms'])}" if entry["terms"] else "")
            for entry in categories
        )
        none = f" If none of them fits, choose “{NONE}”." if setting["allow_none"] else ""
        asked = await ask_fields(
            context,
            f"Choose the one category that fits the text below best.{none}\n\nCategories:\n{listed}\n\n"
            + (f"Rules:\n{rules}\n\n" if rules else "")
            + f"Text:\n{text}",
            schema,
            field="categories",
            model=setting["model"],
            temperature=0.0,
        )
        value = asked.value
        chosen = value["category"] if isinstance(value, dict) else NONE
        is_none = setting["allow_none"] and chosen == NONE
        output: JSONObject = {
            "content": "None of these" if is_none else chosen,
            "category": None if is_none else chosen,
        }
        if setting["reason"] and isinstance(value, dict):
            output["reason"] = value["reason"]
        port = chosen if setting["branch"] else "out"
        notes = "; ".join(part for part in (f"{output['content']}", answer_notes(asked)) if part)
        return Completed(output, port=port, answers=asked.answers, notes=notes[:255])


def _names(config: JSONObject) -> list[str]:
    return [entry["name"] for entry in config.get("categories") or () if entry["name"]]


def _schema(names: list[str], *, reason: bool) -> JSONObject:
    properties: JSONObject = {"category": {"type": "string", "enum": names}}
    if reason:
        # Before the category, so that a model thinks first and chooses then.
        properties = {"reason": {"type": "string", "description": "Why, in one sentence."}, **properties}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
