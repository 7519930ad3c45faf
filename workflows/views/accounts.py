"""The own account: sign in and out, passwords, the choice of the workspace, the profile, invitations."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from workflows.forms.accounts import (
    ChangePasswordForm,
    InvitedForm,
    NewPasswordForm,
    ProfileForm,
    ResetPasswordForm,
    SignInForm,
)
from workflows.lib.errors import NotFound, StepwellError
from workflows.tenancy.access import NOT_FOUND, TenantRequest
from workflows.tenancy.mail import is_first_in_a_minute
from workflows.tenancy.models import Membership, User
from workflows.tenancy.people import accept_invitation, open_invitation
from workflows.tenancy.sign_in_links import person_of, use_token

BACKEND = "django.contrib.auth.backends.ModelBackend"
UNPROCESSABLE = HTTPStatus.UNPROCESSABLE_ENTITY


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Email and password; one answer for every way in which they can be wrong."""
    after = _safe_next(request)
    if request.method != "POST":
        if request.user.is_authenticated:
            return redirect(after)
        return render(request, "accounts/sign_in.html", {"form": SignInForm(request), "next": after})
    form = SignInForm(request, request.POST)
    if not form.is_valid():
        return render(request, "accounts/sign_in.html", {"form": form, "next": after}, status=UNPROCESSABLE)
    _enter(request, form.get_user())
    if not form.cleaned_data["remember"]:
        request.session.set_expiry(0)
    return redirect(after)


