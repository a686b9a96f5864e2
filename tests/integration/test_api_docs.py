"""The examples of docs/api.md, run as they stand against the running product."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.prepared import workspace_name
from tests.support.product import ROOT, Process, Up, environment_of, manage

PAGE = ROOT / "docs" / "api.md"
_FENCE = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str]]:
    """Return the page's commands, each with the JSON that is shown under it, "" where there is none."""
    blocks = _FENCE.findall(PAGE.read_text())
    return [
        (text, blocks[place + 1][1] if place + 1 < len(blocks) and blocks[place + 1][0] == "json" else "")
        for place, (language, text) in enumerate(blocks)
        if language == "sh"
    ]


def shape(value: Any) -> Any:
    """Return what is the same in an example and in what is really answered: names and kinds."""
    match value:
        case dict():
            return {name: shape(inner) for name, inner in value.items()}
        case list():
            return [shape(inner) for inner in value]
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case None:
            return None
    return "text"


def agree(shown: Any, answered: Any) -> bool:
    """Whether an answer is as the page shows it; {} stands for any object."""
    if shown == {}:
        return isinstance(answered, dict)
    if isinstance(shown, dict) and isinstance(answered, dict):
        return shown.keys() == answered.keys() and all(agree(shown[name], answered[name]) for name in shown)
    if isinstance(shown, list) and isinstance(answered, list):
        return len(shown) == len(answered) and all(map(agree, shown, answered))
    return bool(shown == answered)


def make_key(product: Up) -> str:
    port = int(product.url.rpartition(":")[2])
    workspace = workspace_name(Path(__file__))
    command = manage("create_api_key", "--name", "docs", "--scope", "write", "--workspace", workspace)
    process = Process(command, environment_of(product.data, port), fork=True)
    assert process.wait(30) == 0, process.output
    return process.lines[-1]


def test_every_example_works_and_is_answered_as_shown(product: Up, tmp_path: Path):
    blocks = examples()
    assert len(blocks) > 10
    script = "set -euo pipefail\n" + "".join(
        f"{{\n{text}}} > {tmp_path}/{number}\n" for number, (text, _) in enumerate(blocks)
    )
    ran = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "TIANJI": product.url, "KEY": make_key(product)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    begun = max((int(path.name) for path in tmp_path.iterdir()), default=0)
    assert ran.returncode == 0, f"{blocks[begun][0]}\n{(tmp_path / str(begun)).read_text()}\n{ran.stderr}"
    for number, (text, shown) in enumerate(blocks):
        if shown:
            # The answer is the last line: others may stand before it.
            answered = json.loads((tmp_path / str(number)).read_text().replace("}{", "}\n{").splitlines()[-1])
            wanted = shape(json.loads(shown))
            assert agree(wanted, shape(answered)), f"{text}\nanswered {answered}"
