"""The form of a connection: a key for requests of steps, and the hosts that it may be sent to."""

from __future__ import annotations

from typing import Any

from django import forms

from workflows.models import Connection


class ConnectionForm(forms.Form):
    """The key is only ever entered, never shown; an existing connection keeps its key when the field is empty."""

    name = forms.CharField(
        label="Name", max_length=120, help_text="Steps refer to it by this name; it stays."
    )
    kind = forms.ChoiceField(label="How the key is sent", choices=Connection.Kind.choices)
    label = forms.CharField(
        label="User name, header or parameter",
        required=False,
        max_length=120,
        help_text="The user name of a password, the name of the header (X-Api-Key) or of the parameter. Not for a bearer token.",
    )
    secret = forms.CharField(
        label="Key or password",
        required=False,
        max_length=4_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}, render_value=False),
        help_text="Kept encrypted and never shown again.",
    )
    hosts = forms.CharField(
        label="Hosts",
        max_length=4_000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="The key goes to these only, one on a line: api.example.com, *.example.com, lab.lan:8080.",
    )
    test_url = forms.CharField(
        label="Address to test",
        required=False,
        max_length=500,
        widget=forms.URLInput(attrs={"inputmode": "url", "autocomplete": "off"}),
        help_text="A test calls it with GET and the key, such as https://api.example.com/me.",
    )

    def __init__(self, *args: Any, connection: Connection | None = None, **kwargs: Any) -> None:
        if connection is not None:
            kwargs.setdefault(
                "initial",
                {
                    "kind": connection.kind,
                    "label": connection.label,
                    "hosts": "\n".join(connection.hosts),
                    "test_url": connection.test_url,
                },
            )
        super().__init__(*args, **kwargs)
        if connection is not None:
            del self.fields["name"]
            self.fields["secret"].help_text = "Empty: the stored key stays. A new one replaces it at once."

    def clean_hosts(self) -> list[str]:
        return [part for part in str(self.cleaned_data["hosts"]).replace(",", "\n").split() if part]
