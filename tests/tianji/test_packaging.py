"""pyproject.toml is true: what it names is what the program uses and what is locked."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from core import __version__
from tianji import paths
from tianji.cli import own_commands

ROOT = Path(__file__).parents[2]
OURS = {*paths.PACKAGES, "bench", "scripts", "tests"}
LOCKS = ("base.txt", "build.txt", "dev.txt")


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def dependencies() -> dict[str, Requirement]:
    """What [project] depends on, by the names that packages have on an index."""
    found = [Requirement(line) for line in pyproject()["project"]["dependencies"]]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def locked(lock: str) -> dict[str, Version]:
    text = (ROOT / "requirements" / lock).read_text()
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", text, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pins}


def imported(*packages: str) -> set[str]:
    """The top-level names of other people's packages that these packages of ours import."""
    found = set()
    for package in packages:
        for source in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(source.read_text())):
                match node:
                    case ast.Import(names=names):
                        found |= {each.name.partition(".")[0] for each in names}
                    case ast.ImportFrom(module=str(module), level=0):
                        found.add(module.partition(".")[0])
    return found - sys.stdlib_module_names - OURS


def unnamed(names: set[str], dependencies: Iterable[str]) -> dict[str, list[str]]:
    """Those of `names` that are of none of `dependencies`, with the distributions that they are of."""
    known, distributions = set(dependencies), packages_distributions()
    return {
        name: distributions[name]
        for name in names
        if not {canonicalize_name(each) for each in distributions[name]} & known
    }


@pytest.mark.slow
def test_whatever_the_product_imports_is_a_dependency_by_name():
    assert unnamed(imported(*paths.PACKAGES), dependencies()) == {}


@pytest.mark.slow
def test_whatever_the_tests_import_is_a_dependency_of_theirs_by_name():
    group = {canonicalize_name(Requirement(line).name) for line in pyproject()["dependency-groups"]["test"]}
    assert unnamed(imported("tests", "scripts", "bench"), {*dependencies(), *group}) == {}


def explained(heading: str) -> set[str]:
    """The packages in a table of docs/dependencies.md, each of which has an explanation."""
    section = (ROOT / "docs" / "dependencies.md").read_text().partition(f"## {heading}\n")[2]
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert all(len(text) > 10 for _name, text in rows)
    assert len(rows) == len(dict(rows))
    return {canonicalize_name(name) for name, _text in rows}


def test_what_each_dependency_is_for_is_written_down():
    assert explained("Of the product") == set(dependencies())
    groups = pyproject()["dependency-groups"].values()
    lines = [line for group in groups for line in group if isinstance(line, str)]
    assert explained("Of development") == {canonicalize_name(Requirement(line).name) for line in lines}


@pytest.mark.slow
def test_each_dependency_is_used_by_what_the_product_imports_or_names_in_its_settings():
    """One that isn't should go."""
    settings = (ROOT / "tianji" / "settings.py").read_text()
    named = set(re.findall(r"\"([a-z_]\w+)[\w.]*\"", settings))
    modules = imported(*paths.PACKAGES) | named
    distributions = packages_distributions()
    used = {canonicalize_name(each) for name in modules for each in distributions.get(name, [])}
    assert set(dependencies()) - used == set()


def test_every_dependency_has_a_lower_bound_that_the_lock_meets():
    versions = locked("base.txt")
    for name, requirement in dependencies().items():
        assert any(part.operator == ">=" for part in requirement.specifier), f"{name} has no lower bound"
        assert versions[name] in requirement.specifier, name


def test_the_locks_agree_with_each_other():
    everything = locked("dev.txt")
    for lock in ("base.txt", "build.txt"):
        assert {name: everything[name] for name in locked(lock)} == locked(lock)


def test_what_the_wheel_is_built_with_is_locked():
    versions = locked("build.txt")
    for line in pyproject()["build-system"]["requires"]:
        requirement = Requirement(line)
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier
    assert pyproject()["build-system"]["requires"] == pyproject()["dependency-groups"]["build"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_everything_and_names_no_index(lock):
    text = (ROOT / "requirements" / lock).read_text()
    for entry in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        assert not entry or "--hash=sha256:" in entry, entry
    assert "://" not in text


def test_the_version_is_written_in_one_place():
    assert "version" in pyproject()["project"]["dynamic"]
    source = ROOT / pyproject()["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{__version__}"' in source.read_text()


def test_the_licence_is_the_apache_licence_unchanged():
    text = (ROOT / "LICENSE").read_bytes()
    assert sha256(text).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert pyproject()["project"]["license"] == "Apache-2.0"


def test_every_folder_that_the_program_reads_is_in_the_wheel():
    wheel = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) == set(paths.PACKAGES)
    assert set(wheel["force-include"]) == {"docs", "locale", "static", "templates"}
    for folder, place in wheel["force-include"].items():
        assert (ROOT / folder).is_dir()
        assert place == f"tianji/bundled/{folder}"


def test_the_image_is_built_from_all_that_the_wheel_needs():
    let_in = {line.strip("!/") for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    wheel = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], "pyproject.toml", "README.md", "LICENSE"}
    assert let_in == {*needed, "requirements/base.txt", "requirements/build.txt"}


def test_the_hooks_run_programs_that_the_development_lock_has():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    programs = {
        program
        for repository in config["repos"]
        for hook in repository["hooks"]
        for program in re.findall(r"\.venv/bin/(\S+)", hook["entry"])
    }
    assert programs - {"python"} <= locked("dev.txt").keys()
    assert all(repository["repo"] == "local" for repository in config["repos"])


def test_the_image_copies_what_it_is_let_and_starts_the_program():
    dockerfile = (ROOT / "Dockerfile").read_text()
    let_in = {line.strip("!/") for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY .*$", dockerfile, re.MULTILINE)]
    named = {source for sources in copied for source in sources if not source.startswith(("--", "/"))}
    assert named - {"."} <= let_in
    (command,) = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    program, name, *_ = json.loads(command)
    assert program in pyproject()["project"]["scripts"]
    assert name in own_commands()
