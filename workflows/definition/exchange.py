"""Workflows, and pieces of them, as one readable document: the data of it, and back, every problem named with its place.

The shape is that of the API, without what stands at its default. `stepwell: 1` says which form it is.
A whole document has `workflows`, a selection of steps has `nodes` and `edges` of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from workflows.definition.copies import copy_steps
from workflows.definition.graph import Definition
from workflows.definition.samples import SampleText, read_samples, samples_to_json
from workflows.definition.schema import canonical_json, parse_definition, to_json
from workflows.definition.types import TypeCatalog
from workflows.expressions.paths import nearest
from workflows.lib.documents import Line
from workflows.lib.errors import Invalid, Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import Limit

FORM: Final = 1
SAMPLE_OF_TEMPLATE: Final = "Sample data"
WORKFLOWS_PER_DOCUMENT: Final = Limit(1_000, "workflows", "A document holds at most {value} workflows.")

_GRAPH: Final = ("variables", "nodes", "edges", "triggers", "settings")
_HEAD: Final = ("name", "description", "tags", "project", "samples")
# Words of the API's answers that say nothing about what a workflow is: they may stand there and are passed over.
_PASSED_OVER: Final = frozenset(
    {
        "id", "status", "version", "revision", "created_by", "created_at", "updated_at", "problems", "slug",
        "category", "icon", "outcome", "sample", "stepwell", "steps_count",
    }
)  # fmt: skip
# What stands first in an object of settings; the rest follows by the alphabet (databases keep no order).
_FIRST: Final = ("id", "key", "name", "label", "title", "heading", "type", "kind")
_DEFAULTS: Final[Mapping[str, JSONObject]] = {
    "nodes": {
        "description": "",
        "config": {},
        "inputs": [],
        "outputs": [],
        "enabled": True,
        "parent": None,
        "retry_policy": None,
        "timeout_s": None,
        "on_error": {"policy": "fail", "default": None},
        "join": {"rule": "all", "count": 1, "losers": "cancel"},
        "pinned": None,
        "note": "",
    },
    "edges": {"source_output": "out", "target_input": None, "condition": None},
    "variables": {"required": False, "default_value": None, "description": ""},
    "triggers": {"config": {}, "input_mapping": {}},
}
_DERIVED: Final = (("position", "order"), ("order",), ("position",), ())


@dataclass(frozen=True, slots=True)
class WorkflowText:
    """One workflow as it travels: its words, its project by name, its definition."""

    name: str
    definition: Definition
    description: str = ""
    tags: tuple[str, ...] = ()
    project: str = ""
    samples: tuple[SampleText, ...] = ()
    # Where it stands in the document that it was read from, and where its steps do.
    path: str = field(default="", compare=False)
    graph_path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a document holds; `sections` are its other parts by name (`prompts`, `personas`), as plain data."""

    workflows: tuple[WorkflowText, ...] = ()
    sections: Mapping[str, JSONValue] = field(default_factory=dict)


# --- Out --------------------------------------------------------------------------------------------------------------


def bundle_to_json(bundle: Bundle, catalog: TypeCatalog) -> JSONObject:
    """The document's data; the same bundle gives the same data, in the same order, wherever it was stored."""
    document: JSONObject = {
        "stepwell": FORM,
        "workflows": [workflow_to_json(workflow, catalog) for workflow in bundle.workflows],
    }
    for name in sorted(bundle.sections):
        document[name] = _tidy(bundle.sections[name])
    return document


def workflow_to_json(workflow: WorkflowText, catalog: TypeCatalog) -> JSONObject:
    head: JSONObject = {"name": workflow.name}
    if workflow.description:
        head["description"] = workflow.description
    if workflow.tags:
        head["tags"] = list(workflow.tags)
    if workflow.project:
        head["project"] = workflow.project
    beside: JSONObject = {}
    if workflow.samples:
        beside["samples"] = [_tidy(sample) for sample in samples_to_json(workflow.samples)]
    return {**head, **graph_to_json(workflow.definition, catalog), **beside}


def fragment_to_json(definition: Definition, keys: Iterable[str], catalog: TypeCatalog) -> JSONObject:
    """These steps, their bodies and the paths between them, as a document that can be pasted anywhere."""
    graph = graph_to_json(copy_steps(definition, keys), catalog)
    return {
        "stepwell": FORM,
        "nodes": graph.get("nodes", []),
        **({"edges": graph["edges"]} if "edges" in graph else {}),
    }


