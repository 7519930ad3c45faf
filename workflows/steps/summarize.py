"""Summarizes by picking sentences: every sentence of the summary stands in the text. Offline, or by a model."""

from __future__ import annotations

import math
import re
from typing import Final

from workflows.definition.graph import StepDef
from workflows.definition.retry import THREE_TIMES, RetryPolicy
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.asking import answer_notes, ask
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
from workflows.steps.language import (
    CHOICES,
    LANGUAGES,
    language_of,
    sentences_of,
    stemmer,
    stop_words,
    words_of,
)
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, clip, needed_text, plural

# Ranking compares every sentence with every other: longer texts are ranked in blocks of this many.
_BLOCK: Final = 200


@register
class SummarizeStep(StepType):
    """Shortens a text to its most telling sentences, word for word. Needs no key and no network."""

    name, label, icon, group = "summarize", "Summarize", "align-left", Group.THINK
    tagline = "The most telling sentences"

    class ConfigForm(SwitchedModelSettings):
        field_order = ("text", "length", "sentences", "share", "ranking", "language", "method")

        text = TemplateField(label="Text", section="Text", rows=2, initial=PREVIOUS, required=True)
        length = ChoiceField(
            label="Length",
            choices=(("sentences", "A number of sentences"), ("share", "A share of the text")),
            section="Summary",
        )
        sentences = NumberField(
            label="Sentences",
            section="Summary",
            least=1,
            most=200,
            initial=5,
            shown_when=("length", ("sentences",)),
            other_names=("count", "sentence_count"),
        )
        share = NumberField(
            label="Share",
            unit="%",
            section="Summary",
            least=1,
            most=90,
            initial=20,
            shown_when=("length", ("share",)),
        )
        ranking = ChoiceField(
            label="Ranking",
            choices=(("lexrank", "LexRank"), ("textrank", "TextRank")),
            section="Summary",
            more=True,
        )
        language = ChoiceField(label="Language", choices=CHOICES, section="Summary", more=True)
        method = method_field("picks sentences")

    def adopt(self, config: JSONObject) -> JSONObject:
        if "length" not in config and config.get("share") and not config.get("sentences"):
            return {**config, "length": "share"}
        return config

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC if switched_to_model(config) else ExecutionKind.CPU

    def uses_model(self, config: JSONObject) -> bool:
        return switched_to_model(config)

    def retry_policy(self, config: JSONObject) -> RetryPolicy:
        return THREE_TIMES if switched_to_model(config) else self.default_retry

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        setting = filled(self.ConfigForm, step.config)
        name = setting["length"]
        if name in ("sentences", "share") and setting[name] is None:
            return (
                Problem("required", "The length of the summary is missing.", field=name, fix="Fill it in."),
            )
        return ()

    def summary(self, config: JSONObject) -> str:
        setting = filled(self.ConfigForm, config)
        wanted = (
            f"{setting['share']}% of the text"
            if setting["length"] == "share"
            else plural(setting["sentences"] or 0, "sentence")
        )
        return f"Summarizes in {wanted}, {'by a model' if setting['method'] == MODEL else 'word for word'}"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("sentences", "array"), ("sentences_before", "number"))

    def execute(self, context: StepContext) -> Outcome:
        """The chosen sentences in the text's order as `content` and, one by one, as `sentences`."""
        setting = filled(self.ConfigForm, context.config)
        text = needed_text(context, setting["text"], field="text", label="Text")
        sentences = sentences_of(text)
        if not sentences:
            raise StepError("The text holds no words to summarize.", code="empty_input", field="text")
        wanted = _wanted(setting, len(sentences))
        language = language_of(text, setting["language"])
        # A sentence that the text repeats says nothing new the second time.
        distinct = list(dict.fromkeys(sentences))
        picked = pick(distinct, min(wanted, len(distinct)), language=language, ranking=setting["ranking"])
        output = {
            "content": " ".join(picked),
            "sentences": picked,
            "sentences_before": len(sentences),
            "language": language,
            "shortened": len(picked) < len(sentences),
        }
        notes = f"{len(picked)} of {plural(len(sentences), 'sentence')} kept ({LANGUAGES[language][0]})"
        if len(sentences) == 1:
            # A summary of whole sentences cannot be shorter than one: say so instead of pretending.
            notes = "The text is a single sentence: it is kept as it is"
        return Completed(output, notes=notes)

    async def execute_async(self, context: StepContext) -> Outcome:
        setting = filled(self.ConfigForm, context.config)
        text = needed_text(context, setting["text"], field="text", label="Text")
        count = len(sentences_of(text))
        wanted = _wanted(setting, max(count, 1))
        answer = await ask(
            context,
            f"Summarize the text below in at most {plural(wanted, 'sentence')}, in the text's own language. "
            f"Use only what the text says. Answer with the summary only.\n\nText:\n{text}",
            model=setting["model"],
            temperature=0.2,
        )
        return Completed(
            {
                "content": answer.text.strip(),
                "sentences": sentences_of(answer.text),
                "sentences_before": count,
                "shortened": len(answer.text) < len(text),
            },
            answers=(answer,),
            notes=answer_notes(answer) or f"Summary of {clip(text, 30)}",
        )


