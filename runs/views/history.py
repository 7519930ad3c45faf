"""The history of runs: its filters, its shape over time, its pages, and what matches as a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.http import require_GET

from runs.forms.history import HistoryForm
from runs.metrics.histogram import Bar, Histogram, histogram
from runs.models import Run, SavedView
from runs.selectors import TEXT_LOOKS, HistoryFilter, in_order, matching_runs, open_counts, runs_of
from runs.services.control_many import AT_ONCE
from runs.services.export_runs import FORMATS, MOST_EXPORTED, exported_runs
from runs.services.retention import policy_of
from runs.snapshots.words import subject
from runs.views.runs import strips
from workflows.lib.errors import NotFound
from workflows.tenancy.access import NOT_FOUND, TenantRequest, tenant_required
from workflows.tenancy.models import Tenant
from workflows.tenancy.roles import Permission

PAGE: Final = 25
# Further back a page would make the database count its way through all that is newer; dates lead there at once.
PAGES: Final = 400
_WIDTH, _HEIGHT, _ROOM = 720, 62, 58


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page of what matches. `total` is exact; `ends_early`: more match than pages reach."""

    runs: list[Run]
    number: int
    total: int
    has_next: bool

    @property
    def has_previous(self) -> bool:
        return self.number > 1

    @property
    def start(self) -> int:
        return (self.number - 1) * PAGE + 1

    @property
    def end(self) -> int:
        return self.start + len(self.runs) - 1

    @property
    def ends_early(self) -> bool:
        return self.number == PAGES and self.total > self.end


@require_GET
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    saved = list(SavedView.objects.for_tenant(request.tenant).filter(user=request.user))
    first = next((view.query for view in saved if view.is_default), "")
    if first and not request.GET:
        return redirect(f"{request.path}?{first}")
    form = HistoryForm(request.GET, tenant=request.tenant)
    wanted = form.wanted()
    shape = histogram(request.tenant, wanted, timezone.now())
    page = _page(request.tenant, wanted, request.GET.get("page", ""), shape.total)
    context = {
        "section": "runs",
        "form": form,
        "wanted": wanted,
        "page": page,
        "rows": rows_of(page.runs),
        "shape": shape,
        "chart": draw(shape, form),
        "address": form.address(),
        "looked_through": TEXT_LOOKS if wanted.words else 0,
        "most_exported": MOST_EXPORTED,
        "states": open_counts(request.tenant),
        "views": saved,
        "policy": policy_of(request.tenant),
        "newest": max((run.number for run in page.runs), default=0),
        "bulk_at_once": AT_ONCE,
        "may_control": request.actor.may(Permission.CONTROL_RUNS),
    }
    return render(request, "runs/_history.html" if request.htmx else "runs/index.html", context)


def rows_of(runs: list[Run]) -> list[tuple[Run, str, list[str], str]]:
    """Each run with what it is about, its steps' statuses, and the words for them. Two queries for all."""
    return [(run, subject(run.input), *strip) for run, strip in zip(runs, strips(runs), strict=True)]


