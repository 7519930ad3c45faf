"""The controls of a step's persona and library prompt: what the tenant's library offers, and what the step has chosen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from workflows.definition.library import EmailText, Parameter
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.models import Connection, EmailTemplate, PromptVersion
from workflows.services.email_templates import emails_of
from workflows.services.library import personas_of, prompts_of
from workflows.tenancy.models import Tenant


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A parameter of the chosen prompt, and what fills it in this step."""

    name: str
    value: str
    hint: str
    required: bool
    options: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.name.replace("_", " ")


class LibraryChoices:
    """What can be chosen; asked of the database only when a card that has such a control is drawn."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant

    @cached_property
    def _personas(self) -> tuple[tuple[str, str], ...]:
        return tuple((card.name, card.name) for card in personas_of(self.tenant))

    @cached_property
    def _prompts(self) -> dict[str, PromptVersion]:
        return {version.prompt.name: version for version in prompts_of(self.tenant)}

    def personas(self, chosen: str) -> tuple[tuple[str, str], ...]:
        """(value, label) for the list; one that is there no more stays to be seen."""
        known = {name.casefold(): name for name, _ in self._personas}
        gone = ((chosen, f"{chosen} (not there)"),) if chosen and chosen.casefold() not in known else ()
        return (("", "None"), *self._personas, *gone)

    @cached_property
    def _connections(self) -> tuple[str, ...]:
        rows = Connection.objects.for_tenant(self.tenant).order_by("name")
        return tuple(rows.values_list("name", flat=True)[:500])

    def connections(self, chosen: str) -> tuple[tuple[str, str], ...]:
        """(value, label) of the tenant's connections; a name that is there no more stays to be seen."""
        gone = ((chosen, f"{chosen} (not there)"),) if chosen and chosen not in self._connections else ()
        return (("", "None: nothing is sent along"), *((name, name) for name in self._connections), *gone)

    def persona_value(self, chosen: str) -> str:
        """The chosen name as the list spells it."""
        return next((name for name, _ in self._personas if name.casefold() == chosen.casefold()), chosen)

    def prompt(self, said: JSONObject) -> JSONObject:
        """`{name, version, choices, versions, parameters, id}` for the control of a library prompt."""
        wanted, number = str(said.get("name") or ""), said.get("version")
        found = next((v for name, v in self._prompts.items() if name.casefold() == wanted.casefold()), None)
        choices = [("", "None: only the text below"), *((name, name) for name in self._prompts)]
        if wanted and found is None:
            choices.append((wanted, f"{wanted} (not there)"))
        newest = found.prompt.latest if found is not None else 0
        versions = [("", f"Latest, now version {newest}")] if newest else [("", "Latest")]
        versions += [(str(one), f"Version {one}") for one in range(newest, 0, -1)]
        if number and number > newest:
            versions.append((str(number), f"Version {number} (not there)"))
        return {
            "name": found.prompt.name if found is not None else wanted,
            "version": str(number or ""),
            "choices": choices,
            "versions": versions,
            "parameters": self._parameters(found, said),
            "prompt": found.prompt if found is not None else None,
        }

    def email(self, said: JSONObject) -> JSONObject:
        """The same for the control of a mail template, which has no versions."""
        wanted, given = str(said.get("name") or ""), said.get("parameters") or {}
        found = next((one for one, _ in self._emails if one.name.casefold() == wanted.casefold()), None)
        choices = [("", "None: only the text below"), *((one.name, one.name) for one, _ in self._emails)]
        if wanted and found is None:
            choices.append((wanted, f"{wanted} (not there)"))
        declared = found.parameters if found is not None else ()
        names = {one.name for one in declared}
        rows = [_row(one, given.get(one.name)) for one in declared]
        rows += [
            ParameterRow(name, _shown(value), "No variable of this template.", False)
            for name, value in given.items()
            if name not in names
        ]
        return {
            "name": found.name if found is not None else wanted,
            "version": "",
            "choices": choices,
            "versions": [],
            "parameters": rows,
            "prompt": None,
        }

    @cached_property
    def _emails(self) -> list[tuple[EmailText, EmailTemplate | None]]:
        return emails_of(self.tenant)

    def _parameters(self, newest: PromptVersion | None, said: JSONObject) -> list[ParameterRow]:
        given: JSONObject = said.get("parameters") or {}
        if newest is None:
            return [ParameterRow(name, _shown(value), "", False) for name, value in given.items()]
        chosen = newest
        number = said.get("version")
        if number and number != newest.number:
            rows = PromptVersion.objects.for_tenant(self.tenant).filter(prompt=newest.prompt, number=number)
            chosen = rows.first() or newest
        declared = [Parameter.from_json(one) for one in chosen.parameters]
        names = {one.name for one in declared}
        rows_ = [_row(one, given.get(one.name)) for one in declared]
        # What fits no parameter of this version stays to be seen, since a check names it.
        return rows_ + [
            ParameterRow(name, _shown(value), "No parameter of this version.", False)
            for name, value in given.items()
            if name not in names
        ]


def _row(one: Parameter, value: JSONValue) -> ParameterRow:
    words = {
        "string": "Text",
        "number": "A number",
        "boolean": "Yes or no",
        "array": "A list",
        "object": "An object",
    }
    said = [one.description or words.get(one.type, "")]
    if one.options:
        said.append(f"One of: {', '.join(one.options)}.")
    if one.default not in (None, ""):
        said.append(f"Left empty: {_shown(one.default)}.")
    hint = " ".join(part if part.endswith(".") else f"{part}." for part in said if part)
    return ParameterRow(one.name, _shown(value), hint, one.required, one.options)


def _shown(value: JSONValue) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
