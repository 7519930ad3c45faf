"""Reading a template's text: YAML or JSON in, a checked definition out, every problem with its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from workflows.definition.graph import Definition
from workflows.definition.schema import canonical_json, from_stored, parse_definition, to_json
from workflows.definition.validation import semantic_problems
from workflows.lib.errors import Invalid, Problem, TooLarge
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import Limit
from workflows.steps.catalog import CATALOG

TEMPLATE_BYTES: Final = Limit(1_000_000, "bytes", "A template is at most {value} bytes of text.")
# Name → (longest text, whether it must be there).
FIELDS: Final[dict[str, tuple[int, bool]]] = {
    "slug": (80, True),
    "name": (255, True),
    "category": (60, True),
    "icon": (40, False),
    "description": (2000, True),
    "outcome": (300, False),
}


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """What a template's file says; `digest` is the SHA-256 of its meaning (comments and layout apart)."""

    slug: str
    name: str
    category: str
    icon: str
    description: str
    outcome: str
    definition: Definition
    digest: str
    sample: JSONObject


class _Loader(yaml.SafeLoader):
    """YAML without its traps: a key that is there twice is refused, dates stay text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not a text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_text(text: str) -> JSONValue:
    """The value of a YAML or JSON text; Invalid with line and column when it is neither, TooLarge past the limit."""
    if len(text.encode()) > TEMPLATE_BYTES.value:
        raise TooLarge(TEMPLATE_BYTES.says())
    try:
        found: JSONValue = json.loads(text)
        return found
    except ValueError:
        pass  # Not JSON; YAML, of which JSON is nearly a part, gives the better place.
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)):
            # A few aliases of aliases unfold to gigabytes.
            raise _refusal("Anchors and aliases (& and *) are not read here. Write the text out.")
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer types
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else None
        raise _refusal(f"This is neither YAML nor JSON: {error.problem or error.context}.", place) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _refusal(f"This is neither YAML nor JSON: {error}.") from error
    return found


def read_definition(text: str) -> Definition:
    """The checked definition in a YAML or JSON text; Invalid names every problem with its place."""
    return checked(read_text(text))


def checked(data: JSONValue) -> Definition:
    """A definition without a structural or semantic error. Models are not asked for: those differ from place to place."""
    definition = parse_definition(data, CATALOG)
    errors = tuple(problem for problem in semantic_problems(definition, CATALOG) if problem.is_error)
    if errors:
        raise Invalid(errors[0].message, problems=errors)
    if not definition.steps:
        raise _refusal("A template has one step at least.", "definition.nodes")
    return definition


def as_yaml(document: str) -> str:
    """A stored definition as text to read and edit, without what stands at its default; reading it gives the same."""
    whole = to_json(from_stored(json.loads(document)))
    for text in (
        _dump(_without_defaults(whole, drop=("position", "order"))),
        _dump(_without_defaults(whole)),
    ):
        try:
            same = canonical_json(parse_definition(read_text(text), CATALOG)) == document
        except (Invalid, TooLarge):
            same = False  # a step type has gone, say
        if same:
            return text
    return _dump(whole)


def read_file(text: str, *, name: str) -> TemplateFile:
    """A whole template file. Invalid whose message begins with the file's name and the place of the first problem."""
    try:
        data = read_text(text)
        fields = _fields(data)
        definition = checked(data["definition"] if isinstance(data, dict) else None)
        sample = _sample(data, definition)
    except (Invalid, TooLarge) as error:
        raise Invalid(f"{name}: {_says(error)}", problems=error.problems) from error
    parts = [fields, to_json(definition), *([sample] if sample else [])]
    meaning = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(meaning.encode()).hexdigest()
    return TemplateFile(**fields, definition=definition, digest=digest, sample=sample)


def _fields(data: JSONValue) -> dict[str, str]:
    if not isinstance(data, dict):
        raise _refusal("A template is an object with slug, name, category, description and definition.")
    if unknown := sorted(set(data) - set(FIELDS) - {"definition", "sample"}):
        raise _refusal(
            f"There is no field “{unknown[0]}”. Known: {', '.join(FIELDS)}, definition.", unknown[0]
        )
    if "definition" not in data:
        raise _refusal("The definition is missing.", "definition")
    return {name: _field(data, name) for name in FIELDS}


def _sample(data: JSONValue, definition: Definition) -> JSONObject:
    """Input for a first try: only names that the workflow asks for."""
    found = data.get("sample") if isinstance(data, dict) else None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _refusal("The sample is an object: {name of a variable: value}.", "sample")
    asked = {each.name for each in definition.variables}
    if unknown := sorted(set(found) - asked):
        raise _refusal(f"The sample has “{unknown[0]}”, which this workflow does not ask for.", "sample")
    return found


def _field(data: JSONObject, name: str) -> str:
    longest, needed = FIELDS[name]
    value = data.get(name, "layers" if name == "icon" else "")
    if not isinstance(value, str):
        raise _refusal(f"The {name} is a text.", name)
    text = value.strip()
    if needed and not text:
        raise _refusal(f"The {name} is missing.", name)
    if len(text) > longest:
        raise _refusal(f"The {name} has at most {longest} characters.", name)
    return text


def _refusal(message: str, place: str | None = None) -> Invalid:
    return Invalid(message, problems=(Problem("bad_template", message, path=place),))


def _says(error: Invalid | TooLarge) -> str:
    if not error.problems:
        return error.message
    first = error.problems[0]
    more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
    return f"{first.path}: {first.message}{more}" if first.path else f"{first.message}{more}"


# --- Writing --------------------------------------------------------------------------------------------------------

_DEFAULTS: Final[JSONObject] = {
    "enabled": True,
    "on_error": {"policy": "fail", "default": None},
    "join": {"rule": "all", "count": 1, "losers": "cancel"},
    "source_output": "out",
    "pinned": None,
}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as people write them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]


def _dump(value: JSONValue) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _without_defaults(whole: JSONObject, drop: tuple[str, ...] = ()) -> JSONObject:
    def cut(entry: JSONObject) -> JSONObject:
        return {
            name: value
            for name, value in entry.items()
            if name not in drop and value not in (None, "", {}, []) and _DEFAULTS.get(name, drop) != value
        }

    parts = ("variables", "nodes", "edges", "triggers")
    found = {part: [cut(entry) for entry in whole[part]] for part in parts if whole[part]}
    return {**found, "settings": whole["settings"]} if whole["settings"] else found
