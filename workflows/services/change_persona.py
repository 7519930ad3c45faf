"""Personas of a tenant: made, changed, removed. One with a built-in's name stands in its place."""

from __future__ import annotations

from dataclasses import replace

from django.db import IntegrityError, transaction

from workflows.definition.library import PERSONA
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.models import LibraryUse, Persona
from workflows.services.change_library_steps import change_steps
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import changes, record
from workflows.tenancy.roles import Permission

NAME_CHARS, TEXT_CHARS = 80, 50_000


def save_persona(
    *,
    actor: Actor,
    name: str,
    text: str,
    colour: int = 1,
    description: str = "",
    persona: Persona | None = None,
) -> Persona:
    """A new persona, or a changed one; steps of drafts follow another name, published versions keep the old text.

    Raises Invalid with every problem, Conflict for a name that is taken.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    values = {
        "name": " ".join(name.split()),
        "colour": colour,
        "description": " ".join(description.split()),
        "text": text.replace("\r\n", "\n").strip(),
    }
    _check(values)
    row = persona or Persona(tenant=actor.tenant, updated_by=actor.user)
    old = {key: getattr(row, key) for key in values} if persona is not None else {}
    for key, value in values.items():
        setattr(row, key, value)
    row.updated_by, row.updated_at = actor.user, utc_now()
    try:
        with transaction.atomic():
            row.save()
            if old and old["name"] != row.name:
                new = row.name
                change_steps(
                    actor,
                    PERSONA,
                    old["name"],
                    lambda step: replace(step, config={**step.config, PERSONA: new}),
                )
                uses = LibraryUse.objects.for_tenant(actor.tenant).filter(kind=LibraryUse.Kind.PERSONA)
                uses.filter(name__iexact=old["name"]).update(name=new)
            before, after = changes(old, values)
            record(actor, "changed" if old else "created", row, before=before or None, after=after)
    except IntegrityError as error:
        message = f"There is a persona named “{values['name']}” already."
        raise Conflict(message, code="name_taken") from error
    return row


def remove_persona(*, actor: Actor, persona: Persona) -> None:
    """Take it away; a built-in one of its name is there again. Published versions keep the text."""
    actor.require(Permission.EDIT_WORKFLOWS)
    with transaction.atomic():
        record(actor, "removed", persona, before={"text": persona.text})
        persona.delete()


def _check(values: dict[str, object]) -> None:
    problems: list[Problem] = []

    def wrong(field: str, message: str, fix: str | None = None) -> None:
        problems.append(Problem("bad_value", message, field=field, path=field, fix=fix))

    name, text = str(values["name"]), str(values["text"])
    if not 0 < len(name) <= NAME_CHARS:
        wrong("name", f"A persona has a name of 1 to {NAME_CHARS} characters.")
    if not 0 < len(text) <= TEXT_CHARS:
        wrong("text", f"A persona says who the model is, in at most {TEXT_CHARS:,} characters.")
    if values["colour"] not in Persona.Colour.values:
        wrong("colour", "A persona has one of the four colours.", "Choose a colour.")
    if len(str(values["description"])) > 300:
        wrong("description", "The line about a persona has at most 300 characters.")
    for field, said in (("name", name), ("text", text)):
        if "\x00" in said or any("\ud800" <= sign <= "\udfff" for sign in said):
            wrong(field, f"The {field} holds a character that cannot be stored.")
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
