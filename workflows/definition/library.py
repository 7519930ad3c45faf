"""The library as a definition carries it: the texts of the prompts and personas that its steps name, frozen with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from workflows.definition.graph import Definition, StepDef
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue

# The settings that name an entry of the library, in every step type that has them.
PERSONA: Final = "persona"
PROMPT: Final = "library_prompt"
# Of steps of type `email`: `{"name", "parameters"}` (elsewhere the name means a text).
EMAIL_TEMPLATE: Final = "template"
PARAMETER_TYPES: Final = ("string", "number", "boolean", "choice", "array", "object")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a prompt: its text says `{{ name }}`. `options` are those of a `choice`."""

    name: str
    type: str = "string"
    required: bool = True
    default: JSONValue = None
    description: str = ""
    options: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Parameter:
        return cls(
            name=str(data.get("name", "")),
            type=str(data.get("type") or "string"),
            required=bool(data.get("required", True)),
            default=data.get("default"),
            description=str(data.get("description") or ""),
            options=tuple(str(option) for option in data.get("options") or ()),
        )

    def to_json(self) -> JSONObject:
        """The JSON of it, without what says nothing."""
        found: JSONObject = {"name": self.name, "type": self.type, "required": self.required}
        if self.default is not None:
            found["default"] = self.default
        if self.description:
            found["description"] = self.description
        if self.options:
            found["options"] = list(self.options)
        return found


@dataclass(frozen=True, slots=True)
class PromptText:
    """One version of a library prompt. `latest`: it was the newest when the definition was frozen."""

    name: str
    number: int
    text: str
    parameters: tuple[Parameter, ...] = ()
    latest: bool = False

    def parameter(self, name: str) -> Parameter | None:
        return next((one for one in self.parameters if one.name == name), None)


@dataclass(frozen=True, slots=True)
class PersonaText:
    """A persona's text as it was when the definition was frozen."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class EmailText:
    """A mail template as it was when the definition was frozen; its texts see the parameters and `text`."""

    name: str
    subject: str
    text: str
    as_html: bool = True
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptUse:
    """What a step says of a library prompt: its name, a version or None for the latest, and what fills its parameters."""

    name: str
    version: int | None = None
    parameters: Mapping[str, JSONValue] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """“Lead score, version 5”, or “Lead score, latest”."""
        return f"{self.name}, {f'version {self.version}' if self.version else 'latest'}"


@dataclass(frozen=True, slots=True)
class Library:
    """Prompts, personas and mail templates by name; names are compared without case."""

    prompts: tuple[PromptText, ...] = ()
    personas: tuple[PersonaText, ...] = ()
    emails: tuple[EmailText, ...] = ()

    @classmethod
    def from_json(cls, data: JSONObject) -> Library:
        prompts = (
            PromptText(
                name=str(entry["name"]),
                number=int(entry["version"]),
                text=str(entry["text"]),
                parameters=tuple(Parameter.from_json(one) for one in entry.get("parameters") or ()),
                latest=bool(entry.get("latest")),
            )
            for entry in data.get("prompts") or ()
        )
        personas = (
            PersonaText(str(entry["name"]), str(entry["text"])) for entry in data.get("personas") or ()
        )
        emails = (
            EmailText(
                name=str(entry["name"]),
                subject=str(entry.get("subject") or ""),
                text=str(entry["text"]),
                as_html=bool(entry.get("as_html", True)),
                parameters=tuple(Parameter.from_json(one) for one in entry.get("parameters") or ()),
            )
            for entry in data.get("emails") or ()
        )
        return cls(tuple(prompts), tuple(personas), tuple(emails))

    def to_json(self) -> JSONObject:
        """The section `library` of a document, sorted; empty where there is nothing."""
        found: JSONObject = {}
        if self.prompts:
            found["prompts"] = [
                {
                    "name": one.name,
                    "version": one.number,
                    "text": one.text,
                    "parameters": [parameter.to_json() for parameter in one.parameters],
                    "latest": one.latest,
                }
                for one in sorted(self.prompts, key=lambda one: (one.name.casefold(), one.number))
            ]
        if self.personas:
            found["personas"] = [
                {"name": one.name, "text": one.text}
                for one in sorted(self.personas, key=lambda one: one.name.casefold())
            ]
        if self.emails:
            found["emails"] = [
                {
                    "name": one.name,
                    "subject": one.subject,
                    "text": one.text,
                    "as_html": one.as_html,
                    "parameters": [parameter.to_json() for parameter in one.parameters],
                }
                for one in sorted(self.emails, key=lambda one: one.name.casefold())
            ]
        return found

    def prompt(self, use: PromptUse) -> PromptText | None:
        """The version that a step means; None when it is not here."""
        for one in self.prompts:
            if one.name.casefold() == use.name.casefold() and (
                one.latest if use.version is None else one.number == use.version
            ):
                return one
        return None

    def persona(self, name: str) -> PersonaText | None:
        return next((one for one in self.personas if one.name.casefold() == name.casefold()), None)

    def email(self, name: str) -> EmailText | None:
        return next((one for one in self.emails if one.name.casefold() == name.casefold()), None)


def email_use(step: StepDef) -> PromptUse | None:
    """The mail template that an `email` step names, and what fills its variables."""
    said = step.config.get(EMAIL_TEMPLATE) if step.type == "email" else None
    if not isinstance(said, dict) or not said.get("name"):
        return None
    return PromptUse(str(said["name"]), None, said.get("parameters") or {})


def email_uses(definition: Definition) -> Iterator[tuple[StepDef, PromptUse]]:
    for step in definition.steps:
        if (use := email_use(step)) is not None:
            yield step, use


def prompt_use(step: StepDef) -> PromptUse | None:
    """The library prompt that a step names, if it names one."""
    said = step.config.get(PROMPT)
    if not isinstance(said, dict) or not said.get("name"):
        return None
    version = said.get("version")
    return PromptUse(
        str(said["name"]),
        version if isinstance(version, int) and not isinstance(version, bool) else None,
        said.get("parameters") or {},
    )


def persona_use(step: StepDef) -> str:
    """The name of the step's persona; empty without one."""
    said = step.config.get(PERSONA)
    return said if isinstance(said, str) else ""


