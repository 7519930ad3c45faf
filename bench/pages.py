"""What a page costs the server, and in how many queries; the same in a real web process for two of them.

BENCH_RUNS says how many runs the history holds (10,000 unless it says otherwise).
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse

from bench.definition import mixed_document
from bench.report import absent, equal, milliseconds, once, percentile, row, section
from bench.support import DATA_DIR, Bench, chain_workflow, fresh_run, publish
from config.launcher.processes import die_with
from config.paths import BASE_DIR
from runs.metrics.board import PERIODS
from runs.models import Run, RunCounter, StepRun
from runs.services.drive_run import drive
from runs.services.roll_up import roll_up
from tests.support.redis import redis_server
from tests.support.stack import free_port
from workflows.definition.schema import parse_definition
from workflows.lib.clock import utc_now
from workflows.lib.ids import new_id
from workflows.models import Workflow
from workflows.services.drafts import save_draft
from workflows.steps.catalog import CATALOG
from workflows.tenancy.keys import create_key

RUNS: Final = int(os.environ.get("BENCH_RUNS", "10000"))
# Nothing is promised in milliseconds for a whole page; this is where a person begins to notice.
PAGE_MS: Final = 100.0
KEYSTROKE_MS: Final = 50.0
HTMX: Final = {"HX-Request": "true"}


class Browser:
    """A signed-in person on Django's test client, who knows how long and how many queries a page takes."""

    def __init__(self, bench: Bench) -> None:
        assert bench.actor.user is not None
        self.client = Client(SERVER_NAME="localhost")
        self.client.force_login(bench.actor.user, backend="django.contrib.auth.backends.ModelBackend")
        session = self.client.session
        session["tenant"] = str(bench.tenant.pk)
        session.save()
        self.floor: float | None = None

    @property
    def cookie(self) -> str:
        return f"{settings.SESSION_COOKIE_NAME}={self.client.cookies[settings.SESSION_COOKIE_NAME].value}"

    def measure(
        self,
        name: str,
        ask: Callable[[], Any],
        *,
        expect: int = 200,
        target: float | None = PAGE_MS,
        times: int = 9,
    ) -> int:
        """Print the median time of a request, with its queries and bytes; the number of queries."""
        answer = ask()
        if answer.status_code != expect:
            raise RuntimeError(
                f"{name}: the answer is {answer.status_code}, not {expect}: {answer.content[:300]!r}"
            )
        with CaptureQueriesContext(connection) as queries:
            size = len(ask().content)
        # Counted now: the next request empties the list.
        asked = len(queries)
        took = milliseconds(ask, times=times)
        note = f"{asked} queries, {size / 1_000:,.0f} kB"
        row(name, took, "ms", floor=self.floor, target=target, note=note)
        return asked

    def page(self, name: str, url: str, **how: Any) -> int:
        return self.measure(name, lambda: self.client.get(url), **how)


def history(bench: Bench, workflow: Workflow, many: int) -> None:
    """Finished runs with the rows of five steps each, straight into the tables."""
    version = workflow.versions.get()
    now = utc_now()
    # Numbers of its own: those of started runs come from the tenant's counter.
    first = RunCounter.objects.filter(tenant=bench.tenant).values_list("last", flat=True).first() or 0
    for start in range(0, many, 2_000):
        runs = [
            Run(
                id=new_id(),
                tenant=bench.tenant,
                workflow=workflow,
                version=version,
                number=first + number + 1,
                status="failed" if number % 20 == 0 else "completed",
                started_by=bench.actor.user,
                input={"text": f"Article {number}"},
                output={"content": "x" * 200},
                steps_total=5,
                steps_done=5,
                input_tokens=number % 3_000,
                cost="0.0021",
                event_seq=20,
                created_at=now - timedelta(minutes=number),
                started_at=now - timedelta(minutes=number),
                completed_at=now - timedelta(minutes=number, seconds=-9),
            )
            for number in range(start, min(start + 2_000, many))
        ]
        Run.objects.bulk_create(runs)
        StepRun.objects.bulk_create(
            StepRun(
                id=new_id(),
                run=run,
                tenant=bench.tenant,
                step_key=f"s{place}",
                label=f"Step {place}",
                type="transform",
                status="completed",
                port="out",
                output={"content": "A few words of what came out."},
                started_at=run.started_at,
                completed_at=run.completed_at,
            )
            for run in runs
            for place in range(5)
        )
    RunCounter.objects.update_or_create(tenant=bench.tenant, defaults={"last": first + many})


