"""Pages of mail templates: the list, a new one, one to be changed."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from workflows.definition.library import EmailText
from workflows.forms.library import EmailTemplateForm, variables_in_lines
from workflows.lib.builtin_emails import builtin_email
from workflows.lib.errors import Conflict, Invalid
from workflows.models import EmailTemplate
from workflows.services.email_templates import (
    emails_of,
    remove_email_template,
    save_email_template,
    text_of_builtin,
    text_of_row,
)
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.roles import Permission

EDIT = Permission.EDIT_WORKFLOWS


@require_safe
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    """Every template by name, built-in ones too. One query."""
    context = {
        "section": "prompts",
        "emails": emails_of(request.tenant),
        "editable": request.actor.may(EDIT),
    }
    return render(request, "workflows/library/emails.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(EDIT)
def create(request: TenantRequest) -> HttpResponse:
    """A new one; `?like=NAME` begins with a built-in one, whose place the new one takes."""
    like = builtin_email(request.GET.get("like", ""))
    initial = _initial(text_of_builtin(like), like.description) if like is not None else {}
    form = EmailTemplateForm(request.POST if request.method == "POST" else None, initial=initial)
    return _page(request, form, None, like.name if like is not None else "")


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_required
def change(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_or_404(EmailTemplate, request.actor, pk, EDIT if request.method == "POST" else Permission.VIEW)
    initial = _initial(text_of_row(row), row.description)
    form = EmailTemplateForm(request.POST if request.method == "POST" else None, initial=initial)
    # Steps name it, in drafts and in published versions.
    form.fields["name"].disabled = True
    return _page(request, form, row, row.name)


@require_POST
@tenant_required
def remove(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_or_404(EmailTemplate, request.actor, pk, EDIT)
    remove_email_template(actor=request.actor, template=row)
    back = " The built-in one is there again." if builtin_email(row.name) else ""
    messages.success(request, f"{row.name} is removed.{back}")
    return redirect("workflows:emails")


def _initial(email: EmailText, description: str) -> dict[str, object]:
    return {
        "name": email.name,
        "description": description,
        "subject": email.subject,
        "text": email.text,
        "as_html": email.as_html,
        "variables": variables_in_lines(email.parameters),
    }


def _page(
    request: TenantRequest, form: EmailTemplateForm, row: EmailTemplate | None, name: str
) -> HttpResponse:
    status = HTTPStatus.OK
    if request.method == "POST":
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            data = {key: value for key, value in form.cleaned_data.items() if key != "variables"}
            try:
                made = save_email_template(
                    actor=request.actor, template=row, parameters=form.parameters(), **data
                )
            except Invalid as error:
                for problem in error.problems:
                    field = "variables" if problem.field == "parameters" else problem.field
                    words = f"{problem.message} {problem.fix or ''}".strip()
                    form.add_error(field if field in form.fields else None, words)
            except Conflict as error:
                form.add_error("name", error.message)
            else:
                messages.success(
                    request, f"{made.name} is kept. Published workflows keep the text they have."
                )
                return redirect("workflows:emails")
    context = {
        "section": "prompts",
        "form": form,
        "template": row,
        "name": name,
        "builtin": builtin_email(name) if name else None,
        "editable": request.actor.may(EDIT),
    }
    return render(request, "workflows/library/email.html", context, status=status)
