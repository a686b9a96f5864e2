"""The documentation matches the code, and its links and examples work."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from django.core.management import get_commands

from monitors.domain.state_machine import Cause
from monitors.heartbeats.parser import PUSH_BODY_LIMIT, Push, parse_push
from monitors.heartbeats.words import DOWN_WORDS, UP_WORDS
from monitors.models import MESSAGE_LENGTH
from notifications.messages import digests, payloads, single, templates
from notifications.messages.events import FORMER, Event
from notifications.transports.retry import WAITS
from tianji.runtime.processes import ROLES

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| .* \|$", re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / name).read_text()


def fences(text: str, *languages: str) -> list[str]:
    """The fenced blocks of a page in any of `languages`."""
    return [block for language, block in _FENCE.findall(text) if language in languages]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeated = sum(1 for anchor in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", anchor))
        found.add(f"{slug}-{repeated}" if repeated else slug)
    return found


# --- Settings ------------------------------------------------------------------------------------


def settings_read() -> dict[str, ast.expr]:
    """The variables that settings.py reads through `env`, each with the default of its first use."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(ast.parse(read("tianji/settings.py"))):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="env")), args=[ast.Constant(value=str(name)), *rest]
            ):
                found.setdefault(name, rest[0] if rest else ast.Name("required"))
    return found


def settings_documented() -> dict[str, str]:
    return dict(_ROW.findall(read("docs/settings.md")))


def test_every_setting_that_is_read_is_documented():
    assert set(settings_read()) - set(settings_documented()) == set()


def test_every_setting_that_is_documented_is_read():
    assert set(settings_documented()) - set(settings_read()) == set()


def test_no_setting_is_documented_twice():
    names = [name for name, _default in _ROW.findall(read("docs/settings.md"))]
    assert len(names) == len(set(names))


def test_documented_defaults_are_those_of_the_code():
    documented = settings_documented()
    plain = {
        name: default.value
        for name, default in settings_read().items()
        # Defaults that are computed, or that replace an empty value, are described in words.
        if isinstance(default, ast.Constant) and default.value != ""
    }
    assert plain
    for name, default in plain.items():
        written = str(default).lower() if isinstance(default, bool) else str(default)
        assert documented[name] == f"`{written}`", name


def test_every_setting_can_be_given_to_the_containers():
    services = yaml.safe_load(read("docker-compose.yml"))["services"]
    of_the_image = {
        *("TIANJI_ALIVE", "TIANJI_DATA", "TIANJI_DEBUG", "TIANJI_HOST", "TIANJI_PORT", "TIANJI_STATIC"),
    }
    of_the_start = {"TIANJI_ADMIN_EMAIL", "TIANJI_ADMIN_PASSWORD"}
    assert set(services["prepare"]["environment"]) == set(settings_read()) - of_the_image
    for role in ROLES:
        assert set(services[role]["environment"]) == set(settings_read()) - of_the_image - of_the_start


# --- Tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_table_has_a_heading(name):
    """A blank line between two rows would show the second one as text."""
    lines = ["", *_FENCE.sub("", read(name)).splitlines(), ""]
    starts = [
        at for at, line in enumerate(lines) if line.startswith("|") and not lines[at - 1].startswith("|")
    ]
    assert [lines[at] for at in starts if not re.fullmatch(r"[-:| ]+", lines[at + 1])] == []


# --- Links and names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_lead_to_a_file_and_a_heading(name):
    page = ROOT / name
    broken = []
    for target in _LINK.findall(_FENCE.sub("", page.read_text())):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_file() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(target)
    assert broken == []


def test_every_page_of_the_guide_is_in_its_index():
    linked = set(_LINK.findall(read("docs/index.md")))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages - linked == set()


