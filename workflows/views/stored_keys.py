"""Pages of connections: keys that steps send with their requests, entered, rotated, tested and removed."""

from __future__ import annotations

from http import HTTPStatus

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from workflows.forms.stored_keys import ConnectionForm
from workflows.lib.errors import Conflict, Invalid
from workflows.models import Connection
from workflows.services.connections import check_connection, delete_connection, save_connection
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.roles import Permission

KEYS = Permission.MANAGE_KEYS


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(KEYS)
def create(request: TenantRequest) -> HttpResponse:
    return _form(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_required
def change(request: TenantRequest, pk: str) -> HttpResponse:
    return _form(request, get_or_404(Connection, request.actor, pk, KEYS))


@require_POST
@tenant_required
def check(request: TenantRequest, pk: str) -> HttpResponse:
    row = get_or_404(Connection, request.actor, pk, KEYS)
    try:
        row = check_connection(actor=request.actor, connection=row)
    except Invalid as error:
        messages.error(request, f"{row.name}: {error.message}")
        return redirect("workflows:stored_key", row.pk)
    tell = messages.success if row.checked_ok else messages.error
    tell(request, f"{row.name}: {row.checked_words}")
    return redirect("workflows:connections")


@require_POST
@tenant_required
def delete(request: TenantRequest, pk: str) -> HttpResponse:
    row = get_or_404(Connection, request.actor, pk, KEYS)
    name = row.name
    delete_connection(actor=request.actor, connection=row)
    messages.success(request, f"{name} and its key are removed.")
    return redirect("workflows:connections")


def _form(request: TenantRequest, row: Connection | None) -> HttpResponse:
    form = ConnectionForm(request.POST or None, connection=row)
    if request.method == "POST" and form.is_valid():
        try:
            saved = save_connection(actor=request.actor, connection=row, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            _tell(form, error)
        else:
            messages.success(request, f"{saved.name} is {'connected' if row is None else 'changed'}.")
            return redirect("workflows:connections")
    status = HTTPStatus.UNPROCESSABLE_ENTITY if request.method == "POST" else HTTPStatus.OK
    context = {"section": "connections", "form": form, "account": row, "what": "a key for requests"}
    return render(request, "workflows/connection.html", context, status=status)


def _tell(form: forms.Form, error: Invalid | Conflict) -> None:
    problems = getattr(error, "problems", ())
    for problem in problems:
        form.add_error(problem.field if problem.field in form.fields else None, problem.message)
    if not problems:
        form.add_error("name" if "name" in form.fields else None, error.message)
