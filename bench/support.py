"""A private data folder with its own database for benchmarks; never the developer's own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_folder = tempfile.mkdtemp(prefix="stepwell-bench-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["STEPWELL_DATA_DIR"] = _folder
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
# The shell's own database, queue and keys must neither be written to nor steer what is measured.
for _name in ("DATABASE_URL", "REDIS_URL", "DEBUG"):
    os.environ.pop(_name, None)
if os.environ.get("BENCH_USE_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["BENCH_DATABASE_URL"]
DATA_DIR = Path(_folder)

import logging  # noqa: E402

import django  # noqa: E402

django.setup()
# Redis is away on purpose where only the engine is measured; its warnings would be measured too.
logging.disable(logging.WARNING)

from django.core.management import call_command  # noqa: E402

from runs.models import Run  # noqa: E402
from runs.services.start_run import start_run  # noqa: E402
from workflows.definition.schema import canonical_json, content_hash, parse_definition  # noqa: E402
from workflows.lib.ids import new_id  # noqa: E402
from workflows.models import Workflow, WorkflowVersion  # noqa: E402
from workflows.steps.catalog import CATALOG  # noqa: E402
from workflows.tenancy.actor import Actor  # noqa: E402
from workflows.tenancy.models import Membership, Tenant, User  # noqa: E402
from workflows.tenancy.roles import Role  # noqa: E402


@dataclass(frozen=True)
class Bench:
    """One tenant with an owner, on a migrated empty database."""

    tenant: Tenant
    actor: Actor

    @staticmethod
    @cache
    def get() -> Bench:
        call_command("migrate", verbosity=0)
        mark = new_id().hex[-12:]  # a database that is given may have seen a benchmark before
        tenant = Tenant.objects.create(slug=f"bench-{mark}", name="Bench", max_running_runs=1_000)
        user = User.objects.create_user(f"bench-{mark}@example.com")
        Membership.objects.create(tenant=tenant, user=user, role=Role.OWNER)
        return Bench(tenant, Actor(tenant=tenant, role=Role.OWNER, user=user))


def publish(bench: Bench, document: dict[str, Any], name: str = "Bench") -> Workflow:
    """A published workflow with this definition (API shape)."""
    definition = parse_definition(document, CATALOG)
    workflow = Workflow.objects.create(tenant=bench.tenant, name=name, status="active", latest_version=1)
    WorkflowVersion.objects.create(
        workflow=workflow,
        tenant=bench.tenant,
        number=1,
        document=canonical_json(definition),
        content_hash=content_hash(definition),
    )
    return workflow


def chain_workflow(bench: Bench, steps: int) -> Workflow:
    """Trivial steps one after the other, each passing the text of the one before on."""
    nodes = [
        {
            "id": f"s{n}",
            "type": "transform",
            "name": f"Step {n}",
            "config": {"mode": "template", "template": "{{ previous }}"},
        }
        for n in range(steps)
    ]
    edges = [
        {"id": f"e{n}", "source_node_id": f"s{n}", "target_node_id": f"s{n + 1}"} for n in range(steps - 1)
    ]
    return publish(bench, {"nodes": nodes, "edges": edges}, f"Chain of {steps}")


def fresh_run(bench: Bench, workflow: Workflow) -> Run:
    return start_run(workflow=workflow, actor=bench.actor, input_data={"text": "hello"})
