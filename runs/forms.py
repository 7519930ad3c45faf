"""Forms of the run pages: the filters of the history, the decision at a gate, what a person wants to be told."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal, cast
from urllib.parse import urlencode

from django import forms
from django.forms import BoundField
from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from runs.engine.items import ItemStatus
from runs.engine.statuses import RunStatus
from runs.models import Delivery, Review
from runs.models.history import LEAST_KEPT_DAYS, LONGEST_KEPT_DAYS
from runs.notifications import GROUPS, KINDS, Channel, KindInfo, Wishes
from runs.selectors import HISTORY_ORDERS, HistoryFilter, starters
from runs.services.decide_review import CHANGES
from runs.services.review_desk import DeskFilter
from runs.snapshots.items import ItemsQuery
from runs.snapshots.words import text_of
from workflows.definition.graph import Definition, StepDef, VariableDef, VariableType
from workflows.lib.errors import StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow
from workflows.steps import registry
from workflows.steps.fields import ConfigField, WrongType, config_fields
from workflows.templatetags.ui import LOOKS
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Tenant, User
from workflows.tenancy.roles import Permission

# Steps that the start form offers to stop before; on the run page every step can be chosen.
_STOPS = 60
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


class ItemsForm(forms.Form):
    """The filter of a container's items, as it stands in the address. What cannot be read is left out, not refused."""

    status = forms.ChoiceField(
        required=False, choices=[("", "All"), *((status.value, status.value) for status in ItemStatus)]
    )
    q = forms.CharField(required=False, max_length=200)
    page = forms.IntegerField(required=False, min_value=1, max_value=100_000)

    def wanted(self) -> ItemsQuery:
        self.full_clean()
        data = self.cleaned_data
        return ItemsQuery(data.get("status") or "", (data.get("q") or "").strip(), data.get("page") or 1)


class RetryItemsForm(forms.Form):
    """Which items of which step are to be done again. Cleaned: `step` (None: the one that failed), `items` (indexes
    from 0; None: all that failed)."""

    step = forms.CharField(required=False, max_length=64)
    items = forms.RegexField(
        r"^(failed|\d{1,6}(,\d{1,6}){0,4999})$", error_messages={"invalid": "These are no items."}
    )

    def clean_step(self) -> str | None:
        return self.cleaned_data["step"] or None

    def clean_items(self) -> list[int] | None:
        said: str = self.cleaned_data["items"]
        return None if said == "failed" else [int(part) for part in said.split(",")]


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


class EditForm(forms.Form):
    """A change of a run that is held. Cleaned: `what` (variable, input, output), `step`, `name`, `value`, `rerun`.

    `kind` says how `value` is written: `text`, or `json` for anything else.
    """

    what = forms.ChoiceField(choices=[(name, name) for name in ("variable", "input", "output")])
    step = forms.CharField(required=False, max_length=64)
    name = forms.CharField(required=False, max_length=120)
    kind = forms.ChoiceField(choices=[("text", "text"), ("json", "json")])
    value = forms.CharField(required=False, strip=False, max_length=2_000_000)
    rerun = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        text = str(data.get("value") or "").replace("\r\n", "\n")
        data["value"] = text
        if data.get("kind") == "json":
            try:
                data["value"] = json.loads(text)
            except ValueError as error:
                self.add_error("value", f"This is not JSON: {error}.")
        return data


