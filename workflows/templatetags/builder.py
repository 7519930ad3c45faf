"""Template tags of the builder: the mark of a row on its rail, the tile of a kind of step."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Final, cast
from uuid import UUID

from django import template
from django.template import loader
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from workflows.presenters.builder_page import tile_of
from workflows.presenters.builder_parts import StepRow
from workflows.presenters.builder_rails import lane_css, x_of
from workflows.steps.base import StepType

register = template.Library()


@register.simple_tag
def step_mark(row: StepRow) -> SafeString:
    """A ring for a step, a diamond for a condition or merge (design README §4)."""
    x, css = x_of(row.column), lane_css(row.column)
    if row.is_diamond:
        return format_html('<path class="node {}" d="M{} {}l7 7l-7 7l-7 -7z"/>', css, x, row.mark - 7)
    return format_html('<circle class="node {}" cx="{}" cy="{}" r="5"/>', css, x, row.mark)


@register.filter
def tile(kind: StepType) -> str:
    """``{{ kind|tile }}``: ai, human or nothing."""
    return tile_of(kind)


# --- rows that were drawn before ------------------------------------------------------------------

# Stands for the token of the form in a kept row; nobody can know it.
_TOKEN: Final = secrets.token_hex(16)
_KEPT_ROWS: Final = 4_096
_SHOWN_OF_STEP: Final = ("label", "type", "enabled", "note")


@register.simple_tag(takes_context=True)
def list_row(context: template.Context, row: StepRow) -> SafeString:
    """``{% list_row row %}``: the gap above a card, the card, and its free ways out.

    An edit changes a few rows of hundreds, and drawing one costs half a millisecond: closed cards without a list of their
    own are kept as drawn, by everything that they show. What differs by reader is only the token of their form.
    How the step went last time (`lasts`, by its key) comes from above, as runs are not known here.
    """
    shown = {"row": row, "editable": context["editable"], "base_url": context["base_url"]}
    if row.card is not None or row.nest is not None:
        return _drawn(cast(dict[str, Any], context.flatten()) | shown | {"gap": row.gap})
    last = (context.get("lasts") or {}).get(row.key)
    parts = tuple(getattr(row, name) for name in _ROW_FIELDS)
    step = tuple(getattr(row.step, name) for name in _SHOWN_OF_STEP)
    key = (shown["editable"], shown["base_url"], step, repr(row.step.pinned), parts, last)
    drawing = _Drawing(
        key, row, bool(shown["editable"]), str(shown["base_url"]), context["workflow"].pk, last
    )
    html = _kept(drawing)
    # The kept row is safe, and the token is made of letters and digits.
    return mark_safe(html.replace(_TOKEN, str(context.get("csrf_token", ""))))  # noqa: S308


_ROW_FIELDS: Final = tuple(
    field.name for field in fields(StepRow) if field.name not in ("step", "card", "nest")
)


@dataclass(frozen=True)
class _Drawing:
    """What a row is drawn from; equal where `key` is."""

    key: tuple[Any, ...]
    row: StepRow = field(compare=False)
    editable: bool = field(compare=False)
    base_url: str = field(compare=False)
    workflow: UUID = field(compare=False)
    last: Any = field(compare=False)


@lru_cache(maxsize=_KEPT_ROWS)
def _kept(drawing: _Drawing) -> str:
    return _drawn(
        {
            "row": drawing.row,
            "gap": drawing.row.gap,
            "editable": drawing.editable,
            "base_url": drawing.base_url,
            "workflow": {"pk": drawing.workflow},
            "lasts": {drawing.row.key: drawing.last},
            "csrf_token": _TOKEN,
        }
    )


def _drawn(context: dict[str, Any]) -> SafeString:
    found = loader.get_template("workflows/builder/_list_row.html")
    return found.template.render(template.Context(context))  # type: ignore[attr-defined, no-any-return]