def _wanted(setting: JSONObject, count: int) -> int:
    """How many sentences to keep: at least one, and at least one fewer than there are where that is possible."""
    if setting["length"] == "share":
        wanted = math.floor(count * (setting["share"] or 20) / 100 + 0.5)
    else:
        wanted = setting["sentences"] or 5
    return max(1, min(wanted, count - 1))


def pick(sentences: list[str], count: int, *, language: str, ranking: str) -> list[str]:
    """The `count` most telling sentences, in their order. Long texts are ranked block by block, then among the winners."""
    places = list(range(len(sentences)))
    while len(places) > _BLOCK:
        kept: list[int] = []
        for start in range(0, len(places), _BLOCK):
            block = places[start : start + _BLOCK]
            share = max(1, min(len(block) // 2, max(math.ceil(count * len(block) / len(places)) * 2, 20)))
            kept += _best(sentences, block, share, language=language, ranking=ranking)
        if len(kept) <= count or len(kept) >= len(places):
            break
        places = kept
    return [sentences[place] for place in _best(sentences, places, count, language=language, ranking=ranking)]


def _best(sentences: list[str], places: list[int], count: int, *, language: str, ranking: str) -> list[int]:
    if count >= len(places):
        return places
    import numpy
    from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence
    from sumy.summarizers.lex_rank import LexRankSummarizer
    from sumy.summarizers.text_rank import TextRankSummarizer

    items = [sentences[place] for place in places]
    document = ObjectDocumentModel([Paragraph([Sentence(item, _Words()) for item in items])])
    summarizer = (TextRankSummarizer if ranking == "textrank" else LexRankSummarizer)(stemmer(language))
    summarizer.stop_words = stop_words(language)
    # We want the ratings themselves, to settle ties and fragments our own way.
    summarizer._get_best_sentences = lambda sentences, count, ratings: ratings
    try:
        with numpy.errstate(all="ignore"):  # sentences without a common word divide by nothing
            found = {str(sentence): float(rating) for sentence, rating in summarizer(document, count).items()}
    except (ArithmeticError, ValueError, AssertionError):
        found = {}  # texts without a word that counts; then the first sentences stand for them
    ratings = {text: rating for text, rating in found.items() if math.isfinite(rating)}
    words = [len(words_of(item)) for item in items]
    scored = [
        # Fragments of a word or two rank low whatever the graph says; the earlier of equals goes first.
        (
            ratings.get(items[index], 0.0) * (0.3 if words[index] < 4 or _is_heading(items[index]) else 1.0),
            -index,
        )
        for index in range(len(items))
    ]
    order = sorted(range(len(items)), key=lambda index: scored[index], reverse=True)
    return [places[index] for index in sorted(order[:count])]


class _Words:
    """Words for sumy, whose own tokenizer would need a download."""

    def to_words(self, sentence: str) -> tuple[str, ...]:
        return tuple(words_of(sentence))

    def to_sentences(self, paragraph: str) -> tuple[str, ...]:
        return (paragraph,)


def _is_heading(sentence: str) -> bool:
    return sentence.lstrip().startswith("#") or not re.search(r"[.!?…:;。！？][\"'”’)\]]*$", sentence.strip())
