"""Puts a text into one of the given categories, and shows why. Offline, or by a model."""

from __future__ import annotations

from typing import Final

from workflows.definition.graph import StepDef
from workflows.definition.retry import THREE_TIMES, RetryPolicy
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.asking import answer_notes, ask_fields
from workflows.steps.base import Completed, ExecutionKind, Group, Outcome, StepContext, StepError, StepType
from workflows.steps.fields import (
    MODEL,
    CategoriesField,
    ChoiceField,
    SwitchedModelSettings,
    TemplateField,
    TextField,
    filled,
    method_field,
    switched_to_model,
)
from workflows.steps.language import CHOICES, language_of, stemmer, words_of
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, clip, needed_text

# A category's own name speaks for it half as loud again as one of its terms.
_NAME_WEIGHT: Final = 1.5


@register
class TagCategoryStep(StepType):
    """Puts a text into one of your categories by the words that speak for each. Needs no key and no network."""

    name, label, icon, group = "tag_category", "Tag with a category", "tag", Group.THINK
    tagline = "One of your categories"

    class ConfigForm(SwitchedModelSettings):
        field_order = ("text", "categories", "fallback", "language", "method")

        text = TemplateField(label="Text", section="Text", rows=2, initial=PREVIOUS, required=True)
        categories = CategoriesField(
            label="Categories",
            help_text="Each with words or phrases that speak for it. Other forms of a word count too.",
            section="Categories",
            required=True,
        )
        fallback = TextField(
            label="If nothing matches",
            help_text="A category of the list. Left empty: the first one.",
            section="Categories",
            other_names=("default",),
        )
        language = ChoiceField(label="Language", choices=CHOICES, section="Categories", more=True)
        method = method_field("counts the words")

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC if switched_to_model(config) else ExecutionKind.CPU

    def uses_model(self, config: JSONObject) -> bool:
        return switched_to_model(config)

    def retry_policy(self, config: JSONObject) -> RetryPolicy:
        return THREE_TIMES if switched_to_model(config) else self.default_retry

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        names = [entry["name"] for entry in step.config.get("categories") or ()]
        fallback = step.config.get("fallback")
        if fallback and names and fallback not in names:
            message = f"“{fallback}” is none of the categories."
            return (
                Problem("bad_choice", message, field="fallback", fix=f"Choose one of: {', '.join(names)}."),
            )
        return ()

    def summary(self, config: JSONObject) -> str:
        names = [entry["name"] for entry in config.get("categories") or ()]
        by = ", by a model" if config.get("method") == MODEL else ""
        return f"One of {clip(', '.join(names))}{by}" if names else "No categories yet"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("category", "string"), ("matched", "boolean"), ("scores", "array"))

    def execute(self, context: StepContext) -> Outcome:
        """The category as `content`, with the score of each and the words that made it."""
        setting = filled(self.ConfigForm, context.config)
        text, categories = self._given(context, setting)
        language = language_of(text, setting["language"])
        scores = score(text, categories, language=language)
        best = max(scores, key=lambda entry: float(entry["score"]))
        matched = best["score"] > 0
        category = best["category"] if matched else self._fallback(setting, categories)
        words = ", ".join(match["term"] for match in best["matches"][:5])
        notes = f"Words that decided: {words}" if matched else "No word matched; the fallback was taken"
        return Completed(
            {
                "content": category,
                "category": category,
                "matched": matched,
                "scores": scores,
                "language": language,
            },
            notes=notes,
        )

    async def execute_async(self, context: StepContext) -> Outcome:
        setting = filled(self.ConfigForm, context.config)
        text, categories = self._given(context, setting)
        names = [entry["name"] for entry in categories]
        schema: JSONObject = {
            "type": "object",
            "required": ["category"],
            "additionalProperties": False,
            "properties": {"category": {"type": "string", "enum": names}},
        }
        listed = "\n".join(
            f"- {entry['name']}" + (f" (for example: {', '.join(entry['terms'])})" if entry["terms"] else "")
            for entry in categories
        )
        fallback = self._fallback(setting, categories)
        asked = await ask_fields(
            context,
            f"Choose the one category that fits the text below best. If none fits, choose “{fallback}”.\n\n"
            f"Categories:\n{listed}\n\nText:\n{text}",
            schema,
            field="categories",
            model=setting["model"],
            temperature=0.0,
        )
        value = asked.value
        category = value["category"] if isinstance(value, dict) else fallback
        scores = score(text, categories, language=language_of(text, setting["language"]))
        return Completed(
            {"content": category, "category": category, "matched": True, "scores": scores},
            answers=asked.answers,
            notes=answer_notes(asked),
        )

    def _given(self, context: StepContext, setting: JSONObject) -> tuple[str, list[JSONObject]]:
        if not setting["categories"]:
            raise StepError(
                "There are no categories to choose from.",
                code="required",
                field="categories",
                fix="Add categories.",
            )
        return needed_text(context, setting["text"], field="text", label="Text"), setting["categories"]

    def _fallback(self, setting: JSONObject, categories: list[JSONObject]) -> str:
        names = [str(entry["name"]) for entry in categories]
        return setting["fallback"] if setting["fallback"] in names else names[0]


def score(text: str, categories: list[JSONObject], *, language: str) -> list[JSONObject]:
    """For each category its score and the matches behind it, in the given order.

    Every occurrence of a term counts as many points as the term has words, the category's own name half as much
    again. Words are compared by their stems. `share` is the part of all points.
    """
    stem = stemmer(language)
    stems = [stem(word) for word in words_of(text.replace("-", " "))]
    places: dict[str, list[int]] = {}
    for place, found in enumerate(stems):
        places.setdefault(found, []).append(place)
    scored: list[JSONObject] = []
    for entry in categories:
        matches: list[JSONObject] = []
        terms = dict.fromkeys([entry["name"], *entry["terms"]])
        counted: set[tuple[str, ...]] = set()
        for term in terms:
            wanted = tuple(stem(word) for word in words_of(term.replace("-", " ")))
            if not wanted or wanted in counted:
                continue
            counted.add(wanted)
            size = len(wanted)
            count = sum(tuple(stems[place : place + size]) == wanted for place in places.get(wanted[0], ()))
            if count:
                weight = size * (_NAME_WEIGHT if term == entry["name"] else 1)
                matches.append({"term": term, "count": count, "points": count * weight})
        matches.sort(key=lambda match: -float(match["points"]))
        scored.append(
            {
                "category": entry["name"],
                "score": sum(match["points"] for match in matches),
                "matches": matches,
            }
        )
    total = sum(entry["score"] for entry in scored)
    for entry in scored:
        entry["share"] = round(entry["score"] / total, 3) if total else 0
    return scored
