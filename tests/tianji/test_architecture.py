"""docs/architecture.md says what the code is: its rooms, import rule, statuses, tables and walks."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from django.apps import apps

from monitors.domain.state_machine import (
    Event,
    Facts,
    HeartbeatArrived,
    PauseRequested,
    ResumeRequested,
    Status,
    TimePassed,
    decide,
)
from monitors.domain.thresholds import Threshold, Thresholds

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOMS = ("tianji", "notifications", "monitors", "api", "accounts", "core")

_FENCE = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"`([\w/]+\.py):([\w.]+)`")
_STEP = re.compile(r"^(\d+)\. `([\w/]+\.py):([\w.]+)`", re.MULTILINE)
_TREE_LINE = re.compile(r"^( *)([\w/]+)/ +[^:]+: (.*)$")


def section(title: str) -> str:
    """The part of the page under a heading, up to the next one of its level or above."""
    head = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    assert head, f"docs/architecture.md has no section {title!r}"
    return re.split(rf"^#{{1,{len(head[1])}}} ", PAGE[head.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def table(title: str) -> list[list[str]]:
    """The rows of the first table of a section, without its head."""
    rows = [line.strip("|").split("|") for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


# --- Rooms ---------------------------------------------------------------------------------------


def rooms_in_the_page() -> list[tuple[str, list[str]]]:
    """The folders of the tree in its order, each with its modules, which follow the colon."""
    found: list[tuple[str, list[str]]] = []
    above: dict[int, str] = {}
    for line in _FENCE.findall(section("Rooms"))[1].splitlines():
        modules = line
        if room := _TREE_LINE.match(line):
            depth, modules = len(room[1]), room[3]
            parents = [above[each] for each in sorted(above) if each < depth]
            above = {each: name for each, name in above.items() if each < depth} | {depth: room[2]}
            found.append(("/".join([*parents, room[2]]), []))
        # What is in parentheses explains the modules after it.
        found[-1][1].extend(re.sub(r"\([^)]*\)", "", modules).split())
    return found


def modules_in_the_repository() -> set[str]:
    return {
        str(path.relative_to(ROOT).with_suffix(""))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.stem != "__init__" and "migrations" not in path.parts
    }


def test_the_tree_has_every_module_once_and_no_other():
    named = [f"{room}/{module}" for room, modules in rooms_in_the_page() for module in modules]
    assert {
        "missing": modules_in_the_repository() - set(named),
        "extra": set(named) - modules_in_the_repository(),
    } == {
        "missing": set(),
        "extra": set(),
    }
    assert len(named) == len(set(named))


def test_the_tree_has_every_package_once_and_no_other():
    rooms = [room for room, _modules in rooms_in_the_page()]
    assert sorted(rooms) == sorted({str(Path(module).parent) for module in modules_in_the_repository()})


def test_the_rooms_of_the_import_rule_are_all_the_packages_of_the_product():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"bench", "scripts", "tests"} == set(ROOMS)


def layers() -> dict[str, list[list[str]]]:
    """The layers that import-linter holds, highest first, by their package ("" for the apps)."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {
        "".join(contract.get("containers", ())): [re.split(r" *\| *", layer) for layer in contract["layers"]]
        for contract in contracts
        if contract["type"] == "layers"
    }


def test_the_import_lines_are_those_that_import_linter_holds():
    lines = _FENCE.findall(section("Rooms"))[0].splitlines()
    written = {}
    for line in lines:
        container, _colon, rule = line.rpartition(": ")
        written[container] = [re.split(r" *\| *", layer) for layer in rule.split(" > ")]
    assert written == layers()


def test_the_folders_beside_the_packages_are_named():
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._"}
    beside = next(part for part in section("Rooms").split("\n\n") if part.startswith("Beside them"))
    named = set(re.findall(r"`(\w+)/`", beside))
    assert {folder for folder in folders - ignored if not folder.endswith(".egg-info")} - set(ROOMS) == named


@pytest.mark.parametrize("container", ["", "monitors", "notifications"])
def test_the_tree_is_in_the_order_of_the_import_rule(container):
    place = {name: number for number, layer in enumerate(layers()[container]) for name in layer}
    prefix = f"{container}/" if container else ""
    inside = [room.removeprefix(prefix) for room, _modules in rooms_in_the_page() if room.startswith(prefix)]
    order = [place[name] for name in inside if name in place]
    assert len(order) > 3
    assert order == sorted(order)


