"""Conditions as settings: rows of field, operator and value, or an expression; and the cases of a branch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.fields.base import REQUIRED, ConfigField, Rewrite, WrongType, all_of, json_or_none


class RowsField(ConfigField):
    """One condition: rows of field, operator and value (`match` all or any of them), or an expression.

    Canonical: `{"match": "all", "rows": [{"field", "operator", "value"}]}` or `{"expression": "…"}`.
    A bare text is an expression. In a form: `NAME__match`, repeated `NAME__field`, `NAME__operator`, `NAME__value`,
    and `NAME__expression`, which holds when there are no rows.
    """

    kind = "rows"
    json_type = {
        "type": "object",
        "properties": {
            "match": {"type": "string", "enum": ["all", "any"]},
            "rows": {"type": "array", "items": {"type": "object"}},
            "expression": {"type": "string"},
        },
    }

    def nothing(self) -> JSONValue:
        return {}

    def is_empty(self, value: JSONValue) -> bool:
        return not (value and (value.get("expression") or value.get("rows")))

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        return _posted_condition(data, name)

    def read(self, raw: Any) -> JSONValue:
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            return {}
        if isinstance(raw, str) and raw.lstrip().startswith("{") and isinstance(json_or_none(raw), dict):
            raw = json_or_none(raw)
        return read_condition(raw)

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        yield from condition_faults(value or {}, self.called)

    def expressions(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        return condition_expressions(value or {}, "")

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return rewritten_condition(value or {}, expression)


class CasesField(ConfigField):
    """The cases of a condition in order: each a condition as in RowsField, with `name` and `port`.

    A port keeps its name when the case is renamed, so paths stay connected. In a form the case's number stands
    in the name: `NAME__0__name`, `NAME__0__port`, `NAME__0__match`, `NAME__0__field`, …
    """

    kind = "cases"
    json_type = {"type": "array", "items": {"type": "object"}}
    RESERVED: Final = frozenset({"else", "error"})

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        pattern = re.compile(rf"{re.escape(name)}__(\d+)__")
        places = sorted({int(found.group(1)) for key in data if (found := pattern.match(str(key)))})
        if not places and f"{name}__shown" not in data:
            return None
        return [
            {
                "name": data.get(f"{name}__{place}__name") or "",
                "port": data.get(f"{name}__{place}__port") or "",
                **(_posted_condition(data, f"{name}__{place}") or {}),
            }
            for place in places
        ]

    def read(self, raw: Any) -> JSONValue:
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            return []
        if isinstance(raw, str):
            loaded = json_or_none(raw)
            raw = loaded if isinstance(loaded, list) else [raw]
        if isinstance(raw, dict):
            raw = [raw]
        if not isinstance(raw, list):
            raise WrongType("a list of cases")
        return [self._one(entry) for entry in raw]

    def _one(self, entry: Any) -> JSONObject:
        if isinstance(entry, str):
            return read_condition(entry)
        if not isinstance(entry, dict):
            raise WrongType("a list of cases")
        for key in ("name", "port"):
            if not isinstance(entry.get(key, ""), str):
                raise WrongType(f"a list of cases whose {key} is text")
        name, port = entry.get("name", "").strip(), entry.get("port", "").strip()
        rest = {key: value for key, value in entry.items() if key not in ("name", "port")}
        head: JSONObject = {"name": name} if name else {}
        if port or name:
            head["port"] = port or name
        return {**head, **read_condition(rest)}

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        ports: set[str] = set()
        for place, case in enumerate(value or (), start=1):
            called = f"“{case['name']}”" if case.get("name") else f"case {place}"
            port = case.get("port") or ""
            if port.lower() in self.RESERVED:
                yield (
                    "bad_case",
                    f"{self.called}: {called} may not be named “{port}”.",
                    "Give it another name.",
                )
            if port and port in ports:
                yield "bad_case", f"{self.called}: two cases are named “{port}”.", "Rename one of them."
            if not port and len(value) > 1:
                yield (
                    "bad_case",
                    f"{self.called}: {called} has no name.",
                    "Name every case when there are several.",
                )
            ports.add(port)
            if not (case.get("expression") or case.get("rows")):
                yield (
                    REQUIRED,
                    f"{self.called}: {called} says nothing.",
                    "Add a row or an expression, or take it out.",
                )
            yield from condition_faults(case, f"{self.called}, {called}")

    def expressions(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        for place, case in enumerate(value or ()):
            yield from condition_expressions(case, f"[{place}]")

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return [
            {
                **{key: case[key] for key in ("name", "port") if key in case},
                **rewritten_condition(case, expression),
            }
            for case in value or ()
        ]


def read_condition(raw: Any) -> JSONObject:
    """A condition in canonical form. Raises WrongType."""
    if isinstance(raw, bool):
        raw = "true" if raw else "false"
    if isinstance(raw, str):
        return {"expression": raw.strip()} if raw.strip() else {}
    if isinstance(raw, list):
        raw = {"rows": raw}
    if not isinstance(raw, dict):
        raise WrongType("a condition: rows or an expression")
    extra = set(raw) - {"match", "rows", "expression"}
    if extra:
        raise WrongType(f"a condition, which has no “{sorted(extra)[0]}”")
    if not isinstance(raw.get("expression") or "", str):
        raise WrongType("a condition whose expression is text")
    rows = raw.get("rows") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise WrongType("a condition whose rows are a list")
    read = [_row(row) for row in rows]
    read = [row for row in read if row["field"] or row["value"] not in ("", None)]
    if read:
        match = raw.get("match") or "all"
        if match not in ("all", "any"):
            raise WrongType("a condition that matches “all” or “any”")
        return {"match": match, "rows": read}
    expression = (raw.get("expression") or "").strip()
    return {"expression": expression} if expression else {}


def _row(row: JSONObject) -> JSONObject:
    if not isinstance(row.get("field", ""), str) or not isinstance(row.get("operator", ""), str):
        raise WrongType("a condition whose rows have field, operator and value")
    extra = set(row) - {"field", "operator", "value"}
    if extra:
        raise WrongType(f"a condition whose rows have no “{sorted(extra)[0]}”")
    operator = row.get("operator", "").strip() or "equals"
    return {
        "field": re.sub(r"^\{\{|\}\}$", "", row.get("field", "").strip()).strip(),
        "operator": _SIGNS.get(operator, operator),
        "value": row.get("value", ""),
    }


# Signs that people send for the operators of rows.
_SIGNS: Final = {
    "==": "equals",
    "=": "equals",
    "eq": "equals",
    "!=": "not_equals",
    "ne": "not_equals",
    ">": "greater",
    "gt": "greater",
    ">=": "greater_or_equal",
    "gte": "greater_or_equal",
    "<": "less",
    "lt": "less",
    "<=": "less_or_equal",
    "lte": "less_or_equal",
    "in": "is_one_of",
    "not_in": "is_not_one_of",
}


def value_from_control(text: str) -> JSONValue:
    """What a person wrote into a row's value: a number, true or false as such, all else as text; quotes make text."""
    written = text.strip()
    if re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", written):
        return float(written) if "." in written else int(written)
    if written in ("true", "false"):
        return written == "true"
    if len(written) >= 2 and written[0] == written[-1] == '"':
        return written[1:-1]
    return written


