"""Pages between the library and its runs: trying a prompt alone, and the list of all calls of models."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods

from runs.models import Attempt
from runs.selectors import model_calls, models_called
from runs.services.try_prompt import try_prompt
from workflows.definition.library import Parameter
from workflows.lib.errors import Invalid, NotFound
from workflows.models import Prompt
from workflows.services.library import personas_of
from workflows.tenancy.access import (
    NOT_FOUND,
    TenantRequest,
    get_or_404,
    permission_required,
    tenant_required,
)
from workflows.tenancy.roles import Permission

PAGE = 50


class TryForm(forms.Form):
    """One field per parameter, and who is asked."""

    def __init__(
        self, *args: Any, parameters: Iterable[Parameter], personas: Iterable[str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.parameters = tuple(parameters)
        for one in self.parameters:
            self.fields[f"value_{one.name}"] = _field(one)
        self.fields["model"] = forms.CharField(
            label="Model",
            required=False,
            max_length=120,
            help_text="provider:model. Empty: the workspace's default.",
        )
        self.fields["persona"] = forms.ChoiceField(
            label="Persona", required=False, choices=[("", "None"), *((name, name) for name in personas)]
        )

    def values(self) -> dict[str, Any]:
        return {one.name: self.cleaned_data[f"value_{one.name}"] for one in self.parameters}


def _field(one: Parameter) -> forms.Field:
    needed = one.required and one.default in (None, "")
    words: dict[str, Any] = {
        "label": one.name.replace("_", " ").capitalize(),
        "required": needed,
        "help_text": one.description,
        "initial": "" if one.default is None else one.default,
    }
    if one.type == "choice":
        blank = [] if needed else [("", "–")]
        return forms.ChoiceField(choices=[*blank, *((option, option) for option in one.options)], **words)
    if one.type == "boolean":
        return forms.ChoiceField(choices=[("yes", "Yes"), ("no", "No")], **words)
    if one.type == "number":
        return forms.CharField(widget=forms.TextInput(attrs={"inputmode": "decimal"}), **words)
    return forms.CharField(widget=forms.Textarea(attrs={"rows": 2, "data-autogrow": ""}), **words)


@require_http_methods(["GET", "POST"])
@permission_required(Permission.RUN)
def try_prompt_page(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """GET: the parameters to fill in (`?version=`: of an older one). POST: run it, and to its run."""
    prompt = get_or_404(
        Prompt.objects.for_tenant(request.tenant).filter(removed_at=None).select_related("trials"),
        request.actor,
        pk,
        Permission.RUN,
    )
    asked = request.GET.get("version", "")
    number = int(asked) if asked.isdecimal() and len(asked) < 9 else prompt.latest
    version = prompt.versions.filter(number=number).first()
    if version is None:
        raise NotFound(NOT_FOUND)
    form = TryForm(
        request.POST if request.method == "POST" else None,
        parameters=[Parameter.from_json(one) for one in version.parameters],
        personas=[card.name for card in personas_of(request.tenant)],
    )
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                run = try_prompt(
                    actor=request.actor,
                    prompt=prompt,
                    number=number,
                    values=form.values(),
                    model=form.cleaned_data["model"],
                    persona=form.cleaned_data["persona"],
                )
            except Invalid as error:
                form.add_error("model" if "model" in error.message.lower() else None, error.message)
            else:
                return redirect("runs:detail", run.pk)
    context = {"section": "prompts", "prompt": prompt, "version": version, "form": form}
    return render(request, "runs/try_prompt.html", context, status=status)


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call of a model, as the list shows it. `ms` is how long it took."""

    attempt: Attempt
    model: str
    prompt: str
    persona: str
    at: datetime
    ms: int | None
    input_tokens: int
    output_tokens: int
    cost: Decimal
    status: str
    word: str


class CallsForm(forms.Form):
    """The filters of the list; what is not understood is left out."""

    prompt = forms.CharField(required=False, max_length=120)
    model = forms.CharField(required=False, max_length=120)
    day = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))


@require_GET
@tenant_required
def calls(request: TenantRequest) -> HttpResponse:
    """All calls of models, newest first, each with its run, step and try. `?prompt= &model= &day=`."""
    form = CallsForm(request.GET)
    form.is_valid()
    wanted = form.cleaned_data
    found = model_calls(
        request.tenant,
        prompt=wanted.get("prompt", ""),
        model=wanted.get("model", ""),
        day=wanted.get("day"),
    )
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    models, prompts = models_called(request.tenant)
    context = {
        "section": "prompts",
        "page": page,
        "rows": [row for attempt in page.object_list for row in _rows(attempt)],
        "wanted": wanted,
        "models": models,
        "prompts": prompts,
        "filtered": any(wanted.values()),
    }
    return render(request, "runs/model_calls.html", context)


def _rows(attempt: Attempt) -> list[CallRow]:
    """The calls of one try, newest first; those that were passed over were never made."""
    rows: list[CallRow] = []
    for call in reversed(attempt.calls):
        if call.get("skipped"):
            continue
        began, ended = (parse_datetime(call.get(key) or "") for key in ("started_at", "ended_at"))
        usage = call.get("usage") or {}
        failed = bool(call.get("error"))
        named = call.get("prompt") or ""
        rows.append(
            CallRow(
                attempt=attempt,
                model=str(call.get("model") or ""),
                prompt=f"{named}, v{call['version']}" if named and call.get("version") else named,
                persona=str(call.get("persona") or ""),
                at=began or attempt.started_at,
                ms=round((ended - began) / timedelta(milliseconds=1)) if began and ended else None,
                input_tokens=int(usage.get("input_tokens") or 0),
                output_tokens=int(usage.get("output_tokens") or 0),
                cost=Decimal(str(call.get("cost") or 0)),
                status="failed" if failed else "completed",
                word=str(call["error"].get("message", "Failed")) if failed else _said(call),
            )
        )
    return rows


def _said(call: dict[str, Any]) -> str:
    if call.get("repairs"):
        return "Asked once more"
    return "Cut" if call.get("finish_reason") == "length" else "Answered"