def graph_to_json(definition: Definition, catalog: TypeCatalog) -> JSONObject:
    """The graph without what reading it would fill in: `parse_definition` gives exactly this definition back."""
    whole = to_json(definition)
    text = canonical_json(definition)
    for derived in _DERIVED:
        made = _cut(whole, derived)
        try:
            if canonical_json(parse_definition(made, catalog)) == text:
                return made
        except Invalid:
            break  # a step type has gone, say: then everything is written out
    return {part: _tidy(whole[part]) for part in _GRAPH if whole[part]}


def _cut(whole: JSONObject, derived: Sequence[str]) -> JSONObject:
    found: JSONObject = {}
    for part in _GRAPH:
        if part == "settings":
            if whole[part]:
                found[part] = _tidy(whole[part])
        elif whole[part]:
            entries = [_entry(entry, _DEFAULTS[part], derived) for entry in whole[part]]
            found[part] = [Line(entry) for entry in entries] if part == "edges" else entries
    return found


def _entry(entry: JSONObject, defaults: JSONObject, derived: Sequence[str]) -> JSONObject:
    kept: JSONObject = {}
    for name, value in entry.items():
        if name in derived or (name in defaults and _same(defaults[name], value)):
            continue
        tidy = _tidy(value)
        kept[name] = Line(tidy) if name == "position" and isinstance(tidy, dict) else tidy
    return kept


def _same(one: JSONValue, other: JSONValue) -> bool:
    # 0 is not False here, and 1 is not True.
    return type(one) is type(other) and one == other


