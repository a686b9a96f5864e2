"""Names and messages: no line breaks, and no characters that make them read like others."""

from __future__ import annotations

import unicodedata

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from core.form_fields import LineEmailField, LineField, PlainTextField
from core.text import clean_line, without_bidi

# Every character that Unicode gives a role in bidirectional formatting.
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def test_all_characters_that_change_the_direction_of_text_are_known():
    controls = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    found = {chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in controls}
    assert found <= set(BIDI)
    assert without_bidi(f"a{BIDI}b") == "ab"


def test_text_that_is_written_from_right_to_left_stays_as_it_is():
    for text in ("שלום", "مرحبا بالعالم", "Überwachung 監視", "👩‍👩‍👧 family"):
        assert without_bidi(text) == clean_line(text) == text


@pytest.mark.parametrize(
    "bad", ["\r", "\n", "\r\n", "\x00", "\t", "\x0b", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"]
)
@pytest.mark.parametrize("where", ["{}Mail", "Ma{}il", "Mail{}"])
def test_a_name_is_one_line(bad, where):
    with pytest.raises(ValidationError, match="Enter a single line"):
        clean_line(where.format(bad))
    with pytest.raises(ValidationError, match="Enter a single line"):
        LineField().clean(where.format(bad))


@given(st.text())
def test_a_name_is_clean_or_refused(text):
    try:
        name = clean_line(text)
    except ValidationError:
        return
    assert clean_line(name) == name
    assert not set(name) & set(BIDI)
    assert len(name.splitlines()) <= 1


def test_a_name_of_nothing_but_such_characters_is_empty():
    with pytest.raises(ValidationError, match="This field is required"):
        LineField().clean(f" {BIDI} ")


def test_an_address_can_not_be_disguised():
    assert LineEmailField().clean("anna@exa\u202emple.com") == "anna@example.com"
    with pytest.raises(ValidationError):
        LineEmailField().clean("anna@example.com\r\nBcc: eve@example.com")


def test_longer_text_keeps_its_lines():
    assert PlainTextField().clean("one\ntwo\u202e") == "one\ntwo"
