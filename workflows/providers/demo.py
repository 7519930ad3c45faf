"""A model for trying everything out: offline, the same answer for the same prompt, streamed, and labelled as a demonstration."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.providers import errors
from workflows.providers.base import Account, ChatAnswer, ChatRequest, OnDelta, Provider, Usage
from workflows.providers.pricing import estimate_tokens
from workflows.providers.registry import register

NOTICE: Final = "> **Demonstration.** Written offline by Stepwell's demo provider; no model was asked."
PAUSE_VARIABLE: Final = "STEPWELL_DEMO_PAUSE_MS"
_PAUSE_MS: Final = 12.0
_PIECE: Final = re.compile(r"\s*\S+\s*\S*", re.DOTALL)

_STOP_WORDS: Final = (
    "a about above after again all also am an analysis and answer any are as ask asked at based be "
    "because been before being below between both break bring build but by can concept consider content "
    "context could demonstration describe do does doing down during each earlier etc every expand explain "
    "few first five following for four from further gather give given had has have having here how idea "
    "if in input into is it its itself just keep let lets like list make may model more most must my need "
    "needs new no nor not now of off offline on once one only or other our out output over own per please "
    "previous prompt provider result same section sections sentence sentences should so some step steps "
    "stepwell such take text than that the their them then there these they this those three through to "
    "too turn two under until up use used using very via was we were what when where which while who whom "
    "whose why will with within without word words would write written yes you your "
)
_STOP: Final = frozenset(_STOP_WORDS.split())

# (words in the task) → (title, sections). The first row with a word in the task holds.
_Plan = tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]
_PLANS: Final[tuple[tuple[tuple[str, ...], _Plan], ...]] = (
    (
        ("implementation prompt", "coding task", "actionable", "implementation"),
        (
            "Implementation prompts",
            (
                (
                    "Tasks, in order",
                    (
                        "Set up the data behind {0}: name the records, what each must hold, and the rule that keeps them right.",
                        "Build the first path a user takes through {1}, from the empty page to the finished result, with its tests.",
                        "Connect {0} and {2}; every failure tells the person what happened and what to do next.",
                        "Add the settings for {3}, each with a sensible default, and show their effect at once.",
                        "Measure {1}: record the time and the outcome of every use, and put both on one page.",
                    ),
                ),
                (
                    "Done when",
                    (
                        "a stranger gets from nothing to {0} in five minutes without help",
                        "each task above has a test that fails when it is taken out",
                        "the page works by keyboard and on a phone",
                    ),
                ),
            ),
        ),
    ),
    (
        ("wisdom", "strateg", "lesson"),
        (
            "Strategic view",
            (
                (
                    "What matters most",
                    (
                        "The value lies in {0}; everything else serves it or waits.",
                        "{1} is where people will judge the result, so it deserves the most care.",
                        "A small {2} that always works beats a large one that sometimes does.",
                    ),
                ),
                (
                    "Choices to make early",
                    (
                        "Decide who owns {1} and who may change it.",
                        "Decide what {3} may cost, in time and in money.",
                        "Write down what would make you stop.",
                    ),
                ),
                (
                    "What to watch",
                    ("the share of people who come back to {0}", "the time from first visit to first result"),
                ),
            ),
        ),
    ),
    (
        ("research", "gather", "evidence", "background", "sources"),
        (
            "What bears on it",
            (
                (
                    "What is known",
                    (
                        "People already solve {0} by hand; the hours they spend are the measure to beat.",
                        "{1} has been tried before: the attempts that lasted began with one narrow use.",
                        "Rules and habits around {2} differ from place to place and must be asked for, not assumed.",
                    ),
                ),
                (
                    "What to find out",
                    (
                        "Talk to five people who deal with {0} every week.",
                        "Collect three real examples of {1}, the good and the bad.",
                        "Compare two existing ways of handling {3}.",
                    ),
                ),
                (
                    "How sure we are",
                    ("This is a demonstration: treat every statement as a question to check.",),
                ),
            ),
        ),
    ),
    (
        ("feature", "extend", "extension", "add to", "broaden"),
        (
            "Features to add",
            (
                (
                    "First",
                    (
                        "**Start in one click**: an example of {0} that already works and can be changed.",
                        "**See before you do**: a preview of {1} with real data.",
                        "**Undo**: every change to {2} can be taken back.",
                    ),
                ),
                (
                    "Then",
                    (
                        "**Share**: hand {0} to a colleague with the right to read or to change.",
                        "**Remind**: say when {3} waits for a person.",
                        "**Learn**: keep what people correct in {1} and propose it next time.",
                    ),
                ),
                ("Left out on purpose", ("anything about {2} that fewer than one in ten people would use",)),
            ),
        ),
    ),
    (
        ("improve", "refine", "polish", "final", "better", "sharpen"),
        (
            "Improvements",
            (
                (
                    "Changes",
                    (
                        "Say in the first line what {0} does for whom.",
                        "Merge {1} and {2} where people meet both at the same moment.",
                        "Replace every guess about {3} by a question or a measured number.",
                        "Cut what does not help a person to finish.",
                    ),
                ),
                (
                    "Why they help",
                    (
                        "fewer decisions before the first result",
                        "one place to look when something about {1} goes wrong",
                    ),
                ),
                ("Still open", ("Who decides when {0} is good enough?",)),
            ),
        ),
    ),
    (
        ("summar", "shorten", "in brief", "digest"),
        (
            "In brief",
            (
                (
                    "The main points",
                    (
                        "The text is about {0} and what it means for {1}.",
                        "It gives most room to {2}.",
                        "It leaves open how {3} goes on.",
                    ),
                ),
            ),
        ),
    ),
    (
        ("email", "letter", "post", "announcement", "message", "reply"),
        (
            "Draft",
            (
                (
                    "Text",
                    (
                        "Hello, you asked about {0}; here is where things stand.",
                        "We have looked at {1}, and the next step is to agree on {2}.",
                        "Tell us by the end of the week whether {3} suits you, and we will go on.",
                    ),
                ),
            ),
        ),
    ),
    (
        ("break down", "analy", "idea", "concept", "evaluate", "assess", "review"),
        (
            "Analysis",
            (
                (
                    "What it is",
                    (
                        "At its heart stands {0}: people get a result that they now put together by hand.",
                        "It is for those who meet {1} every week and lose time over it.",
                    ),
                ),
                (
                    "The parts",
                    (
                        "**{0}**: what goes in, who provides it and how it is checked",
                        "**{1}**: the work in the middle, small enough to be tested alone",
                        "**{2}**: what comes out, and who sees it first",
                        "**{3}**: what is kept, so that the next time is easier",
                    ),
                ),
                (
                    "Risks",
                    (
                        "{1} may be harder to get right than it looks; try it with ten real cases first.",
                        "If {2} is late or wrong, people go back to their old way.",
                    ),
                ),
                ("Open questions", ("Who says when it is good enough?", "What may it cost for each use?")),
            ),
        ),
    ),
)
_DEFAULT: Final[_Plan] = (
    "Answer",
    (
        (
            "In short",
            ("The request is about {0}, and {1} is what decides whether it succeeds.",),
        ),
        (
            "Main points",
            (
                "Start from {0} and name the one result that counts.",
                "Treat {1} as its own piece of work, with its own check.",
                "Make {2} visible early, so that people can correct it.",
                "Keep {3} simple until somebody needs more.",
            ),
        ),
        (
            "Next steps",
            ("Try it on one real case.", "Write down what was missing about {1}.", "Decide, then go on."),
        ),
    ),
)

_SUBJECT: Final = re.compile(
    r"^\W{0,4}(?:the |this |our |my )?(?:idea|concept|topic|subject|text|brief|article|product|plan|request|input|question)"
    r"\b[^:\n]{0,40}:\W{0,3}\s*(\S[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
# What an earlier demonstration step said its subject was, and the lines of its own that are no content.
_GIVEN: Final = re.compile(r"^What was given: “([^”\n]+)”", re.MULTILINE)
_OWN: Final = re.compile(
    r"^Demonstration|^What was given|^(?:Idea|Concept|Topic|Text):|[Cc]onnect a provider|provider connected|"
    r"real model|^This builds on|…$|…”$"
)


@register
class Demo(Provider):
    """Answers without a key or a network. The words are made from the prompt: useful to look at, not to rely on."""

    name, label, rank = "demo", "Demonstration", 100

    async def chat(
        self, request: ChatRequest, *, model: str, account: Account | None, on_delta: OnDelta
    ) -> ChatAnswer:
        """See Provider.chat. Deterministic: model and messages decide the text, the clock only its pace."""
        if not any(message.content.strip() for message in request.messages):
            raise errors.empty_answer(provider=self.name, label=self.label)
        source = _Source.read(request, model)
        if request.response_schema is not None:
            text = json.dumps(instance_of(request.response_schema, source), ensure_ascii=False, indent=2)
        else:
            text = _prose(source)
        finish = "stop"
        if request.max_tokens is not None and estimate_tokens(text) > request.max_tokens:
            text, finish = text[: max(request.max_tokens, 1) * 4].rstrip(), "length"
        pause = _pause_s()
        try:
            async with asyncio.timeout(request.total_timeout_s):
                for piece in _pieces(text):
                    on_delta(piece)
                    await asyncio.sleep(pause)
        except TimeoutError:
            raise errors.timed_out(
                provider=self.name, label=self.label, seconds=request.total_timeout_s
            ) from None
        sent = "\n".join(message.content for message in request.messages)
        return ChatAnswer(
            text=text,
            provider=self.name,
            model=model,
            usage=Usage(estimate_tokens(sent), estimate_tokens(text), estimated=True),
            finish_reason=finish,
            raw={"request": {"messages": [{"role": m.role, "content": m.content} for m in request.messages]}},
            is_demo=True,
        )

    def account_from_environment(self) -> Account | None:
        """It needs none, so there is always one."""
        return Account(provider=self.name, base_url="", name="built in")

    def default_model(self) -> str | None:
        return "writer"

    async def list_models(self, account: Account | None) -> tuple[str, ...]:
        return ("writer",)


@dataclass(frozen=True, slots=True)
class _Source:
    """What the prompt gives to write from."""

    task: str
    subject: str
    terms: tuple[str, ...]
    sentences: tuple[str, ...]
    earlier: tuple[str, ...]
    words: frozenset[str]
    seed: int

    @classmethod
    def read(cls, request: ChatRequest, model: str) -> _Source:
        asked = "\n\n".join(
            message.content for message in request.messages if message.role != "system"
        ).strip()
        asked = asked or request.messages[-1].content
        everything = "\n".join(f"{message.role}:{message.content}" for message in request.messages)
        seed = int.from_bytes(
            hashlib.sha256(f"{model}\n{everything}".encode("utf-8", "replace")).digest()[:8], "big"
        )
        plain = asked.replace(NOTICE, "")
        task = next((line.strip() for line in plain.splitlines() if line.strip()), "")
        found = _SUBJECT.search(plain) or _GIVEN.search(plain)
        subject = found.group(1) if found else _longest_paragraph(plain)
        subject = _first_sentence(_unmarked(subject))
        given = plain.replace(task, " ", 1) if len(plain) > len(task) + 40 else plain
        sentences = tuple(
            sentence
            for part in re.split(r"(?<=[.!?])\s+|\n+", _unmarked(given))
            if len((sentence := part.strip(" -*#>“”\t")).split()) >= 5 and not _OWN.search(sentence)
        )
        terms = _terms(f"{subject}\n{subject}\n{subject}\n{given}")
        earlier = tuple(dict.fromkeys(re.findall(r"^#{2,3} (.{3,60})$", plain, re.MULTILINE)))
        return cls(
            task, subject, terms, sentences, earlier, frozenset(re.findall(r"\w+", plain.lower())), seed
        )


def _prose(source: _Source) -> str:
    """Labelled Markdown of about 120 to 400 words."""
    random_ = random.Random(source.seed)
    low = source.task.lower()
    title, sections = next((plan for words, plan in _PLANS if any(word in low for word in words)), _DEFAULT)
    lines = [NOTICE, "", f"## {title}: {_clip(source.subject, 9)}", ""]
    lines += [f"What was given: “{_clip(source.subject, 30)}”", ""]
    terms = list(source.terms)
    for heading, entries in sections:
        lines += [f"### {heading}", ""]
        numbered = heading.startswith("Tasks")
        for place, entry in enumerate(entries, start=1):
            mark = f"{place}." if numbered else "-"
            # Terms are quoted, so that a sentence stands whatever form the word has.
            sentence = entry.format(*(term if entry.startswith("**{") else f"“{term}”" for term in terms))
            first = sentence[:1].upper() + sentence[1:] if not sentence.startswith("**") else sentence
            lines.append(f"{mark} {first}")
        lines.append("")
    quoted = [sentence for sentence in source.sentences if sentence not in source.subject]
    if quoted:
        picked = sorted(random_.sample(range(len(quoted)), k=min(3, len(quoted))))
        lines += ["### Taken from the text", ""]
        lines += [f"- “{_clip(quoted[place], 28)}”" for place in picked]
        lines.append("")
    if source.earlier:
        lines += [f"This builds on what came before: {', '.join(source.earlier[:3])}.", ""]
    closing = (
        "Connect a provider to have a real model write this step; the rest of the workflow stays as it is.",
        "With a provider connected, a real model writes this part from the same prompt.",
        "A real model would go deeper here; the prompt, the data and the order of the steps are already in place.",
    )
    lines.append(random_.choice(closing))
    return "\n".join(lines)


def instance_of(schema: JSONObject, source: _Source | None = None) -> JSONValue:
    """A value that is valid for the JSON Schema, as far as one can be made without solving patterns."""
    return _Maker(schema, source or _Source("", "", _terms(""), (), (), frozenset(), 0)).make(
        schema, "answer", 0
    )


class _Maker:
    """Builds an instance of a schema from the words of the prompt."""

    def __init__(self, root: JSONObject, source: _Source) -> None:
        self.root = root
        self.source = source
        self.used = 0

    def make(self, schema: Any, name: str, depth: int) -> JSONValue:
        if not isinstance(schema, dict) or depth > 12:
            return {} if isinstance(schema, dict) and schema.get("type") == "object" else self._text({}, name)
        schema = self._followed(schema)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._chosen(schema["enum"])
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list) and schema[word]:
                rest = {key: value for key, value in schema.items() if key != word}
                return self.make({**rest, **self._followed(schema[word][0])}, name, depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((entry for entry in kind if entry != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        if kind == "array" or (kind is None and "items" in schema):
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer", seed=self.source.seed + self._next())
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        return self._text(schema, name)

    def _followed(self, schema: Any) -> JSONObject:
        """The schema with local references and `allOf` put in place."""
        found: JSONObject = dict(schema) if isinstance(schema, dict) else {}
        for _ in range(10):
            ref = found.pop("$ref", None)
            if not isinstance(ref, str) or not ref.startswith("#"):
                break
            target: Any = self.root
            for part in ref[1:].strip("/").split("/") if ref != "#" else ():
                part = part.replace("~1", "/").replace("~0", "~")
                target = target.get(part, {}) if isinstance(target, dict) else {}
            found = {**(target if isinstance(target, dict) else {}), **found}
        for part in found.pop("allOf", None) or ():
            more = self._followed(part)
            merged = {**found, **more}
            merged["properties"] = {**(found.get("properties") or {}), **(more.get("properties") or {})}
            merged["required"] = [*(found.get("required") or ()), *(more.get("required") or ())]
            found = {key: value for key, value in merged.items() if value not in ({}, [])}
        return found

    def _object(self, schema: JSONObject, depth: int) -> JSONObject:
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        made = {
            key: self.make(part, key, depth + 1)
            for key, part in properties.items()
            if depth < 6 or key in required  # a schema that refers to itself ends here
        }
        for key in required - set(made):
            made[key] = self._text({}, key)
        return made

    def _array(self, schema: JSONObject, name: str, depth: int) -> list[JSONValue]:
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        count = max(least, 3 if depth < 4 else min(1, least))
        if isinstance(most, int):
            count = min(count, most)
        first = schema.get("prefixItems") or []
        items = schema.get("items", {})
        made: list[JSONValue] = []
        for place in range(max(count, min(len(first), count))):
            value = self.make(first[place] if place < len(first) else items, name, depth + 1)
            if schema.get("uniqueItems") and value in made:
                choices = items.get("enum", []) if isinstance(items, dict) else []
                other = next((choice for choice in choices if choice not in made), None)
                if other is None:
                    if len(made) >= least:
                        break
                    value = f"{value} {place + 1}" if isinstance(value, str) else value
                else:
                    value = other
            made.append(value)
        return made

    def _chosen(self, options: list[JSONValue]) -> JSONValue:
        """The option whose words the prompt uses most; the first of equals."""

        def score(option: JSONValue) -> int:
            said = re.findall(r"\w+", str(option).lower())
            return sum(" ".join(self.source.sentences).lower().count(word) for word in said)

        return max(options, key=score)

    def _text(self, schema: JSONObject, name: str) -> str:
        formats = {
            "date": "2026-01-15",
            "date-time": "2026-01-15T09:00:00Z",
            "time": "09:00:00Z",
            "email": "demo@example.com",
            "uri": "https://example.com/demonstration",
            "uuid": "00000000-0000-4000-8000-000000000000",
        }
        if schema.get("format") in formats:
            return formats[schema["format"]]
        terms, sentences, place = self.source.terms, self.source.sentences, self._next()
        short = name.lower() in (
            "name",
            "title",
            "heading",
            "label",
            "topic",
            "category",
            "key",
            "id",
            "tag",
            "keyword",
        )
        if short or not sentences:
            text = f"{terms[place % len(terms)]} (demonstration)"
        else:
            text = f"Demonstration: {_clip(sentences[place % len(sentences)], 24)}"
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        while len(text) < least:
            text += f" {terms[place % len(terms)]}"
        return text[: int(most)] if isinstance(most, int) else text

    def _next(self) -> int:
        self.used += 1
        return self.used - 1


def _number(schema: JSONObject, *, whole: bool, seed: int) -> int | float:
    least: float = 1 if whole else 1e-3
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + least
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - least
    bottom = float(low) if low is not None else float(high) - 10 if high is not None else 1.0
    top = float(high) if high is not None else bottom + 9
    step = schema.get("multipleOf")
    if step:
        value = math.ceil(bottom / step) * step
        return int(value) if whole else float(value)
    if whole:
        first, last = math.ceil(bottom), max(math.floor(top), math.ceil(bottom))
        return first + seed % (last - first + 1)
    return min(max(round(bottom + (top - bottom) * (seed % 100) / 100, 2), bottom), top)


def _terms(text: str) -> tuple[str, ...]:
    """Four or more things the text is about, most frequent first; never empty."""
    plain = _unmarked(text)
    words = re.findall(r"[^\W\d_][\w’'-]{2,}", plain)
    counts = Counter(word.lower() for word in words if word.lower() not in _STOP)
    pairs = Counter(
        f"{one} {two}".lower()
        for one, two in pairwise(words)
        if one.lower() not in _STOP and two.lower() not in _STOP and f"{one} {two}" in plain
    )
    found = [pair for pair, count in pairs.most_common(2) if count > 1]
    found += [word for word, _ in counts.most_common(12) if not any(word in pair.split() for pair in found)]
    fallback = ("the main result", "the daily work", "the hand-over", "the record of it")
    return tuple((found + [word for word in fallback if word not in found])[: max(8, len(found))])


def _unmarked(text: str) -> str:
    text = re.sub(r"^\s*(?:>|#{1,6}|[-*+]|\d+\.)\s+", "", text, flags=re.MULTILINE)
    return re.sub(r"\*\*|__|`", "", text).strip()


def _longest_paragraph(text: str) -> str:
    return max((part.strip() for part in re.split(r"\n\s*\n", text)), key=len, default="")


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s|\n", text.strip(), maxsplit=1)[0].strip(" “”\"'")


def _clip(text: str, words: int) -> str:
    parts = text.split()
    return " ".join(parts) if len(parts) <= words else " ".join(parts[:words]).rstrip(",;:") + " …"


def _pieces(text: str) -> Iterator[str]:
    at = 0
    for found in _PIECE.finditer(text):
        yield found.group()
        at = found.end()
    if at < len(text):
        yield text[at:]


def _pause_s() -> float:
    """Seconds between two pieces: enough to see it write; tests and benchmarks set the variable to 0."""
    try:
        return max(0.0, float(os.environ.get(PAUSE_VARIABLE, _PAUSE_MS))) / 1000
    except ValueError:
        return _PAUSE_MS / 1000
