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
# A join with the table of workspaces says nothing: it has all of them.
_EQUAL = re.compile(
    rf"{_COLUMN}\s*(?:=|IN)(?!\s*\(?\"?accounts_workspace\"?\.)\s*(?:\(\s*)*(?:{_COLUMN}\b())?", re.IGNORECASE
)
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
    queries = _queries(sql)
    # By query and alias: subqueries use the same aliases again.
    tables: dict[tuple[int, str], str] = {}
    known: set[tuple[int, str]] = set()
    for match in _TABLE.finditer(sql):
        table, alias = match.group(1).lower(), (match.group(2) or match.group(1)).lower()
        if match.group(0).upper().startswith("INTO"):
            columns = re.match(r"\s*\(([^)]*)\)", sql[match.end(1) :].lstrip('"'))
            if columns and "workspace_id" in columns.group(1):
                continue
        query = _innermost(queries, match.start(1))
        tables[query, alias] = table
        if table == "monitors_pushtoken" and re.search(_BY_DIGEST, sql):
            known.add((query, alias))
    pairs = []
    for match in _EQUAL.finditer(sql):
        query = _innermost(queries, match.start())
        value = match.group(3) is None
        right = _found(tables, queries, query, match.group(2)) if not value else []
        for left in _found(tables, queries, query, match.group(1)):
            if right:
                pairs.append((left, right[0]))
            else:
                known.add(left)
        if right and match.group(1) and not _found(tables, queries, query, match.group(1)):
            known.add(right[0])
    while more := {b for a, b in pairs if a in known} | {a for a, b in pairs if b in known}:
        if more <= known:
            break
        known |= more
    return {table for place, table in tables.items() if place not in known}


def _queries(sql: str) -> list[tuple[int, int, int]]:
    """Return where each query begins and ends, and which one it is part of; the whole one comes first."""
    found = [(0, len(sql), 0)]
    open_: list[int | None] = [0]
    for at, letter in enumerate(sql):
        if letter == "(":
            begins = re.match(
                r"\(\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b", sql[at : at + 60], re.IGNORECASE
            )
            if begins:
                around = next(number for number in reversed(open_) if number is not None)
                found.append((at, len(sql), around))
            open_.append(len(found) - 1 if begins else None)
        elif letter == ")" and len(open_) > 1:
            closed = open_.pop()
            if closed is not None:
                found[closed] = found[closed][0], at, found[closed][2]
    return found


def _innermost(queries: list[tuple[int, int, int]], at: int) -> int:
    return max(
        (number for number, (begin, end, _around) in enumerate(queries) if begin <= at < end),
        key=lambda number: queries[number][0],
    )


def _found(
    tables: dict[tuple[int, str], str], queries: list[tuple[int, int, int]], query: int, alias: str | None
) -> list[tuple[int, str]]:
    """Return which table of a query, or of those around it, has the alias; without one, all of the query."""
    if not alias:
        return [place for place in tables if place[0] == query]
    while True:
        if (query, alias.lower()) in tables:
            return [(query, alias.lower())]
        if query == 0:
            return []
        query = queries[query][2]
