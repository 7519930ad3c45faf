"""Run as a process of its own: fills an empty database as an earlier release left it, upgrades it, and works with it.

`python -m tests.upgrades.climb FILE` with TEST_DATABASE_URL, a database that is empty. Prints one JSON object with what it saw.
A file holds `migrations` (app → the release's last one) and `rows` (model → rows by column), written by the release's
own code: a tenant with everybody in it, a finished, a failed and a waiting run, one with items, drafts and versions.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.management.color import no_style  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

OWN = ("tenancy", "workflows", "runs", "templates_app")


def fill(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The schema of the release with its rows in it; returns the rows."""
    told = json.loads(gzip.decompress(path.read_bytes()))
    executor = MigrationExecutor(connection)
    targets = [
        (app, name) for app, name in told["migrations"].items() if app in executor.loader.migrated_apps
    ]
    executor.migrate(targets)
    old = MigrationExecutor(connection).loader.project_state(targets).apps
    with transaction.atomic():
        for label, filled in told["rows"].items():
            model = old.get_model(label)
            by_column = {field.column: field for field in model._meta.concrete_fields}
            model._base_manager.bulk_create(
                model(
                    **{
                        by_column[name].attname: by_column[name].to_python(value)
                        for name, value in row.items()
                    }
                )
                for row in filled
            )
    reset = connection.ops.sequence_reset_sql(no_style(), [old.get_model(label) for label in told["rows"]])
    with connection.cursor() as cursor:
        for statement in reset:
            cursor.execute(statement)
    rows: dict[str, list[dict[str, Any]]] = told["rows"]
    return rows


def lost(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Rows of before that are not there any more, by model and key."""
    from django.apps import apps

    missing = []
    for label, known in rows.items():
        model = apps.get_model(label)
        key = model._meta.pk
        assert key is not None
        there = {str(pk) for pk in model._base_manager.values_list("pk", flat=True)}
        missing += [f"{label} {row[key.column]}" for row in known if str(row[key.column]) not in there]
    return missing


def work() -> dict[str, Any]:
    """What a person of the old tenant sees and does after the upgrade."""
    from runs.models import Review, Run
    from runs.services.control_run import retry_run
    from runs.services.decide_review import decide_review
    from runs.services.drive_run import drive
    from runs.services.start_run import start_run
    from workflows.models import Workflow
    from workflows.tenancy.actor import Actor
    from workflows.tenancy.models import Membership

    member = Membership.objects.select_related("tenant", "user").get(user__email="bob@example.com")
    bob = Actor(tenant=member.tenant, role=member.role, user=member.user)
    client = Client(HTTP_HOST="localhost")
    client.force_login(member.user, backend="django.contrib.auth.backends.ModelBackend")
    runs = {run.workflow.name: run for run in Run.objects.select_related("workflow")}
    addresses = [
        *(reverse("runs:detail", args=[run.pk]) for run in runs.values()),
        *(reverse("workflows:builder", args=[pk]) for pk in Workflow.objects.values_list("pk", flat=True)),
        *(reverse(name) for name in ("runs:index", "runs:dead_letters", "reviews:index", "runs:dashboard")),
    ]
    pages = {address: client.get(address).status_code for address in addresses}

    waiting = runs["Waiting"]
    decide_review(review=Review.objects.get(run=waiting), actor=bob, decision="approve")
    drive(waiting.pk)
    failed = runs["Failed"]
    dead, case = bool(failed.dead_since), failed.case
    retry_run(run=failed, actor=bob)
    drive(failed.pk)
    workflow = Workflow.objects.get(name="Finished")
    new = start_run(workflow=workflow, actor=bob, input_data={"x": "bridges"})
    drive(new.pk)
    for run in (waiting, failed, new):
        run.refresh_from_db()
    return {
        "pages": pages,
        "approved": [waiting.status, waiting.output],
        "failed": [dead, bool(case), failed.status, failed.error["code"]],
        "new": [new.status, new.number],
    }


def main() -> None:
    rows = fill(Path(sys.argv[1]))
    call_command("migrate", verbosity=0)
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    seen = {"vendor": connection.vendor, "lost": lost(rows), **work()}
    sys.stdout.write(json.dumps(seen, default=str) + "\n")


if __name__ == "__main__":
    main()
