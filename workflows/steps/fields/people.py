"""Settings of what people are asked: who decides, which fields they fill in, which buttons they have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.fields.base import NAME, ConfigField, WrongType, all_of, json_or_none
from workflows.steps.fields.lists import ListField


class AssigneesField(ListField):
    """Who decides: `user:EMAIL` or `role:ROLE`; a bare address or role is completed."""

    kind = "assignees"
    ROLES: Final = ("owner", "admin", "editor", "reviewer", "viewer")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(separators="\n,;", **kwargs)

    def read(self, raw: Any) -> JSONValue:
        found: list[str] = super().read(raw)
        return list(dict.fromkeys(self._complete(entry) for entry in found))

    def _complete(self, entry: str) -> str:
        if "{{" in entry:
            # Computed from data when the gate opens.
            return entry
        if "@" in entry and not entry.startswith("user:"):
            return f"user:{entry}"
        return f"role:{entry.lower()}" if entry.lower() in self.ROLES else entry

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        for entry in value or ():
            kind, _, who = entry.partition(":")
            good = (
                "{{" in entry
                or (kind == "user" and re.fullmatch(r"[^@\s]+@[^@\s]+", who))
                or (kind == "role" and who in self.ROLES)
            )
            if not good:
                yield (
                    "bad_assignee",
                    f"{self.called}: “{entry}” is neither a person nor a role.",
                    f"Write an email address or one of: {', '.join(self.ROLES)}.",
                )


class FormField(ConfigField):
    """Fields that a person fills in at a review: `[{"name", "label", "type", "required", "options"}]`."""

    kind = "form"
    json_type = {"type": "array", "items": {"type": "object"}}
    TYPES: Final = ("text", "long_text", "number", "boolean", "choice", "date")

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        labels = all_of(data, f"{name}__label")
        if not labels and f"{name}__shown" not in data:
            return None
        types, names = all_of(data, f"{name}__type"), all_of(data, f"{name}__name")
        options, needed = all_of(data, f"{name}__options"), all_of(data, f"{name}__required")
        return [
            {
                "label": label,
                "name": names[place] if place < len(names) else "",
                "type": types[place] if place < len(types) else "text",
                "options": options[place] if place < len(options) else "",
                # A select (yes/no), not a box: unchecked boxes would shift the rows.
                "required": place < len(needed) and needed[place] in ("on", "true", "yes", "1"),
            }
            for place, label in enumerate(labels)
            if label.strip()
        ]

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return []
        if isinstance(raw, str):
            raw = json_or_none(raw) if raw.strip() else []
        if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
            raise WrongType("a list of fields")
        return [self._one(entry) for entry in raw]

    def _one(self, entry: JSONObject) -> JSONObject:
        extra = set(entry) - {"name", "label", "type", "required", "options", "help"}
        if extra:
            raise WrongType(f"a list of fields, which have no “{sorted(extra)[0]}”")
        for key in ("name", "label", "type", "help"):
            if not isinstance(entry.get(key, ""), str):
                raise WrongType(f"a list of fields whose {key} is text")
        if not isinstance(entry.get("required", False), bool):
            raise WrongType("a list of fields whose required is true or false")
        label = entry.get("label", "").strip() or entry.get("name", "").strip()
        name = entry.get("name", "").strip() or re.sub(r"\W+", "_", label.lower()).strip("_")
        options = entry.get("options") or []
        if isinstance(options, str):
            options = [part.strip() for part in re.split(r"[,\n]", options) if part.strip()]
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise WrongType("a list of fields whose options are texts")
        made: JSONObject = {
            "name": name,
            "label": label,
            "type": entry.get("type", "").strip() or "text",
            "required": entry.get("required", False),
        }
        if options:
            made["options"] = options
        if entry.get("help"):
            made["help"] = entry["help"].strip()
        return made

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        seen: set[str] = set()
        for entry in value or ():
            name = entry["name"]
            if not NAME.fullmatch(name):
                yield (
                    "bad_name",
                    f"{self.called}: “{name or entry['label']}” is no name.",
                    "Use letters, digits and _.",
                )
            elif name in seen:
                yield "bad_name", f"{self.called}: “{name}” is there twice.", "Rename one of them."
            seen.add(name)
            if entry["type"] not in self.TYPES:
                known = ", ".join(self.TYPES)
                yield (
                    "bad_choice",
                    f"{self.called}: “{name}” cannot be “{entry['type']}”.",
                    f"Choose one of: {known}.",
                )
            if entry["type"] == "choice" and not entry.get("options"):
                yield (
                    "bad_choice",
                    f"{self.called}: “{name}” has nothing to choose from.",
                    "List its options.",
                )


class ButtonsField(ConfigField):
    """More ways to decide at a review, beside approve and reject: `[{"decision", "label", "port"}]`."""

    kind = "buttons"
    json_type = {"type": "array", "items": {"type": "object"}}

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        labels, decisions = all_of(data, f"{name}__label"), all_of(data, f"{name}__decision")
        ports = all_of(data, f"{name}__port")
        if not labels and f"{name}__shown" not in data:
            return None
        return [
            {
                "label": label,
                "decision": decisions[place] if place < len(decisions) else "",
                "port": ports[place] if place < len(ports) else "",
            }
            for place, label in enumerate(labels)
            if label.strip()
        ]

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return []
        if isinstance(raw, str):
            raw = json_or_none(raw) if raw.strip() else []
        if not isinstance(raw, list) or not all(isinstance(entry, dict | str) for entry in raw):
            raise WrongType("a list of buttons")
        return [self._one(entry) for entry in raw]

    def _one(self, entry: JSONObject | str) -> JSONObject:
        found = {"label": entry} if isinstance(entry, str) else entry
        if set(found) - {"label", "decision", "port"} or not all(
            isinstance(part, str) for part in found.values()
        ):
            raise WrongType("a list of buttons, each with label, decision and port")
        label = found.get("label", "").strip() or found.get("decision", "").strip()
        decision = found.get("decision", "").strip() or re.sub(r"\W+", "_", label.lower()).strip("_")
        return {"label": label, "decision": decision, "port": found.get("port", "").strip() or decision}

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        taken = {"approved", "rejected", "error", "approve", "reject"}
        for entry in value or ():
            for part in {entry["decision"], entry["port"]}:
                if not part or part in taken:
                    yield (
                        "bad_button",
                        f"{self.called}: “{entry['label']}” needs a decision of its own.",
                        "Rename it.",
                    )
            taken |= {entry["decision"], entry["port"]}
