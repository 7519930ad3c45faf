"""Rows of the hot path, written with plain SQL: the ORM's insert costs more than the database's.

The driver is the only writer of its run's rows, so nothing here needs signals, defaults at save, or refreshed objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from django.db import connection, models
from django.db.backends.utils import CursorWrapper

from runs.models import Attempt, Event, Item, Review, StepRun

Prepare: TypeAlias = Callable[[Any], Any]


class Table:
    """INSERT and UPDATE of one model's rows, with the values adapted to the database in use."""

    def __init__(self, model: type[models.Model]) -> None:
        self.model = model
        self.fields = {
            field.attname: field
            for field in model._meta.concrete_fields
            if not isinstance(field, models.AutoField)
        }
        self.name = connection.ops.quote_name(model._meta.db_table)
        self.prepare = {name: _preparer(field, connection.vendor) for name, field in self.fields.items()}
        columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in self.fields.values())
        marks = ", ".join(["%s"] * len(self.fields))
        self._insert = f"INSERT INTO {self.name} ({columns}) VALUES ({marks})"
        self._places = {name: place for place, name in enumerate(self.fields)}
        # Defaults that are made anew for each row; all others are prepared once.
        self._made = tuple(
            name
            for name, field in self.fields.items()
            if callable(field.default) and field.default not in (dict, list)
        )
        self._defaults = [
            None if name in self._made else self.prepare[name](field.get_default())
            for name, field in self.fields.items()
        ]
        self._updates: dict[tuple[str, ...], str] = {}

    def insert(self, cursor: CursorWrapper, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert whole rows; names left out take the field's default."""
        values = [self._whole(row) for row in rows]
        if len(values) == 1:
            cursor.execute(self._insert, values[0])
        elif values:
            cursor.executemany(self._insert, values)

    def _whole(self, row: Mapping[str, Any]) -> list[Any]:
        values = self._defaults.copy()
        for name, value in row.items():
            values[self._places[name]] = self.prepare[name](value)
        for name in self._made:
            if name not in row:
                values[self._places[name]] = self.prepare[name](self.fields[name].get_default())
        return values

    def update(self, cursor: CursorWrapper, pk: Any, values: Mapping[str, Any]) -> int:
        """Set these columns of one row; the number of rows that matched."""
        names = tuple(values)
        if names not in self._updates:
            settings = ", ".join(
                f"{connection.ops.quote_name(str(self.fields[name].column))} = %s" for name in names
            )
            self._updates[names] = f"UPDATE {self.name} SET {settings} WHERE id = %s"
        parameters = [self.prepare[name](values[name]) for name in names]
        cursor.execute(self._updates[names], [*parameters, self.prepare["id"](pk)])
        return int(cursor.rowcount)


@cache
def _table(model: type[models.Model], vendor: str) -> Table:
    return Table(model)


def table(model: type[models.Model]) -> Table:
    """The table of a model on the database in use."""
    return _table(model, connection.vendor)


def step_runs() -> Table:
    return table(StepRun)


def attempts() -> Table:
    return table(Attempt)


def events() -> Table:
    return table(Event)


def items() -> Table:
    return table(Item)


def reviews() -> Table:
    return table(Review)


def _preparer(field: models.Field[Any, Any], vendor: str) -> Prepare:
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(target, models.JSONField):
        return _json_text if vendor == "sqlite" else _jsonb
    if isinstance(target, (models.CharField, models.TextField)):
        return _text
    if vendor != "sqlite":
        return _as_it_is
    if isinstance(target, models.UUIDField):
        return _hex
    if isinstance(target, models.DateTimeField):
        return connection.ops.adapt_datetimefield_value
    if isinstance(target, models.DecimalField):
        places, digits = target.decimal_places, target.max_digits
        return lambda value: connection.ops.adapt_decimalfield_value(value, digits, places)
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _hex(value: Any) -> Any:
    return value if value is None else (value.hex if hasattr(value, "hex") else str(value).replace("-", ""))


def _text(value: Any) -> Any:
    """Text as both databases keep it: NUL becomes `�`, half a character `?`.

    Outputs are refused before they come here (values.checked_output); this is for what others say of themselves:
    streamed pieces, answers that failed, words of errors. They must not stop the run that tells of them.
    """
    if not isinstance(value, str):
        return value
    if "\x00" in value:
        value = value.replace("\x00", "�")
    if not value.isascii():
        return value.encode("utf-8", "replace").decode()
    return value


def _dumps(value: Any) -> str:
    if not value and isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    text = json.dumps(value, ensure_ascii=False)
    if "\\u0000" in text:
        text = json.dumps(_clean(value), ensure_ascii=False)
    return str(_text(text))


def _clean(value: Any) -> Any:
    """The same JSON value with every text in it as databases keep it."""
    if isinstance(value, dict):
        return {_text(key): _clean(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(entry) for entry in value]
    return _text(value)


def _json_text(value: Any) -> str | None:
    return None if value is None else _dumps(value)


def _jsonb(value: Any) -> Any:
    from psycopg.types.json import Jsonb

    return None if value is None else Jsonb(value, dumps=_dumps)


def database_now(plus_seconds: int = 0) -> str:
    """SQL for the database's own time, in the form in which Django stores times; leases live by it."""
    if connection.vendor == "sqlite":
        plus = f", '+{plus_seconds} seconds'" if plus_seconds else ""
        return f"STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW'{plus})"
    plus = f" + INTERVAL '{plus_seconds} seconds'" if plus_seconds else ""
    return f"(clock_timestamp(){plus})"


def uuid_value(value: Any) -> Any:
    """A UUID as a parameter of plain SQL on the database in use."""
    return _hex(value) if connection.vendor == "sqlite" else value


def time_value(value: Any) -> Any:
    """An aware time (or None) as a parameter of plain SQL on the database in use."""
    return connection.ops.adapt_datetimefield_value(value) if value is not None else None


def json_value(value: Any) -> Any:
    """JSON as a parameter of plain SQL on the database in use; None is SQL NULL."""
    return _json_text(value) if connection.vendor == "sqlite" else _jsonb(value)
