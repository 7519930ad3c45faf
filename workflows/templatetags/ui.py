"""Template tags for shared looks: icons, status, figures, times, people, safe Markdown. Words: docs/ui.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

from django import forms, template
from django.conf import settings
from django.forms import BoundField
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from workflows.lib.markdown import render_markdown
from workflows.presenters.people import hue_of, initials

register = template.Library()


@register.filter
def a_or_an(word: str) -> str:
    """``{{ "input"|a_or_an }}``: “an input”. By the letter, which is enough for the words of the pages."""
    return f"{'an' if word[:1].lower() in 'aeio' else 'a'} {word}"


NOTHING = "–"  # an en dash: this figure does not apply
FALLBACK_ICON = "puzzle"  # for step types of third parties that name a symbol the sprite does not have


@dataclass(frozen=True)
class Look:
    """How a status is shown: its shape (``data-s``), its icon and its word."""

    shape: str
    icon: str
    word: str


LOOKS: dict[str, Look] = {
    "queued": Look("queued", "clock", "Queued"),
    "pending": Look("wait", "circle-dashed", "Not started"),
    "running": Look("running", "loader-circle", "Running"),
    "waiting": Look("queued", "clock", "Waiting"),
    "review": Look("review", "hand", "Waiting for review"),
    "paused": Look("paused", "circle-pause", "Paused"),
    "completed": Look("done", "circle-check", "Succeeded"),
    "retried": Look("retry", "rotate-cw", "Succeeded after a retry"),
    "failed": Look("failed", "octagon-x", "Failed"),
    "skipped": Look("skip", "circle-slash", "Skipped"),
    "cancelled": Look("cancel", "ban", "Cancelled"),
}


def look_of(status: str, *, retried: bool = False, review: bool = False, run: bool = False) -> Look:
    """The look of a run's or step run's status; an unknown status keeps its own word and the waiting shape."""
    name = str(status)
    if review and name in {"waiting", "paused", "running"}:
        name = "review"
    elif retried and name == "completed":
        name = "retried"
    elif run and name == "pending":
        name = "queued"
    return LOOKS.get(name) or Look("wait", "circle-dashed", name.replace("_", " ").capitalize())


@lru_cache(maxsize=1)
def icon_names() -> frozenset[str]:
    """The symbols of the sprite, as listed in static/icons.txt."""
    lines = (Path(settings.BASE_DIR) / "static" / "icons.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


# A page of 200 steps draws some 2,000 icons of a few dozen kinds.
@lru_cache(maxsize=1024)
def icon_html(name: str, *, size: int = 16, spin: bool = False, css: str = "") -> SafeString:
    """One symbol of the sprite; always decoration, so whatever it says must also stand in words."""
    classes = " ".join(
        part for part in ("i", f"i--{size}" if size != 16 else "", "spin" if spin else "", css) if part
    )
    symbol = name if name in icon_names() else FALLBACK_ICON
    return format_html(
        '<svg class="{}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        classes,
        static("vendor/icons.svg"),
        symbol,
    )


@register.simple_tag
def icon(name: str, size: int = 16, spin: bool = False, css: str = "") -> SafeString:
    """``{% icon "play" size=14 %}``; sizes 14, 16, 20."""
    return icon_html(name, size=size, spin=spin, css=css)


@register.simple_tag
def status(
    value: str,
    retried: bool = False,
    review: bool = False,
    run: bool = False,
    pill: bool = False,
    word: bool = True,
) -> SafeString:
    """``{% status step_run.status retried=True %}``: shape, then word. ``word=False`` keeps it for screen readers."""
    look = look_of(value, retried=retried, review=review, run=run)
    return format_html(
        '<span class="st{}" data-s="{}"{}>{}<span{}>{}</span></span>',
        " st--pill" if pill else "",
        look.shape,
        "" if word else format_html(' title="{}"', look.word),
        icon_html(look.icon, spin=look.shape == "running"),
        "" if word else mark_safe(' class="vh"'),
        look.word,
    )


def _asks_a_person(run: Any) -> bool:
    return any(isinstance(wait, dict) and wait.get("kind") == "review" for wait in run.waiting_for or ())


@register.simple_tag
def run_strip(runs: Iterable[Any]) -> SafeString:
    """``{% run_strip row.last_runs %}``: one tick per run, newest at the right, with its words for screen readers."""
    looks = [look_of(run.status, review=_asks_a_person(run), run=True) for run in runs]
    words = ", ".join(look.word.lower() for look in looks)
    return _strip(reversed(looks), f"Last runs, newest first: {words}" if looks else "No runs yet")


def _strip(looks: Iterable[Look], label: str) -> SafeString:
    return format_html(
        '<span class="strip" role="img" aria-label="{}">{}</span>',
        label,
        format_html_join("", '<i data-s="{}"></i>', ((look.shape,) for look in looks)),
    )


@register.filter
def shape(value: str) -> str:
    """The ``data-s`` of a status, for rows, rails and strips: ``{{ step_run.status|shape }}``."""
    return look_of(value).shape


@register.filter
def status_word(value: str) -> str:
    """The word of a status: ``{{ run.status|status_word }}``."""
    return look_of(value).word


def format_duration(milliseconds: float | None) -> str:
    """12 ms · 0.4 s · 31.8 s · 8 min 21 s · 2 h 05 min · 3 d 4 h; a dash for None."""
    if milliseconds is None:
        return NOTHING
    ms = max(0.0, float(milliseconds))
    if ms < 100:
        return f"{ms:.0f} ms"
    if ms < 59_950:  # below what would round to 60.0 s
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        days, hours = divmod(hours, 24)
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s"


def rough_duration(length: timedelta) -> str:
    """How late or how soon, as people say it: under 1 min · 11 min · 2 h · 2 h 05 min · 3 d."""
    minutes = int(abs(length).total_seconds() // 60)
    if minutes < 1:
        return "under 1 min"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


@register.simple_tag
def duration(milliseconds: float | timedelta | None) -> str:
    """``{% duration step_run.duration_ms %}``; takes milliseconds or a timedelta."""
    if isinstance(milliseconds, timedelta):
        milliseconds = milliseconds / timedelta(milliseconds=1)
    return format_duration(milliseconds)


def format_money(amount: Decimal | float | str | None, places: int | None = None) -> str:
    """US dollars, rounded honestly: under ten cents to a tenth of a cent, then to the cent; never down to nothing."""
    if amount is None or amount == "":
        return NOTHING
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        return NOTHING
    if value == 0:
        return f"${value:.{places if places is not None else 2}f}"
    if 0 < value < Decimal("0.001"):
        return "< $0.001"
    if places is None:
        places = 3 if abs(value) < Decimal("0.0995") else 2
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value):,.{places}f}"


@register.simple_tag
def money(amount: Decimal | float | str | None, places: int | None = None) -> str:
    """``{% money run.cost %}``; ``places=3`` keeps the width of a figure that counts up."""
    return format_money(amount, places)


@register.simple_tag
def tokens(count: int | None) -> str:
    """``{% tokens run.tokens %}`` gives 4,912; the unit stands in the template."""
    return NOTHING if count is None else f"{int(count):,}"


def format_when(moment: datetime, now: datetime) -> str:
    """Today as clock, under a week as weekday and clock, this year as day and month, then with the year."""
    local, today = timezone.localtime(moment), timezone.localtime(now)
    if local.date() == today.date():
        return date_format(local, "H:i")
    if abs((today.date() - local.date()).days) < 7:
        return date_format(local, "D H:i")
    return date_format(local, "j M" if local.year == today.year else "j M Y")


@register.simple_tag
def when(moment: datetime | None, ago: bool = False) -> SafeString:
    """``{% when run.created_at %}``: a time element, exact in its title; ``ago=True`` counts minutes for an hour."""
    if moment is None:
        return format_html("<span>{}</span>", NOTHING)
    now = timezone.now()
    text = format_when(moment, now)
    ticking: str | SafeString = ""
    if ago and timedelta(0) <= now - moment < timedelta(hours=1):
        ticking = format_html(' data-ago data-clock="{}"', text)
        minutes = int((now - moment).total_seconds() // 60)
        text = f"{minutes} min ago" if minutes else "just now"
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}"{}>{}</time>',
        local.isoformat(timespec="seconds"),
        date_format(local, "l j F Y, H:i:s T"),
        ticking,
        text,
    )


def person_name(user: Any) -> str:
    """A person's full name, else the e-mail address; for the system, nothing."""
    if user is None:
        return ""
    full = user.get_full_name() if hasattr(user, "get_full_name") else ""
    return str(full or getattr(user, "email", "") or user)


