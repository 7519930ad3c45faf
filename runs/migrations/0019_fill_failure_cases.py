"""Runs that failed before there were cases get their fingerprints and their place in the dead letters, in batches."""

from typing import Any

from django.db import migrations

from runs.engine.cases import case_of

BATCH = 500


def fill(apps: Any, schema_editor: Any) -> None:
    Run, StepRun = apps.get_model("runs", "Run"), apps.get_model("runs", "StepRun")
    Attempt = apps.get_model("runs", "Attempt")
    # What is filled no longer matches, so a migration that was stopped goes on where it was.
    todo = Run.objects.filter(status="failed", case="").order_by()
    while True:
        batch = list(todo.only("id", "workflow_id", "error", "kind", "parent_id", "completed_at")[:BATCH])
        if not batch:
            return
        rows = StepRun.objects.filter(run__in=[run.pk for run in batch], status="failed", scope="")
        failed = {
            (row["run_id"], row["step_key"]): row
            for row in rows.order_by("round").values("id", "run_id", "step_key", "type")
        }
        asked = Attempt.objects.filter(step_run__in=[row["id"] for row in failed.values()]).exclude(
            provider=""
        )
        provider_of = dict(asked.order_by("started_at").values_list("step_run_id", "provider"))
        for run in batch:
            row = failed.get((run.pk, (run.error or {}).get("step_key")), {})
            run.case = case_of(
                run.error,
                workflow=str(run.workflow_id),
                step_type=row.get("type", ""),
                provider=provider_of.get(row.get("id"), ""),
            )
            if run.kind in ("live", "replay") and run.parent_id is None:
                run.dead_since = run.completed_at
        Run.objects.bulk_update(batch, ["case", "dead_since"])


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("runs", "0018_failure_cases")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