class WhatIfForm(forms.Form):
    """A step once more with other settings, input of the run, or a stop before it. Only what differs is passed on.

    `step` is as the run's version has it, `given` the run's input. Settings are shown as fields of text.
    """

    stop = forms.BooleanField(
        required=False,
        label="Stop before this step",
        help_text="Then what comes in can be looked at and changed before it begins.",
    )
    KINDS = ("template", "expression", "model", "number", "choice", "text")

    def __init__(
        self,
        *args: Any,
        step: StepDef,
        settings: Mapping[str, ConfigField],
        definition: Definition,
        given: JSONObject,
        models: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.step, self.definition, self.given, self.models = step, definition, given, models
        self.settings = {
            name: field
            for name, field in settings.items()
            if field.kind in self.KINDS and self._is_of_use(field)
        }
        for name, field in self.settings.items():
            self.fields[f"set_{name}"] = self._setting(field, step.config.get(name, field.default))
        for variable in definition.input_variables():
            # What the origin was given stands in it; a required one that was empty there may stay so.
            asked = _input_field(variable)
            asked.required, asked.initial = False, given.get(variable.name, variable.default)
            self.fields[f"input_{variable.name}"] = asked

    def _is_of_use(self, field: ConfigField) -> bool:
        """Not for a way in which the step does not work."""
        if field.shown_when is None:
            return True
        other, values = field.shown_when
        asked = config_fields(registry.get(self.step.type).ConfigForm).get(other)
        return self.step.config.get(other, asked.default if asked is not None else "") in values

    def _setting(self, field: ConfigField, value: Any) -> forms.Field:
        common: dict[str, Any] = {
            "label": field.label,
            "help_text": field.help_text if field.kind != "choice" else "",
            "required": False,
            "initial": "" if value is None else value,
        }
        if field.kind == "choice":
            return forms.ChoiceField(choices=getattr(field, "choices", ()), **common)
        if field.kind in ("template", "expression"):
            rows = 10 if "\n" in str(value) or len(str(value)) > 120 else 3
            return forms.CharField(
                widget=forms.Textarea(attrs={"rows": rows, "data-autogrow": ""}), strip=False, **common
            )
        attributes = {"list": "known-models"} if field.kind == "model" else {}
        return forms.CharField(widget=forms.TextInput(attrs=attributes), **common)

    def first(self) -> list[forms.BoundField]:
        """The settings that matter most: what is asked, and who is asked."""
        return [self[f"set_{name}"] for name in self._ordered if not self.settings[name].more]

    def more(self) -> list[forms.BoundField]:
        return [self[f"set_{name}"] for name in self._ordered if self.settings[name].more]

    @property
    def _ordered(self) -> list[str]:
        order = {"template": 0, "expression": 0, "model": 1}
        return sorted(self.settings, key=lambda name: order.get(self.settings[name].kind, 2))

    def asked(self) -> list[forms.BoundField]:
        return [self[f"input_{variable.name}"] for variable in self.definition.input_variables()]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        data["overrides"] = {}
        for name, field in self.settings.items():
            sent = str(data.get(f"set_{name}") or "").replace("\r\n", "\n")
            before = self.step.config.get(name, field.default)
            try:
                value = field.nothing() if sent == "" else field.read(sent)
            except WrongType as wrong:
                self.add_error(f"set_{name}", f"This must be {wrong}.")
                continue
            if value != before and not (field.is_empty(value) and field.is_empty(before)):
                data["overrides"][name] = value
        values = dict(self.given)
        for variable in self.definition.input_variables():
            value = data.get(f"input_{variable.name}")
            if isinstance(value, str):
                value = value.replace("\r\n", "\n")
            if value not in (None, "") or variable.name in values:
                values[variable.name] = value
        same = {k: _unixed(v) for k, v in values.items()} == {k: _unixed(v) for k, v in self.given.items()}
        data["input_data"] = None if same else values
        return data


def _unixed(value: Any) -> Any:
    """Browsers send lines of their own kind."""
    return value.replace("\r\n", "\n") if isinstance(value, str) else value


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
        if wanted and wanted not in dict(choices) and _is_uuid(wanted):
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
        data["run"] = [uuid.UUID(text) for text in sent if _is_uuid(text)]
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


class StartForm(forms.Form):
    """What a run is started with: one field per input variable, as its type asks. The service checks the values.

    Cleaned: `version` (number, "draft" or None), `test`, `yolo` (None where the choice was not shown).
    """

    version = forms.CharField(required=False, max_length=20)
    test = forms.BooleanField(
        required=False,
        label="Test run",
        help_text="Kept apart: it does not count in the figures of the workflow.",
    )
    yolo = forms.BooleanField(
        required=False, label="Pass every review by itself (YOLO)", help_text="Nobody is asked in this run."
    )

    def __init__(self, *args: Any, definition: Definition, may_yolo: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.definition = definition
        has_gate = any(step.type == "review" and step.enabled for step in definition.steps)
        if may_yolo and has_gate:
            self.fields["yolo"].initial = bool(definition.settings.get("yolo"))
        else:
            del self.fields["yolo"]
        steps = [step for step in definition.children(None) if step.enabled and step.type != "start"]
        self.fields["stops"] = forms.MultipleChoiceField(
            required=False,
            label="Stop before",
            choices=[(step.key, step.label) for step in steps[:_STOPS]],
            widget=forms.CheckboxSelectMultiple,
        )
        for variable in definition.input_variables():
            self.fields[f"input_{variable.name}"] = _input_field(variable)

    def asked(self) -> list[forms.BoundField]:
        """The fields of the input variables, in their order."""
        return [self[f"input_{variable.name}"] for variable in self.definition.input_variables()]

    @property
    def pins(self) -> int:
        """How many steps have a pinned output, which test runs take."""
        return sum(step.pinned is not None for step in self.definition.steps)

    def choices(self) -> list[forms.BoundField]:
        return [self[name] for name in ("test", "yolo") if name in self.fields]

    def wanted_version(self) -> int | Literal["draft"] | None:
        chosen = str(self.cleaned_data.get("version") or "")
        if chosen == "draft":
            return "draft"
        return int(chosen) if chosen.isdecimal() else None

    def input_data(self) -> JSONObject:
        """The values by name; what was left empty is left out, so that defaults and "required" hold."""
        found: JSONObject = {}
        for variable in self.definition.input_variables():
            value = self.cleaned_data.get(f"input_{variable.name}")
            if value not in (None, "") or variable.type is VariableType.BOOLEAN:
                found[variable.name] = value
        return found

    def yolo_choice(self) -> bool | None:
        return bool(self.cleaned_data["yolo"]) if "yolo" in self.fields else None

    def refuse(self, error: StepwellError) -> None:
        """Put what the service says is wrong beside the fields it names, the rest above the form."""
        for problem in error.problems:
            # A step's setting may have the name of an input.
            name = None if problem.step else f"input_{problem.field}"
            fix = f" {problem.fix}" if problem.fix else ""
            self.add_error(name if name in self.fields else None, f"{problem.says}{fix}")
        if not error.problems:
            self.add_error(None, error.message)


class _JSONText(forms.CharField):
    """Data written as JSON; `kind` is what it must be."""

    def __init__(self, *, kind: type, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 6, "class": "mono"}), **kwargs)
        self.kind = kind

    def prepare_value(self, value: Any) -> Any:
        return (
            value
            if isinstance(value, str) or value is None
            else json.dumps(value, ensure_ascii=False, indent=2)
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            found = json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}.") from error
        if not isinstance(found, self.kind):
            wanted = "a list, in brackets" if self.kind is list else "an object, in braces"
            raise forms.ValidationError(f"This must be {wanted}.")
        return found


