"""SQLite looks the steps of a run up by the run, not by its tenant, once the keeper has counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from runs.models import StepRun
from runs.services.keep_statistics import keep_statistics
from tests.support import factories, runs
from tests.support.factories import World
from tests.support.generated import facts, store

pytestmark = pytest.mark.django_db


def test_steps_of_a_run_are_found_by_the_run(world: World):
    tenant = world.bob.tenant
    made = factories.workflow(tenant, "Outline")
    versions = {made.pk: runs.version(made, runs.graph(runs.step("clean", "clean_text")))}
    assert world.bob.user is not None
    history = list(facts(3, 300, [made], [world.bob.user], timezone.now(), timedelta(minutes=3)))
    store(tenant, history, versions)
    assert keep_statistics() == 0
    found = StepRun.objects.for_tenant(tenant).filter(run=history[0].id)
    assert found.count() == len(history[0].steps)
    if connection.vendor == "sqlite":
        plan = found.explain()
        assert "run_id=?" in plan
        assert "tenant_id=?" not in plan