@register.simple_tag
def avatar(user: Any, size: int = 24, named: bool = True) -> SafeString:
    """``{% avatar user %}``: initials in the person's hue; ``named=False`` where the name stands beside it."""
    name = person_name(user)
    letters = getattr(user, "initials", "") or initials(name)
    hue = hue_of(getattr(user, "pk", name))
    said: str | SafeString = format_html('<span class="vh">{}</span>', name) if named and name else ""
    return format_html(
        '<span class="av{}" data-h="{}"{}><span aria-hidden="true">{}</span>{}</span>',
        f" av--{size}" if size != 24 else "",
        hue,
        format_html(' title="{}"', name) if named and name else "",
        letters,
        said,
    )


@register.simple_tag
def markdown(text: str | None) -> SafeString:
    """``{% markdown output.content %}`` inside ``<div class="prose">``: sanitised, images off."""
    return mark_safe(render_markdown(str(text or "")))  # noqa: S308 (render_markdown sanitises)


@register.simple_tag
def strip(statuses: Sequence[str], label: str = "") -> SafeString:
    """``{% strip statuses %}``: one tick per step with its count in words."""
    looks = [look_of(value) for value in statuses]
    done = sum(look.shape in {"done", "retry"} for look in looks)
    failed = sum(look.shape == "failed" for look in looks)
    return _strip(
        looks, label or f"{done} of {len(looks)} steps done" + (f", {failed} failed" if failed else "")
    )


