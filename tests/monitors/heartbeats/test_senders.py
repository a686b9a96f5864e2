"""What senders mean: whatever can't be understood is never good news."""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from monitors.heartbeats.parser import PUSH_BODY_LIMIT, Extent, Push, Rejection, parse_push
from monitors.heartbeats.push_path import PushPath, read_path
from monitors.heartbeats.words import DOWN_WORDS, UP_WORDS
from tests.support.sender_requests import ALL, FORM, JSON, Sent, alerts


def parse(sent: Sent) -> Push | Rejection:
    cut = len(sent.body) > PUSH_BODY_LIMIT
    return parse_push(
        sent.verb,
        sent.query,
        sent.body[:PUSH_BODY_LIMIT],
        sent.type,
        sent.encoding,
        Extent.CUT if cut else Extent.WHOLE,
    )


@pytest.mark.parametrize("sent", ALL, ids=str)
def test_a_request_is_read_as_it_was_meant(sent):
    said = parse(sent)
    if isinstance(said, Rejection):
        assert said.status == sent.means, said.message
        return
    assert ("up" if said.up else "down") == sent.means, said
    assert said.value == sent.value
    if sent.message is not None:
        assert said.message == sent.message
    assert (sent.warns in said.warning) if sent.warns else (said.warning == "" or sent.means == "down")


@pytest.mark.parametrize("word", DOWN_WORDS)
@pytest.mark.parametrize("other", UP_WORDS)
def test_a_word_for_down_wins_over_any_for_up(word, other):
    for query in (f"status={word}&status={other}", f"status={other}&msg=x&STATUS={word.upper()}"):
        said = parse_push("GET", query.encode())
        assert isinstance(said, Push)
        assert not said.up


def test_an_unknown_status_is_answered_with_those_that_are_known():
    said = parse_push("GET", b"status=whatever")
    assert isinstance(said, Rejection)
    assert "whatever" in said.message
    for word in (*UP_WORDS, *DOWN_WORDS):
        assert f" {word}" in said.message
    # A monitor's page keeps that much of it.
    assert len(said.message) <= 200


# --- Bodies that are not whole


@pytest.mark.parametrize(
    ("query", "body", "means"),
    [
        (b"", b"status=do", 400),
        (b"", b"status=up&msg=x", 400),
        (b"", b'{"status":"up"}', 400),
        (b"", b"", 400),
        (b"", b"status=down&msg=x", "down"),
        (b"", b'{"status":"down","msg":"x', "down"),
        (b"status=up", b"msg=x", "up"),
        (b"status=down", b"status=u", "down"),
    ],
)
def test_of_a_body_that_was_broken_off_only_a_down_counts(query, body, means):
    said = parse_push("POST", query, body, FORM, "", Extent.INCOMPLETE)
    assert (said.status if isinstance(said, Rejection) else "up" if said.up else "down") == means
    assert isinstance(said, Rejection) or said.warning == "The body was incomplete."


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        (b"", False),
        (b'{"msg":"x"}', True),
        (b"status=up&msg=x", True),
        (b"msg=x", False),
        (b"some text", False),
        (b'{"msg":"x"', False),
    ],
)
def test_a_body_whose_end_may_be_missing_is_good_news_only_if_it_shows_its_end_or_has_a_status(
    body, accepted
):
    said = parse_push("POST", b"", body, "", "", Extent.PERHAPS_WHOLE)
    assert isinstance(said, Push) is accepted


@pytest.mark.parametrize(("method", "query"), [("POST", b"status=up"), ("GET", b""), ("HEAD", b"msg=x")])
def test_an_empty_body_that_may_have_broken_off_does_not_count_with_a_status_or_another_method(method, query):
    parsed = parse_push(method, query, b"", "", "", Extent.PERHAPS_WHOLE)
    assert isinstance(parsed, Push)
    assert parsed.up


def test_the_last_field_of_a_body_that_was_cut_does_not_count():
    said = parse_push("POST", b"", b"msg=x&status=up", FORM, "", Extent.CUT)
    assert isinstance(said, Rejection)
    assert said.status == 413


@pytest.mark.slow
def test_a_body_that_inflates_to_gigabytes_costs_no_time_and_no_memory():
    bomb = zlib.compress(b"\0" * 200_000_000, 9)
    began = time.perf_counter()
    for _ in range(20):
        said = parse_push("POST", b"", bomb, "", "deflate")
        assert isinstance(said, Rejection)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "body",
    [
        b"status" * 1600,
        b"exit%22%22%22%22=%22" * 500,
        b"exit=" + b"0" * 9_900 + b"x",
        b"status=" * 1400,
        b'"status":"' * 1000,
        b"status%22%22%22%22=%22" * 450,
        b"&amp;" * 2000,
        b";" * 10_000,
        b"[" * 10_000,
        b'{"a":' * 2000,
        b'{"' + b"\\" * 9_990,
        b"--x\r\n" * 1900 + b"content-disposition:",
        b" " * 9_990 + b"=",
        b"1" * 10_000,
        b"a=b;" * 2500,
        b"=" * 10_000,
        b"status=" + b"0" * 9_900 + b"x",
        b"&status=up" * 1_000,
        b"? " * 5_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_no_body_takes_long(body):
    began = time.perf_counter()
    for kind in (FORM, JSON, "multipart/form-data; boundary=x"):
        for extent in (Extent.WHOLE, Extent.CUT):
            parse_push("POST", body, body[:PUSH_BODY_LIMIT], kind, "", extent)
    assert time.perf_counter() - began < 1.5


# --- Paths

TOKEN = "tjp_gr02SKNitLIm5I5rbDSxjAm6dVEhAJ0L3Gex"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api/push/{}",
            "/api/push/{}/",
            "//api//push///{}//",
            "/api/push/{} ",
            "/api/push/{}\r",
            "/api/push/{}.",
        ),
        *(
            "/api/push/{}\n",
            "/api/push/{}\r\n",
            "/api/push/{}/.",
            "/api/push/{}/ ",
            '/api/push/{}"',
            "/api/push/{}...",
        ),
    ],
)
def test_the_token_is_found_however_the_url_was_put_together(path):
    assert read_path(path.format(TOKEN)) == PushPath(TOKEN)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/push", PushPath("")),
        ("/api/push/", PushPath("")),
        ("/api/push//", PushPath("")),
        ("/api/push/a&status=down", PushPath("a", "status=down")),
        ("/api/push/a?status=down&msg=x/y", PushPath("a", "status=down&msg=x/y")),
        ("/api/push/a/?status=down", PushPath("a", "status=down")),
        ("/api/push/a/b", None),
        ("/api/pushes", None),
        ("/api/push/a/../b", None),
        ("/", None),
        ("//", None),
        ("/xapi/push/a", None),
    ],
)
def test_other_paths_are_none_and_fields_in_the_path_are_no_part_of_the_token(path, found):
    assert read_path(path) == found


