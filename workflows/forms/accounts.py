"""Forms about the own account, the people of a tenant and its API keys."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.contrib.auth.forms import (
    AuthenticationForm,
    PasswordChangeForm,
    PasswordResetForm,
    SetPasswordForm,
)
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from workflows.tenancy.mail import send_soon
from workflows.tenancy.models import User
from workflows.tenancy.roles import Role

# One sentence for an unknown address and a wrong password.
NO_MATCH = "That email and password do not match."


class SignInForm(AuthenticationForm):
    """Email and password; the field keeps Django's name `username`, which the rate limit knows."""

    error_messages = {"invalid_login": NO_MATCH, "inactive": NO_MATCH}

    username = forms.EmailField(
        label="Work email",
        max_length=254,
        error_messages={"invalid": NO_MATCH},
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        label="Password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    remember = forms.BooleanField(label="Keep me signed in", required=False, initial=True)

    def clean_username(self) -> str:
        # Addresses are kept in lower case; the rate limit then counts one person as one, too.
        return str(self.cleaned_data["username"]).strip().lower()


class ResetPasswordForm(PasswordResetForm):
    """Asks for a reset by email. The answer and its duration are the same for every address."""

    email = forms.EmailField(
        label="Work email",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
    )

    def get_users(self, email: str) -> Any:
        """Also people who never set a password (they came by a sign-in link): the address is theirs all the same."""
        return User.objects.filter(email=email.strip().lower(), is_active=True)

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        subject = render_to_string(subject_template_name, context).strip()
        send_soon(
            EmailMessage(subject, render_to_string(email_template_name, context), from_email, [to_email])
        )


class NewPasswordForm(SetPasswordForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A new password behind a reset link."""


class ChangePasswordForm(PasswordChangeForm):
    """A new password for the signed-in person, who proves the old one."""


class InvitedForm(forms.Form):
    """What a new person fills to accept an invitation; the address is the invited one."""

    name = forms.CharField(
        label="Your name", max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        help_text="At least 10 characters.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._email = email

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if password := data.get("password"):
            try:
                password_validation.validate_password(
                    password, User(email=self._email, name=data.get("name", ""))
                )
            except ValidationError as error:
                self.add_error("password", error)
        return data


class ProfileForm(forms.ModelForm[User]):
    """Name, time zone, and whether single keys are shortcuts."""

    class Meta:
        model = User
        fields = ["name", "time_zone", "single_keys"]
        labels = {"name": "Name", "single_keys": "Single keys are shortcuts"}
        help_texts = {
            "single_keys": "Such as J and K to move in lists, A to add a step. Switch them off if a slip of the hand or speech "
            "control presses them by accident; keys together with Ctrl, Alt or ⌘ go on working."
        }
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "name"})}

    time_zone = forms.ChoiceField(
        label="Time zone", required=False, help_text="Times on every page are shown in it."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = sorted(zoneinfo.available_timezones())
        field = self.fields["time_zone"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - tells mypy which field it is
        field.choices = [("", "The server's (UTC)"), *((name, name.replace("_", " ")) for name in names)]


class InviteForm(forms.Form):
    """Somebody new by email, with a role."""

    email = forms.EmailField(
        label="Email", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )
    role = forms.ChoiceField(label="Role", choices=Role.choices, initial=Role.EDITOR)


class RoleForm(forms.Form):
    """Another role for a member."""

    role = forms.ChoiceField(label="Role", choices=Role.choices)


class ApiKeyForm(forms.Form):
    """A new API key."""

    name = forms.CharField(label="Name", max_length=120, help_text="What uses it, so that you know it later.")
    role = forms.ChoiceField(label="Role", choices=Role.choices, initial=Role.EDITOR)
    expires_on = forms.DateField(
        label="Ends on",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Empty: never.",
    )