def draft(bench: Bench, steps: int) -> Workflow:
    workflow = Workflow.objects.create(
        tenant=bench.tenant, name=f"Draft of {steps}", created_by=bench.actor.user
    )
    definition = parse_definition(mixed_document(steps), CATALOG)
    save_draft(workflow=workflow, definition=definition, actor=bench.actor)
    return workflow


def finished_run(bench: Bench, steps: int) -> Run:
    run = fresh_run(bench, chain_workflow(bench, steps))
    drive(run.pk)
    run.refresh_from_db()
    assert run.status == "completed", run.error
    return run


def builder(browser: Browser, bench: Bench) -> None:
    counts = []
    for steps in (20, 200):
        workflow = draft(bench, steps)
        url = reverse("workflows:builder", args=[workflow.pk])
        counts.append(browser.page(f"builder, {steps} steps, all closed", url))
        key = "s5" if steps == 20 else "s105"
        browser.page(f"builder, {steps} steps, one open", f"{url}?open={key}")
        _edits(browser, workflow, key, steps)
    equal("queries of the builder, 20 and 200 steps", counts, "queries")


def _edits(browser: Browser, workflow: Workflow, key: str, steps: int) -> None:
    url = reverse("workflows:step", args=[workflow.pk, key])
    numbers = count()

    def type_a_letter() -> Any:
        text = f"Write number {next(numbers)} of {{{{ previous }}}}"
        return browser.client.post(url, {"field": "prompt", "prompt": text}, headers=HTMX)

    def turn() -> Any:
        data = {"enabled": "on"} if next(numbers) % 2 else {}
        return browser.client.post(
            reverse("workflows:step_enable", args=[workflow.pk, key]), data, headers=HTMX
        )

    browser.measure(f"a keystroke saved (a prompt), {steps} steps", type_a_letter, target=KEYSTROKE_MS)
    browser.measure(f"a step turned off or on, {steps} steps", turn)


def run_pages(browser: Browser, bench: Bench) -> Run:
    counts, run = [], None
    for steps in (9, 200):
        run = finished_run(bench, steps)
        counts.append(browser.page(f"run page, {steps} steps", reverse("runs:detail", args=[run.pk])))
        panel = reverse("runs:step", args=[run.pk, "s3"])
        browser.measure(
            f"one step's panel, {steps} steps",
            lambda panel=panel: browser.client.get(panel, headers=HTMX),  # type: ignore[misc]
        )
    equal("queries of the run page, 9 and 200 steps", counts, "queries")
    assert run is not None
    return run


def lists(browser: Browser, bench: Bench) -> None:
    workflow = chain_workflow(bench, 5)
    url = reverse("runs:index")
    history(bench, workflow, 50)
    few = browser.page("history, 50 runs", url)
    began = time.perf_counter()
    history(bench, workflow, RUNS)
    print(f"  ({RUNS:,} runs written in {time.perf_counter() - began:.0f} s)")
    name = f"history, {RUNS:,} runs"
    counts = [few, browser.page(name, url)]
    browser.page(f"{name}, the last page", f"{url}?page={RUNS}")
    browser.page(f"{name}, one workflow, failed only", f"{url}?workflow={workflow.pk}&status=failed")
    browser.page(f"{name}, dearest first", f"{url}?order=cost")
    browser.page(f"{name}, with words to look for", f"{url}?q=Article+77")
    equal("queries of the history, 50 and all runs", counts, "queries")
    _optional("list of workflows", lambda: workflow_list(browser, bench))
    browser.page("reviews, none open", reverse("reviews:index"))
    _optional("dashboards", lambda: dashboards(browser))
    browser.page("dead letters, a twentieth failed", reverse("runs:dead_letters"))
    browser.page("outbox, empty", reverse("outbox:index"))


def dashboards(browser: Browser) -> None:
    """As they are once the keeper has made the figures of finished hours and days."""
    while roll_up(at_once=1_000):
        pass
    for period in PERIODS.values():
        url = f"{reverse('runs:dashboard')}?period={period.key}"
        browser.page(f"dashboard of {period.label}, {RUNS:,} runs", url)


