"""Runs, reviews and events in the Django admin: to look at; what is done with a run is done on its own page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from runs.engine.statuses import EventType, RunStatus
from runs.models import Event, NotificationSend, Review, Run
from workflows.lib.jsontypes import JSONValue
from workflows.templatetags.ui import format_duration, format_money, status_word
from workflows.tenancy.admin import ReadOnlyAdmin

# A page of a thousand steps helps nobody here; the run's own page shows them all.
_MOST_STEPS = 200


def _pretty(value: JSONValue) -> SafeString | str:
    if value in (None, "", {}, []):
        return "–"
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> SafeString:
    head = format_html_join("", '<th scope="col">{}</th>', ((each,) for each in heads))
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows)
    )
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", head, body)


class StatusFilter(admin.SimpleListFilter):
    """The statuses that there are, without reading all runs to find them."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, status_word(status.value)) for status in RunStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class EventTypeFilter(admin.SimpleListFilter):
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.value, kind.value.replace("_", " ")) for kind in EventType]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin[Run]):
    list_display = (
        "title",
        "workflow",
        "tenant",
        "state",
        "kind",
        "trigger_type",
        "started_by",
        "created_at",
        "took",
        "costs",
    )
    list_filter = (StatusFilter, "kind", "tenant")
    search_fields = ("workflow__name", "tenant__name", "tenant__slug")
    search_help_text = "The workflow's or tenant's name, a run's number, or its id."
    list_select_related = ("workflow", "tenant", "started_by")
    date_hierarchy = "created_at"
    show_full_result_count = False
    fieldsets = (
        (
            None,
            {"fields": ("title", "page", "workflow", "version", "tenant", "state", "progress", "error_text")},
        ),
        ("Steps", {"fields": ("steps",)}),
        ("Data", {"fields": ("input_text", "variables_text", "output_text")}),
        (
            "Started",
            {"fields": ("kind", "trigger_type", "started_by", "api_key", "origin", "from_step", "yolo")},
        ),
        ("Figures", {"fields": ("took", "costs", "input_tokens", "output_tokens", "events")}),
        ("Dates", {"fields": ("created_at", "started_at", "completed_at", "wake_at", "deadline_at")}),
    )
    readonly_fields = (
        "title",
        "page",
        "state",
        "progress",
        "error_text",
        "steps",
        "input_text",
        "variables_text",
        "output_text",
        "took",
        "costs",
        "events",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        found = super().get_queryset(request)
        if request.resolver_match is not None and request.resolver_match.url_name == "runs_run_changelist":
            # Inputs and outputs may be megabytes.
            found = found.defer("input", "output", "variables", "trigger_data")
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        term = search_term.strip().removeprefix("#")
        if term.isdecimal() and len(term) < 16:
            return queryset.filter(number=int(term)), False
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            return super().get_search_results(request, queryset, search_term)

    def view_on_site(self, obj: Run) -> str:
        return reverse("runs:detail", args=[obj.pk])

    @admin.display(description="Run", ordering="created_at")
    def title(self, run: Run) -> str:
        return f"Run {run.number}"

    @admin.display(description="Its page")
    def page(self, run: Run) -> SafeString:
        return format_html(
            '<a href="{}">Open the run’s page</a> (for members of {})',
            self.view_on_site(run),
            run.tenant.name,
        )

    @admin.display(description="Status", ordering="status")
    def state(self, run: Run) -> str:
        return status_word(run.status)

    @admin.display(description="Steps done")
    def progress(self, run: Run) -> str:
        return f"{run.steps_done} of {run.steps_total}"

    @admin.display(description="Error")
    def error_text(self, run: Run) -> str:
        error = run.error or {}
        return str(error.get("message") or "–")

    @admin.display(description="Took")
    def took(self, run: Run) -> str:
        if run.started_at is None or run.completed_at is None:
            return "–"
        return format_duration((run.completed_at - run.started_at).total_seconds() * 1000)

    @admin.display(description="Cost", ordering="cost")
    def costs(self, run: Run) -> str:
        return format_money(run.cost)

    @admin.display(description="Input")
    def input_text(self, run: Run) -> SafeString | str:
        return _pretty(run.input)

    @admin.display(description="Variables set at the start")
    def variables_text(self, run: Run) -> SafeString | str:
        return _pretty(run.variables)

    @admin.display(description="Output")
    def output_text(self, run: Run) -> SafeString | str:
        return _pretty(run.output)

    @admin.display(description="Steps that have started")
    def steps(self, run: Run) -> SafeString | str:
        rows = run.step_runs.order_by("created_at", "pk").defer("output", "held", "inputs")[: _MOST_STEPS + 1]
        found = list(rows)
        if not found:
            return "None yet."
        table = _table(
            ("Step", "Type", "Status", "Attempts", "Took", "Model", "Tokens", "Cost", "Error"),
            (
                (
                    f"{row.label} {row.scope}".strip(),
                    row.type,
                    status_word(row.status),
                    row.attempt,
                    format_duration((row.completed_at - row.started_at).total_seconds() * 1000)
                    if row.started_at and row.completed_at
                    else "–",
                    row.model or "–",
                    f"{row.input_tokens + row.output_tokens:,}",
                    format_money(row.cost),
                    (row.error or {}).get("message") or "",
                )
                for row in found[:_MOST_STEPS]
            ),
        )
        more = "" if len(found) <= _MOST_STEPS else f"The first {_MOST_STEPS}; the run’s page shows all."
        return format_html("{}{}", table, more)

    @admin.display(description="Events")
    def events(self, run: Run) -> SafeString:
        address = reverse("admin:runs_event_changelist")
        return format_html('<a href="{}?run__id__exact={}">{} events</a>', address, run.pk, run.event_seq)


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin[Review]):
    list_display = (
        "title",
        "workflow",
        "tenant",
        "status",
        "decision",
        "decided_by_label",
        "created_at",
        "due_at",
    )
    list_filter = ("status", "tenant")
    search_fields = ("title", "workflow__name", "tenant__name", "decided_by_label")
    list_select_related = ("workflow", "tenant")
    date_hierarchy = "created_at"
    show_full_result_count = False
    fields = (
        "title",
        "page",
        "workflow",
        "tenant",
        "status",
        "instructions",
        "content_text",
        "assignees",
        "quorum",
        "due_at",
        "decision",
        "comment",
        "edited_text",
        "decided_by_label",
        "votes",
        "created_at",
        "decided_at",
    )
    readonly_fields = ("page", "content_text", "edited_text", "votes")

    def view_on_site(self, obj: Review) -> str:
        return reverse("reviews:detail", args=[obj.pk])

    @admin.display(description="Its page")
    def page(self, review: Review) -> SafeString:
        return format_html(
            '<a href="{}">Open the run’s page</a> (for members of {})',
            reverse("runs:detail", args=[review.run_id]),
            review.tenant.name,
        )

    @admin.display(description="What is reviewed")
    def content_text(self, review: Review) -> SafeString | str:
        return _pretty(review.content)

    @admin.display(description="As changed by the reviewer")
    def edited_text(self, review: Review) -> SafeString | str:
        return _pretty(review.edited)

    @admin.display(description="Votes")
    def votes(self, review: Review) -> SafeString | str:
        found = list(review.votes.select_related("person").order_by("pk"))
        if not found:
            return "None yet."
        rows = (
            (vote.person, vote.decision, vote.comment, f"{vote.created_at:%d %b %Y, %H:%M}") for vote in found
        )
        return _table(("Person", "Decision", "Comment", "When"), rows)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin[Event]):
    list_display = ("seq", "run", "tenant", "type", "label", "at")
    list_filter = (EventTypeFilter, "tenant")
    search_fields = ("label", "run__workflow__name")
    list_select_related = ("run", "tenant")
    ordering = ("-pk",)
    show_full_result_count = False
    fields = ("run", "tenant", "seq", "type", "at", "step_key", "label", "scope", "data_text")
    readonly_fields = ("data_text",)

    @admin.display(description="Data")
    def data_text(self, event: Event) -> SafeString | str:
        return _pretty(event.data)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "run__id__exact" or super().lookup_allowed(lookup, value, request)


@admin.register(NotificationSend)
class NotificationSendAdmin(ReadOnlyAdmin[NotificationSend]):
    """What was mailed and posted to people, and what could not be."""

    list_display = ("notification", "tenant", "channel", "status", "tries", "words", "due_at", "settled_at")
    list_filter = ("status", "channel", "tenant")
    search_fields = ("notification__title", "notification__person__email", "words")
    list_select_related = ("notification", "tenant")