def uses_library(definition: Definition) -> bool:
    return any(
        step.config.get(PERSONA) or step.config.get(PROMPT) or email_use(step) is not None
        for step in definition.steps
    )


def uses_of(
    definition: Definition,
) -> Iterator[tuple[StepDef, PromptUse | None, str]]:
    """(step, prompt, persona) of every step that names one or the other."""
    for step in definition.steps:
        prompt, persona = prompt_use(step), persona_use(step)
        if prompt is not None or persona:
            yield step, prompt, persona


def names_in(definition: Definition) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the prompts and of the personas that the steps name, as written."""
    found = list(uses_of(definition))
    prompts: Iterable[str] = (prompt.name for _, prompt, _ in found if prompt is not None)
    return frozenset(prompts), frozenset(persona for _, _, persona in found if persona)


SECTIONS: Final = ("prompts", "personas")
_LONGEST_TEXT: Final = 200_000


def sections_of(definitions: Iterable[Definition]) -> dict[str, JSONValue]:
    """The texts that these definitions carry, each once, as sections of a document; empty where there are none."""
    prompts: dict[tuple[str, int], PromptText] = {}
    personas: dict[str, PersonaText] = {}
    for definition in definitions:
        library = Library.from_json(definition.library)
        for one in library.prompts:
            key = (one.name.casefold(), one.number)
            known = prompts.get(key)
            if known is None or (one.latest and not known.latest):
                prompts[key] = one
        for persona in library.personas:
            personas.setdefault(persona.name.casefold(), persona)
    found = Library(tuple(prompts.values()), tuple(personas.values())).to_json()
    return {
        name: [{key: value for key, value in entry.items() if value not in ([], False)} for entry in entries]
        for name, entries in found.items()
    }


def library_of_sections(sections: Mapping[str, JSONValue]) -> tuple[Library, tuple[Problem, ...]]:
    """The texts in a document's sections, and everything that is wrong with them, each with its path."""
    problems: list[Problem] = []
    prompts: list[PromptText] = []
    personas: list[PersonaText] = []

    def wrong(path: str, message: str) -> None:
        field = path.rpartition(".")[2].partition("[")[0]
        problems.append(Problem("bad_value", message, field=field, path=path))

    def entries(name: str) -> Iterator[tuple[str, JSONObject]]:
        found = sections.get(name) or []
        if not isinstance(found, list):
            wrong(name, f"{name} must be a list.")
            return
        for index, entry in enumerate(found):
            path = f"{name}[{index}]"
            said = entry if isinstance(entry, dict) else {}
            bad = [
                key for key in ("name", "text") if not isinstance(said.get(key), str) or not said[key].strip()
            ]
            if bad:
                wrong(f"{path}.{bad[0]}", f"{path} needs a {bad[0]}, which is text.")
            elif len(said["text"]) > _LONGEST_TEXT or len(said["name"]) > 120:
                wrong(path, f"{path} is too long.")
            else:
                yield path, said

    for path, entry in entries("prompts"):
        number, parameters = entry.get("version", 1), entry.get("parameters") or []
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 100_000:
            wrong(f"{path}.version", f"{path}.version must be a number from 1.")
        elif not isinstance(parameters, list) or not all(
            isinstance(one, dict)
            and isinstance(one.get("name"), str)
            and one.get("type", "string") in PARAMETER_TYPES
            and isinstance(one.get("options") or [], list)
            for one in parameters
        ):
            wrong(f"{path}.parameters", f"{path}.parameters must be a list of parameters, each with a name.")
        else:
            prompts.append(
                PromptText(
                    entry["name"].strip(),
                    number,
                    entry["text"],
                    tuple(Parameter.from_json(one) for one in parameters),
                    entry.get("latest") is True,
                )
            )
    for _, entry in entries("personas"):
        personas.append(PersonaText(entry["name"].strip(), entry["text"]))
    return Library(tuple(prompts), tuple(personas)), tuple(problems)


def only_used(library: Library, definition: Definition) -> Library:
    """What of the library the definition's steps name."""
    prompts, personas = names_in(definition)
    asked, who = {name.casefold() for name in prompts}, {name.casefold() for name in personas}
    return Library(
        tuple(one for one in library.prompts if one.name.casefold() in asked),
        tuple(one for one in library.personas if one.name.casefold() in who),
    )
