"""“Describe what you want”: a model drafts a workflow or changes one; people see what would differ before they take it.

The call is a run of kind “step” under a workflow that no list shows, so that it goes the one way of all calls (accounts,
fallback, budget, record) and costs what it costs in the figures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Final

from django.db import transaction

from runs import progress
from runs import queue as doorbell
from runs.engine.statuses import RunStatus
from runs.models import Run, StepRun
from runs.services.start_run import check_rate, create_run
from runs.snapshots.values import unpacked
from workflows.definition.exchange import graph_to_json
from workflows.definition.graph import Definition, StepDef
from workflows.definition.schema import parse_definition
from workflows.definition.structure import structure_problems
from workflows.definition.travel import without_secrets
from workflows.definition.validation import validate
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotFound, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow
from workflows.presenters.compare_page import Comparison
from workflows.providers import registry as providers
from workflows.providers.models import DEMO, is_default, resolve_model
from workflows.selectors import names_in_use, visible_workflows
from workflows.services.change_workflow import update_workflow
from workflows.services.check_workflow import models_of
from workflows.services.choose_version import frozen_version
from workflows.services.create_workflow import create_workflow
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.services.library import library_problems, with_library
from workflows.services.patterns import EXAMPLE
from workflows.services.provider_accounts import accounts_of
from workflows.steps.catalog import CATALOG
from workflows.steps.docs import step_types_page
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.models import Tenant
from workflows.tenancy.roles import Permission

STEP: Final = "draft"
LONGEST_WISH: Final = 4_000
_HIDDEN_NAME: Final = "Drafts that models wrote"
_PURPOSE: Final = "describe"
_LONGEST_ANSWER: Final = 16_000

_SYSTEM: Final = """\
You draft workflows for Stepwell. A workflow has variables (what a run asks for), nodes (its steps) and edges (the paths
between them). You answer with JSON only.

Rules:
- Use only the step types, settings, ways out and outputs of the reference below, exactly as they are spelled there.
- Begin with one node of type start. Steps are joined by edges from source_node_id to target_node_id; a step with several
  ways out names the way in source_output. There are no circles. Steps inside a container (loop) name it in parent_node_id.
- Names of steps are short, plain words, each only once. Ids are short lower-case words.
- Data of the run is written as the reference shows it, with the name of the step, never its id.
- Ask for what a person has to give with variables of kind input. Put a review before anything leaves the workspace.
- If a workflow is given, answer with the whole of it: keep the id, type and settings of every step that stays, and change
  only what was asked for.
- explanation says in two or three plain sentences what it does, and what you had to assume.
"""
_PROMPT: Final = """\
What is wanted:
{{input.wish}}

The workflow as it is now (empty: make a new one):
{{input.now}}

What was wrong with your last answer (empty: nothing yet):
{{input.problems}}

An example of the form:
{{input.example}}

