"""The templates of channels: placeholders, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.messages.templates import LENGTH_MAX, check, fill, placeholders

VALUES = {"monitor": "Oven", "status": "Down", "message": "{status} {{x}}"}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{status}: {monitor}", "Down: Oven"),
        ("{{monitor}}", "{monitor}"),
        ("{{{monitor}}}", "{Oven}"),
        ("{message}", "{status} {{x}}"),
        ("no placeholder", "no placeholder"),
        ("", ""),
    ],
)
def test_placeholders_are_filled_once_and_doubled_braces_are_braces(template, filled):
    assert fill(template, VALUES) == filled
    assert check(template) == []


@pytest.mark.parametrize(
    "template",
    [
        *("{monitor.name}", "{monitor[0]}", "{monitor!r}", "{monitor:>99999999}", "{0}", "{}"),
        *("{Monitor}", "{ monitor }", "{mon", "mon}", "{{monitor}", "{monitor}}"),
    ],
)
def test_anything_else_in_braces_is_refused_and_left_as_it_is(template):
    assert check(template)
    assert "Oven" not in fill(template.replace("{monitor}", ""), VALUES)


def test_an_unknown_placeholder_is_an_error_that_lists_the_known_ones():
    (error,) = check("{hostname}")
    assert error.startswith("Unknown placeholder “{hostname}”. You can use: {title}, {text}, {monitor}")


def test_each_mistake_is_reported_once():
    assert len(check("{a} {a} {b}")) == 2


def test_what_a_template_grows_to_is_bounded():
    filled = fill("{message}" * 400, {"message": "x" * 500})
    assert len(filled) == LENGTH_MAX
    assert filled.endswith("…")


def test_every_placeholder_is_explained():
    assert all(placeholders().values())


_PIECES = st.lists(
    st.sampled_from(["{", "}", "{{", "}}", "{monitor}", "{message}", "{x}", "a", "\n", "{0.a}"])
)


@given(st.one_of(st.text(), _PIECES.map("".join)), st.text(), st.text())
def test_no_template_and_no_value_makes_it_raise_or_recurse(template, monitor, message):
    values = {"monitor": monitor, "message": message}
    check(template)
    filled = fill(template, values)
    assert len(filled) <= LENGTH_MAX
    # What is filled in stands there as it is: marks in place of values fill to the same.
    marked = fill(template, {"monitor": "\ue000", "message": "\ue001"})
    if not {"\ue000", "\ue001"} & set(template + monitor + message) and len(filled) < LENGTH_MAX:
        assert filled == "".join({"\ue000": monitor, "\ue001": message}.get(part, part) for part in marked)
