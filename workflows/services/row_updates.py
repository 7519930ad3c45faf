"""Many rows of one table, each with values of its own, written by one prepared statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, models


def update_rows(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Write these fields of rows that exist, as they are in memory.

    What `bulk_update` does, without an expression tree for every value: for 200 rows that is most of a request's time.
    """
    if not rows or not names:
        return
    meta = rows[0]._meta
    fields: list[Any] = [meta.get_field(name) for name in names]
    key: Any = meta.pk
    quoted = connection.ops.quote_name
    settings = ", ".join(f"{quoted(field.column)} = %s" for field in fields)
    sql = f"UPDATE {quoted(meta.db_table)} SET {settings} WHERE {quoted(key.column)} = %s"  # noqa: S608 - names of columns
    with connection.cursor() as cursor:
        cursor.executemany(
            sql,
            [
                (
                    *(field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields),
                    key.get_db_prep_save(row.pk, connection),
                )
                for row in rows
            ],
        )
