"""Settings that name an entry of the tenant's library: a persona, and a prompt with its version and parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.fields.base import ConfigField, Rewrite, WrongType, all_of, json_or_none, texts_in


class PersonaField(ConfigField):
    """The name of a persona, whose text is put before the system prompt."""

    kind = "persona"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Persona")
        kwargs.setdefault("help_text", "Who answers. Its text is put before the step's own system prompt.")
        kwargs.setdefault("section", "Model")
        super().__init__(**kwargs)

    def read(self, raw: Any) -> JSONValue:
        return str(super().read(raw)).strip()


class LibraryPromptField(ConfigField):
    """A prompt of the library: `{"name", "version" (a number, or null for the latest), "parameters": {name: value}}`.

    Also read: its bare name. The values are texts with `{{ … }}`, or expressions after `=`.
    In a form: `NAME__name`, `NAME__version`, and repeated `NAME__parameter` with `NAME__value`; `NAME__was` is the name
    that the form showed.
    """

    kind = "library_prompt"
    json_type = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": ["integer", "null"]},
            "parameters": {"type": "object"},
        },
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Prompt of the library")
        kwargs.setdefault("section", "Prompt")
        super().__init__(**kwargs)

    def nothing(self) -> JSONValue:
        return {}

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        if f"{name}__name" not in data:
            return None
        names, values = all_of(data, f"{name}__parameter"), all_of(data, f"{name}__value")
        if data.get(f"{name}__was", data[f"{name}__name"]) != data[f"{name}__name"]:
            # Another prompt was chosen: the old one's version says nothing about it.
            return {"name": data[f"{name}__name"]}
        given = {key: value for key, value in zip(names, values, strict=False) if key and value.strip()}
        return {"name": data[f"{name}__name"], "version": data.get(f"{name}__version"), "parameters": given}

    def read(self, raw: Any) -> JSONValue:
        if isinstance(raw, str):
            raw = json_or_none(raw) if raw.lstrip().startswith("{") else {"name": raw}
        if not isinstance(raw, dict):
            raise WrongType("the name of a prompt, or an object with name, version and parameters")
        extra = set(raw) - {"name", "version", "parameters"}
        if extra:
            raise WrongType(f"a prompt of the library, which has no “{sorted(extra)[0]}”")
        name, parameters = raw.get("name") or "", raw.get("parameters") or {}
        if not isinstance(name, str) or not isinstance(parameters, dict):
            raise WrongType("an object with the name of a prompt and its parameters")
        if not name.strip():
            return {}
        found: JSONObject = {"name": name.strip()}
        version = self._version(raw.get("version"))
        if version is not None:
            found["version"] = version
        if parameters:
            found["parameters"] = {str(key): value for key, value in parameters.items()}
        return found

    def _version(self, raw: Any) -> int | None:
        if raw in (None, "", "latest"):
            return None
        try:
            number = int(raw)
        except (TypeError, ValueError):
            number = 0
        if isinstance(raw, bool) or number < 1:
            raise WrongType("a prompt of the library whose version is a number from 1, or latest")
        return number

    def _texts(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        yield from texts_in((value or {}).get("parameters") or {}, ".parameters")

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

        if not value or not value.get("parameters"):
            return value
        return {**value, "parameters": change(value["parameters"])}


class EmailTemplateField(LibraryPromptField):
    """A mail template of the workspace: `{"name", "parameters": {name: value}}`; also read: its bare name."""

    kind = "email_template"
    json_type = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Template")
        kwargs.setdefault("section", "Mail")
        super().__init__(**kwargs)
