"""The settings form of a step as the builder draws it: one control per declared field, in sections."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from workflows.definition.graph import (
    Definition,
    ErrorChoice,
    FieldDecl,
    JoinKind,
    Losers,
    StepDef,
    VariableDef,
    VariableType,
)
from workflows.expressions.rows import Operator
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.presenters.builder_library import LibraryChoices
from workflows.providers import registry as providers
from workflows.steps.base import StepType
from workflows.steps.fields import (
    AssigneesField,
    ChoiceField,
    ConfigField,
    ExpressionField,
    FormField,
    MappingField,
    NumberField,
    TemplateField,
    config_fields,
    value_for_control,
)

OPERATORS: Final = tuple((operator.value, operator.label) for operator in Operator)
FORM_TYPES: Final = tuple((name, name.replace("_", " ")) for name in FormField.TYPES)
# Kinds that stand beside each other; the others take the whole width.
_NARROW: Final = frozenset({"number", "choice", "model", "duration", "bool"})
_PLACE: Final = re.compile(r"[.\[]")


@dataclass(frozen=True, slots=True)
class Control:
    """One setting. `value` is what its control shows; `entries` the rows of kinds that have several.

    `name` is the posted name, `id` is unique on the page; `shown_when` is "setting=a|b", `hidden` whether that says no.
    """

    name: str
    id: str
    kind: str
    label: str
    help: str = ""
    value: Any = ""
    entries: tuple[Any, ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = False
    placeholder: str = ""
    unit: str = ""
    least: float | None = None
    most: float | None = None
    step: float | str | None = None
    rows: int = 3
    shown_when: str = ""
    hidden: bool = False
    problems: tuple[Problem, ...] = ()
    names: str = "Name"
    values: str = "Value"
    takes_data: bool = False
    focus: bool = False

    @property
    def is_wide(self) -> bool:
        return self.kind not in _NARROW

    @property
    def blank_case(self) -> JSONObject:
        """A case to be copied by script, which puts its number in place of NUMBER."""
        return {
            "name": "",
            "port": "",
            "condition": condition_view({}, f"{self.id}-NUMBER", f"{self.name}__NUMBER"),
        }

    @property
    def is_bad(self) -> bool:
        return any(problem.is_error for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the card: what is always shown, and what waits behind “More settings”."""

    title: str
    controls: tuple[Control, ...]
    more: tuple[Control, ...] = ()
    hint: str = ""

    @property
    def more_open(self) -> bool:
        """A rare setting that is wrong must not be out of sight."""
        return any(control.problems or control.focus for control in self.more)


def field_of(problem: Problem) -> str:
    """The setting that a problem is about: `cases[0].rows[1]` is of `cases`."""
    return _PLACE.split(problem.field or "", maxsplit=1)[0]


def sections_of(
    step: StepDef,
    kind: StepType,
    problems: Sequence[Problem],
    *,
    extra_rows: str = "",
    library: LibraryChoices | None = None,
) -> tuple[Section, ...]:
    """The type's own settings. `extra_rows` names the setting that gets an empty row (adding one without script)."""
    fields = config_fields(kind.ConfigForm)
    values = {name: step.config.get(name, field.default) for name, field in fields.items()}
    by_field: dict[str, list[Problem]] = {}
    for problem in problems:
        by_field.setdefault(field_of(problem), []).append(problem)
    first_missing = next(
        (name for name, f in fields.items() if _to_fill(f, values) and f.is_empty(values[name])), ""
    )
    grouped: dict[str, tuple[list[Control], list[Control]]] = {}
    for name, field in fields.items():
        control = _control(step, name, field, values[name], tuple(by_field.get(name, ())))
        if library is not None and name == "connection" and field.kind == "text":
            said = str(control.value or "")
            control = replace(control, kind="choice", value=said, choices=library.connections(said))
        elif library is not None and field.kind in ("persona", "library_prompt", "email_template"):
            control = _of_library(control, library)
        control = replace(
            control,
            hidden=_is_hidden(field, values),
            focus=name == first_missing,
            entries=(*control.entries, _empty_entry(control)) if name == extra_rows else control.entries,
        )
        usual, more = grouped.setdefault(field.section, ([], []))
        (more if field.more else usual).append(control)
    return tuple(Section(title, tuple(usual), tuple(more)) for title, (usual, more) in grouped.items())