Reference of the step types:
{{input.kinds}}
"""
_TEXT: Final[JSONObject] = {"type": "string"}
_SCHEMA: Final[JSONObject] = {
    "type": "object",
    "required": ["name", "explanation", "nodes", "edges"],
    "properties": {
        "name": _TEXT,
        "description": _TEXT,
        "explanation": _TEXT,
        "variables": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "type"],
                "properties": {"name": _TEXT, "type": _TEXT, "kind": _TEXT, "description": _TEXT},
            },
        },
        "nodes": {
            "type": "array",
            "minItems": 1,
            "maxItems": 200,
            "items": {
                "type": "object",
                "required": ["id", "type", "name"],
                "properties": {"id": _TEXT, "type": _TEXT, "name": _TEXT, "config": {"type": "object"}},
            },
        },
        "edges": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["source_node_id", "target_node_id"],
                "properties": {"source_node_id": _TEXT, "target_node_id": _TEXT, "source_output": _TEXT},
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Drafted:
    """What came of a wish. `definition` is None while it is written, when the call failed, and when the answer is no workflow.

    `refused` keep it from being stored at all, `problems` from being run. `workflow` is the one to change, if there is one.
    """

    run: Run
    wish: str
    workflow: Workflow | None
    name: str = ""
    description: str = ""
    explanation: str = ""
    old: Definition = field(default_factory=Definition)
    definition: Definition | None = None
    refused: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    is_stale: bool = False
    # As the person named it; "default" where nobody did.
    model: str = "default"

    @property
    def is_over(self) -> bool:
        return self.run.is_over

    @property
    def comparison(self) -> Comparison | None:
        return Comparison(self.old, self.definition) if self.definition is not None else None


def answering_model(tenant: Tenant, model: str = "") -> str:
    """`provider:model` that would be asked; raises BadModel."""
    own = tenant.default_model or next(
        (
            f"{name}:{found}"
            for name in accounts_of(tenant.pk)
            if (found := providers.get(name).default_model())
        ),
        None,
    )
    return str(resolve_model(None if is_default(model) else model, own))


def needs_a_model(tenant: Tenant, model: str = "") -> bool:
    """Whether only the built-in demonstration would answer, which can draft nothing."""
    return answering_model(tenant, model).startswith(f"{DEMO.provider}:")


def describe_workflow(
    *,
    actor: Actor,
    wish: str,
    workflow: Workflow | None = None,
    model: str = "",
    again: Run | None = None,
) -> Run:
    """Ask a model for a workflow as the text says, or for `workflow`'s draft changed so; with `again` to mend that answer.

    Raises NotAllowed, NotFound, Invalid (no text, or too long), Conflict where only the demonstration would answer,
    TooManyRuns, BadModel.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    actor.require(Permission.RUN)
    wish = wish.strip()
    if not wish or len(wish) > LONGEST_WISH:
        message = "Say what you want." if not wish else f"At most {LONGEST_WISH:,} characters."
        raise Invalid(message, problems=(Problem("bad_value", message, field="wish", path="wish"),))
    if workflow is not None and (workflow.tenant_id != actor.tenant.pk or workflow.deleted_at is not None):
        raise NotFound(NOT_FOUND)
    if needs_a_model(actor.tenant, model):
        raise Conflict(
            "The built-in demonstration cannot draft a workflow. Connect a model with a key first.",
            code="needs_model",
        )
    now, problems = "", ""
    if workflow is not None:
        now = json.dumps(_told(compile_draft(workflow)), ensure_ascii=False, default=str)
    if again is not None:
        last = read_drafted(actor=actor, run=again)
        now = json.dumps(_answer(again), ensure_ascii=False) or now
        problems = "\n".join(f"- {p.path or ''} {p.says}" for p in (*last.refused, *last.problems))
    data: JSONObject = {
        "wish": wish,
        "now": now,
        "problems": problems,
        "example": json.dumps(EXAMPLE, ensure_ascii=False, default=str),
        "kinds": step_types_page(),
        "workflow": str(workflow.pk) if workflow is not None else "",
        "revision": workflow.revision if workflow is not None else 0,
    }
    config: JSONObject = {
        "model": model.strip() or "default",
        "system_prompt": _SYSTEM,
        "prompt": _PROMPT,
        "temperature": 0.2,
        "max_tokens": _LONGEST_ANSWER,
        "response_schema": _SCHEMA,
    }
    definition = Definition(steps=(StepDef(key=STEP, type="llm", label="Draft", config=config),))
    with transaction.atomic():
        hidden = _hidden(actor)
        check_rate(hidden)
        frozen = frozen_version(workflow=hidden, actor=actor, definition=definition)
        run = create_run(
            hidden,
            frozen,
            actor,
            data=data,
            variables={},
            test=True,
            yolo=False,
            trigger_type="manual",
            trigger_data=None,
            steps_total=1,
        )
        run.kind = Run.Kind.STEP
        run.save(update_fields=["kind"])
        record(actor, "described", workflow or hidden, after={"wish": wish[:300], "run": str(run.pk)})
        doorbell.ring(run.pk)
    progress.run_changed(run.pk, run.tenant_id, run.event_seq)
    return run


