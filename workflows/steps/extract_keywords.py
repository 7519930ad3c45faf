"""Finds the words and phrases that a text is about; each of them stands in the text. Offline, or by a model."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from workflows.definition.retry import THREE_TIMES, RetryPolicy
from workflows.lib.jsontypes import JSONObject
from workflows.steps.asking import answer_notes, ask_fields
from workflows.steps.base import Completed, ExecutionKind, Group, Outcome, StepContext, StepError, StepType
from workflows.steps.fields import (
    MODEL,
    ChoiceField,
    NumberField,
    SwitchedModelSettings,
    TemplateField,
    filled,
    method_field,
    switched_to_model,
)
from workflows.steps.language import CHOICES, LANGUAGES, language_of, stemmer, stop_words, words_of
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, needed_text, plural

# Beyond this a text tells nothing new about its words, and ranking takes minutes.
_MOST_CHARS: Final = 300_000


@register
class ExtractKeywordsStep(StepType):
    """Finds the words and phrases that a text is about. Needs no key and no network."""

    name, label, icon, group = "extract_keywords", "Extract keywords", "key-round", Group.THINK
    tagline = "What a text is about"

    class ConfigForm(SwitchedModelSettings):
        field_order = ("text", "count", "max_words", "language", "method")

        text = TemplateField(label="Text", section="Text", rows=2, initial=PREVIOUS, required=True)
        count = NumberField(
            label="At most",
            unit="keywords",
            section="Keywords",
            least=1,
            most=100,
            initial=10,
            other_names=("max_keywords", "top"),
        )
        max_words = NumberField(
            label="Words in a phrase",
            help_text="The longest phrase.",
            section="Keywords",
            least=1,
            most=5,
            initial=3,
            more=True,
        )
        language = ChoiceField(label="Language", choices=CHOICES, section="Keywords", more=True)
        method = method_field("by position, frequency and company")

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC if switched_to_model(config) else ExecutionKind.CPU

    def uses_model(self, config: JSONObject) -> bool:
        return switched_to_model(config)

    def retry_policy(self, config: JSONObject) -> RetryPolicy:
        return THREE_TIMES if switched_to_model(config) else self.default_retry

    def summary(self, config: JSONObject) -> str:
        setting = filled(self.ConfigForm, config)
        by = ", by a model" if setting["method"] == MODEL else ""
        return f"Finds up to {plural(setting['count'] or 10, 'keyword')}{by}"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("keywords", "array"), ("scores", "array"))

    def execute(self, context: StepContext) -> Outcome:
        """Keywords as a list and, with commas, as `content`; `scores` say how telling each is (1 the most)."""
        setting = filled(self.ConfigForm, context.config)
        text = needed_text(context, setting["text"], field="text", label="Text")
        language = language_of(text, setting["language"])
        found = keywords_of(
            text, count=setting["count"] or 10, longest=setting["max_words"] or 3, language=language
        )
        if not found:
            raise StepError(
                "The text holds no words to choose keywords from.",
                code="empty_input",
                field="text",
                fix="Look at what the step before gives.",
            )
        return Completed(
            _output(found) | {"language": language},
            notes=f"{plural(len(found), 'keyword')} ({LANGUAGES[language][0]})",
        )

    async def execute_async(self, context: StepContext) -> Outcome:
        setting = filled(self.ConfigForm, context.config)
        text = needed_text(context, setting["text"], field="text", label="Text")
        count = setting["count"] or 10
        schema: JSONObject = {
            "type": "object",
            "required": ["keywords"],
            "additionalProperties": False,
            "properties": {"keywords": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
        }
        asked = await ask_fields(
            context,
            f"Choose at most {plural(count, 'keyword')} that say what the text below is about, the most telling first. "
            f"Take each exactly as it stands in the text.\n\nText:\n{text}",
            schema,
            field="method",
            model=setting["model"],
            temperature=0.0,
        )
        value = asked.value
        named = value["keywords"] if isinstance(value, dict) else []
        language = language_of(text, setting["language"])
        standing = [spelled for word in named if (spelled := standing_in(word, text))]
        # The first spelling of each: "river" and "Rivers" say the same.
        distinct = list({_stems(word, language): word for word in reversed(standing)}.values())[::-1]
        if not distinct:
            raise StepError(
                "None of the keywords that the model named stands in the text.",
                code="invalid_answer",
                retryable=True,
                field="method",
                detail=asked.answer.text[:2_000],
            )
        kept = distinct[:count]
        found = [(word, round(1 - place / len(kept), 3)) for place, word in enumerate(kept)]
        left_out = len(named) - len(standing)
        notes = f"{left_out} left out that do not stand in the text" if left_out else ""
        return Completed(
            _output(found), answers=asked.answers, notes="; ".join(filter(None, (notes, answer_notes(asked))))
        )


def _output(found: list[tuple[str, float]]) -> JSONObject:
    words = [word for word, _ in found]
    scores = [{"keyword": word, "score": score} for word, score in found]
    return {"content": ", ".join(words), "keywords": words, "scores": scores}


def keywords_of(text: str, *, count: int, longest: int, language: str) -> list[tuple[str, float]]:
    """(keyword as it stands in the text, score from 1 down to 0), the most telling first; empty for no words."""
    import yake

    text = text[:_MOST_CHARS]
    # More than asked for, as many fall away as forms of one word.
    extractor = yake.KeywordExtractor(
        lan=LANGUAGES[language][3], n=longest, top=count * 4, dedupLim=0.8, windowsSize=2
    )
    # yake gives small numbers for good words, as numpy floats.
    ranked = [(str(word), float(score)) for word, score in extractor.extract_keywords(text)]
    found: dict[str, float] = {}
    seen: list[frozenset[str]] = []
    for word, score in ranked:
        spelled = standing_in(word, text)
        if spelled and _says_more(stems := _stems(spelled, language), seen):
            seen.append(stems)
            found[spelled] = round(1 / (1 + score), 3)
    for word in _frequent(text, language):
        if len(found) >= min(count, 3):
            break
        # Very short texts: yake finds nothing, the words themselves are then the keywords.
        if _says_more(stems := _stems(word, language), seen):
            seen.append(stems)
            found[word] = 0.5
    return list(found.items())[:count]


def _stems(keyword: str, language: str) -> frozenset[str]:
    """What two spellings of one keyword share: the stems of its words, in any order."""
    return frozenset(map(stemmer(language), words_of(keyword) or [keyword]))


def _says_more(stems: frozenset[str], seen: list[frozenset[str]]) -> bool:
    """Neither another form of a keyword, nor a piece of a phrase or of several: half of it or less stands in one."""
    new = stems.difference(*seen)
    return bool(new) and not any(2 * len(stems & known) > len(stems) for known in seen)


def standing_in(keyword: str, text: str) -> str | None:
    """The keyword as it stands in the text (letters' case, blank space between words), or None."""
    parts = keyword.split()
    if not parts:
        return None
    pattern = r"\s+".join(re.escape(part) for part in parts)
    found = re.search(rf"(?<!\w){pattern}(?!\w)", text) or re.search(
        rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE
    )
    # A phrase that a line break divides is no text that can be found again as one line.
    if found is None or "\n" in found.group():
        return None
    return found.group()


def _frequent(text: str, language: str) -> list[str]:
    stops = stop_words(language)
    every = words_of(text)
    words = [word for word in every if not word.isdigit()] or every
    telling = [word for word in words if word.casefold() not in stops and len(word) > 2] or words
    first = {word.casefold(): word for word in reversed(telling)}
    counts = Counter(word.casefold() for word in telling)
    return [first[word] for word, _ in sorted(counts.items(), key=lambda entry: (-entry[1], -len(entry[0])))]
