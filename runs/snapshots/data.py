"""What the data of a step was in a run: for the editor's list, and for its texts as they would be sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from runs.models import Item, Run, StepRun
from runs.selectors import variables_of
from runs.snapshots import words
from runs.snapshots.values import unpacked
from workflows.definition.availability import Verdict, availability_of
from workflows.definition.bypass import bypass_disabled
from workflows.definition.declared import declared_inputs
from workflows.definition.graph import Definition, StepDef
from workflows.definition.library import Library
from workflows.definition.ordering import cycle
from workflows.definition.types import START
from workflows.expressions.names import MISSING, Scope, as_text
from workflows.expressions.paths import Path, parse_path, resolve
from workflows.lib.clock import utc_now
from workflows.lib.errors import StepwellError
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.presenters.builder_data import Groups, Reference, data_groups
from workflows.steps import registry
from workflows.steps.base import RunFacts, StepContext
from workflows.steps.catalog import CATALOG
from workflows.steps.llm import LLMStep
from workflows.steps.prompts import prompt_of, system_of
from workflows.steps.values import text_of, text_scope

_VALUE_CHARS = 60
_MOST_FIELDS = 12


@dataclass(frozen=True, slots=True)
class StepData:
    """What a step would see: the scope, what arrived over its paths, and `outputs` of the steps before by key."""

    scope: Scope
    arrived: tuple[tuple[str, JSONObject], ...]
    outputs: dict[str, JSONObject]


def step_data(
    definition: Definition, step: StepDef, run: Run | None, given: JSONObject | None = None
) -> StepData:
    """The step's data with the values of a run (None: without any). At most three queries.

    `given` is the input where it is not that of the run: a sample's.
    Of a step inside of a container it is that of the first item. Pinned outputs stand in place of the run's.
    """
    before: list[StepDef] = []
    if cycle(definition) is None:
        before = [
            other
            for other, verdict in availability_of(definition, CATALOG).before(step.key)
            if other.type != START and verdict in (Verdict.SURE, Verdict.MAYBE, Verdict.OFF)
        ]
    scope_name = f"{step.parent}[0]" if step.parent is not None else ""
    outputs: dict[str, JSONObject] = {}
    item: Any = MISSING
    if run is not None:
        rows = StepRun.objects.filter(
            run=run,
            tenant_id=run.tenant_id,
            step_key__in=[other.key for other in before],
            scope__in=["", scope_name],
            output__isnull=False,
        ).order_by("round")
        for key, output in rows.values_list("step_key", "output"):
            value = unpacked(output, run)
            if isinstance(value, dict):
                outputs[key] = value
        if step.parent is not None:
            item = _first_item(run, step.parent)
    outputs |= {other.key: other.pinned for other in before if other.pinned is not None}
    arrived = _arrived(definition, step, outputs)
    named = {
        edge.target_input: outputs[edge.source]
        for edge in definition.incoming(step.key)
        if edge.target_input and edge.source in outputs
    }
    whole: Any = given if given is not None else run.input if run is not None else MISSING
    previous: Any = MISSING
    if arrived:
        previous = arrived[0][1] if len(arrived) == 1 else dict(arrived)
    elif not definition.incoming(step.key):
        previous = whole if step.parent is None else item
    variables = _variables(run, definition)
    if step.inputs and whole is not MISSING:
        known_previous = None if previous is MISSING else previous
        named |= declared_inputs(step, named, known_previous, whole, variables)
    return StepData(
        Scope(
            input=whole,
            inputs=named,
            steps={definition.step(key).label: value for key, value in outputs.items()},
            vars=variables,
            item=item,
            index=MISSING if item is MISSING else 0,
            loop=MISSING
            if item is MISSING
            else {"index": 0, "number": 1, "count": None, "first": True, "last": False},
            previous=previous,
            run=MISSING if run is None else _about(run),
            trigger=MISSING if run is None else {"type": run.trigger_type, "data": run.trigger_data},
            labels=frozenset(definition.labels()),
        ),
        arrived,
        outputs,
    )


def _about(run: Run) -> JSONObject:
    return {
        "id": str(run.pk),
        "number": run.number,
        "started_at": (run.started_at or run.created_at).isoformat(),
        "is_test": run.kind == Run.Kind.TEST,
        "feedback": "",
    }


def _first_item(run: Run, container: str) -> Any:
    found = (
        Item.objects.filter(
            run=run, tenant_id=run.tenant_id, step_run__step_key=container, step_run__scope="", index=0
        )
        .order_by("-step_run__round")
        .values_list("value", flat=True)[:1]
    )
    for value in found:
        return unpacked(value, run)
    return MISSING


def _arrived(
    definition: Definition, step: StepDef, outputs: dict[str, JSONObject]
) -> tuple[tuple[str, JSONObject], ...]:
    """What the live paths bring; steps that are off let theirs pass through."""
    graph = bypass_disabled(definition, CATALOG).definition
    found: dict[str, tuple[str, JSONObject]] = {}
    for edge in graph.incoming(step.key) if step.key in graph.by_key else ():
        if edge.source in outputs:
            source = graph.step(edge.source)
            kind = registry.find(source.type)
            value = outputs[edge.source]
            along = kind.along(source.config, value, edge.port) if kind is not None else value
            found[edge.source] = (source.label, along)
    return tuple(found.values())


def _variables(run: Run | None, definition: Definition) -> JSONObject:
    """The context variables as the run's steps have set them; their defaults where there is no run."""
    values: JSONObject = {variable.name: variable.default for variable in definition.context_variables()}
    if run is None:
        return values
    values |= run.variables or {}
    setters = StepRun.objects.filter(run=run, tenant_id=run.tenant_id).exclude(variables={})
    by_steps = setters.values_list("variables_seq", "variables")
    return {**values, **variables_of(definition, values, by_steps, run.debug.get("edits", ()))}