def _to_fill(field: ConfigField, values: JSONObject) -> bool:
    """Whether a new step's cursor goes there."""
    wanted = isinstance(field, TemplateField) and field.wanted and not values.get("library_prompt")
    return field.required or wanted


def _control(
    step: StepDef, name: str, field: ConfigField, value: JSONValue, problems: tuple[Problem, ...]
) -> Control:
    control = Control(
        name=name,
        id=f"{step.key}-{name}",
        kind=field.kind,
        label=str(field.label or name),
        help=str(field.help_text),
        value="" if value is None else value,
        required=field.required,
        placeholder=field.placeholder,
        shown_when=f"{field.shown_when[0]}={'|'.join(field.shown_when[1])}" if field.shown_when else "",
        problems=problems,
        takes_data=isinstance(field, TemplateField | ExpressionField),
    )
    if isinstance(field, TemplateField):
        return replace(control, rows=field.rows)
    if isinstance(field, NumberField):
        step_by: float | str = field.step if field.step is not None else "any"
        return replace(control, unit=field.unit, least=field.least, most=field.most, step=step_by)
    if isinstance(field, ChoiceField):
        return replace(control, choices=field.choices)
    if isinstance(field, MappingField):
        pairs = tuple((key, shown(entry)) for key, entry in (value or {}).items())
        return replace(
            control, entries=pairs, names=field.names, values=field.values, takes_data=not field.plain
        )
    return _by_kind(control, value)


def _of_library(control: Control, library: LibraryChoices) -> Control:
    if control.kind == "persona":
        chosen = str(control.value or "")
        value = library.persona_value(chosen)
        return replace(control, kind="choice", value=value, choices=library.personas(chosen))
    if control.kind == "email_template":
        return replace(
            control, kind="library_prompt", value=library.email(control.value or {}), takes_data=True
        )
    return replace(control, value=library.prompt(control.value or {}), takes_data=True)


def _by_kind(control: Control, value: JSONValue) -> Control:
    match control.kind:
        case "model":
            return replace(control, choices=known_models())
        case "schema":
            return replace(control, value=_schema_text(value))
        case "list" | "assignees":
            choices = tuple((f"role:{role}", role) for role in AssigneesField.ROLES)
            return replace(
                control,
                value="\n".join(value or ()),
                rows=max(2, min(8, len(value or ()))),
                choices=choices if control.kind == "assignees" else (),
            )
        case "categories":
            return replace(
                control,
                entries=tuple((entry["name"], ", ".join(entry.get("terms") or ())) for entry in value or ()),
            )
        case "form":
            entries = tuple(
                {**entry, "options": ", ".join(entry.get("options", ()))} for entry in value or ()
            )
            return replace(control, entries=entries, choices=FORM_TYPES)
        case "buttons" | "branches":
            return replace(control, entries=tuple(value or ()))
        case "rows":
            return replace(
                control, value=condition_view(value or {}, control.id, control.name), choices=OPERATORS
            )
        case "cases":
            cases = tuple(
                {
                    "name": case.get("name", ""),
                    "port": case.get("port", ""),
                    "condition": condition_view(case, f"{control.id}-{place}", f"{control.name}__{place}"),
                }
                for place, case in enumerate(value or [{}])
            )
            return replace(control, entries=cases, choices=OPERATORS)
    return control


def condition_view(condition: JSONObject, id: str, name: str) -> JSONObject:
    """A condition as its control shows it: the rows, or the expression, and which of the two is in use."""
    rows = [
        {
            "field": row.get("field", ""),
            "operator": row.get("operator", "equals"),
            "value": value_for_control(row.get("value", "")),
        }
        for row in condition.get("rows") or ()
    ]
    expression = condition.get("expression") or ""
    return {
        "id": id,
        "name": name,
        "mode": "expression" if expression and not rows else "rows",
        "match": condition.get("match", "all"),
        "rows": rows or [{"field": "", "operator": "equals", "value": ""}],
        "expression": expression,
        "operators": OPERATORS,
    }