def _tidy(value: JSONValue) -> JSONValue:
    """The same data in an order that does not depend on where it was kept; 2.0 is 2, as in the canonical text."""
    if isinstance(value, Mapping):
        first = [name for name in _FIRST if name in value]
        rest = sorted(name for name in value if name not in _FIRST)
        return {name: _tidy(value[name]) for name in (*first, *rest)}
    if isinstance(value, list | tuple):
        return [_tidy(entry) for entry in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


# --- In ---------------------------------------------------------------------------------------------------------------


def bundle_from_json(data: JSONValue, catalog: TypeCatalog, *, sections: Iterable[str] = ()) -> Bundle:
    """Read a document; `sections` names the other parts that are known.

    Also taken: one workflow by itself (as the API gives it, or a template's file), and a bare definition.
    Raises Invalid with every structural problem at once, each with its path: `workflows[0].nodes[2].config.prompt`.
    """
    bundle, problems = read_bundle(data, catalog, sections=sections)
    refuse(problems)
    return bundle


def read_bundle(
    data: JSONValue, catalog: TypeCatalog, *, sections: Iterable[str] = ()
) -> tuple[Bundle, tuple[Problem, ...]]:
    """What can be read of a document, and everything that is wrong with it: for callers with more to check."""
    reader = _Reader(catalog, tuple(sections))
    return reader.bundle(data), tuple(reader.problems)


def refuse(problems: Sequence[Problem]) -> None:
    """Invalid with all of these, when there are any."""
    if not problems:
        return
    first, count = problems[0].says, len(problems)
    message = (
        first if count == 1 else f"The document cannot be taken over: {count} problems. The first: {first}"
    )
    raise Invalid(message, problems=tuple(problems))


def fragment_from_json(data: JSONValue, catalog: TypeCatalog) -> Definition:
    """The steps in a document, to be pasted: those of a selection, or of its one workflow. Raises Invalid like above."""
    bundle = bundle_from_json(data, catalog)
    if len(bundle.workflows) != 1 or not bundle.workflows[0].definition.steps:
        count = len(bundle.workflows)
        message = (
            "There is no step in this text."
            if count < 2
            else f"This text holds {count} workflows. Only the steps of one can be pasted; import the others."
        )
        raise Invalid(message, problems=(Problem("nothing_to_paste", message, path="nodes"),))
    return bundle.workflows[0].definition


class _Reader:
    def __init__(self, catalog: TypeCatalog, sections: tuple[str, ...]) -> None:
        self.catalog = catalog
        self.sections = sections
        self.problems: list[Problem] = []

    def wrong(self, path: str, code: str, message: str, fix: str | None = None) -> None:
        name = path.rpartition(".")[2].partition("[")[0]
        self.problems.append(Problem(code, message, field=name or None, path=path or None, fix=fix))

    def bundle(self, data: JSONValue) -> Bundle:
        if isinstance(data, list) and data and all(isinstance(entry, dict) for entry in data):
            data = {"workflows": data}
        if not isinstance(data, dict):
            self.wrong(
                "",
                "not_an_object",
                "A document is an object with workflows, or with nodes and edges.",
                "Paste the whole text of an export.",
            )
            return Bundle()
        form = data.get("stepwell", FORM)
        if isinstance(form, bool) or form != FORM:
            self.wrong(
                "stepwell",
                "unknown_form",
                f"This document is of the form {form!r}; this Stepwell reads form {FORM}.",
                "Export it again from a Stepwell of the same age, or update this one.",
            )
            return Bundle()
        if "workflows" not in data and any(name in data for name in (*_GRAPH, "definition")):
            others = {name: data[name] for name in self.sections if name in data}
            alone = {name: value for name, value in data.items() if name not in others}
            found = self.workflow(alone, "", 0)
            return Bundle((found,), others)
        self._unknown(data, ("stepwell", "workflows", *self.sections), "")
        entries = data.get("workflows")
        if entries is None and not any(name in data for name in self.sections):
            self.wrong(
                "workflows",
                "missing",
                "There are no workflows in this document.",
                "Paste the whole text of an export.",
            )
        if not isinstance(entries, list | None):
            self.wrong("workflows", "bad_value", "workflows must be a list.")
            entries = []
        if len(entries or ()) > WORKFLOWS_PER_DOCUMENT.value:
            self.wrong("workflows", "too_many", WORKFLOWS_PER_DOCUMENT.says())
            entries = []
        workflows = []
        for index, entry in enumerate(entries or ()):
            path = f"workflows[{index}]"
            if isinstance(entry, dict):
                workflows.append(self.workflow(entry, path, index))
            else:
                self.wrong(path, "bad_value", f"{path} must be an object with a name and nodes.")
        return Bundle(tuple(workflows), {name: data[name] for name in self.sections if name in data})

    def workflow(self, data: JSONObject, path: str, index: int) -> WorkflowText:
        inner = data.get("definition")
        nested = "definition" in data
        known = (*_HEAD, "definition", *_PASSED_OVER) if nested else (*_HEAD, *_GRAPH, *_PASSED_OVER)
        self._unknown(data, known, path)
        at = f"{path}.definition" if path and nested else "definition" if nested else path
        graph = inner if nested else {name: data[name] for name in _GRAPH if name in data}
        definition = Definition()
        try:
            definition = parse_definition(graph, self.catalog, path=at or "document")
        except Invalid as error:
            for problem in error.problems:
                self.problems.append(problem if at else _without_root(problem))
        project = data.get("project")
        return WorkflowText(
            name=self._text(data, "name", path).strip() or ("" if path else "Imported workflow"),
            definition=definition,
            description=self._text(data, "description", path).strip(),
            tags=self._tags(data, path),
            samples=self._samples(data, path),
            # An API answer names the project by its id, which says nothing elsewhere.
            project="" if nested or project is None else self._text(data, "project", path).strip(),
            path=path,
            graph_path=at,
        )

    def _samples(self, data: JSONObject, path: str) -> tuple[SampleText, ...]:
        given = data.get("samples")
        if given is None and isinstance(data.get("sample"), dict):
            # A template's file has one, without a name.
            given = [{"name": SAMPLE_OF_TEMPLATE, "input": data["sample"]}]
        found, wrong = read_samples(given, f"{path}.samples" if path else "samples")
        self.problems += wrong
        return found

    def _unknown(self, data: Mapping[str, Any], known: Sequence[str], path: str) -> None:
        for key in data:
            if key not in known:
                shown = [name for name in known if name not in _PASSED_OVER]
                near = nearest(key, shown)
                self.wrong(
                    f"{path}.{key}" if path else key,
                    "unknown_key",
                    f"{path or 'The document'} has no “{key}”.",
                    f"Did you mean “{near}”?" if near else f"Known here: {', '.join(shown)}.",
                )

    def _text(self, data: Mapping[str, Any], name: str, path: str) -> str:
        value = data.get(name)
        if value is None:
            if name == "name" and path:
                self.wrong(
                    f"{path}.name", "missing_name", f"{path} has no name.", "Give the workflow a name."
                )
            return ""
        if not isinstance(value, str):
            at = f"{path}.{name}" if path else name
            self.wrong(at, "bad_value", f"{at} must be text.", "Put it into quotes.")
            return ""
        return value

    def _tags(self, data: Mapping[str, Any], path: str) -> tuple[str, ...]:
        value = data.get("tags")
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
            at = f"{path}.tags" if path else "tags"
            self.wrong(at, "bad_value", f"{at} must be a list of texts.")
            return ()
        return tuple(value)


def _without_root(problem: Problem) -> Problem:
    """A problem of a document that is a definition itself: its path begins with the part."""
    plain = json.dumps(problem.path or "")[1:-1].removeprefix("document").removeprefix(".")
    return Problem(
        problem.code,
        problem.message.replace("document.", ""),
        problem.step,
        problem.step_key,
        problem.field,
        plain or None,
        problem.fix,
        problem.severity,
    )
