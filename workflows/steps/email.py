"""Writes a mail to people, once: a try whose end nobody knows is not repeated without being asked."""

from __future__ import annotations

import re
from typing import Final

from django import forms

from workflows.definition.graph import StepDef
from workflows.definition.library import EMAIL_TEMPLATE, email_use
from workflows.definition.retry import THREE_TIMES
from workflows.expressions.errors import TextError
from workflows.expressions.names import Scope
from workflows.expressions.template import render
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import (
    Completed,
    Email,
    ExecutionKind,
    Group,
    NoEffect,
    OnUnknown,
    Outcome,
    StepContext,
    StepType,
)
from workflows.steps.fields import ChoiceField, EmailTemplateField, TemplateField, filled
from workflows.steps.fields.base import REQUIRED
from workflows.steps.outward import notes_of, on_unknown_field
from workflows.steps.prompts import read_value
from workflows.steps.registry import register
from workflows.steps.values import (
    PREVIOUS,
    as_step_error,
    check_output,
    clip,
    needed_text,
    plural,
    text_of,
    value_of,
)

MAX_RECIPIENTS: Final = 50
_SUBJECT_CHARS: Final = 250
_BODY_CHARS: Final = 1_000_000


@register
class EmailStep(StepType):
    """Sends a mail, to an address or to one in the data. Each mail goes out once; test runs keep it in the outbox."""

    name, label, icon, group = "email", "Send email", "mail", Group.DO
    tagline = "Write to people"
    aliases = ("send_email", "mail")
    is_outward = True
    default_retry = THREE_TIMES

    class ConfigForm(forms.Form):
        to = TemplateField(
            label="To",
            help_text="One address or several with commas between, or a field of the data: {{input.email}}.",
            section="Mail",
            rows=1,
            required=True,
            other_names=("recipient", "recipients"),
        )
        template = EmailTemplateField(
            help_text="A mail of the workspace, with variables to fill in. Without one, only what stands below."
        )
        subject = TemplateField(
            label="Subject", section="Mail", rows=1, help_text="With a template: only to say it differently."
        )
        body = TemplateField(
            label="Text",
            section="Mail",
            rows=8,
            initial=PREVIOUS,
            help_text="With a template: what stands where it says {{ text }}.",
            other_names=("text", "message"),
        )
        format = ChoiceField(
            label="Written as",
            choices=(("markdown", "Markdown"), ("text", "Plain text")),
            help_text="Markdown goes out formatted, with the plain text beside it.",
            section="Mail",
            more=True,
        )
        reply_to = TemplateField(
            label="Answers go to",
            help_text="Else to the server's own address.",
            section="Mail",
            rows=1,
            more=True,
        )
        on_unknown = on_unknown_field(OnUnknown.ASK, "Mail")

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC

    def summary(self, config: JSONObject) -> str:
        to, subject = str(config.get("to") or "").strip(), str(config.get("subject") or "").strip()
        subject = subject or str((config.get("template") or {}).get("name") or "")
        if not to:
            return "No address yet"
        return f"To {clip(to, 50)}" + (f": {clip(subject, 60)}" if subject else "")

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (
            ("content", "string"),
            ("to", "array"),
            ("subject", "string"),
            ("message_id", "string"),
            ("delivery", "string"),
        )

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        problems = []
        if email_use(step) is None:
            problems += [
                Problem(REQUIRED, f"“{label}” is empty.", field=name, fix="Fill it in, or choose a template.")
                for name, label in (("subject", "Subject"), ("body", "Text"))
                if not str(step.config.get(name) or "").strip()
            ]
        for name in ("to", "reply_to"):
            written = str(step.config.get(name) or "")
            if written.strip() and "{{" not in written:
                bad = [address for address in _split(written) if not is_address(address)]
                problems += [
                    Problem(
                        "bad_address", f"“{clip(address)}” is no mail address.", field=name, fix="Correct it."
                    )
                    for address in bad
                ]
        return tuple(problems)

    async def execute_async(self, context: StepContext) -> Outcome:
        """The mail's text as `content`, with `to`, `subject`, `message_id` and what became of it. Raises StepError."""
        setting = filled(self.ConfigForm, context.config)
        to = addresses_in(value_of(context, setting["to"], field="to"), field="to")
        if not to:
            raise NoEffect(
                "There is nobody to write to.", code="empty_input", field="to", fix="Look at the data."
            )
        if len(to) > MAX_RECIPIENTS:
            raise NoEffect(
                f"One mail goes to at most {MAX_RECIPIENTS} addresses, and there are {len(to)}.",
                code="too_many",
                field="to",
                fix="Write to them one by one, in a loop.",
            )
        subject, text, formatted = _written(context, setting)
        if len(text) > _BODY_CHARS:
            raise NoEffect(
                f"A mail has at most {_BODY_CHARS:,} characters, and this one has {len(text):,}.",
                code="too_large",
                field="body",
            )
        reply_to = addresses_in(text_of(context, setting["reply_to"], field="reply_to"), field="reply_to")
        html = ""
        if formatted:
            from workflows.lib.markdown import render_markdown

            html = render_markdown(text)
        email = Email(
            to=tuple(to),
            subject=subject[:_SUBJECT_CHARS],
            text=text,
            html=html,
            reply_to=reply_to[0] if reply_to else "",
            on_unknown=OnUnknown(setting["on_unknown"]),
        )
        receipt = await context.send_email(email)
        output: JSONObject = {
            "content": text,
            "to": list(email.to),
            "subject": email.subject,
            "message_id": receipt.detail.get("message_id"),
            "delivery": receipt.status.value,
        }
        who = email.to[0] if len(email.to) == 1 else plural(len(email.to), "address", "addresses")
        return Completed(check_output(output), notes=notes_of(receipt, f"Sent to {clip(who)}"))