@pytest.mark.parametrize("name", NAMES)
def test_no_path_of_somebodys_machine_is_mentioned(name):
    assert re.findall(r"/(?:home|root|work|Users)/\S*", read(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_make_commands_are_targets_of_the_makefile(name):
    text = read(name)
    in_blocks = re.findall(r"^make ([a-z][\w-]*)", "\n".join(fences(text, "sh", "bash")), re.MULTILINE)
    named = {*in_blocks, *re.findall(r"`make ([a-z][\w-]*)", text)}
    targets = set(re.findall(r"^([a-z][\w-]*):", read("Makefile"), re.MULTILINE))
    assert named - targets == set()


@pytest.mark.parametrize("name", NAMES)
def test_management_commands_exist(name):
    named = set(re.findall(r"manage\.py ([a-z_]+)", read(name)))
    assert named - set(get_commands()) == set()


@pytest.mark.parametrize("name", NAMES)
def test_commands_of_the_program_exist(name):
    text = read(name)
    in_blocks = re.findall(r"^(?:\S*/)?tianji ([a-z][\w-]*)", "\n".join(fences(text, "sh")), re.MULTILINE)
    named = {*in_blocks, *re.findall(r"`(?:\S*/|docker[^`]* )?tianji\s([a-z][\w-]*)", text)}
    assert {each.replace("-", "_") for each in named} - set(get_commands()) - {"help"} == set()


def test_no_page_asks_the_image_for_what_only_a_checkout_has():
    for page in PAGES:
        assert not re.findall(r"docker[^`\n]*\bmanage\.py", page.read_text()), page


def test_the_readme_shows_the_product_and_names_both_commands_on_its_first_screen():
    first_screen = read("README.md").partition("\n## ")[0]
    assert "![The overview" in first_screen
    assert fences(first_screen, "sh") == ["make up\n", "make test\n"]


# --- What contributors are told ------------------------------------------------------------------


def quoted() -> list[str]:
    """What CONTRIBUTING.md quotes: in a line of text, or as a line of a shell block."""
    text = read("CONTRIBUTING.md")
    lines = [
        line.strip()
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [*lines, *(" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose))]


def test_files_and_folders_that_contributors_are_sent_to_exist():
    tops = {path.name for path in ROOT.iterdir()}
    named = {
        word for each in quoted() for word in each.split() if word.partition("/")[0] in tops and "/" in word
    }
    # Those that a recipe makes, and the data of `make dev`.
    made = {"data/dev", "locale/de/LC_MESSAGES", "docs/de"}
    assert len(named) > 20
    missing = [
        name
        for name in sorted(named - made)
        if not name.startswith(".venv/")
        and not list(ROOT.glob(re.sub(r"<\w+>", "*", name.partition("::")[0])))
    ]
    assert missing == []


def test_tests_that_contributors_should_run_exist():
    named = [word for each in quoted() for word in each.split() if "::" in word]
    assert named
    for name in named:
        file, _, function = name.partition("::")
        assert f"def {function}(" in read(file)


def test_programs_that_contributors_should_run_are_installed_for_them():
    programs = {found for each in quoted() for found in re.findall(r"\.venv/bin/([\w-]+)", each)} - {"python"}
    modules = {found for each in quoted() for found in re.findall(r"python -m ([\w-]+)", each)}
    assert "pytest" in modules
    locked = set(re.findall(r"^([\w-]+)==", read("requirements/dev.txt"), re.MULTILINE))
    assert (programs | modules) - locked == set()


def test_names_in_code_that_contributors_should_look_for_exist():
    for file, name in (
        ("notifications/integrations/slack.py", "FIELDS = "),
        ("notifications/integrations/slack.py", "KIND = "),
        ("notifications/integrations/slack.py", "def build("),
        ("notifications/integrations/slack.py", "def judge("),
        ("notifications/integrations/base.py", "class Field:"),
        ("tests/support/providers/__init__.py", "FAKES"),
        ("api/schema.py", "def answers("),
        ("api/base.py", "def idempotent("),
        ("accounts/actors.py", "class Actor"),
        ("tianji/settings.py", "LANGUAGES = "),
        ("tests/e2e/modes.py", "class Mode:"),
        ("tests/e2e/modes.py", "MODES = "),
        ("notifications/transports/http.py", "def sender("),
        ("docker-compose.yml", "x-environment:"),
    ):
        assert name in read(file), f"{file} has no {name}"
        assert f"`{file}`" in read("CONTRIBUTING.md")


# --- Examples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_shell_examples_are_shell(name):
    for script in fences(read(name), "sh", "bash"):
        ran = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, ""), script


@pytest.mark.parametrize("name", NAMES)
def test_python_examples_are_python(name):
    for program in fences(read(name), "python"):
        ast.parse(program)


@pytest.mark.parametrize("name", NAMES)
def test_json_examples_are_json(name):
    for document in fences(read(name), "json"):
        json.loads(document)


class _ComposeLoader(yaml.SafeLoader):
    """YAML with the tag with which an override of a Compose file replaces a list."""


_ComposeLoader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


@pytest.mark.parametrize("name", NAMES)
def test_yaml_examples_are_yaml(name):
    for document in fences(read(name), "yaml"):
        yaml.load(document, _ComposeLoader)  # noqa: S506  (it is a safe loader)


def test_javascript_examples_are_javascript(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed, so the JavaScript examples were not looked at")
    programs = fences(read("docs/examples.md"), "js")
    assert programs
    for number, program in enumerate(programs):
        file = tmp_path / f"example{number}.mjs"
        file.write_text(program)
        ran = subprocess.run([node, "--check", file], text=True, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr


def test_the_examples_speak_every_language_promised():
    languages = {language for language, _block in _FENCE.findall(read("docs/examples.md"))}
    assert languages >= {"bash", "sh", "python", "js", "powershell", "ini"}


# --- Quotes in the reference pages ---------------------------------------------------------------


def test_the_webhook_example_is_what_is_sent():
    (written,) = fences(read("docs/channels.md"), "json")
    documented: dict[str, Any] = json.loads(written)
    ended = datetime(2026, 11, 22, 2, 47, 31, 204_000, tzinfo=UTC)
    facts = single.Facts(
        event=Event.RESOLVED,
        at=ended,
        monitor="Nightly backup",
        monitor_id=documented["monitor"]["id"],
        monitor_url=documented["monitor"]["url"],
        incident_id=documented["incident"]["id"],
        cause=Cause.MISSED,
        started_at=datetime(2026, 11, 22, 2, 5, tzinfo=UTC),
        detected_at=datetime(2026, 11, 22, 2, 5, 0, 812_000, tzinfo=UTC),
        resolved_at=ended,
        last_heartbeat_at=datetime(2026, 11, 21, 2, 0, 41, 77_000, tzinfo=UTC),
        opening_message="OK",
        closing_message="Backup done",
        closing_value=412.5,
        outage=documented["outage"],
        sequence=2,
    )
    sent = payloads.of_incident(facts, single.compose(facts), delivery_id=UUID(documented["id"]))
    assert documented == sent


def test_the_example_of_a_member_of_a_digest_is_what_is_sent():
    (written,) = fences(read("docs/messages.md"), "json")
    documented: dict[str, Any] = json.loads(written)
    member = digests.Member(
        event=Event.OPENED,
        monitor=documented["name"],
        monitor_id=documented["id"],
        monitor_url=documented["url"],
        cause=Cause.REPORTED,
        started_at=datetime(2026, 11, 22, 2, 5, tzinfo=UTC),
        outage=documented["outage"],
        incident_id=documented["incident"]["id"],
        sequence=1,
        message=documented["message"],
    )
    at = datetime(2026, 11, 22, 2, 6, tzinfo=UTC)
    facts = digests.Facts(at, at, "Ours", "https://t.example/", (member,), {digests.Section.DOWN: 1})
    sent = payloads.of_digest(facts, digests.compose(facts), delivery_id=UUID(int=1))
    assert sent["digest"]["monitors"] == [documented]


def test_every_event_of_a_webhook_is_documented():
    page = read("docs/messages.md")
    for event in set(Event) - set(FORMER):
        assert f"`{event.value}`" in page


def test_every_placeholder_is_documented():
    page = read("docs/messages.md")
    for name in templates.placeholders():
        assert f"`{{{name}}}`" in page


def test_the_limits_of_a_push_are_documented():
    page = read("docs/push-endpoint.md")
    assert f"{PUSH_BODY_LIMIT:,} bytes" in page
    assert f"after {MESSAGE_LENGTH} characters" in page


def test_every_word_of_a_status_is_documented():
    for page in (read("docs/push-endpoint.md"), read("docs/id/push-endpoint.md")):
        for word in (*UP_WORDS, *DOWN_WORDS):
            assert f"`{word}`" in page


def test_the_warning_quoted_is_the_one_given():
    push = parse_push("GET", b"value=abc")
    assert isinstance(push, Push)
    assert json.dumps({"ok": True, "warning": push.warning}, separators=(",", ":")) in read(
        "docs/push-endpoint.md"
    )


def test_the_waits_between_attempts_are_documented():
    assert [int(wait.total_seconds()) for wait in WAITS] == [5, 30, 120, 600, 1800, 3600]
    assert "after 5 s, 30 s, 2 min, 10 min and 30 min, and then every hour" in read("docs/channels.md")
