"""Cleans a text: broken letters, HTML, blank space, and what else is asked for. Offline."""

from __future__ import annotations

import re
from typing import Final

from workflows.definition.retry import THREE_TIMES, RetryPolicy
from workflows.lib.jsontypes import JSONObject
from workflows.steps.asking import answer_notes, ask
from workflows.steps.base import Completed, ExecutionKind, Group, Outcome, StepContext, StepError, StepType
from workflows.steps.fields import (
    MODEL,
    BoolField,
    ChoiceField,
    SwitchedModelSettings,
    TemplateField,
    filled,
    method_field,
    switched_to_model,
)
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, needed_text, usable

_TAG = re.compile(
    r"<(?:!doctype|html|head|body|p|div|span|br|a|ul|ol|li|h[1-6]|table|tr|td|strong|em|b|i|img)\b[^>]*>",
    re.I,
)
_BLOCKS: Final = ("p", "div", "section", "article", "header", "footer", "main", "aside", "nav", "ul", "ol", "table",
                  "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "figure", "form")  # fmt: skip
_LINES: Final = ("br", "li", "tr", "dt", "dd", "hr")
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>()\[\]]+", re.I)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_QUOTES: Final = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'"}
)
_INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad]")


@register
class CleanTextStep(StepType):
    """Tidies a text: mends broken letters, takes out HTML and surplus blank space. Needs no key and no network."""

    name, label, icon, group = "clean_text", "Clean text", "eraser", Group.DO
    tagline = "Tidy a messy text"

    class ConfigForm(SwitchedModelSettings):
        field_order = (
            "text",
            "fix_letters",
            "html",
            "whitespace",
            "straight_quotes",
            "remove_links",
            "remove_emails",
            "lower_case",
            "method",
        )

        text = TemplateField(label="Text", section="Text", rows=2, initial=PREVIOUS, required=True)
        fix_letters = BoolField(
            label="Mend broken letters", help_text="schÃ¶n becomes schön.", section="Cleaning", initial=True
        )
        html = ChoiceField(
            label="HTML",
            choices=(("auto", "Take out if it is HTML"), ("always", "Always take out"), ("keep", "Keep")),
            section="Cleaning",
        )
        whitespace = ChoiceField(
            label="Blank space",
            choices=(
                ("paragraphs", "Tidy, keep paragraphs"),
                ("single_line", "Everything on one line"),
                ("keep", "Keep"),
            ),
            section="Cleaning",
        )
        straight_quotes = BoolField(label="Straight quotes", section="Cleaning", more=True)
        remove_links = BoolField(label="Take out web addresses", section="Cleaning", more=True)
        remove_emails = BoolField(label="Take out email addresses", section="Cleaning", more=True)
        lower_case = BoolField(label="Small letters only", section="Cleaning", more=True)
        method = method_field("mends and tidies")

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC if switched_to_model(config) else ExecutionKind.CPU

    def uses_model(self, config: JSONObject) -> bool:
        return switched_to_model(config)

    def retry_policy(self, config: JSONObject) -> RetryPolicy:
        return THREE_TIMES if switched_to_model(config) else self.default_retry

    def summary(self, config: JSONObject) -> str:
        setting = filled(self.ConfigForm, config)
        deeds = [
            ("mends letters", setting["fix_letters"]),
            ("takes out HTML", setting["html"] != "keep"),
            ("tidies blank space", setting["whitespace"] != "keep"),
            ("takes out links", setting["remove_links"]),
            ("takes out email addresses", setting["remove_emails"]),
            ("straightens quotes", setting["straight_quotes"]),
            ("small letters", setting["lower_case"]),
        ]
        words = ", ".join(word for word, on in deeds if on) or "keeps the text as it is"
        who = " by a model" if setting["method"] == MODEL else ""
        return f"{words[0].upper()}{words[1:]}{who}"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("characters_before", "number"), ("characters_after", "number"))

    def execute(self, context: StepContext) -> Outcome:
        """The cleaned text as `content`. Raises StepError when there is none, or nothing is left of it."""
        setting = filled(self.ConfigForm, context.config)
        text = needed_text(context, setting["text"], field="text", label="Text")
        return self._done(text, clean(text, setting))

    async def execute_async(self, context: StepContext) -> Outcome:
        setting = filled(self.ConfigForm, context.config)
        text = needed_text(context, setting["text"], field="text", label="Text")
        answer = await ask(
            context,
            "Clean the text below: mend broken letters and spacing, take out markup, menus and other leftovers. "
            "Do not add, shorten or reword anything. Answer with the cleaned text only.\n\nText:\n"
            + clean(text, setting),
            model=setting["model"],
            temperature=0.0,
            max_tokens=max(2_000, len(text) // 2),
        )
        done = self._done(text, answer.text.strip())
        return Completed(
            done.output, answers=(answer,), notes="; ".join(filter(None, (done.notes, answer_notes(answer))))
        )

    def _done(self, before: str, after: str) -> Completed:
        if not after.strip():
            raise StepError(
                "Nothing is left of the text after cleaning.",
                code="empty_output",
                field="text",
                fix="Clean less of it.",
            )
        fewer = len(before) - len(after)
        notes = f"{len(before):,} → {len(after):,} characters" if fewer else "The text was clean already"
        return Completed(
            {"content": after, "characters_before": len(before), "characters_after": len(after)}, notes=notes
        )


def clean(text: str, setting: JSONObject) -> str:
    """The text after every cleaning that the settings ask for."""
    import ftfy

    text = usable(text)
    if setting["fix_letters"]:
        # Quotes are a setting of their own; HTML entities are taken out with the HTML.
        text = ftfy.fix_text(text, uncurl_quotes=False, unescape_html=False)
    if setting["html"] == "always" or (setting["html"] == "auto" and _TAG.search(text)):
        text = without_html(text)
    text = _INVISIBLE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    if setting["remove_links"]:
        text = _LINK.sub("", text)
    if setting["remove_emails"]:
        text = _EMAIL.sub("", text)
    if setting["straight_quotes"]:
        text = text.translate(_QUOTES)
    if setting["lower_case"]:
        text = text.lower()
    if setting["whitespace"] == "single_line":
        return " ".join(text.split())
    if setting["whitespace"] == "paragraphs":
        lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in text.split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return text


def without_html(text: str) -> str:
    """The words of an HTML text, a blank line between blocks; scripts and styles go, headings stay as lines."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(text)
    tree.strip_tags(["script", "style", "noscript", "template", "head"])
    for selector, mark in ((",".join(_BLOCKS), "\n\n"), (",".join(_LINES), "\n")):
        for node in tree.css(selector):
            if node.tag == "li":
                node.insert_before("\n- ")
            elif node.tag in ("br", "hr"):
                node.insert_after(mark)
            else:
                node.insert_before(mark)
                node.insert_after(mark)
    for node in tree.css("td,th"):
        node.insert_after(" ")
    root = tree.body or tree.root
    found = root.text(deep=True) if root is not None else ""
    # Blank space that the source used for layout is none of the text's.
    found = re.sub(r"[^\S\n]+", " ", found)
    return re.sub(r"\s*\n[ \n]*\n\s*", "\n\n", re.sub(r" ?\n ?", "\n", found)).strip()