def imports_of_django(package: str) -> dict[str, set[str]]:
    """By its name, each module of a package that imports anything of Django, with what, in full."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    imported = {each.name for each in names}
                case ast.ImportFrom(module=str(module), names=names):
                    imported = {f"{module}.{each.name}" for each in names}
                case _:
                    continue
            if ours := {name for name in imported if name.partition(".")[0] == "django"}:
                found.setdefault(path.stem, set()).update(ours)
    return found


def test_decisions_import_nothing_of_django_except_for_the_text_of_durations():
    found = imports_of_django("monitors/domain")
    assert found.keys() == {"durations"}
    allowed = ("django.conf.settings", "django.utils.")
    assert [name for name in found["durations"] if not name.startswith(allowed)] == []


def test_messages_import_of_django_only_its_utilities():
    found = imports_of_django("notifications/messages")
    assert found.keys() > {"single", "text"}
    assert {
        module: others
        for module, names in found.items()
        if (others := {name for name in names if not name.startswith("django.utils.")})
    } == {}


# --- Statuses and tables -------------------------------------------------------------------------

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
EVENTS: dict[str, tuple[Event, ...]] = {
    "good push": (HeartbeatArrived(NOW, up=True),),
    "bad push": (HeartbeatArrived(NOW, up=False), HeartbeatArrived(NOW, up=True, value_is_good=False)),
    "sweep": (TimePassed(NOW),),
    "pause": (PauseRequested(NOW),),
    "resume": (ResumeRequested(NOW),),
}


AHEAD, PASSED = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)
THREE = Thresholds(Threshold(3, 3), Threshold(3, 3), recovery=3)
STANDING: dict[str, Facts] = {
    "new": Facts(Status.NEW, list),
    "up": Facts(Status.UP, lambda: [AHEAD]),
    "up, deadline passed": Facts(Status.UP, lambda: [PASSED]),
    "down": Facts(Status.DOWN, list, outcomes=0b1, confirmed=True),
    "down, unconfirmed": Facts(
        Status.DOWN,
        lambda: [PASSED],
        outcomes=0b1,
        thresholds=lambda: replace(THREE, recovery=1),
    ),
    "down, recovering": Facts(
        Status.DOWN, lambda: [PASSED], outcomes=0b10, confirmed=True, thresholds=lambda: THREE
    ),
    "paused": Facts(Status.PAUSED, list),
}


def cells() -> list[tuple[str, str, str]]:
    return [
        (status, event, cell)
        for status, *row in table("Statuses")
        for event, cell in zip(EVENTS, row, strict=True)
    ]


def test_the_table_of_statuses_has_every_status_and_event():
    head = next(line for line in section("Statuses").splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["status", *EVENTS]
    assert {row[0].split(",")[0] for row in table("Statuses")} == set(Status)
    assert [row[0] for row in table("Statuses")] == list(STANDING)


@pytest.mark.parametrize(("row", "event", "cell"), cells())
def test_the_documented_status_table_matches_the_decisions(row, event, cell):
    decisions = [decide(STANDING[row], each) for each in EVENTS[event]]
    assert {decision.status.value for decision in decisions} == {re.split(r"[;, ]", cell)[0]}
    assert {decision.opens.cause.value for decision in decisions if decision.opens} == set(
        re.findall(r"`(missed|reported|value)`", cell)
    )
    assert all(decision.resolves == ("resolved" in cell) for decision in decisions)
    quiet = [decision.resolves and not decision.notifies for decision in decisions]
    assert quiet == ["without a notification" in cell] * len(quiet)


def test_the_tables_are_those_of_the_database():
    named = [name for row in table("Tables") for name in row[0].split(", ")]
    models = [model.__name__ for model in apps.get_models() if model.__module__.split(".")[0] in ROOMS]
    assert sorted(named) == sorted(models)


# --- Places in the code --------------------------------------------------------------------------


@cache
def parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


def names_in(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The functions, classes and variables that these statements define."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = node
            case ast.Assign(targets=targets):
                found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
    return found


def definition(file: str, name: str) -> ast.stmt | None:
    """What a place of the page names: something at the top of a file, or a method as Class.method."""
    outer, _dot, inner = name.partition(".")
    node = names_in(parsed(file).body).get(outer)
    if not inner:
        return node
    return names_in(node.body).get(inner) if isinstance(node, ast.ClassDef) else None


def test_every_table_that_is_locked_is_in_the_order_of_locks():
    apps_with_locks = ("accounts", "monitors", "notifications")
    source = "".join((ROOT / app / "locks.py").read_text() for app in apps_with_locks)
    locked = set(re.findall(r"QuerySet\[(\w+)\]|(\w+)\.objects\.select_for_update", source))
    order = next(part for part in PAGE.split("\n\n") if part.startswith("**Locks**"))
    models = {each for pair in locked for each in pair if each}
    assert {"Channel", "Delivery", "MonitorState", "Workspace"} <= models
    assert models - set(re.findall(r"\*(\w+)\*", order)) == set()


def test_every_place_that_is_named_exists():
    places = _PLACE.findall(PAGE)
    assert len(places) > 80
    assert [f"{file}:{name}" for file, name in places if not (ROOT / file).is_file()] == []
    assert [f"{file}:{name}" for file, name in places if definition(file, name) is None] == []


def test_every_path_that_is_named_exists():
    paths = re.findall(r"`(\w[\w.-]*/[\w./-]*)`", PAGE)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


@dataclass(frozen=True)
class Step:
    """One step of a walk. `enters`: it begins a list, so nothing before it leads here."""

    file: str
    name: str
    enters: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"

    @property
    def dotted(self) -> str:
        module = self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        return f"{module}.{self.name}"


WALKS = ("A push", "A missed heartbeat", "A rotation")


def steps(walk: str) -> list[Step]:
    found: list[Step] = []
    for block in re.split(r"\n\n+", section(walk)):
        first = True
        for _number, file, name in _STEP.findall(block):
            found.append(Step(file, name, enters=first))
            first = False
    return found


@cache
def dotted_names(file: str) -> frozenset[str]:
    """What a file names, in full: what it imports, attributes of that, its own names, and dotted strings."""
    tree = parsed(file)
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
        for alias in node.names
    }
    own = Step(file, "", enters=True).dotted
    found = set(imported.values())
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in imported:
                found.add(f"{imported[name]}.{attribute}")
            case ast.Name(id=name, ctx=ast.Load()) if name not in imported:
                found.add(f"{own}{name}")
            case ast.Constant(value=str(text)) if re.fullmatch(r"\w+([.:]\w+)+", text):
                found.add(text)
    return frozenset(found)


@cache
def attributes(file: str) -> frozenset[str]:
    return frozenset(node.attr for node in ast.walk(parsed(file)) if isinstance(node, ast.Attribute))


def is_reached(step: Step, earlier: list[Step]) -> bool:
    """Whether the file of an earlier step names this one.

    A method, and what is found by its name alone (`module.KIND`), is named as an attribute of anything. A
    page is named by its URL. A receiver is not named by who sends its signal: it names the signal itself.
    """
    files = {each.file for each in earlier}
    if any(step.dotted in dotted_names(file) for file in files):
        return True
    node = definition(step.file, step.name)
    if "." in step.name or isinstance(node, ast.Assign | ast.AnnAssign):
        return any(step.name.rpartition(".")[2] in attributes(file) for file in files)
    app = step.file.partition("/")[0]
    if f"{app}/views/" in step.file and any(f"{app}:{step.name}" in dotted_names(file) for file in files):
        return True
    sent = {each.dotted for each in earlier if each.file.endswith("/signals.py")}
    return bool(sent & dotted_names(step.file))


@pytest.mark.parametrize("walk", WALKS)
def test_each_step_of_a_walk_is_named_by_an_earlier_one(walk):
    taken = steps(walk)
    assert len(taken) > 10
    unreached = [
        str(step)
        for number, step in enumerate(taken)
        if not step.enters and not is_reached(step, taken[:number])
    ]
    assert unreached == []


@pytest.mark.parametrize("walk", WALKS)
def test_the_steps_of_a_walk_are_numbered_without_a_gap(walk):
    numbers = [int(number) for number, _file, _name in _STEP.findall(section(walk))]
    listed = re.findall(r"^\d+\. ", section(walk), re.MULTILINE)
    assert len(numbers) == len(listed), "each step begins with its file:function"
    assert numbers[0] == 1
    assert all(after == before + 1 for before, after in pairwise(numbers))


def test_a_step_that_nothing_leads_to_is_found():
    """The check above is worth something: it doesn't take any function of the house for the next step."""
    taken = steps("A push")[:1]
    assert is_reached(Step("monitors/heartbeats/push_token.py", "digest_of", enters=False), taken)
    assert not is_reached(Step("monitors/services/tokens.py", "rotate", enters=False), taken)
    assert not is_reached(Step("notifications/dispatch/enqueue.py", "_opened", enters=False), taken)


def test_every_answer_names_a_place():
    rows = table("Where is it?")
    assert len(rows) >= 15
    assert [question for question, answer in rows if not 1 <= len(_PLACE.findall(answer)) <= 2] == []
