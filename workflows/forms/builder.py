"""What the builder's forms send, read into the domain's words: places, variables, retry, errors, joins, settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from django.http import QueryDict

from workflows.definition.canvas import FURTHEST
from workflows.definition.graph import (
    Definition,
    ErrorChoice,
    ErrorPolicy,
    FieldDecl,
    JoinKind,
    JoinRule,
    Losers,
    Position,
    StepDef,
    VariableDef,
    VariableKind,
    VariableType,
)
from workflows.definition.layout import snap
from workflows.definition.operations import After, AsRoot, AtEnd, Before, OnEdge, Place
from workflows.definition.retry import RetryPolicy
from workflows.definition.schema import BUDGET_POLICIES, FIELD_TYPES
from workflows.lib.errors import Invalid, Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import FALLBACK_MODELS
from workflows.providers.models import BadModel, parse_model
from workflows.steps.base import StepType

POLICY_FIELDS: Final = frozenset({"retry_policy", "timeout_s", "on_error", "join"})


def read_place(token: str) -> Place:
    """`edge:ID`, `before:KEY`, `after:KEY`, `after:KEY:PORT`, `root`, `inside:KEY` or `end` (also nothing). Raises Invalid."""
    kind, _, rest = token.partition(":")
    match kind:
        case "" | "end":
            return AtEnd()
        case "root":
            return AsRoot()
        case "inside" if rest:
            return AtEnd(rest)
        case "edge" if rest:
            return OnEdge(rest)
        case "before" if rest:
            return Before(rest)
        case "after" if rest:
            key, _, port = rest.partition(":")
            return After(key, port or None)
    raise Invalid("There is no such place in the workflow.")


def read_position(data: Mapping[str, Any]) -> Position | None:
    """`x` and `y` of a place on the canvas, on its raster; None where they are not sent. Raises Invalid."""
    if not data.get("x") and not data.get("y"):
        return None
    try:
        x, y = float(data["x"]), float(data["y"])
    except (KeyError, ValueError) as error:
        raise Invalid("There is no such place on the canvas.") from error
    if not (abs(x) <= FURTHEST and abs(y) <= FURTHEST):
        raise Invalid("That is too far from the other steps.")
    return Position(snap(x), snap(y))


# --- retry, time limit, errors, joins ---------------------------------------------------------------------------------


def changed_policies(step: StepDef, kind: StepType, data: Mapping[str, Any]) -> dict[str, Any]:
    """The step's fields that the posted form sets, for `update_step`. Raises Invalid naming the control."""
    found: dict[str, Any] = {}
    if any(name.startswith("retry_policy__") for name in data):
        found["retry"] = _retry(step, kind, data)
    if "timeout_s" in data:
        found["timeout_s"] = _number(data, "timeout_s", "Give up after")
    if any(name.startswith("on_error__") for name in data):
        found["on_error"] = _on_error(step.on_error, data)
    if any(name.startswith("join__") for name in data):
        found["join"] = _join(step.join, data)
    for name in ("inputs", "outputs"):
        if f"declared_{name}__shown" in data:
            found[name] = _declared(f"declared_{name}", data)
    return found


def _declared(control: str, data: Mapping[str, Any]) -> tuple[FieldDecl, ...]:
    """The whole table of declared fields as posted; lines without a name are left out."""
    columns = {
        name: data.getlist(f"{control}__{name}") if isinstance(data, QueryDict) else []
        for name in ("name", "type", "required", "description")
    }
    found: dict[str, FieldDecl] = {}
    for line, said in enumerate(columns["name"]):
        cell = {column: values[line] if line < len(values) else "" for column, values in columns.items()}
        name, kind = said.strip(), cell["type"] or "any"
        if not name:
            continue
        if name in found:
            _refuse(control, f"“{name}” is there twice.")
        if kind not in FIELD_TYPES:
            _refuse(control, "Choose a kind of data from the list.")
        found[name] = FieldDecl(
            name[:100], kind, cell["required"] == "yes", cell["description"].strip()[:1000]
        )
    return tuple(found.values())