def read_drafted(*, actor: Actor, run: Run) -> Drafted:
    """What the run has brought, checked and compared. NotFound for a run that drafts nothing, or a stranger's."""
    hidden = run.workflow
    if run.tenant_id != actor.tenant.pk or hidden.settings.get("purpose") != _PURPOSE:
        raise NotFound(NOT_FOUND)
    actor.require(Permission.EDIT_WORKFLOWS)
    workflow = None
    if asked := run.input.get("workflow"):
        workflow = visible_workflows(actor.tenant).filter(pk=asked).first()
        if workflow is None:
            raise NotFound(NOT_FOUND)
    asked_of = str(load_definition(run.version).step(STEP).config.get("model") or "default")
    found = Drafted(run, str(run.input.get("wish", "")), workflow, model=asked_of)
    if run.status != RunStatus.COMPLETED:
        return found
    old = compile_draft(workflow) if workflow is not None else Definition()
    answer = _answer(run)
    found = replace(
        found,
        old=old,
        name=str(answer.get("name") or "")[:200].strip() or "Drafted workflow",
        description=str(answer.get("description") or "")[:2_000],
        explanation=str(answer.get("explanation") or ""),
        is_stale=workflow is not None and workflow.revision != run.input.get("revision"),
    )
    try:
        made = _kept(
            parse_definition({name: answer[name] for name in _PARTS if name in answer}, CATALOG), old
        )
    except Invalid as error:
        return replace(found, refused=error.problems)
    if wrong := tuple(one for one in structure_problems(made, CATALOG) if one.is_error):
        return replace(found, refused=wrong)
    frozen = with_library(made, actor.tenant)
    problems = (
        *validate(made, CATALOG, models=models_of(actor.tenant)),
        *library_problems(frozen, actor.tenant),
    )
    return replace(found, definition=made, problems=tuple(problems))


def take_drafted(*, actor: Actor, run: Run) -> Workflow:
    """Make the drafted workflow, or put it into the draft that it was asked for, as one change that undo takes back.

    Raises Conflict when there is nothing to take, Stale when the draft has changed since, NotAllowed, NotFound, Invalid.
    """
    found = read_drafted(actor=actor, run=run)
    if found.definition is None:
        raise Conflict("There is no workflow in this answer.")
    if found.workflow is not None:
        return update_workflow(
            workflow=found.workflow,
            actor=actor,
            expected_revision=int(run.input["revision"]),
            definition=found.definition,
        )
    name, number = found.name, 2
    taken = {one.casefold() for one in names_in_use(actor.tenant, found.name)}
    while name.casefold() in taken:
        name, number = f"{found.name} {number}", number + 1
    return create_workflow(
        actor=actor,
        name=name,
        description=found.description,
        definition=found.definition,
        action="drafted from a description",
    )


_PARTS: Final = ("variables", "nodes", "edges")


def _told(definition: Definition) -> JSONObject:
    """What the model is told of a draft: the steps and paths, no secrets, no pinned outputs."""
    clean = without_secrets(definition)[0]
    bare = replace(
        clean, steps=tuple(replace(step, pinned=None, note="") for step in clean.steps), library={}
    )
    told = graph_to_json(bare, CATALOG)
    return {name: told[name] for name in _PARTS if name in told}


def _kept(made: Definition, old: Definition) -> Definition:
    """The drafted definition with what the model was not told, or not asked about: triggers, settings, secrets, notes."""
    clean = without_secrets(old)[0].by_key
    steps = []
    for step in made.steps:
        was = old.by_key.get(step.key)
        if was is None or was.type != step.type:
            steps.append(step)
            continue
        secret = {name: value for name, value in was.config.items() if name not in clean[step.key].config}
        steps.append(
            replace(
                was,
                label=step.label,
                description=step.description or was.description,
                config={**secret, **step.config},
                enabled=step.enabled,
                parent=step.parent,
                order=step.order,
            )
        )
    told = {edge.id for edge in old.edges}
    ways = {(edge.source, edge.port, edge.target): edge for edge in old.edges}
    edges = tuple(
        replace(edge, id=ways[way].id)
        if edge.id not in told and (way := (edge.source, edge.port, edge.target)) in ways
        else edge
        for edge in made.edges
    )
    variables = made.variables or old.variables
    return replace(
        made,
        steps=tuple(steps),
        edges=edges,
        variables=variables,
        triggers=old.triggers,
        settings=old.settings,
    )


def _answer(run: Run) -> JSONObject:
    row = StepRun.objects.filter(run=run, step_key=STEP).order_by("-pk").first()
    value = unpacked(row.output, run) if row is not None and row.output is not None else {}
    return value if isinstance(value, dict) else {}


def _hidden(actor: Actor) -> Workflow:
    """The workflow under which drafts are asked for: deleted from the start, so that no list shows it."""
    known = Workflow.objects.for_tenant(actor.tenant).filter(
        deleted_at__isnull=False, settings__purpose=_PURPOSE
    )
    found = known.order_by("created_at").first()
    if found is not None:
        return found
    return Workflow.objects.create(
        tenant=actor.tenant,
        name=_HIDDEN_NAME,
        settings={"purpose": _PURPOSE},
        created_by=actor.user,
        deleted_at=utc_now(),
    )
