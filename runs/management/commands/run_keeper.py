"""`manage.py run_keeper`: wakes what is due, until SIGTERM or Ctrl-C. Two may run."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import close_old_connections, connections

from runs.services.credit import watch_credit
from runs.services.digests import write_digests
from runs.services.fire_events import fire_events
from runs.services.keep_statistics import keep_statistics
from runs.services.reassign_review import remind_reviews
from runs.services.recover_runs import prune_stale, recover_runs
from runs.services.retention import prune_runs
from runs.services.ring_runs import ring_due_runs
from runs.services.roll_up import roll_up, roll_up_recent
from runs.services.send_notifications import send_in_background
from runs.services.serve_queue import keep_connections_open
from runs.services.tell_people import tell_people
from workflows.lib.stopping import StopSignal

log = structlog.get_logger(__name__)

RINGS_AT_ONCE = 200
LONGEST_PAUSE_SECONDS = 10.0


@dataclass
class Duty:
    """Something the keeper does every so often. `do` returns how many things it did."""

    name: str
    do: Callable[[], int]
    every_s: float
    next_at: float = 0.0


class Command(BaseCommand):
    help = "Wakes runs that are due and whose worker is gone, and clears away what is stale. Two may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--every", type=float, default=1.0, help="Seconds between looks for due runs (at most 2)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        every = min(max(options["every"], 0.05), 2.0)
        keep_connections_open()
        with StopSignal() as stop:
            keep(
                [
                    Duty("ring_due_runs", lambda: ring_due_runs(RINGS_AT_ONCE), every_s=every),
                    Duty("fire_events", fire_events, every_s=every),
                    Duty("remind_reviews", remind_reviews, every_s=max(every, 5.0)),
                    Duty("tell_people", tell_people, every_s=every),
                    Duty("send_notifications", send_in_background, every_s=every),
                    Duty("write_digests", write_digests, every_s=60.0),
                    Duty("watch_credit", watch_credit, every_s=30.0),
                    Duty("recover_runs", recover_runs, every_s=60.0),
                    Duty("roll_up_recent", roll_up_recent, every_s=60.0),
                    Duty("roll_up", roll_up, every_s=1_800.0),
                    Duty("prune_runs", prune_runs, every_s=600.0),
                    Duty("prune_stale", prune_stale, every_s=3_600.0),
                    Duty("keep_statistics", keep_statistics, every_s=900.0),
                ],
                stop,
                rest_s=every,
            )


def keep(duties: list[Duty], stop: StopSignal, *, rest_s: float) -> None:
    """Do each duty when its time has come, until told to stop. A duty that fails is tried again, later each time."""
    log.info("keeper_started")
    failures = 0
    pause = 0.0
    while not stop.wait(pause):
        pause = rest_s
        for duty in duties:
            if stop.is_set or time.monotonic() < duty.next_at:
                continue
            try:
                close_old_connections()
                count = duty.do()
            except Exception as error:
                # The database is away, busy or being moved. The keeper stays: nobody else would wake the runs.
                failures += 1
                pause = min(rest_s * 2**failures, LONGEST_PAUSE_SECONDS)
                log.warning(
                    "keeper_duty_failed",
                    duty=duty.name,
                    error=str(error),
                    kind=type(error).__name__,
                    pause_s=pause,
                )
                connections.close_all()
                break
            failures = 0
            duty.next_at = time.monotonic() + duty.every_s * 0.9
            if count:
                log.info("keeper_did", duty=duty.name, count=count)
            if duty.name == "ring_due_runs" and count >= RINGS_AT_ONCE:
                # There is more: go on at once.
                duty.next_at = pause = 0.0
    connections.close_all()
    log.info("keeper_stopped")
