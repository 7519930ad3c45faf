"""Prompts of the library: made, given a new version, renamed, removed. Versions never change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from django.db import IntegrityError, transaction

from workflows.definition.graph import StepDef
from workflows.definition.library import PARAMETER_TYPES, PROMPT, Parameter, prompt_use
from workflows.expressions.names import NAMES
from workflows.expressions.paths import nearest
from workflows.expressions.template import scan
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.models import LibraryUse, Prompt, PromptVersion
from workflows.services.change_library_steps import Change, change_steps
from workflows.steps.fields.base import NAME
from workflows.steps.prompts import BadParameter, read_value
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission

TEXT_CHARS: Final = 200_000
MOST_PARAMETERS: Final = 50


class Reach(StrEnum):
    """What a new version does to the steps of drafts that use the prompt already.

    ALL: those that were pinned to an older version take the new one; those that follow the latest have it anyway.
    NEW: those that follow the latest are pinned to the version that they had, so that only new steps take the new one.
    """

    ALL = "all"
    NEW = "new"


def create_prompt(
    *,
    actor: Actor,
    name: str,
    text: str,
    parameters: Iterable[Mapping[str, Any]] = (),
    description: str = "",
    note: str = "",
) -> Prompt:
    """A prompt with its version 1. Raises Invalid with every problem, Conflict for a name that is taken."""
    actor.require(Permission.EDIT_WORKFLOWS)
    name = _clean_name(name)
    text, read = clean_prompt(text, parameters)
    try:
        with transaction.atomic():
            prompt = Prompt.objects.create(
                tenant=actor.tenant,
                name=name,
                description=_clean_line(description),
                latest=1,
                created_by=actor.user,
            )
            _add_version(prompt, actor, text, read, note)
            record(actor, "created", prompt, after={"name": name})
    except IntegrityError as error:
        raise _taken(name) from error
    return prompt


def new_version(
    *,
    actor: Actor,
    prompt: Prompt,
    text: str,
    parameters: Iterable[Mapping[str, Any]] = (),
    note: str = "",
    reach: Reach = Reach.ALL,
    expected: int | None = None,
) -> PromptVersion:
    """The next version. `expected` is the newest number that the author saw: Conflict when there is a newer one.

    Raises Invalid with every problem, Conflict (`unchanged`) when text and parameters are what they were. Published
    versions of workflows keep the text that they were published with, whatever `reach` says.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    text, read = clean_prompt(text, parameters)
    with transaction.atomic():
        fresh = Prompt.objects.for_tenant(actor.tenant).select_for_update().get(pk=prompt.pk)
        if expected is not None and fresh.latest != expected:
            raise Conflict(
                f"“{fresh.name}” got a version {fresh.latest} in the meantime. Look at it, and make your change again.",
                code="stale",
            )
        before = PromptVersion.objects.get(prompt=fresh, number=fresh.latest)
        if before.text == text and before.parameters == [one.to_json() for one in read]:
            raise Conflict(f"Nothing has changed since version {before.number}.", code="unchanged")
        old = fresh.latest
        fresh.latest, fresh.updated_at = old + 1, utc_now()
        fresh.save(update_fields=["latest", "updated_at"])
        version = _add_version(fresh, actor, text, read, note)
        changed = change_steps(actor, PROMPT, fresh.name, _to(reach, old, fresh.latest))
        after = {"version": version.number, "note": version.note, "steps": changed, "reach": reach.value}
        record(actor, "changed", fresh, before={"version": old}, after=after)
    prompt.latest = fresh.latest
    return version


def _to(reach: Reach, old: int, new: int) -> Change:
    def change(step: StepDef) -> StepDef | None:
        use = prompt_use(step)
        if use is None:
            return None
        if reach is Reach.ALL:
            return None if use.version is None or use.version == new else with_use(step, version=new)
        return with_use(step, version=old) if use.version is None else None

    return change


def with_use(step: StepDef, **changes: Any) -> StepDef:
    """The step with another version or name of its library prompt."""
    said: JSONObject = {**step.config[PROMPT], **changes}
    return replace(step, config={**step.config, PROMPT: {k: v for k, v in said.items() if v is not None}})