@register.simple_tag
def percent(part: float | None) -> str:
    """``{% percent 0.975 %}`` gives 97%: rounded down, so that 100% means all."""
    return NOTHING if part is None else f"{int(part * 100 + 1e-9)}%"


@register.filter
def field_kind(field: BoundField) -> str:
    """``check`` for a lone checkbox, ``group`` for radios and checkbox lists, else ``input``."""
    widget = field.field.widget
    if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        return "group"
    return "check" if isinstance(widget, forms.CheckboxInput) else "input"


@register.simple_tag
def field_control(field: BoundField, help_text: str = "") -> SafeString:
    """The widget of a bound field with our class and the ids of its hint and error; the widget's own attributes win."""
    widget, attributes = field.field.widget, {}
    if isinstance(widget, forms.Select) and not isinstance(widget, forms.RadioSelect | forms.SelectMultiple):
        attributes["class"] = "select"
    elif field_kind(field) == "input":
        attributes["class"] = "input"
    if isinstance(widget, forms.Textarea):
        attributes["data-autogrow"] = ""
    described = [
        f"{field.auto_id}_{part}" for part, there in (("hint", help_text), ("error", field.errors)) if there
    ]
    if described:
        attributes["aria-describedby"] = " ".join(described)
    if field.errors:
        attributes["aria-invalid"] = "true"
    own = widget.attrs
    if "class" in attributes and own.get("class"):
        attributes["class"] += f" {own['class']}"
    return field.as_widget(attrs={**{k: v for k, v in own.items() if k != "class"}, **attributes})


@dataclass(frozen=True)
class NavItem:
    """One place in the main navigation; ``url_name`` may not exist yet, then the item is absent."""

    key: str
    label: str
    icon: str
    url_name: str
    on_bar: bool = False
    needs: str = ""  # the permission without which the place is absent


NAV: tuple[tuple[str, tuple[NavItem, ...]], ...] = (
    (
        "",
        (
            NavItem("workflows", "Workflows", "workflow", "workflows:index", on_bar=True),
            NavItem("templates", "Templates", "library", "templates_app:index"),
            NavItem("prompts", "Prompts & personas", "book-text", "workflows:prompts"),
        ),
    ),
    (
        "Operate",
        (
            NavItem("runs", "Runs", "list-checks", "runs:index", on_bar=True),
            NavItem("reviews", "Reviews", "hand", "reviews:index", on_bar=True),
            NavItem("outbox", "Outbox", "send", "outbox:index"),
            NavItem("dead_letters", "Dead letters", "inbox", "runs:dead_letters"),
            NavItem("dashboard", "Dashboard", "gauge", "runs:dashboard", on_bar=True),
        ),
    ),
    (
        "Workspace",
        (
            NavItem("triggers", "Triggers", "zap", "triggers:index"),
            NavItem("connections", "Connections", "plug", "workflows:connections", needs="manage_keys"),
            NavItem("team", "Team & roles", "users", "workflows:team", needs="manage_people"),
            NavItem("api_keys", "API keys", "key-round", "workflows:api_keys", needs="manage_keys"),
            NavItem("audit", "Audit log", "scroll-text", "workflows:audit"),
        ),
    ),
)


@dataclass(frozen=True)
class NavLink:
    """A place that exists: what the navigation templates draw."""

    key: str
    label: str
    icon: str
    url: str
    on_bar: bool
    current: bool = False


def _links(items: tuple[NavItem, ...], may: Mapping[str, bool]) -> list[NavLink]:
    links = []
    for item in items:
        if item.needs and not may.get(item.needs):
            continue
        try:
            url = reverse(item.url_name)
        except NoReverseMatch:
            continue
        links.append(NavLink(item.key, item.label, item.icon, url, item.on_bar))
    return links


@register.simple_tag(takes_context=True)
def main_nav(context: template.Context) -> list[tuple[str, list[NavLink]]]:
    """``{% main_nav as nav %}``: the groups of places whose pages exist; absent, not grey, otherwise.

    Current is the place named by the context's ``section``, else the one whose address the path continues.
    """
    request = context.get("request")
    path = request.path if request is not None else ""
    may = getattr(getattr(request, "tenancy", None), "may", {})
    groups = [(label, links) for label, items in NAV if (links := _links(items, may))]
    section = context.get("section")
    if section is None:
        inside = [link for _, links in groups for link in links if path.startswith(link.url)]
        section = max(inside, key=lambda link: len(link.url)).key if inside else None
    return [
        (label, [replace(link, current=link.key == section) for link in links]) for label, links in groups
    ]