def _page(tenant: Tenant, wanted: HistoryFilter, number: str, total: int) -> HistoryPage:
    last = min(max(-(-total // PAGE), 1), PAGES)
    place = min(max(int(number), 1), last) if number.isdecimal() and len(number) < 9 else 1
    first = (place - 1) * PAGE
    # First only which: what a row shows would be joined for every row that is passed over.
    found = in_order(matching_runs(Run.objects.for_tenant(tenant), tenant, wanted), wanted)
    ids = list(found.values_list("pk", flat=True)[first : first + PAGE + 1])
    known = {run.pk: run for run in runs_of(tenant, ids[:PAGE]).order_by()}
    runs = [known[pk] for pk in ids[:PAGE] if pk in known]
    return HistoryPage(runs, place, total, len(ids) > PAGE and place < PAGES)


# --- the histogram --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rect:
    css: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Column:
    """A stretch that has runs: its words, its bar and the address that shows only its runs."""

    label: str
    bar: Bar
    address: str


@dataclass(frozen=True, slots=True)
class Chart:
    rects: list[Rect]
    labels: list[str]
    columns: list[Column]
    unit: str
    has_review: bool
    has_open: bool
    since: str
    until: str
    step_s: int


def draw(shape: Histogram, form: HistoryForm) -> Chart | None:
    """The bars as rectangles in a box of 720 x 62; None of nothing."""
    bars = list(shape.bars)
    if not bars or not shape.total:
        return None
    each, highest = _WIDTH / len(bars), shape.highest
    rects = []
    for place, bar in enumerate(bars):
        bottom = float(_HEIGHT)
        stack = (("ok", bar.completed), ("off", bar.cancelled), ("run", bar.open), ("rev", bar.review))
        for css, many in (*stack, ("bad", bar.failed)):
            if many:
                # One failure among a thousand is still to be seen.
                height = max(_ROOM * many / highest, 1.5)
                bottom -= height
                rects.append(
                    Rect(
                        css,
                        f"{place * each + each * 0.08:.2f}",
                        f"{max(bottom, 0):.2f}",
                        f"{each * 0.84:.2f}",
                        f"{height:.2f}",
                    )
                )
    length = bars[0].end - bars[0].start
    span = bars[-1].end - bars[0].start
    return Chart(
        rects=rects,
        labels=_labels(bars, span),
        columns=[
            Column(_stretch(bar, length), bar, _address(form, bar)) for bar in reversed(bars) if bar.total
        ],
        unit=_unit(length),
        has_review=any(bar.review for bar in bars),
        has_open=any(bar.open for bar in bars),
        since=bars[0].start.isoformat(),
        until=bars[-1].end.isoformat(),
        step_s=round(length.total_seconds()),
    )


def _address(form: HistoryForm, bar: Bar) -> str:
    return form.address(period="", since=_minute(bar.start), until=_minute(bar.end))


def _minute(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M")


def _labels(bars: list[Bar], span: timedelta) -> list[str]:
    """Four places of the axis; the last one is the end."""
    shown = "H:i" if span <= timedelta(days=1, hours=1) else "j M H:i" if span <= timedelta(days=2) else "j M"
    if span > timedelta(days=400):
        shown = "M Y"
    places = [0, len(bars) // 3, 2 * len(bars) // 3]
    names = [date_format(timezone.localtime(bars[place].start), shown) for place in dict.fromkeys(places)]
    ends_now = bars[-1].end >= timezone.now()
    return [*names, "now" if ends_now else date_format(timezone.localtime(bars[-1].end), shown)]


def _stretch(bar: Bar, length: timedelta) -> str:
    start, end = timezone.localtime(bar.start), timezone.localtime(bar.end)
    if length < timedelta(days=1):
        return f"{date_format(start, 'D j M, H:i')} to {date_format(end, 'H:i')}"
    if length == timedelta(days=1):
        return date_format(start, "D j M Y")
    return f"{date_format(start, 'j M')} to {date_format(end - timedelta(seconds=1), 'j M Y')}"


def _unit(length: timedelta) -> str:
    """What a bar stands for: "hour", "6 hours", "day"."""
    seconds = round(length.total_seconds())
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return word if seconds == size else f"{seconds // size} {word}s"
    return "moment"


# --- as a file ------------------------------------------------------------------------------------


@require_GET
@tenant_required
def export(request: TenantRequest) -> HttpResponse | StreamingHttpResponse:
    """What matches, newest first, as CSV or JSON: streamed, at most MOST_EXPORTED runs."""
    kind = request.GET.get("format", "csv")
    if kind not in FORMATS:
        raise NotFound(NOT_FOUND)
    wanted = HistoryForm(request.GET, tenant=request.tenant).wanted()
    response = StreamingHttpResponse(
        exported_runs(tenant=request.tenant, wanted=wanted, kind=kind),
        content_type=f"{FORMATS[kind]}; charset=utf-8",
    )
    day = timezone.localdate().isoformat()
    response["Content-Disposition"] = f'attachment; filename="runs-{day}.{kind}"'
    # A proxy that collects the whole answer first would hold all of it.
    response["X-Accel-Buffering"] = "no"
    return response
