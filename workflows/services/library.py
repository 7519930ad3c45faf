"""The tenant's library as definitions need it: frozen with a version, checked in a draft, and brought along by a document."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from django.db.models import F, Q

from workflows.definition.graph import Definition, StepDef
from workflows.definition.library import (
    PERSONA,
    PROMPT,
    Library,
    Parameter,
    PersonaText,
    PromptText,
    PromptUse,
    names_in,
    uses_library,
    uses_of,
)
from workflows.expressions.paths import nearest
from workflows.lib.builtin_personas import BUILTIN, BuiltinPersona, builtin
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONValue
from workflows.models import LibraryUse, Persona, Prompt, PromptVersion, WorkflowVersion
from workflows.services.email_templates import email_problems, frozen_emails
from workflows.steps.prompts import BadParameter, read_value
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.models import Tenant


@dataclass(frozen=True, slots=True)
class PersonaCard:
    """A persona as people choose it. `row` is None for a built-in one that nobody here has changed."""

    name: str
    colour: int
    description: str
    text: str
    row: Persona | None = None

    @property
    def is_builtin(self) -> bool:
        return builtin(self.name) is not None

    @property
    def initials(self) -> str:
        words = self.name.split()
        return "".join(word[0] for word in words[:2]).upper() if len(words) > 1 else self.name[:2].upper()


def personas_of(tenant: Tenant) -> list[PersonaCard]:
    """Every persona of the tenant by name: its own, and the built-in ones that it has not changed. One query."""
    rows = list(Persona.objects.for_tenant(tenant))
    own = {row.name.casefold() for row in rows}
    cards = [PersonaCard(row.name, row.colour, row.description, row.text, row) for row in rows]
    cards += [_card(one) for one in BUILTIN if one.name.casefold() not in own]
    return sorted(cards, key=lambda card: card.name.casefold())


def _card(one: BuiltinPersona) -> PersonaCard:
    return PersonaCard(one.name, one.colour, one.description, one.text)


def prompts_of(tenant: Tenant) -> list[PromptVersion]:
    """The newest version of every prompt that is offered, by name; `prompt` is loaded. One query."""
    found = PromptVersion.objects.for_tenant(tenant).select_related("prompt__created_by")
    return sorted(
        found.filter(prompt__removed_at=None, number=F("prompt__latest")),
        key=lambda version: version.prompt.name.casefold(),
    )


def text_of_version(version: PromptVersion, *, latest: bool) -> PromptText:
    """A stored version as a definition carries it; `version.prompt` is loaded."""
    return PromptText(
        version.prompt.name,
        version.number,
        version.text,
        tuple(Parameter.from_json(one) for one in version.parameters),
        latest,
    )


# --- freezing ---------------------------------------------------------------------------------------------------------


def with_library(definition: Definition, tenant: Tenant) -> Definition:
    """The definition with the texts that its steps name: what a run or a document depends on is in it.

    A draft has none; what a definition carries already (of a version that is run again) stays as it is.
    At most three queries, none where no step names anything. What is not found is left out: `library_problems` says it.
    """
    if not uses_library(definition):
        return replace(definition, library={}) if definition.library else definition
    carried = Library.from_json(definition.library)
    _, personas = names_in(definition)
    wanted = [use for _, use, _ in uses_of(definition) if use is not None]
    kept = tuple(dict.fromkeys(one for use in wanted if (one := carried.prompt(use)) is not None))
    known = tuple(one for one in carried.personas if one.name.casefold() in map(str.casefold, personas))
    missing = [use for use in wanted if carried.prompt(use) is None]
    nobody = [name for name in personas if carried.persona(name) is None]
    library = Library(
        prompts=(*kept, *(_prompts(tenant, missing) if missing else ())),
        personas=(*known, *(_personas(tenant, nobody) if nobody else ())),
        emails=frozen_emails(definition, carried, tenant),
    )
    return replace(definition, library=library.to_json())


def _prompts(tenant: Tenant, wanted: Collection[PromptUse]) -> Iterator[PromptText]:
    named = reduce(or_, (Q(prompt__name__iexact=use.name) for use in wanted))
    rows = PromptVersion.objects.for_tenant(tenant).select_related("prompt")
    for row in rows.filter(named, prompt__removed_at=None).order_by("prompt_id", "number"):
        name, is_newest = row.prompt.name.casefold(), row.number == row.prompt.latest
        mine = [use.version for use in wanted if use.name.casefold() == name]
        follows = is_newest and None in mine
        if follows or row.number in mine:
            yield text_of_version(row, latest=follows)


def _personas(tenant: Tenant, names: Collection[str]) -> Iterator[PersonaText]:
    named = reduce(or_, (Q(name__iexact=name) for name in names))
    own = {row.name.casefold(): row for row in Persona.objects.for_tenant(tenant).filter(named)}
    seen: set[str] = set()
    for name in names:
        key = name.casefold()
        found = own.get(key) or builtin(name)
        if found is not None and key not in seen:
            seen.add(key)
            yield PersonaText(found.name, found.text)


def record_uses(version: WorkflowVersion, definition: Definition) -> None:
    """Write which steps of a published version use what, to be found from the library's pages."""
    library = Library.from_json(definition.library)
    rows: list[LibraryUse] = []
    for step, use, persona in uses_of(definition):
        prompt = library.prompt(use) if use is not None else None
        if prompt is not None:
            rows.append(_use(version, step, LibraryUse.Kind.PROMPT, prompt.name, prompt.number))
        found = library.persona(persona) if persona else None
        if found is not None:
            rows.append(_use(version, step, LibraryUse.Kind.PERSONA, found.name))
    LibraryUse.objects.bulk_create(rows)


