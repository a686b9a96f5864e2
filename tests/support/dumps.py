"""What someone has who has a copy of the database."""

from __future__ import annotations

import re

from django.db import connection

# Whatever may be a key: in a column of its own, or a part of one.
_WORD = re.compile(r"[\w.:+/=-]{8,400}")


def dump() -> dict[str, str]:
    """Everything in the database as text, by table."""
    tables = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            tables[table] = "\n".join(str(value) for row in cursor.fetchall() for value in row)
    return tables


def words_in(tables: dict[str, str]) -> set[str]:
    """Everything in a dump that could be a key, whole and in its parts."""
    words = {word for text in tables.values() for word in _WORD.findall(text)}
    return words | {part for word in words for part in re.split(r"[.:=/]", word) if len(part) >= 8}