# --- Whatever surrounds it, a field that says down is never up

any_case = st.sampled_from(DOWN_WORDS).flatmap(
    lambda word: st.sampled_from([word, word.upper(), word.title()])
)
names = st.sampled_from(["status", "Status", "STATUS", "status[]", '"status"', " status ", "[status]"])
texts = st.text(st.characters(codec="utf-8"), max_size=20)
separators = st.sampled_from(["&", "&&", "&amp;", ";", "\n", "&?", "?"])
quotes = st.sampled_from(["", '"', "'", " "])


@st.composite
def forms(draw, encoded=True):
    """Text of fields in any order, of which one says down."""
    others = draw(
        st.lists(st.tuples(names | texts, st.sampled_from(["up", "1", "maybe", ""]) | texts), max_size=4)
    )
    around = draw(quotes)
    fields = [f"{quote(name)}={quote(value)}" for name, value in others]
    down = f"{draw(names)}={around}{draw(any_case)}{around}"
    fields.insert(draw(st.integers(0, len(fields))), down)
    return draw(separators).join(fields).encode()


@st.composite
def objects(draw):
    """JSON in which some member at some depth is a status that says down."""
    others = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3)
    value: object = draw(others) | {
        draw(st.sampled_from(["status", "Status", "STATUS", " status "])): draw(any_case)
    }
    for _ in range(draw(st.integers(0, 3))):
        value = (
            draw(st.sampled_from([[value], [1, value, "x"]]))
            if draw(st.booleans())
            else draw(others) | {"a": value}
        )
    content = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 2])))
    return content.encode()


def never_up(query: bytes, body: bytes, kind: str, encoding: str = "", extent: Extent = Extent.WHOLE) -> None:
    for method in ("GET", "POST"):
        said = parse_push(method, query, body, kind, encoding, extent)
        assert isinstance(said, Rejection) or not said.up, (query, body, kind)


kinds = st.sampled_from(
    [JSON, FORM, "", "text/plain", "application/octet-stream", "multipart/form-data", "a/b"]
)
queries = st.sampled_from([b"", b"status=up", b"msg=x", b"status=up&msg=OK&ping=", b"status="])
charsets = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(forms(), queries)
@example(b"status=up&msg=OK&ping=?status=down", b"")
def test_no_query_with_a_field_that_says_down_is_up(fields, rest):
    never_up(fields, b"", "")
    never_up(rest + b"&" + fields, b"", "")


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(forms() | objects(), kinds, queries, charsets, st.sampled_from(["", "gzip", "deflate"]))
def test_no_body_with_a_field_that_says_down_is_up(body, kind, query, charset, encoding):
    body = body.decode().encode(charset)
    packed = {"": body, "gzip": gzip.compress(body), "deflate": zlib.compress(body)}[encoding]
    never_up(query, packed, kind, encoding)
    never_up(
        query, packed, kind, encoding, Extent.CUT if len(packed) > PUSH_BODY_LIMIT else Extent.PERHAPS_WHOLE
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(objects(), st.integers(0, 60), st.sampled_from([b"", b"}", b'"', b",", b"]", b"\\", b'"x', b"\n"]))
def test_json_that_was_damaged_is_not_up(body, place, damage):
    body = body[:place] + damage + body[place:]
    # A name or a word that was damaged itself says nothing any more.
    assume(re.search(rb'(?i)\bstatus\b[ "]*:[ ]*"(' + "|".join(DOWN_WORDS).encode() + rb')"', body))
    never_up(b"", body, JSON)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), any_case, st.binary(max_size=60), kinds)
def test_no_bytes_around_a_field_that_says_down_make_it_up(before, word, after, kind):
    for field in (f"&status={word}&", f'{{"status":"{word}"}}', f"\nstatus: {word}\n", f" status='{word}' "):
        never_up(b"", before + field.encode() + after, kind)
        never_up(before.replace(b"#", b"") + field.encode() + after, b"", "")


@settings(deadline=None)
@given(st.binary(max_size=200), kinds, st.sampled_from(["", "gzip", "deflate", "br", "identity, gzip"]))
def test_nothing_that_is_sent_raises_whatever_its_encoding(body, kind, encoding):
    for extent in Extent:
        said = parse_push("POST", b"", body, kind, encoding, extent)
        assert isinstance(said, Push | Rejection)


def test_alerts_that_mention_their_own_down_are_as_the_query_says():
    body = alerts("firing", commonAnnotations={"summary": "status: down"})
    said = parse_push("POST", b"status=up", body, JSON)
    assert isinstance(said, Push)
    assert said.up