def _use(version: WorkflowVersion, step: StepDef, kind: str, name: str, number: int = 0) -> LibraryUse:
    return LibraryUse(
        tenant_id=version.tenant_id,
        workflow_id=version.workflow_id,
        version=version,
        kind=kind,
        name=name,
        number=number,
        step_key=step.key,
        step_label=step.label,
    )


# --- checking ---------------------------------------------------------------------------------------------------------


def library_problems(definition: Definition, tenant: Tenant) -> tuple[Problem, ...]:
    """What is wrong with the prompts and personas that the steps name; `definition` comes from `with_library`."""
    if not uses_library(definition):
        return ()
    library = Library.from_json(definition.library)
    found: list[Problem] = []
    for step, use, persona in uses_of(definition):
        if persona and library.persona(persona) is None:
            names = [card.name for card in personas_of(tenant)]
            found.append(_unknown(step, PERSONA, f"There is no persona “{persona}”.", persona, names))
        if use is not None:
            prompt = library.prompt(use)
            found += _no_prompt(step, use, tenant) if prompt is None else _parameters(step, use, prompt)
    found += email_problems(definition, tenant)
    return tuple(found)


def _unknown(step: StepDef, field: str, message: str, name: str, names: Iterable[str]) -> Problem:
    near = nearest(name, list(names))
    return Problem(
        f"unknown_{'persona' if field == PERSONA else 'prompt'}",
        message,
        step=step.label,
        step_key=step.key,
        field=field,
        fix=f"Did you mean “{near}”?" if near else "Choose one of the library.",
    )


def _no_prompt(step: StepDef, use: PromptUse, tenant: Tenant) -> list[Problem]:
    offered = {version.prompt.name.casefold(): version.prompt for version in prompts_of(tenant)}
    prompt = offered.get(use.name.casefold())
    if prompt is None:
        removed = Prompt.objects.for_tenant(tenant).filter(name__iexact=use.name).exists()
        message = (
            f"The prompt “{use.name}” was removed from the library."
            if removed
            else f"There is no prompt “{use.name}” in the library."
        )
        names = [one.name for one in offered.values()]
        return [_unknown(step, PROMPT, message, use.name, names)]
    message = f"“{prompt.name}” has no version {use.version}: its newest is {prompt.latest}."
    return [_unknown(step, PROMPT, message, "", ())]


def _parameters(step: StepDef, use: PromptUse, prompt: PromptText) -> list[Problem]:
    found: list[Problem] = []

    def say(code: str, message: str, fix: str, name: str) -> None:
        place = f"{PROMPT}.parameters.{name}"
        found.append(Problem(code, message, step=step.label, step_key=step.key, field=place, fix=fix))

    for parameter in prompt.parameters:
        value = use.parameters.get(parameter.name)
        if value in (None, ""):
            if parameter.required and parameter.default in (None, ""):
                message = f"The prompt “{prompt.name}” needs a value for “{parameter.name}”."
                say("missing_parameter", message, f"Fill in “{parameter.name}”.", parameter.name)
            continue
        if not _is_worked_out(value):
            try:
                read_value(parameter, value)
            except BadParameter as error:
                say("bad_parameter", str(error), f"Correct “{parameter.name}”.", parameter.name)
    known = [parameter.name for parameter in prompt.parameters]
    for name in use.parameters:
        if name not in known:
            near = nearest(name, known)
            fix = f"Did you mean “{near}”?" if near else "Take it out."
            say("unknown_parameter", f"The prompt “{prompt.name}” has no parameter “{name}”.", fix, name)
    return found


def _is_worked_out(value: JSONValue) -> bool:
    """Whether the value is known only in a run."""
    return isinstance(value, str) and ("{{" in value or value.startswith("="))


# --- documents from elsewhere -----------------------------------------------------------------------------------------


def missing_from(definition: Definition, tenant: Tenant) -> Library:
    """What of a document's `library` the tenant has not, by name: what an import would have to add."""
    carried = Library.from_json(definition.library)
    prompts = {version.prompt.name.casefold() for version in prompts_of(tenant)} if carried.prompts else set()
    personas = {card.name.casefold() for card in personas_of(tenant)} if carried.personas else set()
    return Library(
        tuple(one for one in carried.prompts if one.name.casefold() not in prompts),
        tuple(one for one in carried.personas if one.name.casefold() not in personas),
    )


def adopt_library(definition: Definition, actor: Actor) -> tuple[str, ...]:
    """Add the prompts and personas that a document brings along and the tenant has not; names that are there stay as
    they are. Prompts keep their version numbers, so that pinned steps find theirs. Gives what was added, in words.
    """
    missing = missing_from(definition, actor.tenant) if definition.library else Library()
    added: list[str] = []
    by_name: dict[str, list[PromptText]] = {}
    for one in missing.prompts:
        by_name.setdefault(one.name.casefold(), []).append(one)
    for versions in by_name.values():
        name = versions[0].name[:120]
        prompt = Prompt.objects.create(
            tenant=actor.tenant,
            name=name,
            latest=max(one.number for one in versions),
            created_by=actor.user,
        )
        PromptVersion.objects.bulk_create(
            PromptVersion(
                prompt=prompt,
                tenant=actor.tenant,
                number=one.number,
                text=one.text,
                parameters=[parameter.to_json() for parameter in one.parameters],
                note="Came with a workflow",
                created_by=actor.user,
            )
            for one in versions
        )
        record(actor, "created", prompt, after={"name": name, "came with a workflow": True})
        added.append(f"prompt “{name}”")
    for persona in missing.personas:
        row = Persona.objects.create(
            tenant=actor.tenant, name=persona.name[:80], text=persona.text, updated_by=actor.user
        )
        record(actor, "created", row, after={"name": row.name, "came with a workflow": True})
        added.append(f"persona “{row.name}”")
    return tuple(added)