def _empty_entry(control: Control) -> Any:
    match control.kind:
        case "cases":
            place = len(control.entries)
            view = condition_view({}, f"{control.id}-{place}", f"{control.name}__{place}")
            return {"name": "", "port": "", "condition": view}
        case "form" | "buttons" | "branches":
            return {}
    return ("", "")


def _is_hidden(field: ConfigField, values: JSONObject) -> bool:
    if field.shown_when is None:
        return False
    name, wanted = field.shown_when
    value = values.get(name)
    said = str(value).lower() if isinstance(value, bool) else str(value or "")
    return said not in wanted


def shown(value: JSONValue) -> str:
    """A value as text in a control: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _schema_text(value: JSONValue) -> str:
    if not value:
        return ""
    if isinstance(value, dict) and "$invalid" in value:
        return str(value["$invalid"])
    return json.dumps(value, indent=2, ensure_ascii=False)


def known_models() -> tuple[tuple[str, str], ...]:
    """Offered in the model's list; any `provider:model` may be written."""
    return (("default", "What the workflow has chosen"), *_provider_models(_environment()))


def _environment() -> tuple[str, ...]:
    return tuple(sorted(name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL"))))


@lru_cache(maxsize=8)
def _provider_models(environment: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for provider in providers.all_providers():
        model = provider.default_model()
        if model:
            found.append((f"{provider.name}:{model}", provider.label))
    return tuple(found)


# --- what every step has ----------------------------------------------------------------------------------------------


def wrong_section(step: StepDef, kind: StepType, problems: Sequence[Problem]) -> Section:
    """“If it goes wrong”: tries, time limit, and what the last failure does."""
    by_field: dict[str, list[Problem]] = {}
    for problem in problems:
        by_field.setdefault(field_of(problem), []).append(problem)
    usual = kind.retry_policy(step.config)
    own = step.retry

    def of(name: str, label: str, **more: Any) -> Control:
        return Control(
            name=name, id=f"{step.key}-{name}", label=label, kind=more.pop("kind", "number"), **more
        )

    tries = "Tried once" if usual.max_attempts == 1 else f"Tried {usual.max_attempts} times"
    default = step.on_error.default
    return Section(
        "If it goes wrong",
        (
            of(
                "retry_policy__max_attempts",
                "Tries",
                value=own.max_attempts if own else "",
                placeholder=str(usual.max_attempts),
                least=1,
                most=20,
                step=1,
                unit="times",
                problems=tuple(by_field.get("retry_policy", ())),
            ),
            of(
                "retry_policy__delay_s",
                "First wait",
                value=_number(own.delay_ms / 1000) if own else "",
                placeholder=_number(usual.delay_ms / 1000),
                least=0,
                step="any",
                unit="seconds",
            ),
            of(
                "retry_policy__backoff_multiplier",
                "Then wait",
                value=_number(own.backoff_multiplier) if own else "",
                placeholder=_number(usual.backoff_multiplier),
                least=1,
                step="any",
                unit="× as long",
            ),
            of(
                "timeout_s",
                "Give up after",
                value=_number(step.timeout_s) if step.timeout_s is not None else "",
                placeholder=_number(kind.default_timeout.total_seconds()),
                least=1,
                step="any",
                unit="seconds",
                problems=tuple(by_field.get("timeout_s", ())),
            ),
            of(
                "on_error__policy",
                "If every try fails",
                kind="choice",
                value=step.on_error.policy.value,
                choices=(
                    (ErrorChoice.FAIL.value, "Stop the run"),
                    (ErrorChoice.CONTINUE.value, "Carry on with a value"),
                    (ErrorChoice.ROUTE.value, "Leave by the error path"),
                ),
            ),
            of(
                "on_error__default",
                "Value to carry on with",
                kind="expression",
                value="" if default is None else shown(default),
                help="Text, or JSON.",
                shown_when="on_error__policy=continue",
                hidden=step.on_error.policy is not ErrorChoice.CONTINUE,
                problems=tuple(by_field.get("on_error", ())),
            ),
        ),
        (
            of(
                "retry_policy__max_delay_s",
                "Longest wait",
                value=_number(own.max_delay_ms / 1000) if own else "",
                placeholder=_number(usual.max_delay_ms / 1000),
                least=0,
                step="any",
                unit="seconds",
            ),
            of(
                "retry_policy__jitter",
                "Random part of the wait",
                value=_number(own.jitter) if own else "",
                placeholder=_number(usual.jitter),
                least=0,
                most=1,
                step="any",
                help="0 to 1, so that many runs do not try again at the same moment.",
            ),
            of(
                "retry_policy__retry_on_errors",
                "Only after these errors",
                kind="list",
                value="\n".join(own.retry_on_errors) if own else "",
                rows=2,
                help="Codes of errors, one on a line. Left empty: all that trying again can help.",
            ),
        ),
        hint=f"{tries} unless you say otherwise.",
    )


def join_section(step: StepDef, paths: int, problems: Sequence[Problem]) -> Section:
    """“Waits for”: shown where several paths arrive."""

    def of(name: str, label: str, **more: Any) -> Control:
        return Control(name=name, id=f"{step.key}-{name}", label=label, **more)

    return Section(
        "Waits for",
        (
            of(
                "join__rule",
                "Starts when",
                kind="choice",
                value=step.join.rule.value,
                choices=(
                    (JoinKind.ALL.value, "All paths have arrived"),
                    (JoinKind.ANY.value, "The first path arrives"),
                    (JoinKind.COUNT.value, "So many have arrived"),
                ),
            ),
            of(
                "join__count",
                "How many",
                kind="number",
                value=step.join.count,
                least=1,
                most=paths,
                step=1,
                unit=f"of {paths}",
                shown_when="join__rule=count",
                hidden=step.join.rule is not JoinKind.COUNT,
                problems=tuple(problem for problem in problems if field_of(problem) == "join"),
            ),
            of(
                "join__losers",
                "The others",
                kind="choice",
                value=step.join.losers.value,
                choices=((Losers.CANCEL.value, "Are cancelled"), (Losers.LEAVE.value, "Go on")),
                shown_when="join__rule=any|count",
                hidden=step.join.rule is JoinKind.ALL,
            ),
        ),
        hint=f"{paths} paths arrive here.",
    )


DECLARED_TYPES: Final = (
    ("any", "Anything"),
    ("string", "Text"),
    ("number", "Number"),
    ("boolean", "Yes or no"),
    ("object", "Object"),
    ("array", "List"),
)


def declared_section(step: StepDef, problems: Sequence[Problem], *, extra_rows: str = "") -> Section:
    """“What goes in and out”: the declared inputs and outputs, which are held against the data of every run."""

    def of(name: str, label: str, word: str, fields: Sequence[FieldDecl], help: str) -> Control:
        rows: tuple[Any, ...] = tuple(fields)
        return Control(
            name=f"declared_{name}",
            id=f"{step.key}-declared-{name}",
            kind="declared",
            label=label,
            help=help,
            names=word,
            value="",
            entries=(*rows, {}) if extra_rows == f"declared_{name}" else rows,
            choices=DECLARED_TYPES,
            problems=tuple(problem for problem in problems if field_of(problem) == name),
        )

    return Section(
        "What goes in and out",
        (),
        (
            of(
                "inputs",
                "What it needs",
                "input",
                step.inputs,
                "Looked for in what comes in, the run form and the variables; used as {{inputs.name}}. What must be there and is not fails the step before it starts.",
            ),
            of(
                "outputs",
                "What it gives",
                "output",
                step.outputs,
                "The output is held against this. What is missing or of another kind fails the step.",
            ),
        ),
    )


def _number(value: float) -> str:
    return f"{value:g}"


# --- variables --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VariableRow:
    """One line of the variables' table; an empty name is a line to fill in."""

    name: str = ""
    type: str = VariableType.STRING.value
    required: bool = False
    default: str = ""
    description: str = ""
    problems: tuple[Problem, ...] = ()


def variable_rows(
    definition: Definition, variables: Iterable[VariableDef], problems: Sequence[Problem]
) -> tuple[VariableRow, ...]:
    numbers = {variable.name: number for number, variable in enumerate(definition.variables)}
    return tuple(
        VariableRow(
            variable.name,
            variable.type.value,
            variable.required,
            "" if variable.default is None else shown(variable.default),
            variable.description,
            tuple(
                problem
                for problem in problems
                if (problem.path or "").startswith(f"definition.variables[{numbers[variable.name]}]")
            ),
        )
        for variable in variables
    )
