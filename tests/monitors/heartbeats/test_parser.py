"""What a push says, whatever its sender wrote."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from dataclasses import replace
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitors.heartbeats.fields import canonical
from monitors.heartbeats.parser import MESSAGE_LENGTH, PUSH_BODY_LIMIT, Push, Rejection, parse_push
from monitors.heartbeats.words import ALLOWED, DOWN_WORDS

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
NO_NUMBER = "value is not a finite number and was not recorded."
NOT_JSON = "The body is not valid JSON. Nothing was recorded."


def get(query="", **parameters):
    return parse_push("GET", (query or urlencode(parameters)).encode())


def post_json(content, query=b""):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_push("POST", query, body, JSON)


def post_form(query=b"", **parameters):
    return parse_push("POST", query, urlencode(parameters).encode(), FORM)


def multipart(*parts):
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, content)
        for name, content in parts
    )
    return parse_push("POST", b"", body + b"--x--\r\n", "multipart/form-data; boundary=x")


# --- status


@pytest.mark.parametrize("said", ["", "up", "UP", "Up", " up ", "%09up%0A"])
def test_up_in_any_case_and_nothing_at_all_mean_up(said):
    assert get(f"status={said}") == Push(True, "OK")


@pytest.mark.parametrize("said", ["down", "DOWN", "Down", " down "])
def test_down_in_any_case_means_down(said):
    assert get(f"status={said}") == Push(False, "Reported down")


def test_a_push_without_parameters_is_up():
    for method in ("GET", "HEAD", "POST"):
        assert parse_push(method, b"") == Push(True, "OK")


@pytest.mark.parametrize("said", ["pending", "upp", "%00", "%FF", "up%20to%20date"])
def test_any_other_status_is_refused_with_what_is_allowed(said):
    answer = get(f"status={said}")
    assert isinstance(answer, Rejection)
    assert answer.status == 400
    assert answer.message.endswith(f". {ALLOWED}")


@pytest.mark.parametrize("said", [{"up": 1}, {}, [], ["maybe"], "\ud800", 1.5, float("nan")])
def test_a_status_of_json_that_is_no_such_word_is_refused(said):
    answer = post_json({"status": said})
    assert isinstance(answer, Rejection)
    assert answer.status == 400


# --- msg


def test_the_message_is_taken_as_it_was_written():
    assert get(msg="Backup: 3 GB, 100 % in 5 min + 2 s") == Push(True, "Backup: 3 GB, 100 % in 5 min + 2 s")


@pytest.mark.parametrize("empty", ["", "   ", "\0", "\x01\x02", "\r\n"])
def test_an_empty_message_gets_the_default_of_its_status(empty):
    assert get(msg=empty).message == "OK"
    assert get(msg=empty, status="down").message == "Reported down"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("a\0b", "ab"),
        ("a\x1b[31mb", "a[31mb"),
        ("a\x7f\x80\x9fb", "ab"),
        ("one\ntwo", "one two"),
        ("one\r\ntwo", "one two"),
        ("one\ttwo", "one two"),
        ("  padded  ", "padded"),
        ("Grüße, 世界 🚀", "Grüße, 世界 🚀"),
    ],
)
def test_control_characters_are_dropped_and_line_breaks_become_spaces(written, kept):
    assert get(msg=written).message == kept


def test_a_message_is_cut_at_500_characters_not_bytes():
    assert get(msg="🚀" * 501).message == "🚀" * MESSAGE_LENGTH
    assert get(msg="x" * 500).message == "x" * 500


@pytest.mark.parametrize("raw", ["%FF%FE", "\xff\xfe", "%ED%A0%80", "%C3"])
def test_bytes_that_are_no_utf8_are_replaced(raw):
    message = parse_push("GET", b"msg=a" + raw.encode("latin-1")).message
    assert set(message) == {"a", "\ufffd"}


def test_utf8_that_came_without_percent_signs_is_understood():
    assert parse_push("GET", "msg=Grüße".encode()).message == "Grüße"


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("a\ud800b", "ab"),
        ("\ud800", "OK"),
        (None, "OK"),
        (5, "5"),
        (True, "true"),
        ({"a": "ü"}, '{"a": "ü"}'),
    ],
)
def test_a_message_of_json_is_text_whatever_it_was(content, kept):
    assert post_json({"msg": content}).message == kept


def test_a_surrogate_pair_of_json_is_one_character():
    assert post_json(b'{"msg":"\\ud83d\\ude80"}').message == "🚀"


# --- value


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("12", 12.0),
        ("12.5", 12.5),
        ("+3", 3.0),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1e-999", 0.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
    ],
)
def test_a_finite_number_is_a_value(written, number):
    assert get(value=written) == Push(True, "OK", number)


@pytest.mark.parametrize(
    "written",
    [
        *("abc", "nan", "NaN", "inf", "-Infinity", "1e999", "1_000", "1,500", "0x10", "١٢", "１２"),
        *("1 2", "--1", "1\0", "²", "1e", ".", "+", "12k", "true", "9" * 401),
    ],
)
def test_what_is_no_finite_number_keeps_the_heartbeat_and_gives_a_warning(written):
    quoted = written.replace("\0", "")[:40]
    assert get(value=written) == Push(True, "OK", None, NO_NUMBER, quoted)


@pytest.mark.parametrize("written", ["", " "])
def test_an_empty_value_is_none_without_a_warning(written):
    assert get(value=written) == Push(True, "OK")


@pytest.mark.parametrize(
    ("query", "number"),
    [("ping=12", 12.0), ("value=3&ping=12", 3.0), ("value=&ping=12", 12.0), ("ping=", None)],
)
def test_the_value_may_be_called_as_existing_senders_call_it(query, number):
    assert get(query) == Push(True, "OK", number)


@pytest.mark.parametrize(
    ("content", "number"),
    [("12.5", 12.5), ("12", 12.0), ('"12.5"', 12.5), ("null", None), ("1e3", 1000.0), ("-0", 0.0)],
)
def test_a_value_of_json_may_be_a_number_or_text(content, number):
    assert post_json(b'{"value":%s}' % content.encode()) == Push(True, "OK", number)


@pytest.mark.parametrize(
    "content",
    ["NaN", "Infinity", "-Infinity", "1e999", "true", "[1]", '{"a":1}', '"\\ud800"', "9" * 500, "9" * 5000],
)
def test_a_value_of_json_that_is_no_finite_number_keeps_the_rest_of_the_body(content):
    body = b'{"status":"down","msg":"disk full","value":%s}' % content.encode()
    assert replace(post_json(body), unreadable="") == Push(False, "disk full", None, NO_NUMBER)


# --- where parameters may stand


def test_a_form_of_a_post_is_read():
    assert post_form(status="down", msg="disk full", value="91.5") == Push(False, "disk full", 91.5)


def test_a_json_object_of_a_post_is_read():
    assert post_json({"status": "down", "msg": "disk full", "value": 91.5}) == Push(False, "disk full", 91.5)


def test_a_multipart_form_of_a_post_is_read():
    pushed = multipart((b"status", b"down"), (b"msg", "Gr\u00fc\u00dfe".encode()), (b"value", b"91.5"))
    assert pushed == Push(False, "Grüße", 91.5)


def test_a_file_in_a_multipart_form_is_a_parameter_like_any_other():
    body = (
        b'--x\r\nContent-Disposition: form-data; name="status"; filename="down.txt"\r\n\r\ndown\r\n--x--\r\n'
    )
    assert parse_push("POST", b"", body, "multipart/form-data; boundary=x") == Push(False, "Reported down")


@pytest.mark.parametrize("content_type", ["", FORM, "text/plain;charset=UTF-8"])
def test_json_is_understood_under_the_content_type_that_senders_give_by_default(content_type):
    pushed = parse_push("POST", b"", b' {"status":"down"}', content_type)
    assert pushed == Push(False, "Reported down")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "a/b+json"])
def test_json_is_known_by_its_content_type_in_all_its_spellings(content_type):
    assert parse_push("POST", b"", b'{"status":"down"}', content_type).up is False


def test_json_may_begin_with_a_byte_order_mark():
    assert post_json(b'\xef\xbb\xbf{"status":"down"}').up is False


def test_the_query_wins_over_the_body_except_for_a_down():
    assert post_form(b"msg=query&status=up", msg="body", status="down", value="1") == Push(
        False, "query", 1.0
    )
    assert post_json({"msg": "body", "value": 1}, b"msg=query") == Push(True, "query", 1.0)


def test_of_a_repeated_parameter_the_first_counts():
    assert get("status=down&status=up&msg=a&msg=b") == Push(False, "a")


@pytest.mark.parametrize("body", [b"{", b'{"status":up}', b"{'a':1}", b'{"a":1' + b"[" * 9000])
def test_a_body_that_is_no_json_is_refused(body):
    assert post_json(body) == Rejection(400, NOT_JSON)
    assert post_json(body, b"status=up").warning == "The body is not valid JSON. It was ignored."


@pytest.mark.parametrize("body", [b"[]", b'[["x"]]', b"[{}"])
def test_json_that_is_no_object_is_refused(body):
    assert isinstance(post_json(body), Rejection)


def test_two_things_to_warn_of_are_both_in_the_warning():
    said = post_json(b"[]", b"status=up&value=x")
    assert said.warning == f"The JSON body is not an object. It was ignored. {NO_NUMBER}"


@pytest.mark.parametrize("depth", [*range(930, 1000), 2000, 4900])
@pytest.mark.parametrize("name", [b"status", b"msg", b"value"])
def test_json_nested_as_deep_as_you_like_raises_nothing(depth, name):
    post_json(b'{"%s":%s}' % (name, b"[" * depth + b"]" * depth))
    post_json(b'{"%s":%s}' % (name, (b'{"":' * depth)[:4000] + b"1" + b"}" * min(depth, 1000)))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "", "get", "\0"])
def test_any_other_method_is_refused_and_the_right_ones_are_named(method):
    assert parse_push(method, b"status=up") == Rejection(405, "Method not allowed; use GET, HEAD or POST.")


# --- whatever comes


def assert_is_sound(said):
    """A push can be stored and shown on any database and in any message."""
    if isinstance(said, Rejection):
        assert said.status in (400, 405, 413)
        return
    assert isinstance(said, Push)
    assert 1 <= len(said.message) <= MESSAGE_LENGTH
    assert not {unicodedata.category(character) for character in said.message} & {"Cc", "Cs"}
    assert said.message.encode().decode() == said.message
    assert json.loads(json.dumps(said.message)) == said.message
    assert said.value is None or math.isfinite(said.value)


names = st.sampled_from(["status", "msg", "value", "ping", "", "\0", "Status", "a[b]"]) | st.text(max_size=5)
odd_values = st.sampled_from(
    ["NaN", "Infinity", "-inf", "1e999", "١٢", "\0", "\ud800", "9" * 500, "x" * 3000, "%", "%zz", "&", "="]
)
texts = odd_values | st.text(st.characters(), max_size=30) | st.floats().map(repr)
pairs = st.lists(st.tuples(names, texts), max_size=6)
query_strings = pairs.map(
    lambda fields: "&".join(
        f"{quote(name, errors='surrogatepass')}={quote(value, errors='surrogatepass')}"
        for name, value in fields
    ).encode()
)
good_queries_with_garbage = st.binary(max_size=40).map(lambda raw: b"status=up&msg=" + raw)
queries = query_strings | st.binary(max_size=60) | good_queries_with_garbage
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
json_bodies = st.builds(
    lambda content, ascii_only: json.dumps(content, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"),
    st.dictionaries(names, json_values, max_size=4) | json_values,
    st.booleans(),
)
part_heads = st.sampled_from(
    [
        b'Content-Disposition: form-data; name="msg"',
        b'Content-Disposition: form-data; name="status"; filename="x"',
        b"Content-Disposition: form-data; name*=utf-8''m%73g",
        b"Content-Disposition: form-data; name*0=ms; name*1*=x''%zz",
        b'Content-Disposition: form-data; name="value"\r\nContent-Transfer-Encoding: base64',
        b'Content-Disposition: form-data; name="msg"\r\nContent-Transfer-Encoding: x-uuencode',
        b'Content-Disposition: form-data; name="msg"\r\nContent-Type: text/plain; charset=\xff',
        b"Content-Type: multipart/mixed; boundary=x",
        b"Content-Type: message/rfc822",
        b"Content-Type: message/delivery-status",
        b": : :",
    ]
)
multipart_bodies = st.lists(st.tuples(part_heads, st.binary(max_size=30)), max_size=4).map(
    lambda parts: b"".join(b"--x\r\n%s\r\n\r\n%s\r\n" % part for part in parts) + b"--x--"
)
bodies = json_bodies | multipart_bodies | query_strings | st.binary(max_size=80)
content_types = (
    st.sampled_from(
        [
            *("", JSON, FORM, "text/plain", "multipart/form-data; boundary=x", "multipart/form-data"),
            *('multipart/form-data; boundary="', "multipart/form-data; boundary=\x00", "a+json", ";", "/"),
            *("multipart/form-data; boundary*=utf-16''x", "multipart/form-data; boundary=\r\n"),
        ]
    )
    | st.text(max_size=20)
    | st.text(max_size=10).map("multipart/form-data; boundary={}".format)
)
methods = st.sampled_from(["GET", "HEAD", "POST", "POST", "POST", "PUT"]) | st.text(max_size=5)


@pytest.mark.slow
@settings(deadline=None, max_examples=500)
@given(methods, queries, bodies, content_types)
@example("POST", b"", b"\xef\xbb\xbf", JSON)
@example("POST", b"", b"--x\r\n" * 1900, "multipart/form-data; boundary=x")
@example(
    "POST",
    b"",
    b"".join(b"--a%d\nContent-Type: multipart/x; boundary=a%d\n\n" % (i, i + 1) for i in range(250))[:10_000],
    "multipart/form-data; boundary=a0",
)
def test_nothing_that_is_sent_raises(method, query, body, content_type):
    assert_is_sound(parse_push(method, query, body, content_type))


good_words = st.sampled_from(["up", "down", "UP", "Down", ""])


def mentions_a_status(*parts: bytes) -> bool:
    """Whether there may be another status, in whatever notation, or bytes that hide one."""
    text = b" ".join(unquote_to_bytes(part) for part in parts).lower().replace(b"\0", b"")
    words = "|".join(("status", "state", "result", "exit", *DOWN_WORDS)).encode()
    return bool(re.search(rb"[^\x20-\x7e]|" + words, text))


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(good_words, queries, bodies.filter(lambda body: len(body) <= PUSH_BODY_LIMIT), content_types)
def test_a_good_status_in_the_query_is_never_lost_whatever_else_is_sent(word, rest, body, content_type):
    said = parse_push("POST", b"status=" + word.encode() + b"&" + rest, body, content_type)
    assert_is_sound(said)
    if word.lower() == "down":
        assert isinstance(said, Push)
        assert not said.up
    elif word and not mentions_a_status(rest, body):
        assert isinstance(said, Push)
        assert said.up


other_fields = st.dictionaries(
    names.filter(lambda name: canonical(name)[0] in ("", "msg", "message", "value", "ping")),
    texts.filter(lambda text: "status" not in text.lower()),
    max_size=5,
)


@settings(deadline=None)
@given(good_words | st.none(), other_fields, st.booleans())
def test_a_good_status_in_a_json_body_is_never_lost_whatever_else_it_says(word, fields, ascii_only):
    content = fields if word is None else {**fields, "status": word}
    body = json.dumps(content, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    said = post_json(body)
    assert_is_sound(said)
    assert isinstance(said, Push)
    assert said.up == (word is None or word.lower() != "down")


@settings(deadline=None)
@given(good_words | st.none(), other_fields)
def test_a_good_status_in_a_form_is_never_lost_whatever_else_it_says(word, fields):
    content = dict(fields) if word is None else {"status": word, **fields}
    body = urlencode(content, errors="surrogatepass", encoding="utf-8").encode()
    said = parse_push("POST", b"", body, FORM)
    assert isinstance(said, Push)
    assert said.up == (word is None or word.lower() != "down")


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_a_message_of_any_bytes_keeps_its_heartbeat(raw):
    said = parse_push("GET", b"msg=" + quote_from_bytes(raw).encode())
    assert_is_sound(said)
    assert isinstance(said, Push)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_number_survives_as_it_was_written(number):
    assert get(value=repr(number)).value == number
    assert post_json({"value": number}).value == number
