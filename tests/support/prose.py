"""What the source says to people: its docstrings, comments and the help of its commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("accounts", "api", "bench", "core", "monitors", "notifications", "scripts", "tianji")
# Files whose comments are lines with a "#".
_CONFIGURATION = (".pre-commit-config.yaml", "docker-compose.yml", "Dockerfile", "Makefile", "pyproject.toml")
_COMMENTS = {
    ".css": re.compile(r"/\*(.*?)\*/", re.DOTALL),
    ".html": re.compile(r"{#(.*?)#}|{% comment .*?%}(.*?){% endcomment %}", re.DOTALL),
    ".js": re.compile(r"/\*(.*?)\*/|((?:(?<![:\w\"'`])//[^\n]*\n\s*)+)", re.DOTALL),
}
_HASHES = re.compile(r"(?:^[ \t]*#[^\n]*\n)+", re.MULTILINE)
_AFTER_CODE = re.compile(r"(?<=\S)  #[ \t]*(.*)")
# Directives for tools, and rules between sections.
_DIRECTIVE = re.compile(r"!|noqa\b|type: ignore|pragma\b|[~:.,|]|-{3} ")
_ENTRY = re.compile(r"^( {4})(\w[\w.]*(?:, \w[\w.]*)*):", re.MULTILINE)
_HELP = ("description", "epilog", "help", "help_text", "summary")


@dataclass(frozen=True, slots=True)
class Note:
    """A docstring, a comment or a help text, on one line."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@cache
def notes() -> tuple[Note, ...]:
    """All of them: of our packages, templates, scripts, style sheets, catalogues and configuration."""
    return tuple(
        Note(str(path.relative_to(ROOT)), line, " ".join(text.split()))
        for path in _files()
        for line, text in _notes_in(path)
        if text.strip()
    )


@cache
def python_files() -> tuple[Path, ...]:
    """The Python of our packages, without migrations."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return (ROOT / "manage.py", *sorted(path for path in found if "migrations" not in path.parts))


@cache
def syntax_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _files() -> Iterator[Path]:
    yield from python_files()
    for folder, ending in (("static", "css"), ("static", "js"), ("templates", "html"), ("locale", "po")):
        yield from sorted((ROOT / folder).rglob(f"*.{ending}"))
    yield from (ROOT / name for name in _CONFIGURATION)
    yield from sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file())


def _notes_in(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(syntax_of(path)):
            yield from _docstring(node)
            yield from _help_text(node)
        for match in _AFTER_CODE.finditer(text):
            yield from _comment(text, match.start(), match[1])
    if path.suffix in _COMMENTS:
        for match in _COMMENTS[path.suffix].finditer(text):
            said = next(group for group in match.groups() if group)
            yield from _comment(text, match.start(), re.sub(r"(?m)^\s*//", "", said))
    else:
        for match in _HASHES.finditer(text):
            lines = (line.strip().lstrip("# ") for line in match[0].splitlines())
            yield from _comment(text, match.start(), "\n".join(lines))


def _comment(text: str, start: int, said: str) -> Iterator[tuple[int, str]]:
    kept = "\n".join(line for line in said.splitlines() if not _DIRECTIVE.match(line.strip()))
    if kept.strip():
        yield text.count("\n", 0, start) + 1, kept


def _docstring(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
        text := ast.get_docstring(node)
    ):
        # Names of arguments, attributes and exceptions are code.
        yield node.body[0].lineno, _ENTRY.sub(lambda entry: f"{entry[1]}`{entry[2]}`:", text)


def _help_text(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the text of `help=` and the like, of a command's help, or of a command's error."""
    match node:
        case ast.keyword(arg=name, value=value) if name in _HELP:
            yield value.lineno, _strings(value)
        case ast.Call(func=ast.Name("CommandError"), args=[value, *_]):
            yield value.lineno, _strings(value)
        case ast.Assign(targets=[ast.Name("help" | "_HELP")], value=value):
            yield value.lineno, _strings(value)


def _strings(node: ast.AST) -> str:
    found = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
    return " ".join(text for text in found if isinstance(text, str))
