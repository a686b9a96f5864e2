"""What comments and docstrings name exists: files, modules, names in modules and in classes, exceptions."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.prose import ROOT, notes, python_files, syntax_of

_FILE = re.compile(r"(?<![\w./<-])((?:[\w.-]+/)*[\w-]+\.(?:py|js|css|html|md|po|yml|toml))\b")
_DOTTED = re.compile(r"(?<![\w./<-])([a-z_]\w+(?:\.\w+)+)\b(?![/-])")
_MEMBER = re.compile(r"(?<![\w./-])([A-Z]\w*)\.(\w+)")
_RAISED = re.compile(
    r"Raises ((?:[A-Z]+[a-z][\w.]*(?:, | and )?)+)|`([A-Z]+[a-z][\w.]*(?:, [A-Z]+[a-z][\w.]*)*)`:"
)
_SITE = re.compile(r"\.(?:com|org|net|sh)$")
# The parts of the text that a webhook's signature covers, and a path in JSON.
NOT_OURS = {"message_id.timestamp.body", "schedule.timeout"}


@cache
def files() -> frozenset[str]:
    """The paths of all files in the repository, and each of their ends that a comment may use as a name."""
    folders = (
        each for each in ROOT.iterdir() if each.is_dir() and each.name not in ("data", ".venv", ".git")
    )
    paths = [*ROOT.glob("*.*"), *(path for folder in folders for path in folder.rglob("*.*"))]
    parts = [path.relative_to(ROOT).parts for path in paths]
    return frozenset("/".join(each[start:]) for each in parts for start in range(len(each)))


@cache
def modules() -> dict[str, list[Path]]:
    """The files of all our modules, by each end of their dotted name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in python_files():
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        for start in range(len(parts)):
            found[".".join(parts[start:])].append(path)
    return dict(found)


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a module or class, with those below its conditions, but not those of functions."""
    for field in ("body", "orelse", "handlers", "finalbody"):
        for each in getattr(node, field, ()):
            yield each
            if isinstance(each, ast.If | ast.Try | ast.ExceptHandler | ast.With):
                yield from statements(each)


def names_in(node: ast.AST) -> set[str]:
    """What a module or class defines, imports or sets."""
    found: set[str] = set()
    for each in statements(node):
        match each:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name for alias in names}
            case ast.Assign(targets=targets):
                found |= {
                    name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
                }
            case ast.AnnAssign(target=ast.Name(name)):
                found.add(name)
    return found


@cache
def names_of_module(path: Path) -> set[str]:
    return names_in(syntax_of(path))


@cache
def members() -> dict[str, set[str]]:
    """What our classes define, by the name of the class, with the attributes that their methods set."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in python_files():
        lines = path.read_text().splitlines()
        for node in statements(syntax_of(path)):
            if isinstance(node, ast.ClassDef):
                source = "\n".join(lines[node.lineno : node.end_lineno])
                found[node.name] |= names_in(node) | set(re.findall(r"self\.(\w+)", source))
    return dict(found)


@cache
def all_names() -> set[str]:
    return set(dir(builtins)).union(*map(names_of_module, python_files()))


def is_dotted_name(text: str) -> bool:
    """Whether `text` is one of our modules, something in one of them, or of another package."""
    parts = text.split(".")
    for end in range(len(parts), 0, -1):
        if paths := modules().get(".".join(parts[:end])):
            rest = parts[end : end + 1]
            if not rest or any(rest[0] in names_of_module(path) for path in paths):
                return True
    return parts[0] not in modules() and importlib.util.find_spec(parts[0]) is not None


def is_member(owner: str, name: str) -> bool:
    known = members().get(owner)
    if known is None or name == "DoesNotExist":
        return True
    # `on_...` is any name that begins so.
    return name in known or (name.endswith("_") and any(each.startswith(name) for each in known))


def missing_in(text: str) -> list[str]:
    """Return what `text` names and isn't there."""
    named = _FILE.findall(text)
    dotted = [name for name in _DOTTED.findall(text) if not _SITE.search(name) and name not in named]
    raised = [
        name for found in _RAISED.findall(text) for name in re.findall(r"[A-Z][\w.]*\w", "".join(found))
    ]
    return [
        *(each for each in named if each not in files()),
        *(each for each in dotted if each not in NOT_OURS and not is_dotted_name(each)),
        *(f"{owner}.{name}" for owner, name in _MEMBER.findall(text) if not is_member(owner, name)),
        *(each for each in raised if each.rpartition(".")[2] not in all_names() | {"DoesNotExist"}),
    ]


@pytest.mark.slow
def test_what_comments_name_exists():
    found = [f"{note.file}:{note.line}: {missing}" for note in notes() for missing in missing_in(note.text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "See monitors/words.py.",
        "Moved by static/js/detail.js.",
        "In: `lines` (monitors.maintenance_pages.Line).",
        "For `destinations.OVERLAP`, both are valid.",
        "Like services.monitors.forget.",
        "It is `Channel.nickname`.",
        "Raises Nonsense if not.",
        "Raises: `Http404`: it was deleted. `EditedMeanwhile`: it was changed.",
    ],
)
def test_what_does_not_exist_is_found(text: str):
    assert missing_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "See monitors/domain/durations.py, or time.js.",
        "Like services.monitors.edit, but with time.monotonic and asyncio.run.",
        "It is `Channel.config`. Raises Http404, PermissionDenied.",
        "In version 1.2, e.g. 10.0.0.1, example.com is not resolved.",
    ],
)
def test_what_exists_is_left_alone(text: str):
    assert missing_in(text) == []