def _input_field(variable: VariableDef) -> forms.Field:
    """The field for an input variable. A default stands in it, so "required" asks only where nothing else would hold."""
    common: dict[str, Any] = {
        "label": variable.name.replace("_", " ").capitalize(),
        "help_text": variable.description,
        "initial": variable.default,
        "required": variable.required and variable.default is None,
    }
    match variable.type:
        case VariableType.NUMBER:
            return forms.FloatField(**common)
        case VariableType.BOOLEAN:
            return forms.BooleanField(**(common | {"required": False}))
        case VariableType.OBJECT:
            return _JSONText(kind=dict, **common)
        case VariableType.ARRAY:
            return _JSONText(kind=list, **common)
        case _:
            return forms.CharField(widget=forms.Textarea(attrs={"rows": 5}), strip=False, **common)


def _is_starter(text: str) -> bool:
    if text.startswith("key:"):
        return _is_uuid(text.removeprefix("key:"))
    return text.isascii() and text.isdecimal() and len(text) < 16


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


class DecisionForm(forms.Form):
    """A decision at a gate. Cleaned: `decision`, `comment`, and of an edit either `edited_text` or `output`."""

    decision = forms.CharField(max_length=64)
    comment = forms.CharField(required=False, max_length=10_000, strip=True)
    edited = forms.CharField(required=False, strip=False, max_length=2_000_000)
    back = forms.CharField(required=False, max_length=16)
    # Of the choice that a rejection opens: why, and whether the work goes back to an earlier step.
    reason = forms.CharField(required=False, max_length=10_000, strip=True)
    then = forms.ChoiceField(required=False, choices=[("stop", ""), ("back", "")])
    to_step = forms.CharField(required=False, max_length=64)

    def __init__(self, *args: Any, review: Review, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.review = review
        for field in review.fields:
            name = f"field_{field.get('name', '')}"
            label = str(field.get("label") or field.get("name"))
            required = bool(field.get("required"))
            match field.get("type"):
                case "number":
                    self.fields[name] = forms.FloatField(required=required, label=label)
                case "boolean":
                    self.fields[name] = forms.BooleanField(required=False, label=label)
                case _:
                    self.fields[name] = forms.CharField(required=required, label=label, max_length=10_000)

    def clean_decision(self) -> str:
        decision: str = self.cleaned_data["decision"]
        known = {str(button.get("decision")) for button in self.review.buttons}
        if decision not in known and not (decision == CHANGES and self.review.kind == Review.Kind.GATE):
            raise forms.ValidationError("This is not one of the decisions of this gate.")
        return decision

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        data["edited_text"], data["output"] = None, None
        if data.get("decision") == "reject":
            data["comment"] = "\n\n".join(filter(None, (data.get("comment"), data.get("reason"))))
            if data.get("then") == "back":
                data["decision"] = CHANGES
        if data.get("decision") != CHANGES:
            data["to_step"] = ""
        sent = str(data.get("edited") or "").replace("\r\n", "\n")
        # A field that was never sent (the gate is not editable, the view was read only) is no edit to nothing.
        if "edited" in self.data and self.review.editable:
            original = text_of(self.review.content)
            if original is not None:
                if sent != original.replace("\r\n", "\n"):
                    data["edited_text"] = sent
            else:
                data["output"] = self._object(sent)
        return data

    def _object(self, sent: str) -> JSONObject | None:
        """The edited data; None when it is what it was."""
        try:
            value = json.loads(sent)
        except ValueError as error:
            self.add_error("edited", f"Your version is not JSON: {error}.")
            return None
        if not isinstance(value, dict):
            self.add_error("edited", "Your version must be a JSON object, in braces.")
            return None
        return value if value != self.review.content else None

    def values(self) -> JSONObject:
        """What the gate's own fields were filled with, by their names; empty ones are left out."""
        names = [str(field.get("name", "")) for field in self.review.fields]
        found = {name: self.cleaned_data.get(f"field_{name}") for name in names}
        return {name: value for name, value in found.items() if value not in (None, "")}

    @property
    def problem(self) -> str:
        """What is wrong, as one sentence."""
        for name, errors in self.errors.items():
            label = self.fields[name].label if name in self.fields else ""
            return f"{label}: {errors[0]}" if name.startswith("field_") else str(errors[0])
        return ""


class DeskForm(forms.Form):
    """The filter of the inbox, as it stands in the address. What cannot be read is left out, not refused."""

    show = forms.ChoiceField(required=False, choices=[("mine", "Mine"), ("overdue", "Overdue")])
    workflow = forms.UUIDField(required=False)

    def wanted(self) -> DeskFilter:
        self.is_valid()
        return DeskFilter(self.cleaned_data.get("show") or "", self.cleaned_data.get("workflow"))


class AbsenceForm(forms.Form):
    """Out of office: from which day to which, and who decides meanwhile."""

    first_day = forms.DateField(
        label="From", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    last_day = forms.DateField(
        label="To", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), help_text="Included."
    )
    substitute = forms.ModelChoiceField(User.objects.none(), label="Who decides meanwhile")

    def __init__(self, *args: Any, people: Sequence[User], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["substitute"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = User.objects.filter(pk__in=[person.pk for person in people]).order_by(
            "name", "email"
        )


class ManyForm(forms.Form):
    """Decisions about many gates at once: one per row, or one for every row that was chosen."""

    MOST = 500

    def __init__(self, *args: Any, reviews: Sequence[Review], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reviews = reviews

    def wanted(self) -> list[tuple[Review, str, str]]:
        """(review, decision, comment) for every row that is decided; a row's own decision comes first."""
        every = str(self.data.get("every") or "")
        chosen = set(self.data.getlist("pick")) if isinstance(self.data, QueryDict) else set()
        found = []
        for review in self.reviews[: self.MOST]:
            own = str(self.data.get(f"decision-{review.pk}") or "")
            decision = own or (every if str(review.pk) in chosen else "")
            if decision:
                comment = self.data.get(f"comment-{review.pk}") or self.data.get("comment") or ""
                found.append((review, decision, str(comment).strip()[:10_000]))
        return found


class OutboxForm(forms.Form):
    """Filters of the outbox; an unknown value filters nothing."""

    q = forms.CharField(required=False, max_length=200)
    status = forms.ChoiceField(required=False, choices=[("", "Any state"), *Delivery.Status.choices])
    kind = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any kind"),
            ("email", "Mails"),
            ("webhook", "Webhooks"),
            ("http", "Requests"),
            ("event", "Events"),
        ],
    )

    def wanted(self) -> dict[str, str]:
        self.is_valid()
        return {name: str(self.cleaned_data.get(name) or "") for name in ("q", "status", "kind")}


# --- notifications ------------------------------------------------------------------------------------------------

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
