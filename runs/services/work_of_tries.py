"""What a try takes along when it is opened: settings, data in scope, facts of the run, the way to its model."""

from __future__ import annotations

from dataclasses import replace

from runs.models import Run
from runs.services.call_model import route_of
from runs.services.execute_step import Task, Work
from runs.services.isolated import SUSPECT_AFTER
from runs.services.loaded_run import LoadedRun
from workflows.steps.base import ExecutionKind, RunFacts


def work_for(loaded: LoadedRun, task: Task) -> Work:
    """Everything that the try needs, so that it can be made on another thread or in another process."""
    run = loaded.run
    key = task.place.key
    step = loaded.graph.step(key)
    type_ = loaded.prepared.type_of(step)
    inputs = loaded.inputs.get(task.place, ())
    scope, previous = loaded.scope_for(task.place, loaded.prepared.needs(key), inputs)
    arrived = loaded.arrived(task.place, inputs)
    if task.place in loaded.given:
        previous, arrived = loaded.in_place_of(task.place, arrived)
        scope = replace(scope, previous=previous)
    settings = loaded.prepared.definition.settings
    return Work(
        task=task,
        step=step,
        type=type_,
        scope=scope,
        previous=previous,
        arrived=arrived,
        facts=RunFacts(
            id=str(run.pk),
            started_at=run.started_at or task.started_at,
            is_test=run.kind in (Run.Kind.TEST, Run.Kind.STEP),
            yolo=run.yolo,
        ),
        run_id=run.pk,
        timeout_s=step.timeout_s or type_.default_timeout.total_seconds(),
        default_model=settings.get("default_model") or run.tenant.default_model or None,
        model_override=run.model_override,
        route=route_of(run, step, type_, settings) if task.kind is ExecutionKind.ASYNC else None,
        tenant_id=run.tenant_id,
        library=loaded.prepared.library,
        pinned_port=loaded.graph.main_port(key),
        suspect=is_suspect(loaded, task),
        asked=loaded.asked_of(task.place, step) if loaded.feedback else ("", ""),
    )


def is_suspect(loaded: LoadedRun, task: Task) -> bool:
    """Whether this try has stopped two workers: it may be what kills them, so it is made alone."""
    step = loaded.state.get(*task.place)
    return step is not None and step.crashes >= SUSPECT_AFTER
