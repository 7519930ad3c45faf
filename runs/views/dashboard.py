"""The dashboard: what needs attention, from figures that are stored by hour and day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from runs.engine.statuses import RunStatus
from runs.metrics.board import PERIODS, Board, Change, Kind, Tip, board
from runs.metrics.collect import by_day, by_hour, day_of, hour_of
from runs.metrics.figures import Figures, SpendKey
from runs.models import Run
from runs.selectors import runs_of, spent_in_month
from runs.services.stack_state import stack_state
from runs.views.runs import strips
from workflows.models import Workflow
from workflows.providers import registry as providers
from workflows.steps import registry
from workflows.templatetags.ui import format_duration, format_money
from workflows.tenancy.access import TenantRequest, tenant_required
from workflows.tenancy.models import ApiKey, User

_LIVE = 6
BY = {
    "model": "Model",
    "provider": "Provider",
    "workflow": "Workflow",
    "project": "Project",
    "person": "Person",
}


@dataclass(frozen=True, slots=True)
class Names:
    """Names of what the figures know by id."""

    workflows: dict[str, Workflow]
    people: dict[str, str]

    def workflow(self, key: str) -> str:
        found = self.workflows.get(key)
        return found.name if found is not None else "a removed workflow"

    def person(self, key: str) -> str:
        return self.people.get(key) or ("a trigger" if not key else "a removed person")


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    value: str
    change: Change
    spark: str
    icon: str


@dataclass(frozen=True, slots=True)
class Rect:
    css: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Advice:
    icon: str
    title: str
    text: str
    action: str
    url: str


@require_GET
@tenant_required
def dashboard(request: TenantRequest) -> HttpResponse:
    now = timezone.now()
    period = PERIODS.get(request.GET.get("period", ""), PERIODS["7d"])
    read = by_hour if period.hourly else by_day
    stretches = read(request.tenant, now, 2 * period.buckets)
    workflows = {
        str(row.pk): row
        for row in Workflow.objects.for_tenant(request.tenant)
        .select_related("project")
        .only("name", "settings", "created_at", "deleted_at", "project__name")
        .order_by("name")
    }
    chosen = request.GET.get("workflow", "")
    if chosen in workflows:
        only = frozenset({chosen})
        stretches = {start: figures.of_workflows(only) for start, figures in stretches.items()}
    found = board(period, stretches)
    by = request.GET.get("by", "")
    names = Names(workflows, _people(found.current))
    since = (
        hour_of(now) - timedelta(hours=23)
        if period.hourly
        else day_of(now) - timedelta(days=period.buckets - 1)
    )
    context = {
        "section": "dashboard",
        "period": period,
        "periods": PERIODS.values(),
        "workflows": [row for row in workflows.values() if row.deleted_at is None],
        "chosen": chosen if chosen in workflows else "",
        "tiles": _tiles(request, found, chosen in workflows),
        "chart": _chart(found),
        "advice": [_advice(tip, names) for tip in found.tips() if tip.workflow in workflows],
        "kinds": [(kind, *_look(kind)) for kind in found.kinds()],
        "by": by if by in BY else "model",
        "by_names": BY,
        "costs": _costs(found, by if by in BY else "model", names),
        "causes": [
            (row, ", ".join(dict.fromkeys(names.workflow(key) for key in row.workflows)))
            for row in found.causes()
        ],
        "found_failed": found.current.failed,
        "mended": found.mended,
        "adoption": _adoption(found, names, since),
        "live": _live(request, chosen if chosen in workflows else ""),
        "stack": stack_state(request.tenant, now),
    }
    return render(request, "runs/dashboard.html", context)


# --- the four figures ---------------------------------------------------------------------------


def _tiles(request: TenantRequest, found: Board, is_one: bool) -> list[Tile]:
    success, within = found.current.success, found.within
    return [
        Tile(
            "Succeeded",
            "–" if success is None else f"{100 * success:.1f}%",
            found.success_change,
            found.spark(lambda bar: (bar.good + bar.reviewed) / bar.all if bar.all else None),
            "trending-up",
        ),
        Tile(
            "Runs",
            f"{found.current.ended:,}",
            Change(found.runs_words),
            found.spark(lambda bar: bar.all),
            "activity",
        ),
        Tile(
            "95% finish within",
            "–" if within is None else format_duration(within),
            found.within_change(format_duration),
            "",
            "trending-up",
        ),
        Tile(
            "Spent",
            format_money(found.current.cost, 2),
            _budget(request, found, is_one),
            found.spark(lambda bar: float(bar.cost)),
            "trending-down",
        ),
    ]


def _budget(request: TenantRequest, found: Board, is_one: bool) -> Change:
    limit = request.tenant.monthly_budget_usd
    if limit is None or is_one:
        return found.cost_change(lambda amount: format_money(amount, 2))
    left = limit - spent_in_month(request.tenant.pk, timezone.now())
    if left < 0:
        return Change(f"{format_money(-left, 2)} over the month's {format_money(limit, 2)}", "bad", True)
    return Change(f"{format_money(left, 2)} left of the month's {format_money(limit, 2)}", "good", False)


# --- the chart ----------------------------------------------------------------------------------


def _chart(found: Board) -> dict[str, Any]:
    """Runs a day as rectangles in a box of 700 × 176, with the same in words and in rows."""
    most = max((bar.all for bar in found.bars), default=0)
    top = _round_up(most)
    count = len(found.bars)
    slot = 700 / count
    wide = slot * 0.62
    rects: list[Rect] = []
    for place, bar in enumerate(found.bars):
        y = 176.0
        for css, value in (("ok", bar.good), ("rev", bar.reviewed), ("bad", bar.failed)):
            high = 176 * value / top
            if value:
                y -= high
                rects.append(
                    Rect(
                        css,
                        f"{place * slot + (slot - wide) / 2:.1f}",
                        f"{y:.1f}",
                        f"{wide:.1f}",
                        f"{max(high, 1):.1f}",
                    )
                )
    form = "%H:00" if found.period.hourly else "%a %-d" if count <= 7 else "%-d %b"
    labels = [bar.start.strftime(form) for bar in found.bars]
    worst = max(found.bars, key=lambda bar: bar.failed, default=None)
    summary = f"Up to {most:,} runs {'an hour' if found.period.hourly else 'a day'}."
    if worst is not None and worst.failed:
        times = "failure" if worst.failed == 1 else "failures"
        summary += f" {worst.start.strftime(form)} had {worst.failed:,} {times}."
    # Too many names overlap: every so manieth is written.
    every = -(-count // 8)
    return {
        "title": "Runs an hour" if found.period.hourly else "Runs a day",
        "rects": rects,
        "ticks": [f"{top * part // 3:,}" for part in (3, 2, 1, 0)],
        "labels": [label if place % every == 0 else "" for place, label in enumerate(labels)],
        "rows": list(zip(labels, found.bars, strict=True)),
        "summary": summary,
        "is_empty": not most,
    }


def _round_up(most: int) -> int:
    """A round number of three equal parts that holds `most`."""
    step = 1
    while True:
        for part in (1, 2, 3, 4, 5):
            if 3 * part * step >= most:
                return 3 * part * step
        step *= 10


# --- lists --------------------------------------------------------------------------------------


def _look(kind: Kind) -> tuple[str, str, bool]:
    """Name, icon and whether it asks a model."""
    found = registry.find(kind.type)
    if found is None:
        return kind.type, "circle-dashed", False
    return found.label, found.icon, found.uses_model({})


def _advice(tip: Tip, names: Names) -> Advice:
    workflow = names.workflow(tip.workflow)
    url = f"{reverse('workflows:builder', args=[tip.workflow])}?open={tip.step}"
    part = f"{100 * tip.part:.0f}%"
    if tip.kind == "limited":
        text = f"{workflow}. {part} of its tries met one, {format_duration(tip.ms)} lost each."
        return Advice("timer", f"{tip.label} waits on rate limits", text, "Add a fallback", url)
    if tip.kind == "wait":
        text = f"{workflow}. {tip.count:,} decisions in this time."
        return Advice("hand", f"{tip.label} takes {format_duration(tip.ms)}", text, "Change who decides", url)
    if tip.kind == "failing":
        text = f"{workflow}. {tip.count:,} of its tries failed, {part} of all."
        return Advice("octagon-x", f"{tip.label} fails often", text, "Open the step", url)
    text = f"{workflow}. Typically {format_duration(tip.ms)}, {part} of the time its steps take."
    return Advice("hourglass", f"{tip.label} takes longest", text, "Open the step", url)


def _costs(found: Board, by: str, names: Names) -> list[dict[str, Any]]:
    def project(key: str) -> str:
        row = names.workflows.get(key)
        return row.project.name if row is not None and row.project is not None else ""

    parts: dict[str, Callable[[SpendKey], tuple[str, ...]]] = {
        "model": lambda key: (key[3], key[2]),
        "provider": lambda key: (key[2],),
        "workflow": lambda key: (key[0],),
        "project": lambda key: (project(key[0]),),
        "person": lambda key: (key[1],),
    }
    said: dict[str, Callable[[str], str]] = {
        "provider": _provider,
        "workflow": names.workflow,
        "person": names.person,
        "project": lambda key: key or "No project",
    }
    return [
        {
            "name": said.get(by, str)(row.key[0]) or "unknown",
            "sub": _provider(row.key[1]) if by == "model" else "",
            "mono": by == "model",
            "calls": row.spend.calls,
            "tokens": row.spend.tokens,
            "cost": row.spend.cost,
            "share": f"{row.share:.1f}%",
        }
        for row in found.costs(parts[by])
    ]


def _provider(name: str) -> str:
    return providers.get(name).label if providers.is_known(name) else name


def _people(figures: Figures) -> dict[str, str]:
    """Names of those who started something, by the figures' key."""
    keys = {person for _, person, _ in figures.runs} | {key[1] for key in figures.spend}
    users = [key for key in keys if key and not key.startswith("key:")]
    api_keys = [key.removeprefix("key:") for key in keys if key.startswith("key:")]
    found = {str(user.pk): str(user) for user in User.objects.filter(pk__in=users)}
    found |= {f"key:{key.pk}": f"Key {key.name}" for key in ApiKey.objects.filter(pk__in=api_keys)}
    return found


def _adoption(found: Board, names: Names, since: Any) -> dict[str, Any]:
    """Who uses it, and the minutes that its owners say it saves."""
    minutes = Decimal(0)
    for key, completed in found.completed_by_workflow().items():
        row = names.workflows.get(key)
        saved = row.settings.get("minutes_saved") if row is not None else None
        if isinstance(saved, int | float):
            minutes += Decimal(str(saved)) * completed
    people = [(names.person(key), count) for key, count in found.people() if count]
    return {
        "made": sum(row.created_at >= since for row in names.workflows.values()),
        "used": len({key for key, completed in found.completed_by_workflow().items() if completed}),
        "people": people[:5],
        "starters": len(people),
        "hours_saved": minutes / 60,
        "has_value": minutes > 0,
        "cost": found.current.cost,
    }


def _live(request: TenantRequest, workflow: str) -> list[tuple[Any, ...]]:
    rows = runs_of(request.tenant).filter(
        ~Q(kind=Run.Kind.STEP), status__in=[RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED]
    )
    if workflow:
        rows = rows.filter(workflow_id=workflow)
    newest = list(rows.order_by("-created_at")[:_LIVE])
    return [(run, *strip) for run, strip in zip(newest, strips(newest), strict=True)]