def change_prompt(*, actor: Actor, prompt: Prompt, name: str, description: str) -> Prompt:
    """Another name or description; steps of drafts follow the name. Raises Invalid, Conflict."""
    actor.require(Permission.EDIT_WORKFLOWS)
    name, description = _clean_name(name), _clean_line(description)
    before = {"name": prompt.name, "description": prompt.description}
    try:
        with transaction.atomic():
            old = prompt.name
            prompt.name, prompt.description, prompt.updated_at = name, description, utc_now()
            prompt.save(update_fields=["name", "description", "updated_at"])
            if old != name:
                change_steps(actor, PROMPT, old, lambda step: with_use(step, name=name))
                LibraryUse.objects.for_tenant(actor.tenant).filter(
                    kind=LibraryUse.Kind.PROMPT, name__iexact=old
                ).update(name=name)
            record(actor, "changed", prompt, before=before, after={"name": name, "description": description})
    except IntegrityError as error:
        prompt.name = before["name"]
        raise _taken(name) from error
    return prompt


def remove_prompt(*, actor: Actor, prompt: Prompt) -> None:
    """Offer it no more. Published versions have its text; drafts that name it get a problem until they name another."""
    actor.require(Permission.EDIT_WORKFLOWS)
    with transaction.atomic():
        prompt.removed_at = utc_now()
        prompt.save(update_fields=["removed_at"])
        record(actor, "removed", prompt)


def clean_prompt(text: str, parameters: Iterable[Mapping[str, Any]]) -> tuple[str, tuple[Parameter, ...]]:
    """The text without spaces around it, and its parameters. Raises Invalid with every problem."""
    text = text.replace("\r\n", "\n").strip()
    read = tuple(Parameter.from_json(one) for one in parameters)
    problems = [*_text_problems(text, read), *_parameter_problems(read)]
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    return text, read


def _text_problems(text: str, parameters: tuple[Parameter, ...]) -> Iterable[Problem]:
    if not text:
        yield Problem(
            "required", "The prompt says nothing.", field="text", fix="Write what the model has to do."
        )
    if len(text) > TEXT_CHARS:
        yield Problem("too_long", f"A prompt has at most {TEXT_CHARS:,} characters.", field="text")
    if "\x00" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        yield Problem("bad_text", "The prompt holds characters that no text may have.", field="text")
        return
    found = scan(text)
    for fault in found.errors:
        yield Problem("bad_reference", str(fault), field="text")
    names = [one.name for one in parameters]
    told: set[str] = set()
    for reference in found.references:
        root = reference.path.root
        if root in names or root in told:
            continue
        told.add(root)
        near = nearest(root, names)
        what = (
            f"“{{{{ {root} }}}}” is data of a run, which a prompt of the library does not see."
            if root in NAMES
            else f"“{{{{ {root} }}}}” is none of its parameters."
        )
        fix = f"Did you mean “{near}”?" if near else "Make it a parameter: the step says what fills it."
        yield Problem("unknown_parameter", what, field="text", fix=fix)


def _parameter_problems(parameters: tuple[Parameter, ...]) -> Iterable[Problem]:
    if len(parameters) > MOST_PARAMETERS:
        yield Problem("too_many", f"A prompt has at most {MOST_PARAMETERS} parameters.", field="parameters")
    seen: set[str] = set()
    for one in parameters:

        def wrong(message: str, fix: str | None = None) -> Problem:
            return Problem("bad_parameter", message, field="parameters", fix=fix)

        if not NAME.fullmatch(one.name):
            said = f"“{one.name}” is no name of a parameter." if one.name else "A parameter has no name."
            yield wrong(said, "Use letters, digits and _, and start with a letter.")
        elif one.name in NAMES:
            yield wrong(f"A parameter cannot be named “{one.name}”: that is the data of a run.", "Rename it.")
        elif one.name in seen:
            yield wrong(f"There are two parameters named “{one.name}”.", "Take one out.")
        seen.add(one.name)
        if one.type not in PARAMETER_TYPES:
            yield wrong(f"“{one.name}” has no known type.", f"One of: {', '.join(PARAMETER_TYPES)}.")
        elif one.type == "choice" and not one.options:
            yield wrong(f"“{one.name}” has nothing to choose from.", "List its options.")
        elif one.default not in (None, ""):
            try:
                read_value(one, one.default)
            except BadParameter as error:
                yield wrong(f"The default does not fit: {error}")


def _add_version(
    prompt: Prompt, actor: Actor, text: str, parameters: tuple[Parameter, ...], note: str
) -> PromptVersion:
    return PromptVersion.objects.create(
        prompt=prompt,
        tenant_id=prompt.tenant_id,
        number=prompt.latest,
        text=text,
        parameters=[one.to_json() for one in parameters],
        note=_clean_line(note),
        created_by=actor.user,
    )


def _clean_name(name: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= 120:
        message = "A prompt has a name of 1 to 120 characters."
        raise Invalid(message, problems=(Problem("required", message, field="name"),))
    return name


def _clean_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a prompt named “{name}” already.", code="name_taken")
