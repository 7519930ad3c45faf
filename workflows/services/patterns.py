"""Common patterns: a short form becomes a few steps that hang together, put into a draft like pasted ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from workflows.definition.exchange import FORM
from workflows.definition.ids import derived_id
from workflows.lib.documents import write_json
from workflows.lib.errors import Invalid, Problem
from workflows.lib.jsontypes import JSONObject

_LONGEST: Final = 8_000
_MOST_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Ask:
    """One line of a pattern's form. `kind`: text, long, lines (one entry a line) or expression."""

    name: str
    label: str
    kind: str = "text"
    usual: str = ""
    hint: str = ""
    required: bool = True


Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """`build` gives the document of steps (`nodes`, `edges`) for the filled-in values."""

    name: str
    label: str
    icon: str
    says: str
    asks: tuple[Ask, ...]
    build: Callable[[Values], JSONObject]


def pattern_text(pattern: Pattern, values: Mapping[str, str]) -> str:
    """The steps as text that can be pasted; Invalid with every field that is missing or too long."""
    problems, found = [], {}
    for ask in pattern.asks:
        text = (values.get(ask.name) or "").replace("\r\n", "\n").strip()
        if ask.required and not text:
            problems.append(Problem("missing", f"“{ask.label}” is missing.", field=ask.name, path=ask.name))
        elif len(text) > _LONGEST or (ask.kind == "lines" and len(_lines(text)) > _MOST_LINES):
            message = f"“{ask.label}” is too long."
            problems.append(Problem("too_long", message, field=ask.name, path=ask.name))
        found[ask.name] = text
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    return write_json(pattern.build(found))


def _lines(text: str) -> list[str]:
    return [line.strip(" -•\t") for line in text.splitlines() if line.strip(" -•\t")]


def _node(id: str, type: str, name: str, description: str = "", **config: object) -> JSONObject:
    said = {"description": description} if description else {}
    return {"id": id, "type": type, "name": name, **said, "config": dict(config)}


def _document(nodes: Sequence[JSONObject], paths: Sequence[tuple[str, str, str]]) -> JSONObject:
    """`paths` as (from, way out, to)."""
    return {
        "stepwell": FORM,
        "nodes": list(nodes),
        "edges": [
            {
                "id": derived_id("e", source, port, target),
                "source_node_id": source,
                "source_output": port,
                "target_node_id": target,
            }
            for source, port, target in paths
        ],
    }


def _ask_review(values: Values) -> JSONObject:
    return _document(
        [
            _node("answer", "llm", "Answer", prompt=f"{values['prompt']}\n\n{{{{previous}}}}"),
            _node(
                "review",
                "review",
                "Review the answer",
                "A person approves, changes or refuses it.",
                title=values["question"],
                content="{{ steps.Answer.content }}",
            ),
        ],
        [("answer", "out", "review")],
    )


def _each_merge(values: Values) -> JSONObject:
    return _document(
        [
            _node(
                "each",
                "fan_out",
                "For each",
                "One answer for each entry, in the order of the list.",
                items=values["items"],
                prompt=f"{values['prompt']}\n\n{{{{ item }}}}",
            ),
            _node(
                "together",
                "synthesis",
                "Bring together",
                sources=["{{ steps.For each.items }}"],
                instructions=values["together"],
            ),
        ],
        [("each", "out", "together")],
    )


def _branch(values: Values) -> JSONObject:
    return _document(
        [
            _node("check", "condition", values["name"], cases=[{"expression": values["condition"]}]),
            _node("yes", "llm", "If so", prompt=f"{values['yes']}\n\n{{{{previous}}}}"),
            _node("no", "llm", "If not", prompt=f"{values['no']}\n\n{{{{previous}}}}"),
            _node("together", "merge", "Go on together"),
        ],
        [
            ("check", "true", "yes"),
            ("check", "false", "no"),
            ("yes", "out", "together"),
            ("no", "out", "together"),
        ],
    )


def _classify_route(values: Values) -> JSONObject:
    names = list({name.casefold(): name for name in _lines(values["categories"])}.values())
    if len(names) < 2:
        message = "Name two categories at least, one a line."
        raise Invalid(message, problems=(Problem("too_few", message, field="categories", path="categories"),))
    nodes = [
        _node(
            "kind",
            "classify",
            "What is it?",
            text="{{previous}}",
            categories=[{"name": name, "terms": []} for name in names],
            branch=True,
        )
    ]
    paths: list[tuple[str, str, str]] = []
    for number, name in enumerate(names):
        nodes.append(
            _node(
                f"way{number}",
                "llm",
                name,
                prompt=f"This is about {name}. {values['prompt']}\n\n{{{{previous}}}}",
            )
        )
        paths += [("kind", name, f"way{number}"), (f"way{number}", "out", "together")]
    nodes.append(_node("together", "merge", "Whatever it was"))
    return _document(nodes, paths)