def value_for_control(value: JSONValue) -> str:
    """A row's value as it stands in the control, such that `value_from_control` reads it back."""
    if isinstance(value, str):
        return value if value_from_control(value) == value else f'"{value}"'
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else json.dumps(value)
        if value is not None
        else ""
    )


def condition_faults(condition: JSONObject, called: str) -> Iterator[tuple[str, str, str | None]]:
    """What is wrong with the rows; expressions are checked with all others, where their place is known."""
    from workflows.steps.conditions import row_fault

    for place, row in enumerate(condition.get("rows") or (), start=1):
        fault = row_fault(row)
        if fault:
            yield "bad_row", f"{called}, row {place}: {fault}", "Choose a field and an operator."


def condition_expressions(condition: JSONObject, path: str) -> Iterator[tuple[str, str]]:
    """(path, expression): rows are given as the expression that they stand for."""
    from workflows.steps.conditions import expression_of_row

    if condition.get("rows"):
        for place, row in enumerate(condition["rows"]):
            text = expression_of_row(row)
            if text:
                yield f"{path}.rows[{place}]", text
    elif condition.get("expression"):
        yield f"{path}.expression", condition["expression"]


def rewritten_condition(condition: JSONObject, expression: Rewrite) -> JSONObject:
    """The condition with its references rewritten: a row's field is a path, which is an expression too."""
    if condition.get("rows"):
        rows = [
            {**row, "field": expression(row["field"]) if row["field"] else ""} for row in condition["rows"]
        ]
        return {"match": condition.get("match", "all"), "rows": rows}
    if condition.get("expression"):
        return {"expression": expression(condition["expression"])}
    return {}


def _posted_condition(data: Mapping[str, Any], name: str) -> JSONObject | None:
    fields, operators, values = (all_of(data, f"{name}__{part}") for part in ("field", "operator", "value"))
    expression = data.get(f"{name}__expression")
    if not fields and expression is None and f"{name}__shown" not in data:
        return None
    rows = [
        {
            "field": field,
            "operator": operator,
            "value": value_from_control(values[place] if place < len(values) else ""),
        }
        for place, (field, operator) in enumerate(zip(fields, operators, strict=False))
    ]
    found: JSONObject = {
        "match": data.get(f"{name}__match") or "all",
        "rows": rows,
        "expression": expression or "",
    }
    # The control says which of its two forms is shown; without it, rows go first.
    if data.get(f"{name}__mode") == "expression":
        found["rows"] = []
    elif data.get(f"{name}__mode") == "rows":
        found["expression"] = ""
    return found
