"""The fragments of a run's page, by their ids. Page and live updates print the same templates from the same values.

What does not depend on the viewer is read and printed once for all sockets of a process that ask at the same time.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.template.loader import render_to_string

from runs.models import Run
from runs.snapshots import RunSnapshot, run_snapshot
from runs.snapshots.cases import Case
from workflows.tenancy.models import User

_KEPT_RUNS = 200


@dataclass(frozen=True, slots=True)
class Editor:
    """A value that is changed before a fix is pressed: the form's field `name`, `is_text` or JSON."""

    label: str
    name: str
    value: str
    is_text: bool = True
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Fix:
    """One way out of a failure: what it does (`title`), its price and effect (`text`), and the press that does it.

    `post` is the address that the button posts `fields` to; without it `link` is opened. `ask` is the question that is
    put before what costs. `editor` unfolds a value to be changed first.
    """

    key: str
    icon: str
    title: str
    text: str
    label: str
    post: str = ""
    link: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    primary: bool = False
    ask: str = ""
    ask_text: str = ""
    editor: Editor | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """What the page shows because of who looks. `refusals`: review id → why this person may not decide it. `fixes` are
    in the order of their effort; `case` is what else the failure's cause has stopped, None when nothing else. `people`:
    to whom a gate can be handed over."""

    may_control: bool = False
    may_run: bool = False
    may_edit: bool = False
    refusals: Mapping[uuid.UUID, str] = field(default_factory=dict)
    fixes: tuple[Fix, ...] = ()
    case: Case | None = None
    case_model: tuple[str, str] = ("", "")
    people: tuple[User, ...] = ()


def part_ids(run: RunSnapshot) -> list[str]:
    """Ids of the fragments that all viewers share, in page order."""
    steps = [part for row in run.rows for part in (f"gap-{row.key}", f"row-{row.key}")]
    return ["run-bar", "run-note", "run-start", "run-folded", *steps, "run-output", "run-receipt"]


def render_part(run: RunSnapshot, part: str) -> str:
    """One shared fragment. KeyError for an id that the run's page does not have."""
    if part.startswith(("gap-", "row-")):
        template = "runs/_gap.html" if part.startswith("gap-") else "runs/_row.html"
        return render_to_string(template, {"run": run, "row": run.row(part[4:])}).strip()
    templates = {
        "run-bar": "runs/_bar.html",
        "run-note": "runs/_note.html",
        "run-start": "runs/_start.html",
        "run-folded": "runs/_foldrow.html",
        "run-output": "runs/_output.html",
        "run-receipt": "runs/_receipt.html",
    }
    return render_to_string(templates[part], {"run": run}).strip()


def render_row(run: RunSnapshot, key: str) -> str:
    return render_part(run, f"row-{key}")


def viewer_parts(run: RunSnapshot, viewer: Viewer) -> dict[str, str]:
    """The small fragments that depend on the viewer. Their forms carry no CSRF token; the page's script fills it in."""
    context = {"run": run, "viewer": viewer, "csrf_token": ""}
    parts = {
        "run-controls": render_to_string("runs/_controls.html", context).strip(),
        "run-more": render_to_string("runs/_more.html", context).strip(),
        "run-gate": render_to_string("runs/_gates.html", context).strip(),
    }
    if run.failed_key or run.failure:
        inside = render_to_string("runs/_fixes.html", context).strip()
        parts["run-fixes"] = f'<div id="run-fixes" class="runfixes">{inside}</div>'
    return parts


def changed_parts(before: RunSnapshot, after: RunSnapshot) -> list[str]:
    """Ids of the shared fragments whose values differ; what a part prints is compared, so nothing can be missed."""
    found: list[str] = []
    bar = (
        "status",
        "review",
        "status_word",
        "steps_done",
        "steps_total",
        "tokens",
        "cost",
        "cost_known",
        "demo",
        "waits",
    )
    times = ("started", "took_ms", "since")
    if any(getattr(before, name) != getattr(after, name) for name in (*bar, *times)):
        found.append("run-bar")
    if before.note != after.note or before.failure != after.failure:
        found.append("run-note")
    if before.start_rail != after.start_rail or before.subject != after.subject:
        found.append("run-start")
    if before.folded != after.folded or before.fold_rail != after.fold_rail:
        found.append("run-folded")
    for old, new in zip(before.rows, after.rows, strict=True):
        if (old.gap, old.branch, old.branch_column, old.fold) != (
            new.gap,
            new.branch,
            new.branch_column,
            new.fold,
        ):
            found.append(f"gap-{new.key}")
        if old != new:
            found.append(f"row-{new.key}")
    if before.output != after.output:
        found.append("run-output")
    if before.receipt != after.receipt:
        found.append("run-receipt")
    return found


class Rendered:
    """A snapshot with its shared fragments, each printed at most once."""

    def __init__(self, run: RunSnapshot, read_at: float) -> None:
        self.run = run
        self.read_at = read_at
        self._parts: dict[str, str] = {}

    def part(self, part: str) -> str:
        if part not in self._parts:
            self._parts[part] = render_part(self.run, part)
        return self._parts[part]


_rendered: OrderedDict[uuid.UUID, Rendered] = OrderedDict()
_locks: dict[uuid.UUID, threading.Lock] = {}
_guard = threading.Lock()


def current(run_id: uuid.UUID, tenant_id: uuid.UUID, asked_at: float) -> Rendered | None:
    """The run as it was read at `asked_at` (time.monotonic) or later; None when it is gone.

    Of many sockets that hear of one change, the first reads and the others share what it read.
    """
    with _guard:
        lock = _locks.setdefault(run_id, threading.Lock())
    with lock:
        with _guard:
            known = _rendered.get(run_id)
        if known is not None and known.read_at >= asked_at and known.run.tenant_id == tenant_id:
            return known
        read_at = time.monotonic()
        row = (
            Run.objects.filter(pk=run_id, tenant_id=tenant_id)
            .select_related("workflow", "version", "started_by", "api_key")
            .defer("version__document", "workflow__settings")
            .first()
        )
        if row is None:
            return None
        fresh = Rendered(run_snapshot(row), read_at)
        with _guard:
            _rendered[run_id] = fresh
            _rendered.move_to_end(run_id)
            while len(_rendered) > _KEPT_RUNS:
                gone, _ = _rendered.popitem(last=False)
                _locks.pop(gone, None)
        return fresh