def workflow_list(browser: Browser, bench: Bench) -> None:
    url = reverse("workflows:index")
    counts = [browser.page("list of workflows, a few", url)]
    for number in range(60):
        publish(bench, mixed_document(3), f"Workflow {number}")
    counts.append(browser.page(f"list of workflows, 60 more, {RUNS:,} runs", url))
    equal("queries of the list of workflows", counts, "queries")


def api(browser: Browser, bench: Bench) -> None:
    key = {"Authorization": f"Bearer {create_key(actor=bench.actor, name='Bench', role='owner')[1]}"}
    client = Client(SERVER_NAME="localhost", headers=key)
    workflow = chain_workflow(bench, 5)
    if client.get("/api/workflows").status_code == 404:
        raise NoReverseMatch("/api/workflows")
    browser.measure("API: list of workflows", lambda: client.get("/api/workflows"))
    large = draft(bench, 200)
    browser.measure("API: one workflow, 200 steps", lambda: client.get(f"/api/workflows/{large.pk}"))
    listed = "/api/workflow-executions"
    if client.get(listed).status_code == 404:
        absent("API: executions", "its addresses are not there yet")
        return
    browser.measure(f"API: list of executions, {RUNS:,} runs", lambda: client.get(listed))
    url = f"/api/workflows/{workflow.pk}/execute"
    body: Mapping[str, Any] = {"input_data": {"text": "hello"}}

    def execute() -> Any:
        return client.post(url, body, content_type="application/json")

    browser.measure("API: execute", execute, expect=execute().status_code)


def _optional(name: str, measure: Callable[[], object]) -> None:
    """Pages that are not there yet are named, not passed over."""
    try:
        measure()
    except NoReverseMatch as error:
        absent(name, f"its pages are not there yet ({error})")


# --- through a real web process -------------------------------------------------------------------


@contextmanager
def web() -> Iterator[int]:
    """A Daphne of our own on the benchmark's database; yields its port."""
    port = free_port()
    with (DATA_DIR / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port)),
                *("--no-server-name", "--access-log", os.devnull, "config.asgi:application"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=BASE_DIR,
            env={**os.environ, "PORT": str(port), "STEPWELL_LOG_LEVEL": "WARNING"},
            preexec_fn=die_with(os.getpid()),
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                _get(http.client.HTTPConnection("127.0.0.1", port, timeout=5), "/healthz", "")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((DATA_DIR / "web.log").read_text(errors="replace")) from None
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _get(at: http.client.HTTPConnection, path: str, cookie: str, expect: int = 200) -> None:
    at.request("GET", path, headers={"Cookie": cookie, "Host": f"localhost:{at.port}"})
    answer = at.getresponse()
    body = answer.read()
    if answer.status != expect:
        raise RuntimeError(f"{path}: the answer is {answer.status}: {body[:200]!r}")


def through_the_web(browser: Browser, run: Run) -> None:
    with web() as port:
        section("Pages through Daphne, one connection: milliseconds")
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        floor: float | None = None
        for name, path, times in (
            ("floor: the sign-in page, signed out", reverse("accounts:sign_in"), 60),
            (f"history, {RUNS:,} runs", reverse("runs:index"), 60),
            ("run page, 200 steps", reverse("runs:detail", args=[run.pk]), 30),
        ):
            cookie = browser.cookie if floor is not None else ""
            for _ in range(5):
                _get(line, path, cookie)
            taken = [once(lambda path=path, cookie=cookie: _get(line, path, cookie)) for _ in range(times)]  # type: ignore[misc]
            middle = percentile(taken, 0.5)
            row(name, middle, "ms", floor=floor, target=PAGE_MS, note=f"p95 {percentile(taken, 0.95):.1f} ms")
            floor = floor or middle
        line.close()


def main() -> None:
    bench = Bench.get()
    with redis_server(DATA_DIR):
        browser = Browser(bench)
        section("Pages on the server (Django's test client): milliseconds")
        anonymous = Client(SERVER_NAME="localhost")
        sign_in = reverse("accounts:sign_in")
        browser.measure("floor: the sign-in page, signed out", lambda: anonymous.get(sign_in), target=None)
        browser.floor = milliseconds(lambda: anonymous.get(sign_in), times=15)
        lists(browser, bench)
        _optional("builder", lambda: builder(browser, bench))
        run = run_pages(browser, bench)
        _optional("API", lambda: api(browser, bench))
        through_the_web(browser, run)


if __name__ == "__main__":
    main()
