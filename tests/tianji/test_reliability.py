"""docs/reliability.md and docs/security.md name the tests that hold their promises."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = "\n".join((ROOT / "docs" / name).read_text() for name in ("reliability.md", "security.md"))
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGES)


def rows() -> list[str]:
    """The rows of the pages' tables of promises, without their headings."""
    tables = re.findall(r"^\| promise \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGES, re.MULTILINE)
    return [row for table in tables for row in table.splitlines()]


def test_both_pages_have_promises():
    assert len(rows()) > 60


@pytest.mark.parametrize("row", rows())
def test_each_promise_names_a_test(row):
    promise, held_by = row.strip("| ").split(" | ")
    assert promise.endswith(".")
    assert re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`(, `tests/[\w/]+\.py::test_\w+`)*", held_by)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_named_tests_exist(file, name):
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
