"""Forms of the history: its filters, what is done to many runs, how long runs are kept."""

from __future__ import annotations

import uuid
from datetime import datetime, time, timedelta
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from runs.engine.statuses import RunStatus
from runs.models.history import LEAST_KEPT_DAYS, LONGEST_KEPT_DAYS
from runs.selectors import HISTORY_ORDERS, HistoryFilter, starters
from workflows.models import Workflow
from workflows.templatetags.ui import LOOKS
from workflows.tenancy.models import Tenant

_STATUSES = [
    ("", "Any status"),
    ("open", "Not over yet"),
    ("review", "Waiting for review"),
    *(
        (status.value, "Queued" if status == RunStatus.PENDING else LOOKS[status.value].word)
        for status in RunStatus
    ),
]
_TRIGGERS = [
    ("", "Any start"),
    ("manual", "By hand"),
    ("api", "Over the API"),
    ("schedule", "Schedule"),
    ("webhook", "Webhook"),
    ("event", "Event"),
]
_KINDS = [
    ("", "Any kind"),
    ("live", "Live runs"),
    ("test", "Test runs"),
    ("replay", "Replays"),
    ("step", "Tests of one step"),
]
_PERIODS = {
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "3d": ("Last 3 days", timedelta(days=3)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
    "90d": ("Last 90 days", timedelta(days=90)),
}
_ORDERS = [
    ("newest", "Newest first"),
    ("oldest", "Oldest first"),
    ("longest", "Longest first"),
    ("cost", "Dearest first"),
    ("tokens", "Most tokens first"),
]


class MomentField(forms.Field):
    """A day, or a minute of it, in the current time zone; cleaned to a moment. A day as an end is meant whole."""

    def __init__(self, *, ends: bool = False, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"})
        super().__init__(required=False, widget=widget, **kwargs)
        self.ends = ends

    def to_python(self, value: Any) -> datetime | None:
        text = str(value or "").strip()
        if not text:
            return None
        try:
            if (day := parse_date(text)) is not None:
                midnight = datetime.combine(day + timedelta(days=self.ends), time.min)
                return timezone.make_aware(midnight)
            moment = parse_datetime(text)
            if moment is None:
                raise forms.ValidationError("This is no date.")
            return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
        except (ValueError, OverflowError) as error:
            raise forms.ValidationError("This is no date.") from error


class HistoryForm(forms.Form):
    """The filters of the history, as they stand in the address. What cannot be read is left out, not refused."""

    q = forms.CharField(required=False, max_length=200, label="Find runs")
    period = forms.ChoiceField(
        required=False, choices=[("", "Any time"), *((key, label) for key, (label, _) in _PERIODS.items())]
    )
    status = forms.ChoiceField(required=False, choices=_STATUSES)
    workflow = forms.ChoiceField(required=False)
    version = forms.RegexField(r"^(\d{1,9}|draft)$", required=False)
    trigger = forms.ChoiceField(required=False, choices=_TRIGGERS, label="Started by")
    person = forms.ChoiceField(required=False)
    kind = forms.ChoiceField(required=False, choices=_KINDS)
    cause = forms.RegexField(r"^[a-z0-9_.-]{1,64}$", required=False)
    since = MomentField(label="From")
    until = MomentField(label="To", ends=True)
    cost_from = forms.DecimalField(required=False, min_value=0, max_value=1_000_000)
    cost_to = forms.DecimalField(required=False, min_value=0, max_value=1_000_000)
    sort = forms.ChoiceField(required=False, choices=_ORDERS, label="Order")

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = Workflow.objects.for_tenant(tenant).filter(deleted_at__isnull=True).order_by("name")
        choices = [
            ("", "Any workflow"),
            *((str(pk), name) for pk, name in names.values_list("pk", "name")[:500]),
        ]
        wanted = str(self.data.get("workflow", "")) if self.is_bound else ""
        if wanted and wanted not in dict(choices) and is_uuid(wanted):
            # A deleted workflow keeps its history.
            choices.append((wanted, "A deleted workflow"))
        self._choose("workflow", choices)
        people = [("", "Anybody"), ("none", "Nobody: a trigger"), *starters(tenant)]
        wanted = str(self.data.get("person", "")) if self.is_bound else ""
        if wanted not in dict(people) and _is_starter(wanted):
            people.append((wanted, "Somebody who has left"))
        self._choose("person", people)

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    def wanted(self) -> HistoryFilter:
        """The filters that can be read. A period counts back from now; dates go before it."""
        self.is_valid()
        data = self.cleaned_data
        since, until = data.get("since"), data.get("until")
        if since is None and until is None and data.get("period") in _PERIODS:
            since = timezone.now() - _PERIODS[data["period"]][1]
        return HistoryFilter(
            workflow=uuid.UUID(data["workflow"]) if data.get("workflow") else None,
            status=data.get("status", ""),
            version=data.get("version", ""),
            trigger=data.get("trigger", ""),
            person=data.get("person", ""),
            kind=data.get("kind", ""),
            cause=data.get("cause", ""),
            text=data.get("q", "").strip(),
            since=since,
            until=until,
            cost_from=data.get("cost_from"),
            cost_to=data.get("cost_to"),
            order=data["sort"] if data.get("sort") in HISTORY_ORDERS else "newest",
        )

    @property
    def more_on(self) -> int:
        """How many of the filters behind "More" hide or sort something."""
        wanted = self.wanted()
        dates = [self.cleaned_data.get("since"), self.cleaned_data.get("until")]
        costs = [wanted.cost_from is not None, wanted.cost_to is not None]
        rest = [wanted.version, wanted.person, wanted.kind, wanted.cause, wanted.order != "newest"]
        return sum(bool(one) for one in (*dates, *costs, *rest))

    @property
    def since_shown(self) -> str:
        """As a datetime-local field holds it."""
        return self._moment("since")

    @property
    def until_shown(self) -> str:
        return self._moment("until")

    def _moment(self, name: str) -> str:
        found = self.cleaned_data.get(name) if self.is_bound else None
        return timezone.localtime(found).strftime("%Y-%m-%dT%H:%M") if found else ""

    def address(self, **changes: str) -> str:
        """The filters that can be read, as they stand in an address (`status=failed&q=x`), with changes; "" drops one."""
        self.is_valid()
        read = {name: str(self.data.get(name, "")).strip() for name in self.fields if name not in self.errors}
        return urlencode({name: value for name, value in (read | changes).items() if value})


class BulkForm(forms.Form):
    """What is done to many runs. Cleaned: `act` (retry, cancel), `all` (what matches), `run` (ids of picked runs)."""

    act = forms.ChoiceField(choices=[("retry", "retry"), ("cancel", "cancel")])
    all = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        sent = cast(QueryDict, self.data).getlist("run")[:500]
        data["run"] = [uuid.UUID(text) for text in sent if is_uuid(text)]
        if not data["run"] and not data.get("all"):
            self.add_error(None, "Choose runs first.")
        return data


class RetentionForm(forms.Form):
    """How many days are kept; empty is for ever."""

    runs_days = forms.IntegerField(
        required=False,
        min_value=LEAST_KEPT_DAYS,
        max_value=LONGEST_KEPT_DAYS,
        label="Days that runs are kept after their end",
        help_text=f"At least {LEAST_KEPT_DAYS}, because the month's budget is counted from them. Empty: for ever.",
    )
    texts_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=LONGEST_KEPT_DAYS,
        label="Days that prompts and answers of models are kept",
        help_text="What was sent to models and their raw answers; the results of steps stay. Empty: as long as the run.",
    )


def _is_starter(text: str) -> bool:
    if text.startswith("key:"):
        return is_uuid(text.removeprefix("key:"))
    return text.isascii() and text.isdecimal() and len(text) < 16


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
