"""Settings that hold several: lists, names with their values, categories."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.fields.base import NAME, ConfigField, Rewrite, WrongType, all_of, json_or_none, texts_in


class ListField(ConfigField):
    """A list of texts; in a form one per line, or as repeated controls of the same name."""

    kind = "list"
    json_type = {"type": "array", "items": {"type": "string"}}

    def __init__(self, *, separators: str = "\n", templates: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.separators = separators
        self.holds_templates = templates

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name not in data:
            return [] if f"{name}__shown" in data else None
        found = all_of(data, name)
        return found[0] if len(found) == 1 else found

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return []
        if isinstance(raw, str):
            loaded = json_or_none(raw)
            raw = loaded if isinstance(loaded, list) else re.split(f"[{re.escape(self.separators)}]", raw)
        if not isinstance(raw, list) or not all(isinstance(entry, str) for entry in raw):
            raise WrongType("a list of texts")
        return [entry.strip() for entry in raw if entry.strip()]

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        if self.holds_templates:
            yield from ((f"[{place}]", entry) for place, entry in enumerate(value or ()))

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return [template(entry) for entry in value or ()] if self.holds_templates else value


class MappingField(ConfigField):
    """Names and what they stand for: text with `{{ … }}`, an expression after `=`, or (from the API) any JSON value.

    In a form: repeated `NAME__name` and `NAME__value`. The order is kept. `plain` maps hold no templates:
    their values are paths or words as they are.
    """

    kind = "mapping"
    json_type = {"type": "object"}

    def __init__(
        self, *, plain: bool = False, names: str = "Name", values: str = "Value", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.plain, self.names, self.values = plain, names, values

    def nothing(self) -> JSONValue:
        return {}

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        names, values = all_of(data, f"{name}__name"), all_of(data, f"{name}__value")
        if not names and f"{name}__shown" not in data:
            return None
        return [{"name": key, "value": value} for key, value in zip(names, values, strict=False)]

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return {}
        if isinstance(raw, str):
            raw = json_or_none(raw) if raw.strip() else {}
        if isinstance(raw, list):
            pairs: JSONObject = {}
            for entry in raw:
                if not isinstance(entry, dict) or not isinstance(entry.get("name", ""), str):
                    raise WrongType("an object of names and values")
                key = entry.get("name", "").strip()
                if key or str(entry.get("value", "")).strip():
                    pairs[key] = entry.get("value", "")
            return pairs
        if not isinstance(raw, dict):
            raise WrongType("an object of names and values")
        if self.plain and not all(isinstance(value, str) for value in raw.values()):
            raise WrongType("an object of names and texts")
        return {str(key).strip(): value for key, value in raw.items()}

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        for key in value or {}:
            if not NAME.fullmatch(key):
                said = f"“{key}” is no name" if key else "a name is missing"
                yield (
                    "bad_name",
                    f"{self.called}: {said}.",
                    "A name has letters, digits and _, and starts with a letter.",
                )

    def _texts(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        if not self.plain:
            for key, entry in (value or {}).items():
                yield from texts_in(entry, f".{key}")

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        return ((path, text) for path, text in self._texts(value) if not text.startswith("="))

    def expressions(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        return ((path, text[1:].strip()) for path, text in self._texts(value) if text.startswith("="))

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        def change(entry: JSONValue) -> JSONValue:
            if isinstance(entry, str):
                return f"= {expression(entry[1:].strip())}" if entry.startswith("=") else template(entry)
            if isinstance(entry, dict):
                return {key: change(part) for key, part in entry.items()}
            return [change(part) for part in entry] if isinstance(entry, list) else entry

        return value if self.plain else {key: change(entry) for key, entry in (value or {}).items()}


class CategoriesField(ConfigField):
    """Categories, each with the words that speak for it: `[{"name", "terms": […]}]`.

    Also read: a list of names, an object name → terms, lines “Name: word, word”.
    In a form: repeated `NAME__name` and `NAME__terms` (commas between the terms).
    """

    kind = "categories"
    json_type = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "terms": {"type": "array", "items": {"type": "string"}},
            },
        },
    }

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        names, terms = all_of(data, f"{name}__name"), all_of(data, f"{name}__terms")
        if not names and f"{name}__shown" not in data:
            return None
        return [{"name": key, "terms": words} for key, words in zip(names, terms, strict=False)]

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return []
        if isinstance(raw, str):
            loaded = json_or_none(raw)
            if loaded is None:
                lines = [line.partition(":") for line in raw.splitlines() if line.strip()]
                loaded = [{"name": name, "terms": terms} for name, _, terms in lines]
            raw = loaded
        if isinstance(raw, dict):
            raw = [{"name": name, "terms": terms} for name, terms in raw.items()]
        if not isinstance(raw, list):
            raise WrongType("a list of categories")
        found = [self._one(entry) for entry in raw]
        return [entry for entry in found if entry["name"] or entry["terms"]]

    def _one(self, entry: Any) -> JSONObject:
        if isinstance(entry, str):
            return {"name": entry.strip(), "terms": []}
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise WrongType("a list of categories, each with a name and its terms")
        extra = set(entry) - {"name", "terms"}
        if extra:
            raise WrongType(f"a list of categories, which have no “{sorted(extra)[0]}”")
        terms = entry.get("terms") or []
        if isinstance(terms, str):
            terms = re.split(r"[,;\n]", terms)
        if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
            raise WrongType("a list of categories whose terms are texts")
        return {"name": entry["name"].strip(), "terms": [term.strip() for term in terms if term.strip()]}

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        seen: set[str] = set()
        for entry in value or ():
            if not entry["name"]:
                yield "bad_category", f"{self.called}: a category has no name.", "Name it, or take it out."
            elif entry["name"].casefold() in seen:
                yield "bad_category", f"{self.called}: “{entry['name']}” is there twice.", "Take one out."
            seen.add(entry["name"].casefold())
