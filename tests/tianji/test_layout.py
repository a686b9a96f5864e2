"""The files: none too long to read, none unused, locks in one place, and tests where their subject is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template import TemplateDoesNotExist, engines
from django.template.loader import get_template

ROOT = Path(__file__).parents[2]
TEMPLATES, STATIC = ROOT / "templates", ROOT / "static"
MOST_LINES = 350

# Found by its name alone, and not in place of a template of a package (those are found out below).
BY_CONVENTION = {
    "403.html": "Django's answer when a view denies permission",
    "403_csrf.html": "Django's answer to a form without a valid CSRF token",
    "404.html": "Django's answer to an address that leads nowhere",
    "500.html": "Django's answer when a view fails",
    "503.html": "and ours when the database does not respond",
    "account/password_reset_help_text.html": "allauth's form has it below the password; the package has none",
}

_NAMED = re.compile(r"{%\s*(?:extends|include)\s+\"([^\"#]+)(?:#\w+)?\"")
_LINKED = re.compile(r"{%\s*static\s+\"([^\"]+)\"|\"/static/([^\"]+)\"")
_CLASSES = re.compile(r"class=\"((?:{%.*?%}|{{.*?}}|[^\"])*)\"", re.DOTALL)
# What is computed in a class: the part before it is all that can be known of the name.
_COMPUTED = re.compile(r"{%.*?%}|{{.*?}}|\${.*?}|{\w*}", re.DOTALL)


@cache
def python_files() -> list[Path]:
    """The Python of the product: its packages, without the migrations that Django wrote."""
    packages = [
        init.parent
        for init in ROOT.glob("*/__init__.py")
        if init.parent.name not in ("bench", "scripts", "tests")
    ]
    found = [path for package in packages for path in package.rglob("*.py") if "migrations" not in path.parts]
    return sorted([ROOT / "manage.py", *found])


@cache
def template_files() -> list[Path]:
    return sorted(path for path in TEMPLATES.rglob("*") if path.is_file())


@cache
def assets() -> list[Path]:
    """Our own style sheets and scripts."""
    return sorted(path for path in STATIC.rglob("*") if path.suffix in (".css", ".js"))


def name_of(path: Path) -> str:
    return str(path.relative_to(TEMPLATES))


@cache
def strings() -> set[str]:
    """All strings that the product's Python has, with {} for what is computed, and their parts."""
    nodes = (node for path in python_files() for node in ast.walk(ast.parse(path.read_text())))
    return {text for node in nodes if (text := text_of(node)) is not None}


