"""Whether SQL says of which workspace the rows of large tables are that it reads or writes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection

ROOT = Path(__file__).parents[2]
# The tables that would be distributed by workspace.
DISTRIBUTED = (
    *("monitors_monitor", "monitors_monitorstate", "monitors_pushtoken", "monitors_heartbeat"),
    *("monitors_rollup", "monitors_dailyrollup", "monitors_incident", "monitors_transition"),
    *("monitors_rejectedpush", "notifications_belief", "notifications_delivery"),
    "notifications_deliveryattempt",
)
_WORDS = (
    "WHERE|SET|ON|JOIN|LEFT|INNER|CROSS|AS|ORDER|GROUP|LIMIT|USING|FOR|SELECT|VALUES|UNION|HAVING|OFFSET|FROM"
)
_TABLE = re.compile(
    rf"\b(?:FROM|JOIN|UPDATE|INTO|,)\s*\(?\s*\"?({'|'.join(DISTRIBUTED)})(?:_default|_before|_\d+)?\"?(?!\w|\"?\.)"
    rf"(?:\s+(?:AS\s+)?\"?(?!(?:{_WORDS})\b)([A-Za-z]\w*)\"?)?",
    re.IGNORECASE,
)
_COLUMN = r'(?:"?(\w+)"?\.)?"?workspace_id"?'
_EQUAL = re.compile(rf"{_COLUMN}\s*(?:=|IN)\s*\(?\s*(?:{_COLUMN}\b)?", re.IGNORECASE)
# A push says nothing but its token; each server has a copy of the digests.
_BY_DIGEST = r'\bdigest"?\s*(?:=|IN)'


@dataclass(frozen=True, slots=True)
class Statement:
    """One that was run, and the function of the product that ran it."""

    sql: str
    caller: str


@contextmanager
def captured() -> Iterator[list[Statement]]:
    found: list[Statement] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found.append(Statement(sql, _caller()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield found


def _caller() -> str:
    """Return the innermost function of the product, apart from those that run what others ask for."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] not in ("tests", ".venv", "core"):
            return f"{path.relative_to(ROOT)}:{frame.f_code.co_qualname.replace('.<locals>', '')}"
    return "outside"


def unscoped(sql: str) -> set[str]:
    """Return the large tables in `sql` of whose rows it does not say of which workspace they are.

    It says so by comparing their workspace with a value, or with that of a table of which it says so.
    """
    if not sql.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
        return set()
    tables: dict[str, str] = {}
    known: set[str] = set()
    for match in _TABLE.finditer(sql):
        table, alias = match.group(1).lower(), (match.group(2) or match.group(1)).lower()
        if re.match(r"(?:INSERT\s+)?INTO", sql[match.start() :], re.IGNORECASE):
            columns = re.match(r"\s*\(([^)]*)\)", sql[match.end(1) :].lstrip('"'))
            if columns and "workspace_id" in columns.group(1):
                continue
        tables[alias] = table
        if table == "monitors_pushtoken" and re.search(_BY_DIGEST, sql):
            known.add(alias)
    pairs = []
    for match in _EQUAL.finditer(sql):
        compared = match.group(0).split("=")[-1] if "=" in match.group(0) else ""
        left = (match.group(1) or "").lower()
        right = (match.group(2) or "").lower() if "workspace_id" in compared else None
        # Without a table's name, it is of the only one that is read there.
        for alias in [left] if left else tables:
            if right in tables:
                pairs.append((alias, right))
            else:
                known.add(alias)
        if right in tables and left and left not in tables:
            known.add(str(right))
    while more := {b for a, b in pairs if a in known} | {a for a, b in pairs if b in known}:
        if more <= known:
            break
        known |= more
    return {table for alias, table in tables.items() if alias not in known}