def _fetch_notify(values: Values) -> JSONObject:
    return _document(
        [
            _node("fetch", "http_request", "Fetch", url=values["url"]),
            _node(
                "facts",
                "extract",
                "Take out",
                text="{{ steps.Fetch.content }}",
                response_schema={
                    "type": "object",
                    "properties": {
                        name: {"type": ["string", "null"]} for name in map(_field, _lines(values["fields"]))
                    },
                    "required": [_field(name) for name in _lines(values["fields"])],
                },
            ),
            _node(
                "tell",
                "email",
                "Notify",
                to=values["to"],
                subject=values["subject"],
                body="{{ steps.Take out.content }}",
            ),
        ],
        [("fetch", "out", "facts"), ("facts", "out", "tell")],
    )


def _field(name: str) -> str:
    kept = "".join(sign if sign.isalnum() else "_" for sign in name.lower()).strip("_")
    return kept if kept[:1].isalpha() else f"field_{kept}"


PATTERNS: Final[tuple[Pattern, ...]] = (
    Pattern(
        "ask-review",
        "Ask, then review",
        "hand",
        "A model writes, a person decides.",
        (
            Ask("prompt", "What the model does", "long", "Answer the message below, briefly and politely."),
            Ask("question", "What the reviewer is asked", usual="Is this answer good?"),
        ),
        _ask_review,
    ),
    Pattern(
        "each-merge",
        "For each item, then merge",
        "repeat",
        "The same for every entry of a list, then one text of all.",
        (
            Ask(
                "items",
                "The list",
                usual="{{previous}}",
                hint="A list, or a text with an entry on each line.",
            ),
            Ask("prompt", "What is done with each", "long", "Sum this entry up in three sentences."),
            Ask(
                "together",
                "What is made of all",
                "long",
                "What do the entries have in common, and what stands out?",
            ),
        ),
        _each_merge,
    ),
    Pattern(
        "branch",
        "Branch on a condition",
        "split",
        "One of two ways, then on together.",
        (
            Ask("name", "Name of the question", usual="Is it urgent?"),
            Ask(
                "condition",
                "Condition",
                "expression",
                'contains(lower(previous), "urgent")',
                "An expression that is true or false.",
            ),
            Ask("yes", "If so", "long", "Answer at once, in two sentences."),
            Ask("no", "If not", "long", "Answer in detail."),
        ),
        _branch,
    ),
    Pattern(
        "classify-route",
        "Classify and route",
        "waypoints",
        "A model says what it is; each kind has a way of its own.",
        (
            Ask(
                "categories",
                "Categories",
                "lines",
                "Question\nComplaint\nOrder",
                "One a line, two to twelve.",
            ),
            Ask("prompt", "What is done with each", "long", "Write an answer that fits."),
        ),
        _classify_route,
    ),
    Pattern(
        "fetch-notify",
        "Fetch, extract, notify",
        "globe",
        "Reads a page or an API, takes facts out, sends them by email.",
        (
            Ask("url", "Address", usual="https://", hint="https://… It may hold data of the run."),
            Ask("fields", "What to take out", "lines", "title\ndate\nprice", "One field a line."),
            Ask("to", "Send it to", hint="An email address."),
            Ask("subject", "Subject", usual="What was found"),
        ),
        _fetch_notify,
    ),
)
BY_NAME: Final = {pattern.name: pattern for pattern in PATTERNS}
# The form of a document, for models that write one.
EXAMPLE: Final = {
    "name": "Answer and review",
    "description": "Drafts an answer, which a person approves.",
    "explanation": "It drafts an answer to the message and asks a reviewer before it ends.",
    "variables": [
        {
            "name": "message",
            "type": "string",
            "kind": "input",
            "required": True,
            "description": "What came in.",
        }
    ],
    "nodes": [
        {"id": "start", "type": "start", "name": "Start", "config": {}},
        *_ask_review({"prompt": "Answer this message.", "question": "Is this answer good?"})["nodes"],
    ],
    "edges": [
        {"source_node_id": "start", "source_output": "out", "target_node_id": "answer"},
        {"source_node_id": "answer", "source_output": "out", "target_node_id": "review"},
    ],
}