def data_list(definition: Definition, step: StepDef, run: Run | None) -> Groups:
    """The data that can be used in this step, with what it was in the run, and the fields found there besides."""
    data = step_data(definition, step, run)
    groups: list[tuple[str, tuple[Reference, ...]]] = []
    for title, references in data_groups(definition, step):
        listed = {reference.path for reference in references}
        found: list[Reference] = []
        for reference in references:
            value = _value(reference.path, data.scope)
            found.append(replace(reference, value=_short(value)))
            inner = value.get("content") if isinstance(value, dict) and "content" in value else value
            if reference.path in ("run.id", "trigger.type") or not isinstance(inner, dict):
                continue
            for name in list(inner)[:_MOST_FIELDS]:
                deeper = str(Path("x", (str(name),)))[1:]
                path = f"{reference.path}{deeper}"
                if path not in listed and (known := _value(path, data.scope)) is not MISSING:
                    listed.add(path)
                    found.append(Reference(path, reference.note, reference.sure, _short(known)))
        groups.append((title, tuple(found)))
    return tuple(groups)


def _value(path: str, scope: Scope) -> Any:
    try:
        return resolve(parse_path(path), scope)
    except StepwellError:
        return MISSING


def _short(value: JSONValue | Any) -> str:
    if value is MISSING or value is None or value == "":
        return ""
    try:
        return words.one_line(as_text(value), _VALUE_CHARS)
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A text of the step as it would be sent; `problem` says why it cannot be."""

    title: str
    text: str
    problem: str = ""

    @property
    def tokens(self) -> int:
        """About how many: four characters are one."""
        return -(-len(self.text.strip()) // 4)


def resolved_texts(
    definition: Definition, step: StepDef, run: Run | None, *, data: StepData | None = None
) -> tuple[Resolved, ...]:
    """The step's texts filled in by the engine's own resolver, with the data of the run; what does not resolve is said.

    `definition` carries the library's texts (`with_library`). A model's prompt comes with the library prompt before it,
    its system prompt with the persona.
    """
    data = data or step_data(definition, step, run)
    kind = registry.find(step.type)
    context = StepContext(
        step=step,
        scope=data.scope,
        previous=None if data.scope.previous is MISSING else data.scope.previous,
        now=utc_now(),
        run=RunFacts(str(run.pk) if run is not None else "", utc_now(), is_test=True),
        arrived=data.arrived if len(data.arrived) > 1 else (),
        library=Library.from_json(definition.library),
    )
    config = step.config
    found: list[Resolved] = []
    if kind is not None and kind.uses_model(config):
        found.append(
            _made("System prompt", lambda: system_of(context, _text(context, kind, "system_prompt")))
        )
        found.append(_made("Prompt", lambda: _whole_prompt(context, kind)))
    else:
        for path, text in CATALOG.templates(step):
            if str(text).strip():
                found.append(
                    _made(_title(path), lambda text=text, path=path: _own(context, kind, text, path))
                )
    return tuple(one for one in found if one.text.strip() or one.problem)


def _made(title: str, make: Any) -> Resolved:
    try:
        return Resolved(title, make())
    except StepwellError as error:
        return Resolved(title, "", error.message)


def _own(context: StepContext, kind: Any, text: str, field: str) -> str:
    scope = kind.prompt_scope(context) if isinstance(kind, LLMStep) else text_scope(context)
    return text_of(context, text, field=field, scope=scope)


def _text(context: StepContext, kind: Any, name: str) -> str:
    return _own(context, kind, str(context.config.get(name) or ""), name)


def _whole_prompt(context: StepContext, kind: Any) -> str:
    scope = kind.prompt_scope(context) if isinstance(kind, LLMStep) else text_scope(context)
    return prompt_of(context, _text(context, kind, "prompt"), scope=scope)


def _title(path: str) -> str:
    return path.replace("_", " ").replace(".", ", ").capitalize()
