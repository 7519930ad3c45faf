"""`manage.py doctor`: says what is wrong with runs and their rows; exit status 1 when something is."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from runs.services.doctor import PATIENCE, examine, health


class Command(BaseCommand):
    help = "Looks for runs that nothing explains or wakes, and for rows that contradict each other. It changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--patience",
            type=float,
            default=PATIENCE.total_seconds(),
            help="Seconds that a due run may wait for a worker.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = 0
        for finding in examine(timedelta(seconds=max(options["patience"], 0))):
            found += 1
            self.stdout.write(f"{finding.kind}: {finding.sentence} ({finding.run_id})")
        now = health()
        self.stdout.write(
            f"{now.unfinished} unfinished runs: {now.driven} being worked on, {now.timed} due at a time,"
            f" {now.waiting} waiting for people."
        )
        if found:
            self.stdout.write(f"{found} things are wrong.")
            sys.exit(1)
        self.stdout.write("Nothing is wrong.")