def too_many_tries(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
    """The rate limit's answer (axes calls it instead of the view's): known and unknown addresses get the same."""
    minutes = max(1, round(float(settings.AXES_COOLOFF_TIME) * 60))
    text = f"Wait {minutes} minutes, then try again, or choose a new password."
    context = {"form": SignInForm(request), "next": _safe_next(request), "locked_text": text}
    return render(request, "accounts/sign_in.html", context, status=HTTPStatus.TOO_MANY_REQUESTS)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("accounts:sign_in")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A one-time link: looking at it does nothing, its button signs in and spends it."""
    if request.method != "POST":
        person = person_of(token)
        status = HTTPStatus.OK if person is not None else HTTPStatus.NOT_FOUND
        return render(request, "accounts/sign_in_link.html", {"person": person}, status=status)
    user = use_token(token)
    if user is None:
        return render(request, "accounts/sign_in_link.html", {"person": None}, status=HTTPStatus.NOT_FOUND)
    _enter(request, user)
    return redirect(settings.LOGIN_REDIRECT_URL)


@require_http_methods(["GET", "HEAD", "POST"])
def password_reset(request: HttpRequest) -> HttpResponse:
    """Ask for a reset by email; the answer never tells whether the address is known."""
    if request.method != "POST":
        return render(request, "accounts/password_reset.html", {"form": ResetPasswordForm()})
    form = ResetPasswordForm(request.POST)
    if not form.is_valid():
        return render(request, "accounts/password_reset.html", {"form": form}, status=UNPROCESSABLE)
    if not is_first_in_a_minute("password_reset", form.cleaned_data["email"]):
        return redirect("accounts:password_reset_sent")
    form.save(
        # The host of the request is the visitor's word; links in mails go to the address that the operator set.
        domain_override=settings.PUBLIC_URL.partition("://")[2],
        use_https=settings.PUBLIC_URL.startswith("https:"),
        subject_template_name="accounts/mail/password_reset_subject.txt",
        email_template_name="accounts/mail/password_reset.txt",
    )
    return redirect("accounts:password_reset_sent")


@require_http_methods(["GET", "HEAD"])
def password_reset_sent(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/password_reset_sent.html")


@method_decorator(never_cache, name="dispatch")
class PasswordResetConfirm(PasswordResetConfirmView):
    """The page behind a reset link (Django's own keeps the token out of the address and the Referer)."""

    form_class = NewPasswordForm
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("accounts:password_reset_done")

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=UNPROCESSABLE)


password_reset_confirm = require_http_methods(["GET", "HEAD", "POST"])(PasswordResetConfirm.as_view())


@require_http_methods(["GET", "HEAD"])
def password_reset_done(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/password_reset_done.html")


@login_required
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def password_change(request: HttpRequest) -> HttpResponse:
    """A new password; other sessions of the person end, this one goes on."""
    user = cast(User, request.user)
    form = ChangePasswordForm(user, request.POST or None)
    if request.method == "POST":
        if form.is_valid():
            form.save()
            update_session_auth_hash(request, user)
            messages.success(request, "Your password is changed. Other devices are signed out.")
            return redirect("accounts:profile")
        return render(request, "accounts/password_change.html", {"form": form}, status=UNPROCESSABLE)
    return render(request, "accounts/password_change.html", {"form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Name, time zone and single keys of the signed-in person."""
    user = cast(User, request.user)
    if request.method == "POST":
        form = ProfileForm(request.POST, instance=user)
        if form.is_valid():
            form.save()
            messages.success(request, "Your profile is saved.")
            return redirect("accounts:profile")
        # The shell shows the person as stored, not as typed.
        user.refresh_from_db()
        return render(request, "accounts/profile.html", {"form": form}, status=UNPROCESSABLE)
    return render(request, "accounts/profile.html", {"form": ProfileForm(instance=user)})


@login_required
@require_POST
def single_keys(request: HttpRequest) -> HttpResponse:
    """Switch the person's single-key shortcuts on or off from the list of keys: 204, or back to the profile without htmx."""
    user = cast(User, request.user)
    user.single_keys = request.POST.get("single_keys") == "on"
    user.save(update_fields=["single_keys"])
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    messages.success(request, "Your profile is saved.")
    return redirect("accounts:profile")


@login_required
@require_POST
def switch_tenant(request: HttpRequest) -> HttpResponse:
    """Work in another of the person's workspaces."""
    tenancy = cast(TenantRequest, request).tenancy
    wanted = request.POST.get("tenant", "")
    found = next((membership for membership in tenancy.memberships if membership.tenant.slug == wanted), None)
    if found is None:
        raise NotFound(NOT_FOUND)
    tenancy.choose(found)
    messages.success(request, f"You now work in {found.tenant.name}.")
    return redirect(settings.LOGIN_REDIRECT_URL)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Join a workspace: with one press when signed in as the invited person, else with a new account."""
    try:
        offer = open_invitation(secret)
    except NotFound as error:
        gone = {"problem": error.message}
        return render(request, "accounts/invitation.html", gone, status=HTTPStatus.NOT_FOUND)
    user = request.user if request.user.is_authenticated else None
    has_account = User.objects.filter(email=offer.email).exists()
    form = None if user is not None or has_account else InvitedForm(request.POST or None, email=offer.email)
    context: dict[str, Any] = {
        "offer": offer,
        "form": form,
        "is_other_person": user is not None and user.email != offer.email,
        "must_sign_in": user is None and has_account,
    }
    if request.method != "POST":
        return render(request, "accounts/invitation.html", context)
    if form is not None and not form.is_valid():
        return render(request, "accounts/invitation.html", context, status=UNPROCESSABLE)
    data = form.cleaned_data if form is not None else {}
    try:
        joined = accept_invitation(
            invitation=offer, user=user, name=data.get("name", ""), password=data.get("password", "")
        )
    except StepwellError as error:
        return render(
            request, "accounts/invitation.html", context | {"problem": error.message}, status=error.status
        )
    if user is None:
        _enter(request, joined.user, joined)
    else:
        cast(TenantRequest, request).tenancy.choose(joined)
    messages.success(request, f"Welcome to {offer.tenant.name}.")
    return redirect(settings.LOGIN_REDIRECT_URL)


def _enter(request: HttpRequest, user: User, membership: Membership | None = None) -> None:
    """Sign in, and note the tenant to work in, so that losing it is noticed later."""
    login(request, user, backend=BACKEND)
    rows = Membership.objects.filter(user=user, tenant__is_active=True).order_by("created_at", "pk")
    start = membership or rows.first()
    if start is not None:
        cast(TenantRequest, request).tenancy.choose(start)


def _safe_next(request: HttpRequest) -> str:
    """Where to go after signing in: only to pages of ours."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return wanted
    return resolve_url(settings.LOGIN_REDIRECT_URL)