def text_of(node: ast.AST) -> str | None:
    """What a node of Python says as far as it is a string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def in_python() -> set[str]:
    """The names of templates in Python, without the part of them that is asked for."""
    found = {string.partition("#")[0] for string in strings()}
    return {name for name in found if re.fullmatch(r"[\w/]+\.html", name)}


@cache
def in_templates() -> set[str]:
    return {name for path in template_files() for name in _NAMED.findall(path.read_text())}


@cache
def linked() -> set[str]:
    """The static files that templates link."""
    texts = (path.read_text() for path in template_files())
    return {one or other for text in texts for one, other in _LINKED.findall(text)}


# --- Length --------------------------------------------------------------------------------------


def test_no_file_of_the_product_is_longer_than_can_be_read_in_one_go():
    files = [*python_files(), *template_files(), *assets()]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert len(lines) > 200
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


# --- Locks ---------------------------------------------------------------------------------------


def test_rows_are_locked_in_the_modules_of_locks_only():
    """There each kind of lock says why it is what it is, and all of them can be compared."""
    locking = {path for path in python_files() if "select_for_update(" in path.read_text()}
    assert {str(path.relative_to(ROOT)) for path in locking} == {
        "accounts/locks.py",
        "monitors/locks.py",
        "notifications/locks.py",
    }


# --- Tests ---------------------------------------------------------------------------------------

MIRRORED = ("core", "accounts", "api", "monitors", "notifications", "tianji")


def test_each_folder_of_tests_has_the_name_of_a_package_of_the_product():
    found = (init.parent for name in MIRRORED for init in (ROOT / "tests" / name).rglob("__init__.py"))
    folders = sorted(folder.relative_to(ROOT / "tests") for folder in found)
    assert len(folders) > 25
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


def test_what_tests_share_is_in_their_support_folder():
    files = (path for name in MIRRORED for path in (ROOT / "tests" / name).rglob("*.py"))
    allowed = re.compile(r"__init__\.py|conftest\.py|test_\w+\.py")
    assert [str(path.relative_to(ROOT)) for path in sorted(files) if not allowed.fullmatch(path.name)] == []


# --- Templates -----------------------------------------------------------------------------------


def replaces_one_of_a_package(name: str) -> bool:
    """Whether a package looks for the template by this name, and would use its own without ours."""
    for loader in engines["django"].engine.template_loaders:  # type: ignore[attr-defined]
        for source in getattr(loader, "loaders", [loader]):
            origins = (Path(origin.name) for origin in source.get_template_sources(name))
            if any(origin.exists() and TEMPLATES not in origin.parents for origin in origins):
                return True
    return False


def is_put_together(name: str) -> bool:
    """Whether Python has both the folder and the file of a template, as of the code examples."""
    folder, _slash, file = name.rpartition("/")
    return f"{folder}/" in strings() and file in strings()


def test_each_template_is_used():
    used = in_python() | in_templates() | BY_CONVENTION.keys()
    unused = [
        name
        for name in map(name_of, template_files())
        if name not in used and not is_put_together(name) and not replaces_one_of_a_package(name)
    ]
    assert unused == []


@pytest.mark.parametrize("name", BY_CONVENTION)
def test_what_is_there_by_convention_is_there_and_named_nowhere(name: str):
    assert (TEMPLATES / name).exists()
    assert name not in in_python() | in_templates()


def test_each_template_that_is_named_is_there():
    assert len(in_python()) > 40
    missing = []
    for name in sorted(in_python() | in_templates()):
        try:
            get_template(name)
        except TemplateDoesNotExist:
            missing.append(name)
    assert missing == []


# --- Style sheets and scripts --------------------------------------------------------------------


def test_each_style_sheet_and_script_is_linked_by_a_template():
    assert [
        name for name in (str(path.relative_to(STATIC)) for path in assets()) if name not in linked()
    ] == []


def test_each_static_file_that_is_linked_is_there():
    assert len(linked()) > 20
    assert [name for name in sorted(linked()) if finders.find(name) is None] == []


def test_no_part_of_a_page_links_a_style_sheet_or_script():
    """A part may come while its page is open: the page links what it needs, in its head."""
    partials = [path for path in template_files() if path.name.startswith("_")]
    assert partials
    assert [name_of(path) for path in partials if _LINKED.search(path.read_text())] == []


def given() -> Iterator[str]:
    """Everything that may be in a class: whole names, and beginnings of names that end with "-"."""
    sources = [path.read_text() for path in template_files()]
    for value in (value for text in [*sources, *strings()] for value in _CLASSES.findall(text)):
        yield from _COMPUTED.sub("\0", value).replace("\0", " ").split()
        yield from re.findall(r"([\w-]+-)\0", _COMPUTED.sub("\0", value))
    # Scripts set classes too, and Python puts some together apart from their markup.
    scripts = [path.read_text() for path in assets() if path.suffix == ".js"]
    for text in [
        *strings(),
        *(quoted for script in scripts for quoted in re.findall(r"[\"`](.*?)[\"`]", script)),
    ]:
        if re.fullmatch(r"[\w\s${}.-]+", text):
            yield from _COMPUTED.sub(" ", text).split()


def test_each_class_with_a_style_is_given_to_something():
    names = set(given())
    beginnings = tuple(name for name in names if name.endswith("-") and len(name) > 2)
    dead = []
    for path in (path for path in assets() if path.suffix == ".css"):
        rules = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        selectors = re.sub(r"{[^{}]*}", "{}", rules)
        classes = sorted(set(re.findall(r"\.([A-Za-z][\w-]*)", selectors)))
        dead += [
            f"{path.name}: .{name}"
            for name in classes
            if name not in names and not name.startswith(beginnings)
        ]
    assert dead == []
