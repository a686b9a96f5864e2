"""The command `tianji`: Django's management commands under friendlier names, and a list of our own."""

from __future__ import annotations

import ast
import difflib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line, find_commands, get_commands
from django.db import OperationalError
from environs import EnvError

from core import __version__
from tianji import paths

# Raised for what an operator can fix. What they say is enough; their tracebacks add nothing.
FAULTS = (ImproperlyConfigured, EnvError, OperationalError)
# Commands that write the program's own files, which others read too.
_OF_DEVELOPERS = (
    "makemigrations",
    "makemessages",
    "compilemessages",
    "optimizemigration",
    "squashmigrations",
)
# In the order in which a new user needs them; the others follow by name.
_FIRST = ("up", "run", "prepare", "setup-link", "create-api-key")


def main(argv: list[str] | None = None) -> None:
    """Run `argv`, which defaults to the command line; exit as the command does."""
    program, *arguments = argv or sys.argv
    # For `python -m tianji` this is the path of a file, which would be in every usage line.
    program = "tianji" if program.endswith("__main__.py") else program
    match arguments:
        case [] | ["help" | "--help" | "-h"]:
            print(_overview())  # noqa: T201
        case ["--version" | "version"]:
            print(f"tianji {__version__}")  # noqa: T201
        case ["help", name, *rest] if not name.startswith("-"):
            run_django([program, _module_name(name), "--help", *rest])
        case ["help", *_]:
            run_django([program, *arguments])
        case [name, *rest]:
            run_django([program, _module_name(name), *rest])


def run_django(argv: list[str]) -> None:
    """Run one of Django's management commands, ours included."""
    if argv[1:2] and argv[1] not in _OF_DEVELOPERS:
        # The database, its journal and everything else in the data folder is for this user only.
        os.umask(os.umask(0o077) | 0o077)
    with _settings():
        execute_from_command_line(argv)


def own_commands() -> dict[str, str]:
    """Return what each of our commands does, by its friendly name.

    Read from the source: importing a command requires settings, and listing commands must neither fail nor
    create a data folder because of them.
    """
    found = {
        name.replace("_", "-"): _help_in(folder / "commands" / f"{name}.py")
        for folder in _management_folders()
        for name in find_commands(str(folder))
    }
    first = [name for name in _FIRST if name in found]
    return {name: found[name] for name in [*first, *sorted(found.keys() - set(first))]}


def _management_folders() -> list[Path]:
    specs = [spec for package in paths.PACKAGES if (spec := find_spec(package)) and spec.origin]
    return [Path(str(spec.origin)).parent / "management" for spec in specs]


def _help_in(source: Path) -> str:
    """Return the first sentence of the `help` of the command in `source`, or of its module."""
    module = ast.parse(source.read_text())
    help_text = (ast.get_docstring(module) or "").partition("`: ")[2]
    for node in ast.walk(module):
        match node:
            case ast.Assign(targets=[ast.Name(id="help")], value=ast.Constant(value=str(text))):
                help_text = text
    first = help_text.split(". ")[0].rstrip(".")
    return first[:1].upper() + first[1:]


def _overview() -> str:
    commands = own_commands()
    width = max(map(len, commands))
    return "\n".join(
        [
            "Usage: tianji COMMAND [OPTIONS]",
            "",
            *(f"  {name:<{width}}  {text}" for name, text in commands.items()),
            "",
            "`tianji COMMAND --help` explains a command.",
            "`tianji help --commands` lists all of them, Django's too.",
            f"Settings are environment variables, described in {paths.home() / 'docs' / 'settings.md'}.",
        ]
    )


def _module_name(name: str) -> str:
    """Return Django's name of the command `name`; exit if there is none."""
    wanted = name.replace("-", "_")
    if name.replace("_", "-") in own_commands():
        return wanted
    if name.startswith("-"):
        sys.exit(f"Unknown option: {name}. `tianji help` lists the commands.")
    known = _all_commands()
    if wanted in known:
        return wanted
    close = difflib.get_close_matches(wanted, known, n=1)
    hint = f" Did you mean {close[0].replace('_', '-')}?" if close else ""
    sys.exit(f"Unknown command: {name}.{hint}\nCommands: {', '.join(own_commands())}.")


def _all_commands() -> list[str]:
    with _settings():
        # Without this, Django doesn't know the commands of the apps.
        django.setup()
    return list(get_commands())


@contextmanager
def _settings() -> Iterator[None]:
    """Use our settings; if one is wrong, exit with the sentence that says how to fix it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tianji.settings")
    try:
        yield
    except FAULTS as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(sentence_of(error))


def sentence_of(error: Exception) -> str:
    """Return what one of FAULTS says, on one line."""
    text = " ".join(str(error).split())
    if isinstance(error, OperationalError):
        return f"The database can't be used: {text.removesuffix('.')}. DATABASE_URL says where it is."
    return text
