"""The OpenAPI document against the running API: schemathesis calls every operation and believes nothing.

All its checks are on, for every operation, in all its phases. The phases have a run each, so that none
is left out where another takes long.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import seed
from tests.support.product import ROOT, START_WITHIN, Process, environment_of, is_ready, manage, wait_for
from tests.support.servers import free_port

# What fuzzing and chains of calls may take; the other phases end by themselves.
SECONDS = 15
CONFIGURATION = """
seed = 20261122
continue-on-failure = true
request-timeout = 20
hooks = "tests.integration.schemathesis_hooks"

[generation]
database = "none"
no-shrink = true
# The keys below are valid ones. That others are refused is what `ignored_auth` tries.
with-security-parameters = false
max-examples = 10

# Two workspaces, whose keys must not open each other's monitors.
[auth.wfc]
path = "keys.json"
user = "ours"
peers = ["ours", "theirs"]

# A request that fits the schema may still be impossible as things are: 409, 412, 422.
[checks]
enabled = true
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 412, 422]

# A monitor may refuse GET. More is understood than what fits the schema, such as a status in quotes.
[[operations]]
include-operation-id = ["push", "push_with_header"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 405]
checks.negative_data_rejection.expected-statuses = [200, 400, 404, 405, 413]

# A body that fits may have another status in a field that is not described, which cannot be understood.
[[operations]]
include-operation-id = ["push_by_post", "push_with_header_by_post"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 405, 413]
checks.negative_data_rejection.expected-statuses = [200, 400, 404, 405, 413]

[dictionaries]
zones = { values = ["UTC", "Asia/Jakarta", "America/New_York"] }
expressions = { values = ["*/5 * * * *", "0 3 * * 1-5", "30 2 1 1 *"] }
"""
# What there is to be found, for operations by their id: without it nearly all would be 404.
OF_OPERATIONS = {
    "delete_monitor": {"monitor_id": "doomed_monitors"},
    "delete_channel": {"channel_id": "doomed_channels"},
    "delete_maintenance": {"maintenance_id": "doomed_windows"},
    "read_token": {"monitor_id": "monitor_with_tokens", "token_id": "tokens"},
    "rename_token": {"monitor_id": "monitor_with_tokens", "token_id": "tokens"},
    "rotate_token": {"monitor_id": "monitor_with_tokens", "token_id": "tokens_to_rotate"},
    "revoke_token": {"monitor_id": "monitor_with_tokens", "token_id": "tokens_to_revoke"},
    "set_overlap": {"monitor_id": "monitor_with_tokens", "token_id": "rotated_tokens"},
}
OF_ALL = {
    "path.monitor_id": "monitors",
    "path.channel_id": "channels",
    "path.maintenance_id": "windows",
    "path.token": "push_tokens",
}
BODIES = {
    "body.schedule.timezone": "zones",
    "body.when.timezone": "zones",
    "body.schedule.expression": "expressions",
}


@dataclass(frozen=True)
class Live:
    """A running product on PostgreSQL, and what `seed` made in it."""

    url: str
    made: dict[str, Any]
    process: Process


@pytest.fixture(scope="module")
def live(migrated_database: Callable[[str], str]) -> Iterator[Live]:
    database = migrated_database("schema")
    with tempfile.TemporaryDirectory() as data:
        port = free_port()
        environment = environment_of(
            Path(data),
            port,
            DATABASE_URL=database,
            SECRET_KEY="schema-" + "k" * 50,
            # Nothing leaves this machine, wherever the channels lead that are made up.
            HTTP_PROXY="http://127.0.0.1:9",
            HTTPS_PROXY="http://127.0.0.1:9",
            TIANJI_EMAIL_URL="smtp://127.0.0.1:9",
            # The limits have tests of their own.
            TIANJI_API_RATE="0",
            TIANJI_PUSH_RATE="0",
        )
        done = Process(manage(*seed.COMMAND_LINE), environment, fork=True)
        assert done.wait(START_WITHIN) == 0, done.output
        process = Process(manage("run", "web"), environment, fork=True)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: is_ready(url), seconds=START_WITHIN, describe=lambda: process.output)
            yield Live(url, json.loads(done.lines[-1]), process)
        finally:
            process.stop()


@pytest.mark.parametrize(
    ("phases", "seconds"), [("examples,coverage", None), ("fuzzing", SECONDS), ("stateful", SECONDS)]
)
def test_schemathesis_finds_nothing(live: Live, tmp_path: Path, phases: str, seconds: int | None):
    write_configuration(tmp_path, live.made, drawn=seconds is not None)
    limit = ["--max-time", str(seconds)] if seconds else []
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", tmp_path / "schemathesis.toml"),
            *("run", f"{live.url}/api/schema/", "--no-color", "--phases", phases, *limit),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PUSH_TOKEN": live.made["push_tokens"][0]},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}\n{live.process.output[-4000:]}"
    assert "Traceback" not in live.process.output, live.process.output
    if not limit:
        selected, tested = re.findall(r"(?:Selected|Tested): (\d+)", ran.stdout)
        assert selected == tested, ran.stdout


def write_configuration(folder: Path, made: dict[str, Any], *, drawn: bool) -> None:
    """Write the keys of the two workspaces, and the configuration with what there is in the first.

    Args:
        drawn: parameters are drawn from what there is, among others; else they are the first of it.
    """
    keys = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {key}"}]}
        for name, key in made["keys"].items()
    ]
    (folder / "keys.json").write_text(json.dumps({"auth": keys}))

    def value(of: str) -> str:
        return f'{{ dictionary = "{of}", probability = 0.8 }}' if drawn else json.dumps(made[of][0])

    known = {name: values for name, values in made.items() if name != "keys"}
    lines = [f"{name} = {{ values = {json.dumps(values)} }}" for name, values in known.items()]
    lines += ["[parameters]", *(f'"{name}" = {value(of)}' for name, of in OF_ALL.items())]
    if drawn:
        lines += [f'"{name}" = {value(of)}' for name, of in BODIES.items()]
    for operation, parameters in OF_OPERATIONS.items():
        lines += ["[[operations]]", f'include-operation-id = "{operation}"', "[operations.parameters]"]
        lines += [f'"path.{name}" = {value(of)}' for name, of in parameters.items()]
    (folder / "schemathesis.toml").write_text("\n".join([CONFIGURATION, *lines]))