def _retry(step: StepDef, kind: StepType, data: Mapping[str, Any]) -> RetryPolicy | None:
    """The policy after this change: what is not sent stays, all controls empty means the type's own policy."""
    usual = kind.retry_policy(step.config)
    now = step.retry
    sent = {name.removeprefix("retry_policy__") for name in data if name.startswith("retry_policy__")}

    def value(name: str, label: str) -> float | None:
        return _number(data, f"retry_policy__{name}", label)

    tries: float | None = now.max_attempts if now is not None else None
    if "max_attempts" in sent:
        tries = value("max_attempts", "Tries")
    changed = now or usual
    if tries is None:
        others = {
            name for name in sent - {"max_attempts"} if str(data.get(f"retry_policy__{name}", "")).strip()
        }
        if now is None and not others:
            return None
        if "max_attempts" in sent and now is not None:
            # The tries were emptied: back to what is usual for the type.
            return None
        tries = usual.max_attempts
    if not float(tries).is_integer():
        _refuse("retry_policy__max_attempts", "“Tries” must be a whole number.")
    changed = replace(changed, max_attempts=int(tries))
    if "delay_s" in sent and (delay := value("delay_s", "First wait")) is not None:
        changed = replace(changed, delay_ms=round(delay * 1000))
    if "backoff_multiplier" in sent and (factor := value("backoff_multiplier", "Then wait")) is not None:
        changed = replace(changed, backoff_multiplier=factor)
    if "max_delay_s" in sent and (longest := value("max_delay_s", "Longest wait")) is not None:
        changed = replace(changed, max_delay_ms=round(longest * 1000))
    if "jitter" in sent and (jitter := value("jitter", "Random part of the wait")) is not None:
        changed = replace(changed, jitter=jitter)
    if "retry_on_errors" in sent:
        codes = str(data["retry_policy__retry_on_errors"]).replace(",", "\n").split("\n")
        changed = replace(changed, retry_on_errors=tuple(code.strip() for code in codes if code.strip()))
    return changed


def _on_error(now: ErrorPolicy, data: Mapping[str, Any]) -> ErrorPolicy:
    if "on_error__policy" in data:
        try:
            now = replace(now, policy=ErrorChoice(data["on_error__policy"]))
        except ValueError:
            _refuse("on_error__policy", "Choose what happens when every try fails.")
    if "on_error__default" in data:
        now = replace(now, default=json_or_text(str(data["on_error__default"])))
    return now


def _join(now: JoinRule, data: Mapping[str, Any]) -> JoinRule:
    try:
        if "join__rule" in data:
            now = replace(now, rule=JoinKind(data["join__rule"]))
        if "join__losers" in data:
            now = replace(now, losers=Losers(data["join__losers"]))
    except ValueError:
        _refuse("join__rule", "Choose one of the ways to wait.")
    if "join__count" in data:
        count = _number(data, "join__count", "How many")
        if count is None or not count.is_integer() or count < 1:
            _refuse("join__count", "“How many” must be a whole number from 1.")
        else:
            now = replace(now, count=int(count))
    return now


def json_or_text(text: str) -> JSONValue:
    """What a person wrote as a value: JSON where it is JSON, nothing where it is empty, else text."""
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(data: Mapping[str, Any], name: str, label: str) -> float | None:
    text = str(data.get(name, "")).strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        _refuse(name, f"“{label}” must be a number.")
    return value


def _refuse(field: str, message: str, fix: str | None = None) -> None:
    raise Invalid(message, problems=(Problem("wrong_type", message, field=field, fix=fix),))


# --- variables --------------------------------------------------------------------------------------------------------


