"""Requests that senders make, and what is recorded of them, whichever front of the endpoint takes them."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any

JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
OCTETS = "application/octet-stream"


def gzipped(data: bytes) -> bytes:
    """Compress without the time of day, so that each process makes the same tests."""
    return gzip.compress(data, mtime=0)


@dataclass(frozen=True)
class Sent:
    """A raw request, and what it means: "up", "down" or the HTTP status of a rejection."""

    means: str | int
    query: bytes = b""
    body: bytes = b""
    type: str = ""
    encoding: str = ""
    method: str = ""
    message: str | None = None
    value: float | None = None
    warns: str = ""

    @property
    def verb(self) -> str:
        return self.method or ("POST" if self.body else "GET")

    def __str__(self) -> str:
        return f"{self.verb} ?{self.query[:50]!r} {self.type}{self.encoding} {self.body[:60]!r}"


def alerts(status: str, **more: Any) -> bytes:
    """Return what Alertmanager posts, and Grafana likewise."""
    alert = {"status": status, "labels": {"alertname": "Watchdog"}, "annotations": {}}
    content = {
        **{"receiver": "tianji", "status": status, "alerts": [alert], "groupLabels": {}, "version": "4"},
        **{"commonLabels": {"alertname": "Watchdog"}, "commonAnnotations": {}, "groupKey": "{}:{}"},
    }
    return json.dumps(content | more).encode()


def run(conclusion: str | None, status: str = "completed") -> bytes:
    """Return what GitHub posts about a run of a workflow."""
    workflow = {"name": "Nightly", "status": status, "conclusion": conclusion, "id": 7, "run_attempt": 1}
    return json.dumps({"action": status, "workflow_run": workflow, "repository": {"id": 1}}).encode()


def kuma(status: int) -> bytes:
    beat = {"status": status, "msg": "timeout of 48000ms exceeded", "ping": None}
    return json.dumps({"heartbeat": beat, "monitor": {"name": "web"}, "msg": "[web] Down"}).encode()


def part(name: str, text: str, *, file: str = "", boundary: str = "x") -> bytes:
    named = f'; filename="{file}"' if file else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}'
    return f"{head}\r\n\r\n{text}\r\n--{boundary}--\r\n".encode()


DOWN = b'{"status":"down","msg":"disk full"}'
NOT_JSON = "The body is not valid JSON."

FIELDS = [
    # Names and words in any case.
    Sent("down", b"STATUS=DOWN"),
    Sent("down", b"Status=Down&Msg=disk%20full&VALUE=3", message="disk full", value=3.0),
    Sent("down", body=b'{"Status":"Down","MSG":"disk full"}', type=JSON, message="disk full"),
    # Repeated, glued, quoted, bracketed: a down anywhere wins.
    Sent("down", b"status=up&status=down"),
    Sent("down", b"status=down&status=up"),
    Sent("down", b"msg=x&amp;status=down", message="x"),
    Sent("up", b"status=up&amp;msg=done&amp;value=3", message="done", value=3.0),
    Sent("down", b"msg=x&amp;amp;status=down"),
    Sent("down", b"status=up&msg=OK&ping=?status=down&msg=fail"),
    Sent("up", b"status=up&msg=OK&ping=?status=up&msg=OK&ping=12", message="OK", value=12.0),
    Sent("down", b"status=down;msg=x", message="x"),
    Sent("down", b"msg=x;status=down", message="x"),
    Sent("down", b"msg=x,status=down"),
    Sent("down", b"msg=x|status=down"),
    Sent("down", b"msg=x%0Astatus=down"),
    Sent("down", b"msg=x+status=down"),
    Sent("down", b"?status=down"),
    Sent("down", b"&&status=down&&"),
    Sent("down", b"status[]=down"),
    Sent("down", b"status[0]=up&status[1]=down"),
    Sent("down", b"[status]=[down]"),
    Sent("down", b"%22status%22=%22down%22"),
    Sent("down", b"%20status%20=%20down%20"),
    Sent("down", b"status%20=%20down"),
    Sent("down", b"status:down"),
    Sent("down", b"%7B%22status%22:%22down%22%7D"),
    Sent("down", b"data[status]=down"),
    Sent("down", b"%EF%BB%BFstatus=down"),
    Sent("down", b"status=%EF%BD%84%EF%BD%8F%EF%BD%97%EF%BD%8E"),
    Sent("down", b"status=down%00"),
    Sent("down", b"%73tatus=d%6Fwn"),
    Sent("down", b"down"),
    Sent("down", b"msg=" + b"&a=b" * 200 + b"&status=down"),
    # Encoded, it is text; unless there is no status, when it was meant as one.
    Sent("up", b"status=up&msg=was%20status%3Ddown", message="was status=down"),
    Sent("down", b"msg=x%26status%3Ddown", message="x&status=down"),
    # What looks a bit like a status is none.
    Sent("up", b"status=up&http_status=down"),
    Sent("up", b"status=up&error="),
    Sent("up", b"status=&failed=0"),
    # Words.
    *[
        Sent("up", f"status={word}".encode())
        for word in ("", "up", "ok", "OKAY", "success", "True", "pass", "healthy", "alive", "resolved", "UP!")
    ],
    *[
        Sent("down", f"status={word}".encode())
        for word in (
            *("down", "fail", "failed", "failure", "error", "err", "critical", "false", "firing", "nok"),
            *("DEAD", "timeout", "down:%20disk%20full", "up,down", "not%20down"),
        )
    ],
    *[
        Sent(400, f"status={word}".encode())
        for word in ("maybe", "pending", "upp", "up%20to%20date", "%00", "%FF", "1.5", "%22%22", "grace")
    ],
    Sent("down", b"status=maybe&status=down"),
    Sent(400, b"status=maybe&status=up"),
    # Exit codes. 1 is a word for up as well; who sends exit codes says so.
    Sent("up", b"exit=0"),
    *[Sent("down", f"exit={code}".encode()) for code in ("1", "2", "137", "-1", "255")],
    Sent("down", b"exit_code=1"),
    Sent("down", b"status=up&exit=1"),
    Sent("up", b"status=up&exit="),
    Sent(400, b"exit=exited"),
    Sent("down", b"exit={2}"),
    Sent("down", b"exit=0;exit_code=2"),
    *[Sent("down", f"msg=x{mark}exit_code=2".encode(), message="x") for mark in (";", ",", "|", "%0A", "+")],
    # Encoded, as a status is.
    Sent("down", b"msg=x%26exit=2", message="x&exit=2"),
    Sent("up", b"status=up&msg=see%20exit%3D2", message="see exit=2"),
    Sent("up", b"status=up&msg=exit%20code:%202", message="exit code: 2"),
    Sent("up", b"status=up&non-exit=2"),
    Sent("up", b"status=0", warns="status 0 was read as up; send an exit code as exit=."),
    Sent("up", b"status=1", warns="status 1 was read as up; send an exit code as exit=."),
    *[Sent("down", f"status={code}".encode(), warns=f"status {code} was") for code in ("2", "137", "-1")],
    # What senders say without a word for a status.
    *[
        Sent("down", said.encode())
        for said in ("ok=false", "Success=False", "failed=true", "status=up&up=false")
    ],
    *[Sent("up", said.encode()) for said in ("ok=true", "failed=false", "status=up&error=false")],
    # What other tools call a status: known words only.
    Sent("down", b"state=fail"),
    Sent("down", b"result=failure&msg=x"),
    Sent("up", b"state=Jakarta"),
]

BODIES = [
    # By what it is, whatever its type says, with any method.
    *[Sent("down", body=DOWN, type=kind, message="disk full") for kind in (JSON, FORM, TEXT, OCTETS, "")],
    *[Sent("down", body=b"status=down&msg=x", type=kind, message="x") for kind in (JSON, FORM, TEXT, OCTETS)],
    *[Sent("down", body=b"status=down", type=FORM, method=method) for method in ("GET", "HEAD", "POST")],
    *[Sent("down", body=DOWN, type=JSON, method=method) for method in ("GET", "HEAD")],
    Sent("down", body=part("status", "down"), type="multipart/form-data; boundary=x"),
    Sent("down", body=part("status", "down"), type="multipart/form-data; boundary=other"),
    Sent("down", body=part("status", "down"), type=FORM),
    Sent("down", body=part("status", "down\n", file="state"), type="multipart/form-data; boundary=x"),
    Sent("down", body=part("STATUS", "Down"), type='Multipart/Form-Data; Boundary="x"'),
    Sent("up", body=b"--x--\r\n", type="multipart/form-data; boundary=x"),
    Sent("down", b"status=up", body=b"exit=2", type="multipart/form-data"),
    Sent("up", body=b"status=up&msg=x", type="multipart/form-data; boundary=x", message="x"),
    Sent(400, body=b"--x\r\nstatus=up", type="multipart/form-data; boundary=x"),
    Sent("down", body=b'"exit"=2', type=FORM),
    Sent("up", body=b"Backup finished in 5 min", type=TEXT, message="Backup finished in 5 min"),
    Sent("up", body=b"12 files", type=TEXT, message="12 files"),
    Sent("up", body=b"200 OK", type=TEXT, message="200 OK"),
    Sent("up", body=b"[2026-11-27 02:00] done", type=FORM, message="[2026-11-27 02:00] done"),
    Sent("up", body=b"\x1b[32mdone\x1b[0m\r\n", message="[32mdone[0m"),
    Sent("up", body="Größe: 3 GB".encode("latin-1"), type=TEXT),
    Sent("up", body=b" \r\n"),
    Sent("down", body=b"DOWN\n"),
    Sent("down", body=b'"down"', type=JSON),
    Sent("up", body=b"ok", message="ok"),
    Sent("down", body=b"status=down\nmsg=x\n", type=TEXT, message="x"),
    Sent("down", body=b"status: down\nmsg: x\n", type="application/yaml"),
    Sent("down", body=b"[service]\r\nstatus = down\r\n", type=TEXT),
    Sent("down", body=b"payload=%7B%22status%22%3A%22down%22%7D", type=FORM),
    # JSON with the faults that senders make.
    Sent("down", body=b'{"status":"down","msg":"disk\nfull\t"}', type=JSON, message="disk full"),
    Sent("up", body=b'{"status":"up","msg":"disk\nfine\x01"}', type=JSON, message="disk fine"),
    Sent("down", body=b'{"status":"down","msg":"he said "no""}', type=JSON, warns=NOT_JSON),
    Sent("down", body=b'{"status":"down","value":}', type=JSON, warns=NOT_JSON),
    Sent(400, body=b'{"status":"up","value":}', type=JSON),
    Sent("down", body=b"{'status': 'down'}", type=JSON),
    Sent("down", body=b"'{status:down}'", type=JSON),
    Sent("down", body=b"'" + DOWN + b"'", type=JSON),
    Sent("down", body=b'{"status":"down",}', type=JSON),
    Sent("down", body=b'{\\"status\\":\\"down\\"}', type=JSON),
    Sent("down", body=json.dumps(DOWN.decode()).encode(), type=JSON),
    Sent("down", body=b'{"status":"up"}\n{"status":"down"}', type=JSON),
    Sent("down", body=b'{"status":"up","status":"down"}', type=JSON),
    Sent("down", body=b'[{"status":"up"},{"status":"down"}]', type=JSON),
    Sent("down", body=b'{"data":{"checks":[{"status":"down"}]}}', type=JSON),
    Sent("down", body=b'{"\\u0073tatus":"d\\u006fwn"}', type=JSON),
    Sent("down", body=b'{"status":["down"]}', type=JSON),
    Sent("down", body=b'{"status":false}', type=JSON),
    Sent("up", body=b'{"status":true}', type=JSON),
    Sent("up", body=b'{"status":null,"msg":"x"}', type=JSON, message="x"),
    Sent("up", body=b"{}", type=JSON),
    Sent("up", body=b'{"status":"up","response":{"status":500}}', type=JSON),
    Sent(400, body=b'{"status":{"up":1}}', type=JSON),
    Sent(400, body=b'{"data":{"status":"pending"}}', type=JSON),
    Sent("down", body=b'{"exit":2}', type=JSON),
    Sent("down", body=b'{"exit":[2]}', type=JSON),
    Sent("down", body=b'{"exit":2,}', type=JSON, warns=NOT_JSON),
    Sent("up", body=b'{"exit":[0]}', type=JSON),
    Sent(400, body=b'{"exit":{"code":0}}', type=JSON),
    Sent("down", body=b'{"ok":false}', type=JSON),
    Sent("down", body=b'{"ok":"false","msg":"x"}', type=JSON, message="x"),
    Sent("down", body=b'{"success":false,"status":"up"}', type=JSON),
    Sent("down", body=b'{"failed":true}', type=JSON),
    Sent("up", body=b'{"failed":false,"ok":true}', type=JSON),
    Sent("down", body=b"%7B%22status%22%3A%22down%22%7D", type=FORM),
    Sent(400, body=b'Content-Disposition: form-data; name="status"\r\n\r\ndown'),
    Sent("down", body=b'{"heartbeat":{"status":0},"monitor":null}', type=JSON),
    # Encodings.
    *[Sent("down", body=gzipped(DOWN), type=JSON, encoding=name) for name in ("gzip", "x-gzip", "GZIP", "")],
    Sent("down", body=gzipped(b"status=down"), type=FORM, encoding="gzip", method="GET"),
    Sent("down", body=gzipped(b"x=1&") + gzipped(b"status=down"), type=FORM, encoding="gzip"),
    Sent("down", body=zlib.compress(DOWN), type=JSON, encoding="deflate"),
    Sent("down", body=zlib.compress(DOWN, wbits=-15), type=JSON, encoding="deflate"),
    Sent("down", body=gzipped(zlib.compress(DOWN)), type=JSON, encoding="deflate, gzip"),
    Sent("down", body=DOWN, type=JSON, encoding="gzip"),
    Sent("down", body=b'{"status":"down"}=', type=JSON),
    Sent("down", body=b'{"status":"down"}=1&x=2', type=FORM),
    Sent("down", query=b'{"status":"down"}=', method="GET"),
    Sent("up", query=b"status=up&2", method="GET"),
    Sent("up", body=b"=%25", message="=%25"),
    Sent("down", body=gzipped(DOWN)[:-3], type=JSON, encoding="gzip", warns="The body was incomplete."),
    Sent("down", body=b"\xef\xbb\xbfstatus=down", type=FORM),
    Sent("down", body=b"\xef\xbb\xbf" + DOWN, type=JSON),
    *[
        Sent("down", body=text.encode(charset), type=kind)
        for charset in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")
        for text, kind in (("status=down", FORM), (DOWN.decode(), JSON))
    ],
    Sent(
        "down",
        body='{"status":"down","msg":"größer"}'.encode(),
        type=f"{JSON}; charset=utf-16",
        message="größer",
    ),
    # What can't be read is no good news.
    *[
        Sent(400, body=body, type=kind)
        for body, kind in (
            (b"{", JSON),
            (b'{"status":up}', JSON),
            (b"[]", JSON),
            (b"null", JSON),
            (b"NaN", JSON),
            (b"undefined", TEXT),
            (b"[object Object]", FORM),
            (b"1", JSON),
            (b"97.5", TEXT),
            (b" 12ms ", TEXT),
            (b"<status>up</status>", "application/xml"),
            (b"<html>", "text/html"),
            (b"<status/>", "application/xml"),
            (b"\0\x01\x02", OCTETS),
            (b"\x89PNG\r\n\x1a\n\0\0", "image/png"),
            (b"\xff\xd8\xff\xe0", OCTETS),
            # Down in MessagePack, CBOR and protocol buffers.
            (b"\x81\xa6status\xa4down", "application/msgpack"),
            (b"\xa1fstatusddown", "application/cbor"),
            (b"\n\x06status\x12\x04down", OCTETS),
        )
    ],
    *[
        Sent(400, body=body, encoding=name)
        for body, name in (
            (b"\x1b\x02\0", "br"),
            (b"\x1f\x8b\x08broken", "gzip"),
            (gzipped(b"ok")[:-9], "gzip"),
        )
    ],
    Sent("down", body=b"<status>down</status>", type="application/xml", warns="XML"),
    # With a status in the query, that one counts.
    Sent("up", b"status=up", body=b"{", type=JSON, warns=f"{NOT_JSON} It was ignored."),
    Sent("down", b"status=down&msg=x", body=b"\x89PNG\0\0", message="x", warns="The body could not be read"),
    Sent(
        "up",
        b"status=up",
        body=b'{"status":"pending"}',
        type=JSON,
        warns="status “pending” in the body was ig",
    ),
    Sent("down", b"status=up", body=DOWN, type=JSON),
    Sent("down", b"status=down", body=b'{"status":"up"}', type=JSON),
    Sent(400, b"status=maybe", body=b'{"status":"up"}', type=JSON),
    Sent("up", b"msg=query", body=b"msg=body&value=1", type=FORM, message="query", value=1.0),
    # The limit.
    Sent(413, body=b"x" * 10_001, type=TEXT),
    Sent(413, body=b'{"log":"' + b"x" * 10_001, type=JSON),
    Sent(413, body=gzipped(b"\0" * 50_000_000)[:9_000], encoding="gzip"),
    Sent("down", b"status=down", body=b"x" * 20_000, type=TEXT, warns="The body was cut after 10000 bytes."),
    Sent("up", b"status=up", body=b'{"log":"' + b"x" * 20_000, type=JSON, warns="The body was cut"),
    Sent("down", body=b'{"status":"down","log":"' + b"x" * 20_000, type=JSON, warns="The body was cut"),
    Sent(
        "up",
        body=b'{"status":"up","msg":"a","log":"' + b"x" * 20_000,
        type=JSON,
        message="a",
        warns="was cut",
    ),
    Sent("down", body=b"status=down&log=" + b"x" * 20_000, type=FORM, warns="The body was cut"),
    Sent(
        "up",
        body=gzipped(b"status=up&log=" + b"x" * 20_000),
        type=FORM,
        encoding="gzip",
        warns="was cut",
    ),
]

VALUES = [
    *[
        Sent("up", f"value={written}".encode(), value=number)
        for written, number in (
            ("12", 12.0),
            ("1e3", 1000.0),
            ("%2012%20", 12.0),
            ("-0.5", -0.5),
            ("+3", 3.0),
        )
    ],
    *[
        Sent("up", f"value={written}".encode(), value=number, warns=f"was read as {number:g}.")
        for written, number in (
            *(
                ("97,3", 97.3),
                ("12ms", 12.0),
                ("97%25", 97.0),
                ("97%", 97.0),
                ("1e3ms", 1000.0),
                ("3%20MB/s", 3.0),
            ),
            *(("21,5%20%C2%B0C", 21.5), ("-0,125", -0.125), ("%2212%22", 12.0), ("5GB", 5.0)),
        )
    ],
    *[
        Sent("up", f"value={written}".encode(), warns="value is not a finite number and was not recorded.")
        for written in (
            "abc",
            "nan",
            "inf",
            "1e999",
            "1,234",
            "1.2k",
            "1e",
            "0x10",
            "1_000",
            "1%202",
            "1,234.5",
        )
    ],
]

TOOLS = [
    Sent("down", body=alerts("firing"), type=JSON, message="Watchdog"),
    Sent("up", body=alerts("resolved"), type=JSON, message="Watchdog"),
    Sent("up", b"status=up", body=alerts("firing"), type=JSON, message="Watchdog"),
    Sent("down", b"status=down", body=alerts("resolved"), type=JSON),
    Sent("down", b"status=up&status=down", body=alerts("firing"), type=JSON),
    # Others who list alerts report themselves.
    Sent("down", b"status=up", body=alerts("down"), type=JSON),
    Sent("down", b"status=up", body=b'{"status":"failed","alerts":["disk"]}', type=JSON),
    Sent("down", b"status=up", body=b'{"exit":2,"alerts":[]}', type=JSON),
    Sent("down", b"status=up", body=b'{"ruleName":"x","state":"failed"}', type=JSON),
    Sent("up", b"status=up", body=alerts("firing", title="[FIRING:1] Watchdog", state="alerting"), type=JSON),
    Sent("down", body=alerts("firing", title="[FIRING:1] Disk", state="alerting"), message="[FIRING:1] Disk"),
    Sent("down", body=b'{"ruleName":"Disk","state":"alerting","ruleId":1}', type=JSON, message="Disk"),
    Sent("up", body=b'{"ruleName":"Disk","state":"ok","ruleId":1}', type=JSON),
    Sent("down", body=b'{"ruleName":"Disk","state":"no_data"}', type=JSON),
    Sent(400, body=b'{"ruleName":"Disk","state":"pending"}', type=JSON),
    Sent("up", body=run("success"), type=JSON, message="Nightly: success"),
    Sent("down", body=run("failure"), type=JSON, message="Nightly: failure"),
    Sent("down", body=run("timed_out"), type=JSON),
    Sent("down", b"status=up", body=run("failure"), type=JSON),
    Sent(400, body=run("cancelled"), type=JSON),
    Sent(400, body=run("skipped"), type=JSON),
    Sent(400, body=run(None, "in_progress"), type=JSON),
    Sent("down", body=b'{"name":"db","slug":"db","tags":"","status":"down","n_pings":3}', type=JSON),
    Sent("up", body=b'{"name":"db","slug":"db","tags":"","status":"up","n_pings":3}', type=JSON),
    Sent(400, body=b'{"name":"db","slug":"db","tags":"","status":"grace","n_pings":3}', type=JSON),
    Sent("down", body=kuma(0), type=JSON),
    Sent("up", body=kuma(1), type=JSON),
    Sent(400, body=kuma(2), type=JSON),
    Sent("down", body=b'{"routing_key":"k","event_action":"trigger","payload":{"summary":"s"}}', message="s"),
    Sent("up", body=b'{"routing_key":"k","event_action":"resolve"}', type=JSON),
    Sent(400, body=b'{"routing_key":"k","event_action":"acknowledge"}', type=JSON),
    Sent(
        "up", body=b'{"status":"UP","components":{"db":{"status":"UP"},"x":{"status":"UNKNOWN"}}}', type=JSON
    ),
    Sent("down", body=b'{"status":"UP","components":{"db":{"status":"DOWN"}}}', type=JSON),
    Sent("down", body=b'{"object_kind":"pipeline","object_attributes":{"status":"failed"}}', type=JSON),
    Sent(400, body=b'{"object_kind":"pipeline","object_attributes":{"status":"running"}}', type=JSON),
]

ALL = [*FIELDS, *BODIES, *VALUES, *TOOLS]
