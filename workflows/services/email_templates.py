"""Mail templates of a tenant: read with the built-in ones, made, changed, removed; frozen into definitions and checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.db import IntegrityError, transaction

from workflows.definition.graph import Definition, StepDef
from workflows.definition.library import EMAIL_TEMPLATE, EmailText, Library, Parameter, PromptUse, email_uses
from workflows.expressions.errors import TextError
from workflows.expressions.names import Scope
from workflows.expressions.paths import nearest
from workflows.expressions.template import render
from workflows.lib.builtin_emails import BUILTIN_EMAILS, BuiltinEmail
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.models import EmailTemplate
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import changes, record
from workflows.tenancy.models import Tenant
from workflows.tenancy.roles import Permission

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
# The step's own text; every template may say it.
TEXT = "text"


def emails_of(tenant: Tenant) -> list[tuple[EmailText, EmailTemplate | None]]:
    """Every template of the tenant by name, with its row; None for a built-in one that nobody here changed. One query."""
    rows = list(EmailTemplate.objects.for_tenant(tenant))
    own = {row.name.casefold() for row in rows}
    found: list[tuple[EmailText, EmailTemplate | None]] = [(text_of_row(row), row) for row in rows]
    found += [(text_of_builtin(one), None) for one in BUILTIN_EMAILS if one.name not in own]
    return sorted(found, key=lambda pair: pair[0].name.casefold())


def text_of_row(row: EmailTemplate) -> EmailText:
    parameters = tuple(Parameter.from_json(one) for one in row.parameters)
    return EmailText(row.name, row.subject, row.text, row.as_html, parameters)


def text_of_builtin(one: BuiltinEmail) -> EmailText:
    parameters = tuple(
        Parameter(name, required=default is None, default=default, description=words)
        for name, default, words in one.variables
    )
    return EmailText(one.name, one.subject, one.text, True, parameters)


def save_email_template(
    *,
    actor: Actor,
    name: str,
    subject: str,
    text: str,
    as_html: bool = True,
    description: str = "",
    parameters: Iterable[Parameter] = (),
    template: EmailTemplate | None = None,
) -> EmailTemplate:
    """A new one, or a changed one; published versions keep what they have. The name of an existing one stays.

    Raises NotAllowed, Invalid with every problem, Conflict for a name that is taken.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    parameters = tuple(parameters)
    values: JSONObject = {
        "name": template.name if template is not None else "_".join(name.split()),
        "description": " ".join(description.split()),
        "subject": " ".join(subject.split()),
        "text": text.replace("\r\n", "\n").strip(),
        "as_html": as_html,
        "parameters": [one.to_json() for one in parameters],
    }
    _check(values, parameters)
    row = template or EmailTemplate(tenant=actor.tenant)
    old = {key: getattr(row, key) for key in values} if template is not None else {}
    for key, value in values.items():
        setattr(row, key, value)
    row.updated_by, row.updated_at = actor.user, utc_now()
    try:
        with transaction.atomic():
            row.save()
            before, after = changes(old, values)
            record(actor, "changed" if old else "created", row, before=before or None, after=after)
    except IntegrityError as error:
        message = f"There is a template named “{values['name']}” already."
        raise Conflict(message, code="name_taken") from error
    return row


def remove_email_template(*, actor: Actor, template: EmailTemplate) -> None:
    """Take it away; a built-in one of its name is there again. Published versions keep the text."""
    actor.require(Permission.EDIT_WORKFLOWS)
    with transaction.atomic():
        record(actor, "removed", template, before={"subject": template.subject, "text": template.text})
        template.delete()


def _check(values: JSONObject, parameters: Collection[Parameter]) -> None:
    problems: list[Problem] = []

    def wrong(field: str, message: str, fix: str | None = None) -> None:
        problems.append(Problem("bad_value", message, field=field, path=field, fix=fix))

    if not 0 < len(str(values["name"])) <= 80:
        wrong("name", "A template has a name of 1 to 80 characters.")
    if not 0 < len(str(values["subject"])) <= 250:
        wrong("subject", "A mail has a subject of 1 to 250 characters.")
    if not 0 < len(str(values["text"])) <= 100_000:
        wrong("text", "A mail has a text of at most 100,000 characters.")
    names = [one.name for one in parameters]
    for name in names:
        if not _NAME.fullmatch(name) or name == TEXT:
            wrong("parameters", f"“{name}” is no name for a variable.", "Letters, digits and _; not “text”.")
    if len(set(names)) != len(names):
        wrong("parameters", "Two variables have the same name.")
    known: JSONObject = {**dict.fromkeys(names, ""), TEXT: ""}
    for field in ("subject", "text"):
        try:
            render(str(values[field]), Scope(parameters=known))
        except TextError as error:
            wrong(field, f"{error}", "Name the variable below, or correct it.")
    for field in ("name", "subject", "text", "description"):
        said = str(values[field])
        if "\x00" in said or any("\ud800" <= sign <= "\udfff" for sign in said):
            wrong(field, f"The {field} holds a character that cannot be stored.")
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))


# --- frozen with a version, checked in a draft ------------------------------------------------------------------------


def frozen_emails(definition: Definition, carried: Library, tenant: Tenant) -> tuple[EmailText, ...]:
    """The templates that the steps name: what is carried already stays, the others as they are now. At most one query."""
    names = {use.name.casefold() for _, use in email_uses(definition)}
    kept = tuple(one for one in carried.emails if one.name.casefold() in names)
    missing = names - {one.name.casefold() for one in kept}
    if not missing:
        return kept
    return (*kept, *(one for one, _ in emails_of(tenant) if one.name.casefold() in missing))


def email_problems(definition: Definition, tenant: Tenant) -> list[Problem]:
    """What is wrong with the templates that steps name; `definition` comes from `with_library`."""
    library = Library.from_json(definition.library)
    found: list[Problem] = []
    for step, use in email_uses(definition):
        email = library.email(use.name)
        if email is None:
            names = [one.name for one, _ in emails_of(tenant)]
            near = nearest(use.name, names)
            fix = f"Did you mean “{near}”?" if near else "Choose another one."
            message = f"There is no mail template “{use.name}”; it may have been removed."
            found.append(_problem(step, "unknown_template", message, EMAIL_TEMPLATE, fix))
            continue
        found += _variables(step, use, email)
    return found


def _variables(step: StepDef, use: PromptUse, email: EmailText) -> list[Problem]:
    found = []
    for one in email.parameters:
        empty = use.parameters.get(one.name) in (None, "")
        if empty and one.required and one.default in (None, ""):
            message = f"The template “{email.name}” needs a value for “{one.name}”."
            place = f"{EMAIL_TEMPLATE}.parameters.{one.name}"
            found.append(_problem(step, "missing_parameter", message, place, f"Fill in “{one.name}”."))
    known = [one.name for one in email.parameters]
    for name in use.parameters:
        if name not in known:
            message = f"The template “{email.name}” has no variable “{name}”."
            near = nearest(name, known)
            fix = f"Did you mean “{near}”?" if near else "Take it out."
            place = f"{EMAIL_TEMPLATE}.parameters.{name}"
            found.append(_problem(step, "unknown_parameter", message, place, fix))
    return found


def _problem(step: StepDef, code: str, message: str, field: str, fix: str) -> Problem:
    return Problem(code, message, step=step.label, step_key=step.key, field=field, fix=fix)


def rows_for_card(tenant: Tenant) -> dict[str, Any]:
    """Templates by their name, for the control of a step's card."""
    return {one.name: (one, row) for one, row in emails_of(tenant)}