def read_variables(data: QueryDict, definition: Definition) -> tuple[VariableDef, ...]:
    """The whole table as posted: repeated `name`, `type`, `required`, `default`, `description`, `kind`.

    Lines without a name are left out. Raises Invalid with one problem per line that cannot be read; `field` is
    `NUMBER.column` of the line.
    """
    columns = {
        name: data.getlist(name) for name in ("name", "kind", "type", "required", "default", "description")
    }
    found: list[VariableDef] = []
    problems: list[Problem] = []
    for line, name in enumerate(columns["name"]):
        cell = {column: values[line] if line < len(values) else "" for column, values in columns.items()}
        if not name.strip():
            continue
        try:
            kind, type = VariableKind(cell["kind"] or "input"), VariableType(cell["type"] or "string")
        except ValueError:
            problems.append(Problem("bad_value", "Choose a type from the list.", field=f"{line}.type"))
            continue
        try:
            default = read_value(cell["default"], type) if cell["default"].strip() else None
        except ValueError as error:
            message = f"The default of “{name.strip()}” {error}."
            problems.append(Problem("bad_default", message, field=f"{line}.default"))
            continue
        found.append(
            VariableDef(
                name.strip(), type, kind, cell["required"] == "yes", default, cell["description"].strip()
            )
        )
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    return tuple(found)


def read_value(text: str, type: VariableType) -> JSONValue:
    """A control's text as a value of this type. Raises ValueError with the end of a sentence."""
    match type:
        case VariableType.STRING:
            return text
        case VariableType.NUMBER:
            try:
                number = float(text.strip())
            except ValueError:
                raise ValueError("must be a number, such as 12.5") from None
            if number != number or number in (float("inf"), float("-inf")):
                raise ValueError("must be a number, such as 12.5")
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case VariableType.BOOLEAN:
            said = text.strip().lower()
            if said not in ("true", "false", "yes", "no", "on", "off"):
                raise ValueError("must be true or false")
            return said in ("true", "yes", "on")
    wanted, example = (
        (dict, '{"name": "value"}') if type is VariableType.OBJECT else (list, '["first", "second"]')
    )
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"is no JSON ({error}). Write it like {example}") from None
    if not isinstance(value, wanted):
        raise ValueError(f"must be written like {example}")
    return value


# --- the workflow's own settings --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What the settings form sends, apart into what the row holds and what the definition holds."""

    row: dict[str, Any]
    settings: JSONObject


def read_settings(data: QueryDict, now: JSONObject) -> SettingsChange:
    """Name, description, tags; default model, fallback order, budget, YOLO. Only what was sent. Raises Invalid."""
    row: dict[str, Any] = {name: str(data.get(name, "")) for name in ("name", "description") if name in data}
    if "tags" in data:
        row["tags"] = [tag.strip() for tag in str(data["tags"]).split(",") if tag.strip()]
    settings = dict(now)
    if "default_model" in data:
        _put(settings, "default_model", str(data["default_model"]).strip())
    if "yolo__shown" in data:
        _put(settings, "yolo", "yolo" in data)
    if "fallback" in data:
        chain = [line.strip() for line in str(data["fallback"]).splitlines() if line.strip()]
        for entry in chain:
            try:
                parse_model(entry)
            except BadModel as error:
                _refuse("fallback", error.message, "Write provider:model, one on each line.")
        if len(chain) > FALLBACK_MODELS.value:
            _refuse("fallback", FALLBACK_MODELS.says())
        _put(settings, "fallback", chain or None)
    if "fallback_on_refusal__shown" in data:
        _put(settings, "fallback_on_refusal", "fallback_on_refusal" in data)
    if "budget_usd" in data:
        budget = _number(data, "budget_usd", "Budget of a run")
        if budget is not None and not 0 < budget <= 1_000_000:
            _refuse("budget_usd", "A budget is more than 0 and at most 1,000,000 US dollars.")
        _put(settings, "budget_usd", budget)
    if "minutes_saved" in data:
        minutes = _number(data, "minutes_saved", "Minutes that a run saves")
        if minutes is not None and not 0 < minutes <= 100_000:
            _refuse("minutes_saved", "Minutes saved are more than 0 and at most 100,000.")
        _put(settings, "minutes_saved", minutes)
    if "budget_policy" in data:
        policy = str(data["budget_policy"])
        if policy and policy not in BUDGET_POLICIES:
            _refuse("budget_policy", f"There is no policy “{policy}”.")
        # The default is not written down, so that saving something else adds nothing.
        _put(settings, "budget_policy", "" if policy == "pause" else policy)
    return SettingsChange(row, settings)


def _put(settings: JSONObject, name: str, value: JSONValue) -> None:
    if value in (None, "", False, "default"):
        settings.pop(name, None)
    else:
        settings[name] = value
