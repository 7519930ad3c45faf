"""What the pages about runs cost the server on a generated history: processor time, and queries against a small one.

BENCH_RUNS says how many runs the history holds (10,000 unless it says otherwise; the promise is about 100,000).
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Final

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from bench.pages import RUNS, Browser, finished_run
from bench.report import equal, section, spent
from bench.support import DATA_DIR, Bench
from runs.models import Run
from runs.services.keep_statistics import keep_statistics
from runs.services.roll_up import roll_up
from runs.views.history import PAGES
from tests.support.big_history import HTMX, BigHistory, Page, pages
from tests.support.redis import redis_server
from workflows.tenancy.keys import create_key

FEW: Final = 400
GATES: Final = 1_000


def main() -> None:
    bench = Bench.get()
    now = timezone.now()
    with redis_server(DATA_DIR):
        browser = Browser(bench)
        key = create_key(actor=bench.actor, name="Bench", role="owner")[1]
        robot = Client(SERVER_NAME="localhost", headers={"Authorization": f"Bearer {key}"})

        def ask(page: Page) -> Any:
            client = robot if page.url.startswith("/api/") else browser.client
            return client.get(page.url, headers=HTMX if page.fragment else None)

        history = BigHistory(bench.actor, now - timedelta(minutes=1))
        _fill(history, FEW, seed=1, share=20)
        few = {page.name: _queries(lambda page=page: ask(page)) for page in pages(history, 2)}
        began = time.perf_counter()
        _fill(history, RUNS - FEW, seed=2, share=1)
        print(f"  ({RUNS:,} runs written in {time.perf_counter() - began:.0f} s)")
        section(f"Pages about runs, {RUNS:,} of them: processor time of a request")
        counts: dict[str, list[int]] = {}
        for page in pages(history, PAGES):
            asked = spent(page.name, lambda page=page: ask(page), target=page.ms, times=5)  # type: ignore[misc]
            counts[page.name] = [few[page.name], asked]
        _long_runs(browser, bench, history)
        section(f"Pages about runs, queries with {FEW:,} and with {RUNS:,} runs")
        different = {name: found for name, found in counts.items() if found[1] > found[0]}
        for name, found in different.items():
            equal(name, found, "queries")
        if not different:
            print(f"  none of {len(counts)} pages asks more often")


def _fill(history: BigHistory, many: int, *, seed: int, share: int) -> None:
    now = timezone.now()
    history.more_runs(many, seed)
    history.bury(now)
    history.more_gates(GATES // share, now)
    history.more_notifications(2_000 // share, now)
    history.more_views(20 // share + 1)
    # As the keeper does.
    keep_statistics()
    while roll_up(at_once=1_000):
        pass


def _queries(ask: Any) -> int:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            answer = ask()
            counts.append(len(queries))
        assert answer.status_code == 200, answer
    return max(counts)


def _long_runs(browser: Browser, bench: Bench, history: BigHistory) -> None:
    # What has just been written was not started in this minute, which has its limit.
    Run.objects.filter(tenant=bench.tenant).update(created_at=timezone.now() - timedelta(hours=1))
    long = finished_run(bench, 200)
    items = history.items_run(1_000)
    for name, run in (("200 steps", long), ("1,000 items", items)):
        url = reverse("runs:detail", args=[run.pk])
        spent(f"run page, {name}", lambda url=url: browser.client.get(url), target=150)  # type: ignore[misc]
    table = reverse("runs:items", args=[items.pk, "each"])
    spent("the table of 1,000 items", lambda: browser.client.get(table), target=150)


if __name__ == "__main__":
    main()
