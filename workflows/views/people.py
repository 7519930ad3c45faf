"""The people of a tenant and its API keys, for those who may manage them."""

from __future__ import annotations

from datetime import UTC, datetime, time
from http import HTTPStatus

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from workflows.forms.accounts import ApiKeyForm, InviteForm, RoleForm
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid
from workflows.tenancy.access import (
    TenantRequest,
    get_or_404,
    may_grant,
    permission_required,
    tenant_required,
)
from workflows.tenancy.keys import create_key, revoke_key
from workflows.tenancy.models import ApiKey, Invitation, Membership
from workflows.tenancy.people import change_role, invite_person, remove_member, withdraw_invitation
from workflows.tenancy.roles import Permission, Role

UNPROCESSABLE = HTTPStatus.UNPROCESSABLE_ENTITY
ROLE_WORDS = (
    (Role.OWNER, "Everything, with the workspace itself and its owners"),
    (Role.ADMIN, "Everything, with people, API keys and connections"),
    (Role.EDITOR, "Make, test, publish and run workflows"),
    (Role.REVIEWER, "Decide at gates, read workflows and runs"),
    (Role.VIEWER, "Read workflows and runs"),
)


@require_safe
@permission_required(Permission.MANAGE_PEOPLE)
def team(request: TenantRequest) -> HttpResponse:
    """Members with their roles, open invitations, and what each role may do."""
    return _team_page(request, _invite_form(request))


@require_POST
@permission_required(Permission.MANAGE_PEOPLE)
def invite(request: TenantRequest) -> HttpResponse:
    form = InviteForm(request.POST)
    if form.is_valid():
        try:
            sent = invite_person(actor=request.actor, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            form.add_error("email", error.message)
        else:
            messages.success(
                request, f"An invitation is on its way to {sent.email}. Its link works once, for a week."
            )
            return redirect("workflows:team")
    return _team_page(request, form, status=UNPROCESSABLE)


@require_POST
@tenant_required
def member_role(request: TenantRequest, pk: int) -> HttpResponse:
    member = get_or_404(Membership, request.actor, pk, Permission.MANAGE_PEOPLE)
    form = RoleForm(request.POST)
    if not form.is_valid():
        raise Invalid("Choose one of the five roles.")
    changed = change_role(actor=request.actor, membership=member, role=form.cleaned_data["role"])
    messages.success(request, f"{changed.user} is now {changed.get_role_display().lower()}.")
    return redirect("workflows:team")


@require_POST
@tenant_required
def member_remove(request: TenantRequest, pk: int) -> HttpResponse:
    member = get_or_404(Membership, request.actor, pk)
    remove_member(actor=request.actor, membership=member)
    messages.success(request, f"{member.user} is no longer a member of {request.tenant.name}.")
    return redirect("workflows:team" if member.user_id != request.user.pk else "/")


@require_POST
@tenant_required
def invitation_withdraw(request: TenantRequest, pk: str) -> HttpResponse:
    offer = get_or_404(Invitation, request.actor, pk, Permission.MANAGE_PEOPLE)
    withdraw_invitation(actor=request.actor, invitation=offer)
    messages.success(request, f"The invitation of {offer.email} is withdrawn.")
    return redirect("workflows:team")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@permission_required(Permission.MANAGE_KEYS)
def api_keys(request: TenantRequest) -> HttpResponse:
    """The tenant's keys. Making one answers with the key itself, this once."""
    if request.method != "POST":
        return _keys_page(request, ApiKeyForm())
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return _keys_page(request, form, status=UNPROCESSABLE)
    data = form.cleaned_data
    ends = data["expires_on"]
    try:
        key, text = create_key(
            actor=request.actor,
            name=data["name"],
            role=data["role"],
            # The whole last day still counts.
            expires_at=datetime.combine(ends, time.max, tzinfo=UTC) if ends else None,
        )
    except Invalid as error:
        form.add_error(None, error.message)
        return _keys_page(request, form, status=UNPROCESSABLE)
    return _keys_page(request, ApiKeyForm(), new_key=key, new_key_text=text, status=HTTPStatus.CREATED)


@require_POST
@tenant_required
def api_key_revoke(request: TenantRequest, pk: str) -> HttpResponse:
    key = get_or_404(ApiKey, request.actor, pk, Permission.MANAGE_KEYS)
    revoke_key(actor=request.actor, key=key)
    messages.success(request, f"The key {key.name} no longer works.")
    return redirect("workflows:api_keys")


def _grantable(request: TenantRequest) -> list[tuple[str, str]]:
    return [(role.value, role.label) for role in Role if may_grant(request.actor, role)]


def _invite_form(request: TenantRequest) -> InviteForm:
    form = InviteForm()
    form.fields["role"].widget.choices = _grantable(request)
    return form


def _team_page(request: TenantRequest, form: InviteForm, *, status: int = HTTPStatus.OK) -> HttpResponse:
    members = (
        Membership.objects.for_tenant(request.tenant)
        .select_related("user")
        .order_by("user__name", "user__email")
    )
    offers = Invitation.objects.for_tenant(request.tenant).filter(accepted_at=None, expires_at__gt=utc_now())
    rows = [{"membership": member, "editable": may_grant(request.actor, member.role)} for member in members]
    context = {
        "section": "team",
        "rows": rows,
        "offers": [{"offer": offer, "editable": may_grant(request.actor, offer.role)} for offer in offers],
        "roles": _grantable(request),
        "role_words": [(role.label, words) for role, words in ROLE_WORDS],
        "form": form,
    }
    return render(request, "workflows/team.html", context, status=status)


def _keys_page(
    request: HttpRequest,
    form: ApiKeyForm,
    *,
    new_key: ApiKey | None = None,
    new_key_text: str = "",
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    known: TenantRequest = request  # type: ignore[assignment]
    form.fields["role"].widget.choices = _grantable(known)
    keys = ApiKey.objects.for_tenant(known.tenant).select_related("created_by")
    context = {
        "section": "api_keys",
        "keys": keys,
        "form": form,
        "new_key": new_key,
        "new_key_text": new_key_text,
        "now": utc_now(),
    }
    return render(request, "workflows/api_keys.html", context, status=status)
