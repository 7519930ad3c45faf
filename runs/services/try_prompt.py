"""A library prompt run alone: a run of kind “step” with one step that sends it, under a hidden workflow of the prompt."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from runs import progress
from runs import queue as doorbell
from runs.models import Run
from runs.services.start_run import check_rate, create_run
from workflows.definition.graph import Definition, StepDef
from workflows.definition.library import PERSONA, PROMPT
from workflows.expressions.errors import TextError
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid, NotFound, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.models import Prompt, Workflow
from workflows.services.choose_version import frozen_version
from workflows.services.library import text_of_version
from workflows.steps.prompts import BadParameter, filled_prompt
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission

STEP: Final = "prompt"


def try_prompt(
    *,
    actor: Actor,
    prompt: Prompt,
    number: int | None = None,
    values: JSONObject | None = None,
    model: str = "default",
    persona: str = "",
) -> Run:
    """Send version `number` (the newest) with these parameters to a model. What it costs counts like any call.

    Raises NotAllowed, NotFound, Invalid (a parameter that is missing or does not fit), TooManyRuns.
    """
    actor.require(Permission.RUN)
    wanted = number or prompt.latest
    version = prompt.versions.filter(number=wanted, tenant=actor.tenant).select_related("prompt").first()
    if version is None:
        raise NotFound(NOT_FOUND)
    given = {name: value for name, value in (values or {}).items() if value not in (None, "")}
    try:
        filled_prompt(text_of_version(version, latest=False), given)
    except (BadParameter, TextError) as error:
        raise Invalid(str(error), problems=(Problem("bad_parameter", str(error), field="values"),)) from error
    config: JSONObject = {
        "model": model or "default",
        # The values come as the run's input, so that braces in them are never read as data.
        PROMPT: {
            "name": prompt.name,
            "version": wanted,
            "parameters": {name: f"{{{{input.{name}}}}}" for name in given},
        },
    }
    if persona:
        config[PERSONA] = persona
    definition = Definition(steps=(StepDef(key=STEP, type="llm", label="Prompt", config=config),))
    with transaction.atomic():
        workflow = _hidden(prompt, actor)
        check_rate(workflow)
        frozen = frozen_version(workflow=workflow, actor=actor, definition=definition)
        run = create_run(
            workflow,
            frozen,
            actor,
            data=given,
            variables={},
            test=True,
            yolo=False,
            trigger_type="manual",
            trigger_data=None,
            steps_total=1,
        )
        run.kind = Run.Kind.STEP
        run.save(update_fields=["kind"])
        record(actor, "tried", prompt, after={"version": wanted, "run": str(run.pk)})
        doorbell.ring(run.pk)
    progress.run_changed(run.pk, run.tenant_id, run.event_seq)
    return run


def _hidden(prompt: Prompt, actor: Actor) -> Workflow:
    """The workflow under which the prompt is tried: deleted from the start, so that no list shows it."""
    if prompt.trials is not None:
        return prompt.trials
    made = Workflow.objects.create(
        tenant=actor.tenant, name=prompt.name, created_by=actor.user, deleted_at=utc_now()
    )
    if not Prompt.objects.filter(pk=prompt.pk, trials=None).update(trials=made):
        made.delete()
        prompt.refresh_from_db(fields=["trials"])
        return _hidden(prompt, actor)
    prompt.trials = made
    return made
