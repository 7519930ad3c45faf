"""The input of a run kept as a sample, and the earlier run whose data a sample can be tested with."""

from __future__ import annotations

from dataclasses import replace

from runs.models import Run
from runs.services.prepared import prepared
from runs.snapshots.values import unpacked
from runs.snapshots.words import subject
from workflows.definition.cut import cut_at
from workflows.definition.graph import Definition, StepDef
from workflows.definition.inputs import check_input
from workflows.definition.library import Library, only_used
from workflows.definition.samples import SAMPLE_NAME_CHARS, fitting
from workflows.lib.errors import Invalid
from workflows.lib.jsontypes import JSONObject
from workflows.models import SampleInput, Workflow
from workflows.services.library import with_library
from workflows.services.samples import find_sample, save_sample
from workflows.tenancy.actor import Actor

_LOOKED_AT = 20


def save_input_of_run(*, run: Run, actor: Actor, name: str = "") -> SampleInput:
    """Keep what a run was started with as a sample of its workflow; without a name, one from its words.

    Checked against the version that ran. Raises like `save_sample`.
    """
    definition = prepared(run.version_id, run.version.content_hash).definition
    data = fitting(definition, input_of(run))
    name = " ".join(name.split())
    if not name:
        base = (subject(data) or f"Input of run {run.number}")[: SAMPLE_NAME_CHARS - 6].strip()
        name, number = base, 2
        while find_sample(run.workflow, name) is not None:
            name, number = f"{base} {number}", number + 1
    return save_sample(workflow=run.workflow, actor=actor, name=name, data=data, definition=definition)


def input_of(run: Run) -> JSONObject:
    """The run's input, with the values that stand beside the row."""
    return {name: unpacked(value, run) for name, value in run.input.items()}


def earlier_run_with(
    *, workflow: Workflow, definition: Definition, step: str, data: JSONObject
) -> Run | None:
    """The newest run that is over, had this input, and did before this step what the draft does before it.

    Its data can be taken for a test, so that only the step itself runs. Looks at the newest twenty.
    """
    wanted = check_input(definition, data, strict=False).values
    runs = Run.objects.filter(workflow=workflow, tenant_id=workflow.tenant_id, completed_at__isnull=False)
    here: object = None
    for run in runs.select_related("version").defer("output").order_by("-created_at")[:_LOOKED_AT]:
        if run.input != wanted and input_of(run) != wanted:
            continue
        there = prepared(run.version_id, run.version.content_hash).definition
        if step not in there.by_key:
            continue
        if here is None:
            here = _work_before(with_library(definition, workflow.tenant), step)
        if _work_before(there, step) == here:
            return run
    return None


def _work_before(definition: Definition, step: str) -> object:
    """What is done before a step, as a value to compare; its place, words for people and pins apart."""
    try:
        cut = cut_at(definition, step)
    except (Invalid, KeyError):
        return None
    steps = {one.key: _work_of(one) for one in cut.steps if one.key != step}
    before = replace(cut, steps=tuple(steps.values()))
    paths = {(edge.source, edge.port, edge.target, edge.target_input, edge.condition) for edge in cut.edges}
    variables = {one.name: (one.type, one.default) for one in cut.variables}
    library = only_used(Library.from_json(definition.library), before)
    return steps, paths, variables, cut.settings, library


def _work_of(step: StepDef) -> StepDef:
    return replace(step, position=None, order=0, note="", description="", pinned=None, generated=False)
