"""Rows that every driver reads, with plain SQL that is made once: building the ORM's query costs more than asking it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from django.db import connection, models

from runs.models import Run, StepRun
from runs.services import rows
from workflows.models import WorkflowVersion
from workflows.tenancy.models import Tenant

_M = TypeVar("_M", bound=models.Model)


class Columns(Generic[_M]):
    """Columns of a model under an alias: as SQL, and from what the database answers to Python's values.

    Values are converted by the fields themselves, as the ORM does it.
    """

    def __init__(self, model: type[_M], alias: str, names: Sequence[str] = ()) -> None:
        found = [field for field in model._meta.concrete_fields if not names or field.attname in names]
        if names:
            found.sort(key=lambda field: names.index(field.attname))
        self.model = model
        self.names = tuple(field.attname for field in found)
        quote = connection.ops.quote_name
        self.sql = ", ".join(f"{alias}.{quote(str(field.column))}" for field in found)
        self._converters = []
        for place, field in enumerate(found):
            column = field.cached_col
            converters = [
                *connection.ops.get_db_converters(column),
                *field.get_db_converters(connection),
            ]
            if converters:
                self._converters.append((place, column, converters))

    def read(self, row: Sequence[Any]) -> list[Any]:
        """The values of one row, in the order of `names`."""
        values = list(row)
        for place, column, converters in self._converters:
            for convert in converters:
                values[place] = convert(values[place], column, connection)
        return values

    def instance(self, row: Sequence[Any]) -> _M:
        """The row as an object of its model."""
        return self.model.from_db(connection.alias, self.names, self.read(row))


@cache
def _run_columns(vendor: str) -> tuple[Columns[Run], Columns[Tenant], str]:
    run, tenant = Columns(Run, "r"), Columns(Tenant, "t")
    name = connection.ops.quote_name
    sql = (
        f"SELECT {run.sql}, {tenant.sql}, v.content_hash FROM {name(Run._meta.db_table)} r"
        f" JOIN {name(Tenant._meta.db_table)} t ON t.id = r.tenant_id"
        f" JOIN {name(WorkflowVersion._meta.db_table)} v ON v.id = r.version_id WHERE r.id = %s"
    )
    return run, tenant, sql


def run_with_tenant(run_id: UUID) -> tuple[Run, str]:
    """The run with its tenant, and the content hash of its version. Raises Run.DoesNotExist."""
    run_columns, tenant_columns, sql = _run_columns(connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(sql, [rows.uuid_value(run_id)])
        found = cursor.fetchone()
    if found is None:
        raise Run.DoesNotExist(run_id)
    first = len(run_columns.names)
    run = run_columns.instance(found[:first])
    run.tenant = tenant_columns.instance(found[first:-1])
    return run, found[-1]


# What a driver knows of every step row, outputs left out.
LIGHT: Final = (
    "id",
    "step_key",
    "scope",
    "round",
    "status",
    "port",
    "edges",
    "attempt",
    "crashes",
    "wait",
    "due_at",
    "ends_run",
    "inputs",
    "skip_reason",
    "max_attempts",
    "variables",
    "variables_seq",
)


@cache
def _step_columns(vendor: str) -> tuple[Columns[StepRun], str]:
    columns = Columns(StepRun, "s", LIGHT)
    table = connection.ops.quote_name(StepRun._meta.db_table)
    return columns, f"SELECT {columns.sql} FROM {table} s WHERE s.run_id = %s ORDER BY s.round"


def step_rows(run_id: UUID) -> Iterator[dict[str, Any]]:
    """The light part of a run's step rows, old rounds first."""
    columns, sql = _step_columns(connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(sql, [rows.uuid_value(run_id)])
        for row in cursor.fetchall():
            yield dict(zip(LIGHT, columns.read(row), strict=True))
