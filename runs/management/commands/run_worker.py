"""`manage.py run_worker`: work on runs in a pool of threads until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from runs.services import serve_queue
from workflows.lib.stopping import StopSignal


class Command(BaseCommand):
    help = "Works on runs until SIGTERM or Ctrl-C; then finishes what it can within the grace and hands the rest back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--threads", type=int, default=settings.WORKER_THREADS, help="Runs worked on at one time."
        )
        parser.add_argument(
            "--grace",
            type=float,
            default=settings.WORKER_GRACE_SECONDS,
            help="Seconds for work in hand at the end.",
        )
        parser.add_argument(
            "--queues", default=",".join(settings.RQ_QUEUES), help="Names, the most urgent first."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with StopSignal() as stop:
            serve_queue.preload()
            serve_queue.ThreadPoolWorker(
                options["queues"].split(","), threads=options["threads"], grace_s=options["grace"]
            ).run(stop)
        # Whatever still runs is to be done again by somebody else; waiting for its thread would keep us here.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