def _written(context: StepContext, setting: JSONObject) -> tuple[str, str, bool]:
    """(subject, text, whether it goes out formatted): the step's own, or those of its template. Raises StepError."""
    use = email_use(context.step)
    if use is None:
        subject = needed_text(context, setting["subject"], field="subject", label="Subject")
        text = needed_text(context, setting["body"], field="body", label="Text")
        return _one_line(subject), text, setting["format"] == "markdown"
    found = context.library.email(use.name)
    if found is None:
        message = f"There is no mail template “{use.name}”."
        raise NoEffect(message, code="unknown_template", field=EMAIL_TEMPLATE, fix="Choose another one.")
    given: JSONObject = {
        name: value_of(context, value, field=f"{EMAIL_TEMPLATE}.parameters.{name}")
        for name, value in use.parameters.items()
    }
    own: JSONObject = {}
    for one in found.parameters:
        value = given.get(one.name)
        value = one.default if value in (None, "") else value
        if value in (None, "") and one.required:
            message = f"The template “{found.name}” needs a value for “{one.name}”."
            raise NoEffect(message, code="missing_parameter", field=EMAIL_TEMPLATE)
        own[one.name] = "" if value is None else read_value(one, value)
    own["text"] = text_of(context, setting["body"], field="body")
    subject = text_of(context, setting["subject"], field="subject").strip()
    try:
        scope = Scope(parameters=own)
        return _one_line(subject or render(found.subject, scope)), render(found.text, scope), found.as_html
    except TextError as error:
        raise as_step_error(error, EMAIL_TEMPLATE) from error


def _one_line(text: str) -> str:
    """One line, whatever the data holds: a line break would begin a header of its own."""
    return " ".join(text.split())


def addresses_in(value: JSONValue, *, field: str) -> list[str]:
    """The mail addresses in a value: a text with commas, a list, or an output's content. Raises NoEffect."""
    if isinstance(value, dict) and "content" in value:
        value = value["content"]
    if isinstance(value, dict) and isinstance(value.get("email"), str):
        value = value["email"]
    if isinstance(value, list):
        return list(dict.fromkeys(one for entry in value for one in addresses_in(entry, field=field)))
    if value is None:
        return []
    if not isinstance(value, str):
        raise NoEffect(
            "The data holds no mail address here.", code="bad_address", field=field, fix="Look at the data."
        )
    found = list(dict.fromkeys(_split(value)))
    for address in found:
        if not is_address(address):
            raise NoEffect(
                f"“{clip(address)}” is no mail address.",
                code="bad_address",
                field=field,
                fix="Look at the data.",
            )
    return found


def _split(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,;\n]", text) if part.strip()]


def is_address(text: str) -> bool:
    """Whether this is one bare mail address."""
    from django.core.exceptions import ValidationError
    from django.core.validators import validate_email

    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= 254
