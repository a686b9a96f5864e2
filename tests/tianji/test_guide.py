"""The Indonesian guide has the same structure as the English one."""

from __future__ import annotations

import re

import pytest

from scripts.messages import ROOT

# For operators, API users and developers: in English only, as the Indonesian index says.
ENGLISH_ONLY = {
    *("api.md", "architecture.md", "dependencies.md", "install.md", "operations.md", "reliability.md"),
    *("security.md", "settings.md"),
}
GUIDE = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in ENGLISH_ONLY)

_FENCE = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)


def english(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def indonesian(name: str) -> str:
    return (ROOT / "docs" / "id" / name).read_text()


def shape(text: str) -> list[str]:
    """Return the levels of a page's headings, and a bar for each row of a table."""
    lines = _FENCE.sub("", text).splitlines()
    return [found[0] for line in lines if (found := re.match(r"#+(?= )|\|", line))]


def test_every_page_of_the_guide_is_there_in_indonesian():
    assert sorted(path.name for path in (ROOT / "docs" / "id").glob("*.md")) == GUIDE
    for name in ENGLISH_ONLY:
        assert f"(../{name})" in indonesian("index.md")


@pytest.mark.parametrize("name", GUIDE)
def test_the_two_languages_lead_to_each_other(name):
    assert f"[Bahasa Indonesia](id/{name})" in english(name)
    assert f"[English](../{name})" in indonesian(name)


@pytest.mark.parametrize("name", GUIDE)
def test_both_languages_show_the_same_code(name):
    assert _FENCE.findall(indonesian(name)) == _FENCE.findall(english(name))


@pytest.mark.parametrize("name", [name for name in GUIDE if name != "index.md"])
def test_both_languages_have_the_same_sections_and_tables(name):
    assert shape(indonesian(name)) == shape(english(name))
