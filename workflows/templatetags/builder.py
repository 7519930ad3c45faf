"""Template tags of the builder: the mark of a row on its rail, the tile of a kind of step."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflows.presenters.builder_page import StepRow, tile_of
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
