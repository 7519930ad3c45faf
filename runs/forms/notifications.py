"""What a person wants to be told, and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms import BoundField

from runs.notifications import GROUPS, KINDS, Channel, KindInfo, Wishes
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TOLD_BY = {Channel.APP: "Here", Channel.EMAIL: "Email", Channel.SLACK: "Slack"}


@dataclass(frozen=True, slots=True)
class NotificationLine:
    """One event of the table with its boxes."""

    info: KindInfo
    boxes: tuple[tuple[str, BoundField], ...]


def _time(label: str, help_text: str = "") -> forms.TimeField:
    widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    return forms.TimeField(label=label, required=False, widget=widget, help_text=help_text)


class WishesForm(forms.Form):
    """Boxes are named KIND__CHANNEL. What only owners and admins hear of is there for them only."""

    everything = forms.BooleanField(
        label="Runs of everybody",
        required=False,
        help_text="Else only runs that you started or whose workflow you made.",
    )
    long_minutes = forms.IntegerField(
        label="A run is long after", min_value=1, max_value=10_080, help_text="Minutes."
    )
    quiet_from = _time("Quiet from", "No mail and no posts in these hours; they come at their end.")
    quiet_to = _time("Quiet until")
    digest_at = forms.TimeField(
        label="Digest at", widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    digest_weekday = forms.TypedChoiceField(
        label="Weekly digest on", coerce=int, choices=list(enumerate(_DAYS))
    )
    slack_member = forms.CharField(
        label="Your Slack member id",
        required=False,
        max_length=32,
        help_text="Such as U012AB3CD: posts then mention you. Empty: they name you.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, wishes: Wishes, actor: Actor, **kwargs: Any) -> None:
        initial = {
            "everything": wishes.everything,
            "long_minutes": wishes.long_minutes,
            "quiet_from": wishes.quiet_from,
            "quiet_to": wishes.quiet_to,
            "digest_at": wishes.digest_at,
            "digest_weekday": wishes.digest_weekday,
            "slack_member": wishes.slack_member,
        }
        super().__init__(*args, **{**kwargs, "initial": initial})
        manages = actor.may(Permission.MANAGE_KEYS)
        self.kinds = [kind for kind, info in KINDS.items() if manages or not info.managers]
        # What is not shown stays as it was.
        self._kept = {kind: list(named) for kind, named in wishes.choices.items() if kind not in self.kinds}
        for kind in self.kinds:
            for channel in Channel:
                self.fields[f"{kind}__{channel}"] = forms.BooleanField(
                    label=f"{KINDS[kind].label}: {_TOLD_BY[channel]}",
                    required=False,
                    initial=wishes.wants(kind, channel),
                )

    @property
    def ways(self) -> list[str]:
        return list(_TOLD_BY.values())

    def groups(self) -> Iterator[tuple[str, list[NotificationLine]]]:
        """The table: groups of events, each event with a box for each way."""
        for label, kinds in GROUPS:
            lines = [
                NotificationLine(
                    KINDS[kind],
                    tuple((_TOLD_BY[channel], self[f"{kind}__{channel}"]) for channel in Channel),
                )
                for kind in kinds
                if kind in self.kinds
            ]
            if lines:
                yield label, lines

    def wanted(self) -> dict[str, Any]:
        """What `save_settings` takes."""
        data = self.cleaned_data
        choices = {
            str(kind): [str(channel) for channel in Channel if data[f"{kind}__{channel}"]]
            for kind in self.kinds
        }
        names = ("everything", "long_minutes", "quiet_from", "quiet_to", "digest_at", "digest_weekday")
        return {
            "choices": {**self._kept, **choices},
            "slack_member": data["slack_member"],
            **{name: data[name] for name in names},
        }
