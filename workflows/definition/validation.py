"""Everything that is wrong with a workflow, each with its step, its field and the fix (W9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from workflows.definition.availability import Availability, Verdict, availability_of
from workflows.definition.bypass import bypass_disabled
from workflows.definition.graph import (
    ERROR_PORT,
    Definition,
    EdgeDef,
    ErrorChoice,
    JoinKind,
    StepDef,
    VariableDef,
    VariableType,
)
from workflows.definition.inputs import fits, said_type
from workflows.definition.ordering import cycle
from workflows.definition.structure import structure_problems
from workflows.definition.types import END, FAN_OUT, START, ModelCheck, TypeCatalog
from workflows.definition.uses import Use, owner_step, uses
from workflows.expressions.errors import Position
from workflows.expressions.language import check
from workflows.expressions.names import NAMES
from workflows.expressions.paths import Path, nearest, normal
from workflows.expressions.template import scan
from workflows.lib.errors import Problem

MOST_ATTEMPTS: Final = 20
LONGEST_DELAY_MS: Final = 86_400_000
LONGEST_TIMEOUT_S: Final = 86_400
_MOST_WRITERS: Final = 60


def validate(
    definition: Definition, catalog: TypeCatalog, *, models: ModelCheck | None = None
) -> tuple[Problem, ...]:
    """Structure problems first, then the semantic ones, in the order of the steps.

    Errors block publishing and running, warnings do not. Problems of steps that are off are warnings, because
    nothing runs there.
    """
    return (*structure_problems(definition, catalog), *semantic_problems(definition, catalog, models=models))


def semantic_problems(
    definition: Definition, catalog: TypeCatalog, *, models: ModelCheck | None = None
) -> tuple[Problem, ...]:
    """What may live in a draft but not in a version: for a definition whose shape was checked when it was read."""
    checker = _Checker(definition, catalog)
    return (
        *checker.settings(models),
        *checker.texts(),
        *definition.work_out("graph problems", catalog, lambda: tuple(checker.graph())),
    )


def graph_problems(definition: Definition, catalog: TypeCatalog) -> tuple[Problem, ...]:
    """Only what an edit of the graph can change: references, ports, joins, unreachable steps."""
    return definition.work_out(
        "graph problems", catalog, lambda: tuple(_Checker(definition, catalog).graph())
    )


class _Checker:
    """One pass over one definition."""

    def __init__(self, definition: Definition, catalog: TypeCatalog) -> None:
        self.definition = definition
        self.catalog = catalog
        self.index = {step.key: number for number, step in enumerate(definition.steps)}
        self.edge_index = {edge.id: number for number, edge in enumerate(definition.edges)}
        self.by_label = {normal(step.label): step for step in definition.steps}
        self.bypassed = bypass_disabled(definition, catalog)
        self.has_cycle = cycle(definition) is not None

    # --- naming things

    def of(
        self,
        step: StepDef,
        code: str,
        message: str,
        field: str | None = None,
        fix: str | None = None,
        *,
        path: str | None = None,
        severity: str = "error",
    ) -> Problem:
        at = f"definition.nodes[{self.index[step.key]}]"
        if path is None:
            path = f"{at}.{field}" if field else at
        if step.key in self.bypassed.off:
            severity = "warning"
        return Problem(code, message, step.label, step.key, field, path, fix, severity)

    def of_edge(
        self, edge: EdgeDef, code: str, message: str, field: str, fix: str | None, severity: str = "error"
    ) -> Problem:
        source = self.definition.by_key.get(edge.source)
        return Problem(
            code,
            message,
            source.label if source else None,
            edge.source,
            field,
            f"definition.edges[{self.edge_index[edge.id]}].{field}",
            fix,
            severity,
        )

    # --- what each step is set to

    def settings(self, models: ModelCheck | None) -> Iterator[Problem]:
        default_model = self.definition.settings.get("default_model")
        default_model = default_model if isinstance(default_model, str) and default_model else None
        for step in self.definition.steps:
            if not self.catalog.known(step.type):
                continue
            for problem in self.catalog.check(step):
                yield self._placed(step, problem)
            if models is not None:
                for problem in models(step, default_model):
                    yield self._placed(step, problem)
            yield from self._policies(step)
        yield from self._variables()

    def _placed(self, step: StepDef, problem: Problem) -> Problem:
        """A problem that a type or a model check found, with the place that they cannot know."""
        at = f"definition.nodes[{self.index[step.key]}]"
        path = problem.path or (f"{at}.config.{problem.field}" if problem.field else f"{at}.config")
        if not path.startswith("definition."):
            path = f"{at}.{path}"
        severity = "warning" if step.key in self.bypassed.off else problem.severity
        return replace(problem, step=step.label, step_key=step.key, path=path, severity=severity)

    def _policies(self, step: StepDef) -> Iterator[Problem]:
        retry = step.retry
        if retry is not None:
            for name, value, least, most in (
                ("max_attempts", retry.max_attempts, 1, MOST_ATTEMPTS),
                ("delay_ms", retry.delay_ms, 0, LONGEST_DELAY_MS),
                ("max_delay_ms", retry.max_delay_ms, 0, LONGEST_DELAY_MS),
                ("backoff_multiplier", retry.backoff_multiplier, 1, 100),
                ("jitter", retry.jitter, 0, 1),
            ):
                if not least <= value <= most:
                    words = name.replace("_ms", "").replace("_", " ")
                    message = f"“{step.label}”: {words} is {value:g}, it must be from {least:,} to {most:,}."
                    yield self.of(
                        step,
                        "bad_retry",
                        message,
                        f"retry_policy.{name}",
                        f"Choose a value from {least:,} to {most:,}.",
                    )
        if step.timeout_s is not None and not 0 < step.timeout_s <= LONGEST_TIMEOUT_S:
            message = f"“{step.label}”: the time limit is {step.timeout_s:g} s, it must be from 1 to {LONGEST_TIMEOUT_S:,}."
            yield self.of(
                step, "bad_timeout", message, "timeout_s", "Choose a time limit, or leave it empty."
            )
        if step.on_error.policy is ErrorChoice.CONTINUE and step.on_error.default is None:
            message = f"“{step.label}” goes on when it fails, but nothing says with which value."
            fix = "State the value to go on with; steps that use its output get null without one."
            yield self.of(step, "missing_default", message, "on_error.default", fix, severity="warning")

    def _variables(self) -> Iterator[Problem]:
        for number, variable in enumerate(self.definition.variables):
            if variable.default is not None and not fits(variable.default, variable.type):
                yield Problem(
                    "bad_default",
                    f"The default of the variable “{variable.name}” is {said_type(variable.default)}, "
                    f"but its type is {variable.type.value}.",
                    field="default_value",
                    path=f"definition.variables[{number}].default_value",
                    fix=f"Give {_ARTICLE[variable.type]} as default, or change the type.",
                )
        inputs = {variable.name for variable in self.definition.input_variables()}
        for number, trigger in enumerate(self.definition.triggers):
            for name in trigger.input_mapping:
                if inputs and name not in inputs:
                    near = nearest(name, inputs)
                    yield Problem(
                        "unknown_input",
                        f"A trigger fills the input “{name}”, which the workflow does not declare.",
                        field="input_mapping",
                        path=f"definition.triggers[{number}].input_mapping.{name}",
                        fix=f"Did you mean “{near}”?" if near else "Declare it as an input variable.",
                        severity="warning",
                    )

    # --- what is written in them

    def texts(self) -> Iterator[Problem]:
        """Templates and expressions that cannot be read."""
        labels = frozenset(self.definition.labels())
        for step in self.definition.steps:
            for field, text in self.catalog.templates(step):
                if "{{" not in text:
                    continue
                for fault in scan(text).errors:
                    message = f"“{step.label}”, {_words(field)}, {_at(fault.position)}: {fault.message}"
                    fix = f"Did you mean “{fault.suggestion}”?" if fault.suggestion else None
                    yield self.of(step, fault.code, message, field, fix, path=self._config_path(step, field))
            for field, text in self.catalog.expressions(step):
                if not text.strip():
                    continue
                for wrong in check(text, labels):
                    if wrong.code == "unknown_step":
                        continue  # said with the step's place in the graph below
                    message = (
                        f"“{step.label}”, {_words(field)}, {_at(wrong.position)}: {_sentence(wrong.message)}"
                    )
                    yield self.of(
                        step,
                        wrong.code,
                        message,
                        field,
                        wrong.fix or None,
                        path=self._config_path(step, field),
                    )
        for edge in self.definition.edges:
            for wrong in check(edge.condition, labels) if edge.condition else ():
                if wrong.code != "unknown_step":
                    message = f"The condition of {self._path_words(edge)}, {_at(wrong.position)}: {_sentence(wrong.message)}"
                    yield self.of_edge(edge, wrong.code, message, "condition", wrong.fix or None)

    def _config_path(self, step: StepDef, field: str) -> str:
        return f"definition.nodes[{self.index[step.key]}].config.{field}"

    def _path_words(self, edge: EdgeDef) -> str:
        source, target = self.definition.by_key.get(edge.source), self.definition.by_key.get(edge.target)
        return (
            f"the path from “{source.label if source else edge.source}” "
            f"to “{target.label if target else edge.target}”"
        )

    # --- how they hang together

    def graph(self) -> Iterator[Problem]:
        yield from self._ports()
        yield from self._joins()
        yield from self._bodies()
        if self.has_cycle:
            return  # nothing below has an answer while steps wait for each other
        available = availability_of(self.definition, self.catalog, self.bypassed)
        yield from self._unreachable(available)
        yield from self._references(available)
        yield from self._writers(available)

    def _ports(self) -> Iterator[Problem]:
        for edge in self.definition.edges:
            source = self.definition.by_key.get(edge.source)
            if source is None or not self.catalog.known(source.type):
                continue
            ports = self.catalog.ports(source)
            if edge.port in ports:
                continue
            if edge.port == ERROR_PORT:
                fix = "Choose “Leave by the error path” for what happens when it fails, or remove the path."
            elif not ports:
                fix = "Remove the path: nothing can follow this step."
            else:
                near = nearest(edge.port, ports)
                fix = f"Did you mean “{near}”?" if near else f"Its ways out are {', '.join(ports)}."
            message = f"“{source.label}” has no way out “{edge.port}”."
            yield self.of_edge(edge, "unknown_port", message, "source_output", fix)

    def _joins(self) -> Iterator[Problem]:
        for step in self.bypassed.definition.steps:
            sources = {edge.source for edge in self.bypassed.definition.incoming(step.key)}
            if step.join.rule is JoinKind.COUNT and sources and step.join.count > len(sources):
                message = (
                    f"“{step.label}” waits for {step.join.count} steps, but only {len(sources)} "
                    f"{'leads' if len(sources) == 1 else 'lead'} to it, so it would never start."
                )
                yield self.of(step, "join_count", message, "join.count", f"Choose at most {len(sources)}.")

    def _bodies(self) -> Iterator[Problem]:
        for step in self.definition.steps:
            if not self.catalog.is_container(step.type) or self.catalog.has_own_body(step):
                continue
            body = self.definition.children(step.key)
            if not body:
                message = f"“{step.label}” has no steps inside, so it would do nothing."
                yield self.of(step, "empty_container", message, None, "Drag a step into it, or remove it.")
            elif all(child.key in self.bypassed.off for child in body) and step.key not in self.bypassed.off:
                message = f"All steps inside “{step.label}” are off, so it would do nothing."
                yield self.of(
                    step, "empty_container", message, None, "Turn one of them on.", severity="warning"
                )

    def _unreachable(self, available: Availability) -> Iterator[Problem]:
        for problem in self.bypassed.problems:
            yield replace(problem, path=f"definition.nodes[{self.index[problem.step_key or '']}]")
        graph = self.bypassed.definition
        for step in graph.steps:
            if step.key in available.never:
                before = [
                    source
                    for edge in self.definition.incoming(step.key)
                    if (source := self.definition.by_key.get(edge.source)) is not None
                ]
                off = next((source for source in before if source.key in self.bypassed.off), None)
                why = (
                    f"“{off.label}” is off and led to it by another way than its first"
                    if off
                    else "every step that leads to it is cut off"
                )
                message = f"“{step.label}” cannot run: {why}."
                yield self.of(
                    step,
                    "unreachable",
                    message,
                    None,
                    "Draw a path to it, or turn it off.",
                    severity="warning",
                )
        start = next((step for step in graph.steps if step.type == START and step.parent is None), None)
        roots = [step for step in graph.roots() if step.key not in available.never]
        for step in roots:
            if step.type == START:
                continue
            if start is not None:
                message = f"Nothing leads to “{step.label}”: it would start together with “{start.label}”."
            elif step.type == END and len(graph.steps) > 1:
                message = f"Nothing leads to “{step.label}”, so it ends nothing."
            elif (
                len(roots) > 1
                and not graph.outgoing(step.key)
                and any(graph.outgoing(other.key) for other in roots)
            ):
                message = f"Nothing leads to “{step.label}”, and it leads to nothing."
            else:
                continue
            yield self.of(
                step, "unreachable", message, None, "Draw a path to it, or remove it.", severity="warning"
            )

    def _references(self, available: Availability) -> Iterator[Problem]:
        variables = {variable.name: variable for variable in self.definition.variables}
        inputs = {variable.name for variable in self.definition.input_variables()}
        for use in uses(self.definition, self.catalog):
            owner = owner_step(self.definition, use.owner)
            if owner is None:
                continue
            root = use.path.root
            name: str | None
            if root == "steps":
                yield from self._step_reference(use, owner, available)
            elif root == "vars":
                yield from self._variable_reference(use, variables)
            elif root == "input":
                name = use.path.name
                if name is not None and inputs and name not in inputs and not use.guarded:
                    near = nearest(name, inputs)
                    message = f"uses the input “{name}”, which the workflow does not declare."
                    fix = f"Did you mean “{near}”?" if near else "Declare it as an input variable."
                    yield self._use(use, "unknown_input", message, fix, severity="warning")
            elif root == "inputs":
                yield from self._named_input(use, owner)
            elif root in ("item", "index", "loop"):
                inside = owner.parent is not None
                if (
                    not inside
                    and not self.catalog.is_container(owner.type)
                    and not self.catalog.has_own_body(owner)
                ):
                    message = f"uses {root}, but only steps inside a loop or a for-each step have it."
                    yield self._use(use, "not_available", message, "Drag the step into the loop.")
            elif root not in NAMES and not use.is_expression:
                near = nearest(root, NAMES)
                message = f"uses “{root}”, which is no data of the workflow."
                fix = (
                    f"Did you mean “{near}”?" if near else f"Data starts with {', '.join(list(NAMES)[:5])}, …"
                )
                yield self._use(use, "unknown_name", message, fix)

    def _use(self, use: Use, code: str, message: str, fix: str | None, *, severity: str = "error") -> Problem:
        place = _at(Position.of(use.text, use.offset))
        if isinstance(use.owner, EdgeDef):
            words = f"The condition of {self._path_words(use.owner)} {message} ({place})"
            return self.of_edge(use.owner, code, words, use.field, fix, severity)
        words = f"“{use.owner.label}” {message} ({_words(use.field)}, {place})"
        path = self._config_path(use.owner, use.field)
        return self.of(use.owner, code, words, use.field, fix, path=path, severity=severity)

    def _step_reference(self, use: Use, owner: StepDef, available: Availability) -> Iterator[Problem]:
        fix: str | None
        label = use.path.label
        if label is None:
            yield self._use(
                use,
                "unknown_step",
                f"uses {use.path}, which does not say which step.",
                "Write steps.Label.content.",
            )
            return
        wanted = self.by_label.get(normal(label))
        if wanted is None:
            near = nearest(label, (step.label for step in self.definition.steps))
            right = str(Path("steps", (near, *use.path.parts[1:]))) if near else None
            fix = f"Did you mean “{right}”?" if right else "Choose a step from the data list."
            yield self._use(use, "unknown_step", f"uses the step “{label}”, which does not exist.", fix)
            return
        if isinstance(use.owner, EdgeDef) and wanted.key == use.owner.source:
            return  # a path's condition is asked when the step it leaves is done
        name = f"“{wanted.label}”"
        match available.verdict(owner.key, wanted.key):
            case Verdict.SURE:
                return
            case Verdict.SELF:
                if not self._is_own_loop(owner):
                    yield self._use(
                        use,
                        "uses_itself",
                        "uses its own output, which is not there yet.",
                        "Use another step's output.",
                    )
            case Verdict.AROUND:
                message = f"uses {name}, the step it is inside of, which is not done before this one."
                yield self._use(use, "not_before", message, "Use item, index or previous.")
            case Verdict.INSIDE:
                if use.field == "result" and wanted.parent == owner.key:
                    return  # asked when an item's body is done
                around = self._outermost(owner, wanted)
                fix = f"Use the results of “{around.label}”: steps.{around.label}.items." if around else None
                message = (
                    f"uses {name}, which runs inside “{around.label if around else '?'}” once for each item."
                )
                yield self._use(use, "inside_container", message, fix)
            case Verdict.LATER:
                message = f"uses {name}, which runs after it."
                yield self._use(
                    use, "not_before", message, f"Move “{owner.label}” below {name}, or use an earlier step."
                )
            case Verdict.ASIDE:
                message = (
                    f"uses {name}, which does not surely run before it: no path leads from {name} to it."
                )
                yield self._use(
                    use, "not_before", message, f"Draw a path from {name}, or use an earlier step."
                )
            case Verdict.OFF:
                message = f"uses {name}, which is off: it gets what passed through."
                yield self._use(
                    use,
                    "uses_off_step",
                    message,
                    f"Turn {name} on if its output is needed.",
                    severity="warning",
                )
            case Verdict.MAYBE:
                if use.guarded:
                    return
                message = (
                    f"uses {name}, which may have been skipped: it is on a path that is not always taken."
                )
                if use.is_expression:
                    fix = f"Ask has({use.path}) first, or move the step onto that path."
                else:
                    fix = f'Write {{{{ {use.path} | default: "…" }}}}, or move the step onto that path.'
                yield self._use(use, "may_be_skipped", message, fix)

    def _is_own_loop(self, owner: StepDef) -> bool:
        """The result expression and the condition of a loop are asked when its body is done."""
        return self.catalog.is_container(owner.type)

    def _outermost(self, owner: StepDef, wanted: StepDef) -> StepDef | None:
        """The container around `wanted` that stands in a body which `owner` can see."""
        visible: set[str | None] = {None}
        at: StepDef | None = owner
        while at is not None and at.parent is not None and at.parent not in visible:
            visible.add(at.parent)
            at = self.definition.by_key.get(at.parent)
        found = wanted
        for _ in self.definition.steps:
            if found.parent in visible:
                return found if found is not wanted else None
            parent = self.definition.by_key.get(found.parent or "")
            if parent is None:
                return None
            found = parent
        return None

    def _variable_reference(self, use: Use, variables: dict[str, VariableDef]) -> Iterator[Problem]:
        name = use.path.name
        if name is None or name in variables or use.guarded:
            return
        near = nearest(name, variables)
        fix = f"Did you mean “vars.{near}”?" if near else "Add the variable to the workflow."
        yield self._use(use, "unknown_variable", f"uses the variable “{name}”, which does not exist.", fix)

    def _named_input(self, use: Use, owner: StepDef) -> Iterator[Problem]:
        name = use.path.name
        if name is None or isinstance(use.owner, EdgeDef) or use.guarded:
            return
        names = {edge.target_input for edge in self.definition.incoming(owner.key) if edge.target_input}
        names |= {field.name for field in owner.inputs}
        mapped = owner.config.get("input_mapping")
        names |= set(mapped) if isinstance(mapped, dict) else set()
        if name not in names:
            near = nearest(name, names)
            message = f"uses inputs.{name}, but no path brings an input of that name."
            fix = f"Did you mean “inputs.{near}”?" if near else "Name the input on the path that brings it."
            yield self._use(use, "unknown_input_name", message, fix)

    def _writers(self, available: Availability) -> Iterator[Problem]:
        """Context variables: set by a name that exists, and by one step at a time."""
        contexts = {variable.name for variable in self.definition.context_variables()}
        everything = {variable.name for variable in self.definition.variables}
        writers: dict[str, list[StepDef]] = {}
        for step in self.definition.steps:
            for field, name in self.catalog.sets_variables(step):
                path = self._config_path(step, field)
                if not name or "{{" in name:
                    continue
                if name not in contexts:
                    near = nearest(name, contexts)
                    what = "is an input and cannot be set" if name in everything else "does not exist"
                    fix = f"Did you mean “{near}”?" if near else "Add it as a context variable."
                    message = f"“{step.label}” sets the variable “{name}”, which {what}."
                    yield self.of(step, "unknown_variable", message, field, fix, path=path)
                if step.key not in self.bypassed.off:
                    writers.setdefault(name, []).append(step)
        for name, steps in writers.items():
            for number, step in enumerate(steps[:_MOST_WRITERS]):
                other = next(
                    (one for one in steps[:number] if self._at_once(available, one.key, step.key)), None
                )
                if other is not None:
                    message = f"“{other.label}” and “{step.label}” set the variable “{name}” at the same time: the later one wins."
                elif self._in_fan_out(step):
                    message = f"“{step.label}” sets the variable “{name}” for several items at the same time: the last one wins."
                else:
                    continue
                fix = "Let one step set it after the branches have met."
                yield self.of(step, "parallel_writers", message, None, fix, severity="warning")

    def _at_once(self, available: Availability, first: str, second: str) -> bool:
        levels = available.common_level(first, second)
        if levels is None:
            return False
        return not available.one_after_other(*levels) and not available.never_together(*levels)

    def _in_fan_out(self, step: StepDef) -> bool:
        seen: set[str] = set()
        at: StepDef | None = step
        while at is not None and at.parent is not None and at.key not in seen:
            seen.add(at.key)
            at = self.definition.by_key.get(at.parent)
            if at is not None and at.type == FAN_OUT:
                return True
        return False


_ARTICLE: Final = {
    VariableType.STRING: "text",
    VariableType.NUMBER: "a number",
    VariableType.BOOLEAN: "true or false",
    VariableType.OBJECT: "an object",
    VariableType.ARRAY: "a list",
}


def _at(position: Position) -> str:
    return f"line {position.line}, column {position.column}"


def _words(field: str) -> str:
    return field.replace("_", " ")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
