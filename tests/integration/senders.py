"""How a snippet is run: its parts as a page shows them, with a job inserted, and the program that runs it.

A job prints that it worked; if there is a file $FAULT, it fails with the contents of that file.
"""

from __future__ import annotations

import configparser
import html
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

FAULT = 'Disk "data" is full: 98 % & rising + ü'

# --- What a job is in each language ----------------------------------------------------------------

SHELL_JOB = """#!/bin/sh
if [ -e "$FAULT" ]; then cat "$FAULT" >&2; exit 3; fi
echo worked
"""
_JAVASCRIPT_JOB = """const { existsSync, readFileSync } = await import("node:fs");
  const fault = process.env.FAULT;
  if (existsSync(fault)) throw new Error(readFileSync(fault, "utf8"));
  console.log("worked");"""
JOBS: dict[str, list[tuple[str, str]]] = {
    "python": [
        (
            'print("your work")',
            (
                'import os, pathlib\n    fault = pathlib.Path(os.environ["FAULT"])\n'
                "    if fault.exists():\n        raise RuntimeError(fault.read_text())\n"
                '    print("worked", flush=True)'
            ),
        )
    ],
    "node": [('console.log("your work");', _JAVASCRIPT_JOB)],
    "php": [
        (
            'echo "your work\\n";',
            (
                "$fault = getenv('FAULT');\n"
                "    if (file_exists($fault)) throw new RuntimeException(file_get_contents($fault));\n"
                '    echo "worked\\n";'
            ),
        )
    ],
    "java": [
        (
            'System.out.println("your work");',
            (
                'var fault = java.nio.file.Path.of(System.getenv("FAULT"));\n'
                "        if (java.nio.file.Files.exists(fault))\n"
                "            throw new IllegalStateException(java.nio.file.Files.readString(fault));\n"
                '        System.out.println("worked");'
            ),
        )
    ],
    "go": [
        (
            'fmt.Println("your work")',
            (
                'if fault, err := os.ReadFile(os.Getenv("FAULT")); err == nil {\n'
                '\t\treturn fmt.Errorf("%s", fault)\n\t}\n\tfmt.Println("worked")'
            ),
        ),
        ('\t"net/url"\n', '\t"net/url"\n\t"os"\n'),
    ],
    "csharp": [
        (
            'await Console.Out.WriteLineAsync("your work");',
            (
                'var fault = Environment.GetEnvironmentVariable("FAULT");\n'
                "        if (System.IO.File.Exists(fault))\n"
                "            throw new InvalidOperationException(System.IO.File.ReadAllText(fault));\n"
                '        await Console.Out.WriteLineAsync("worked");'
            ),
        )
    ],
    "ruby": [
        ('puts "your work"', 'raise File.read(ENV["FAULT"]) if File.exist?(ENV["FAULT"])\n  puts "worked"')
    ],
}
JOBS["python-requests"] = JOBS["python"]
JOBS["typescript"] = JOBS["node"]

# --- How each is started ---------------------------------------------------------------------------

Parts = dict[str, str]
Command = tuple[list[str], dict[str, str]]


def _file(folder: Path, parts: Parts) -> Path:
    """Write the only part to its file, and return the path."""
    ((name, text),) = parts.items()
    path = folder / name
    path.write_text(text)
    return path


def _interpreted(*interpreter: str) -> Callable[[Path, Parts], Command]:
    return lambda folder, parts: ([*interpreter, str(_file(folder, parts))], {})


def _built(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _java(folder: Path, parts: Parts) -> Command:
    _built("javac", "-Xlint:all", "-Werror", str(_file(folder, parts)))
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", str(folder), "Heartbeat"], {}


def _go(folder: Path, parts: Parts) -> Command:
    source = str(_file(folder, parts))
    formatted = subprocess.run(["gofmt", "-l", source], capture_output=True, text=True, check=True)
    assert formatted.stdout == "", "gofmt would write it otherwise"
    _built("go", "build", "-o", str(folder / "heartbeat"), source)
    return [str(folder / "heartbeat")], {}


def _csharp(folder: Path, parts: Parts) -> Command:
    source = _file(folder, parts)
    # Mono's compiler does not support an async Main.
    text = source.read_text()
    assert "static async Task Main()" in text
    source.write_text(
        text.replace(
            "static async Task Main()",
            "static void Main() { MainLater().GetAwaiter().GetResult(); }\n    static async Task MainLater()",
        )
    )
    program = str(folder / "heartbeat.exe")
    _built("mcs", "-warnaserror", "-r:System.Net.Http", f"-out:{program}", str(source))
    return ["mono", program], {}


def _typescript(folder: Path, parts: Parts) -> Command:
    # Types are read before the job is put in, whose own (of Node) are not installed.
    source = _file(folder, {name: _without_jobs(text) for name, text in parts.items()})
    # Debian's TypeScript is older than this function in its description of browsers.
    source.write_text(source.read_text().replace("AbortSignal.timeout", "(AbortSignal as any).timeout"))
    options = [
        "--strict",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "es2022",
        "--lib",
        "es2022,dom",
    ]
    _built("tsc", *options, str(source))
    program = folder / "heartbeat.mjs"
    program.write_text(_with_jobs("typescript", source.with_suffix(".js").read_text()))
    return ["node", str(program)], {}


def _bash(folder: Path, parts: Parts) -> Command:
    return ["bash", str(_file(folder, parts)), str(folder / "job")], {}


def _crontab(folder: Path, parts: Parts) -> Command:
    """Read the lines like cron: settings, five fields, and a command in which \\% is a percent sign."""
    environment, commands = {}, []
    for line in parts["crontab"].splitlines():
        if setting := re.fullmatch(r'(\w+)="(.*)"', line):
            environment[setting[1]] = setting[2]
        elif not line.startswith("#"):
            fields = line.split(None, 5)
            assert re.fullmatch(r"[\d*/, -]+", " ".join(fields[:5])), line
            assert "%" not in fields[5].replace("\\%", ""), "cron takes % for a line break"
            commands.append(fields[5].replace("\\%", "%"))
    (command,) = commands
    return ["sh", "-c", command], environment


def _systemd(folder: Path, parts: Parts) -> Command:
    """Do what systemd does with a oneshot: ExecStart, then ExecStopPost, which gets the result."""
    units = {Path(name).suffix: text for name, text in parts.items()}
    service = unit_of(units[".service"])["Service"]
    ((_name, url),) = re.findall(r'^(PUSH_URL)="(.*)"$', units[".env"], re.MULTILINE)
    ignored, after = service["ExecStopPost"][0], service["ExecStopPost"][1:]
    assert ignored == "-", "a failed push would fail the service"
    script = (
        f"{service['ExecStart']}; code=$?\n"
        "if [ $code -eq 0 ]; then SERVICE_RESULT=success; else SERVICE_RESULT=exit-code; fi\n"
        "export SERVICE_RESULT EXIT_STATUS=$code\n"
        # Quotes group as in a shell, but systemd replaces $$.
        f"{shlex.join(shlex.split(after.replace('$$', '$')))}\n"
        "exit $code\n"
    )
    return ["sh", "-c", script], {"PUSH_URL": url}


def unit_of(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text.replace("\\\n", " "))
    return parser


def _docker(folder: Path, parts: Parts) -> Command:
    if "run-job" in parts:
        stand_in = folder / "docker"
        stand_in.write_text(
            f'#!/bin/sh\n[ "$*" = "run --rm your/job" ] && exec {shlex.quote(str(folder / "job"))}\n'
        )
        stand_in.chmod(0o755)
        path = folder / "run-job"
        path.write_text(parts["run-job"])
        return ["sh", str(path)], {"PATH": f"{folder}:{os.environ['PATH']}"}
    app = yaml.safe_load(parts["compose.yaml"])["services"]["app"]
    environment = {name: value.replace("$$", "$") for name, value in app["environment"].items()}
    return ["sh", "-c", app["healthcheck"]["test"].replace("$$", "$")], environment


def _kubernetes(folder: Path, parts: Parts) -> Command:
    ((_name, text),) = parts.items()
    secret, job = yaml.safe_load_all(text)
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    assert re.fullmatch(r"[a-z0-9-]{1,52}", job["metadata"]["name"])
    return [*container["command"], *container["args"]], secret["stringData"]


def _github_actions(folder: Path, parts: Parts) -> Command:
    *gh, url = shlex.split(parts["once"])
    assert gh == ["gh", "secret", "set", "PUSH_URL", "--body"]
    (workflow,) = (yaml.safe_load(text) for name, text in parts.items() if name.endswith(".yaml"))
    _checkout, job, report = workflow["jobs"]["job"]["steps"]
    assert report["if"] == "always()"
    assert report["env"] == {"PUSH_URL": "${{ secrets.PUSH_URL }}", "RESULT": "${{ job.status }}"}
    assert report["continue-on-error"] is True
    script = (
        f"bash -e -c {shlex.quote(job['run'])}; code=$?\n"
        "if [ $code -eq 0 ]; then RESULT=success; else RESULT=failure; fi\nexport RESULT\n"
        f"bash -e -c {shlex.quote(report['run'])}\nexit $code\n"
    )
    runner = {
        "PUSH_URL": url,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "me/it",
        "GITHUB_RUN_ID": "7",
    }
    return ["bash", "-c", script], runner


def _command_line(folder: Path, parts: Parts) -> Command:
    """Run commands that only push, at the end of a script with `set -e`."""
    path = folder / "script"
    path.write_text("set -e\n" + "\n".join(parts.values()) + "\necho worked\n")
    return ["sh", str(path)], {}


@dataclass(frozen=True)
class Runner:
    """How a language is run: the programs it needs, and its log entry after a failed job.

    `code` is the exit code of a failed job; None means any but 0.
    """

    needs: tuple[str, ...]
    command: Callable[[Path, Parts], Command]
    down: str
    loops: bool = False
    value: bool = False
    code: int | None = 3
    compiled: bool = False


def _code(
    needs: tuple[str, ...], command: Callable[[Path, Parts], Command], down: str, **more: bool
) -> Runner:
    return Runner(needs, command, down, loops=True, value=True, code=None, **more)


RUNNERS = {
    "curl": Runner(("curl",), _command_line, "Disk is full: 98 %"),
    "wget": Runner(("wget",), _command_line, "Disk is full: 98 %"),
    "bash": Runner(("bash", "curl"), _bash, f"exit code 3: {FAULT}", value=True),
    "python-requests": _code((), _interpreted(sys.executable), f"RuntimeError: {FAULT}"),
    "python": _code((), _interpreted(sys.executable, "-W", "error"), f"RuntimeError: {FAULT}"),
    "node": _code(("node",), _interpreted("node"), f"Error: {FAULT}"),
    "typescript": _code(("node", "tsc"), _typescript, f"Error: {FAULT}", compiled=True),
    "php": _code(("php",), _interpreted("php", "-d", "error_reporting=-1"), f"RuntimeException: {FAULT}"),
    "java": _code(("javac", "java"), _java, f"java.lang.IllegalStateException: {FAULT}", compiled=True),
    "go": _code(("go", "gofmt"), _go, FAULT, compiled=True),
    "csharp": _code(("mcs", "mono"), _csharp, f"InvalidOperationException: {FAULT}", compiled=True),
    "ruby": _code(("ruby",), _interpreted("ruby", "-w"), f"RuntimeError: {FAULT}"),
    "crontab": Runner(("curl",), _crontab, "exit code 3"),
    "systemd": Runner(("curl",), _systemd, "exit-code, status 3"),
    "docker": Runner(("curl",), _docker, "exit code 3"),
    "kubernetes": Runner(("curl",), _kubernetes, "exit code 3"),
    "github-actions": Runner(("curl",), _github_actions, "failure: https://github.com/me/it/actions/runs/7"),
}


def _without_jobs(text: str) -> str:
    return text.replace(_JAVASCRIPT_JOB, 'console.log("your work");')


def _with_jobs(slug: str, text: str) -> str:
    """Insert a real job where a code example has a placeholder for one."""
    for example, real in JOBS.get(slug, []):
        assert example in text, f"{slug}: no {example!r}"
        text = text.replace(example, real)
    return text


def impatient(text: str) -> str:
    """Give each attempt three seconds instead of ten."""
    for ten, one in (
        (r"-m (10|5)\b", "-m 3"),
        (r"-T 10\b", "-T 3"),
        (r"timeout(\w*)([=:(]|' =>) ?10(?=[,)_ ])", r"timeout\1\g<2> 3"),
        (r"(ofSeconds|FromSeconds)\(10\)", r"\1(3)"),
        (r"\b10 \* time\.Second", "3 * time.Second"),
    ):
        text = re.sub(ten, one, text)
    return text


# --- Running it ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """The result of a program: its exit code, its output, and how many seconds it took."""

    code: int
    output: str
    seconds: float


def parts_of(page: str) -> Parts:
    """Return the code blocks of a usage page by name."""
    names = re.findall(r'<label class="small strong wrap" for="snippet-\d+">(.*?)</label>', page)
    texts = re.findall(r'<textarea id="snippet-\d+"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    assert names
    example = {
        "When the job succeeds": "up",
        "When it fails": "down",
        "Once, to keep the push URL secret": "once",
    }
    return {
        example.get(html.unescape(name), html.unescape(name)): html.unescape(text) + "\n"
        for name, text in zip(names, texts, strict=True)
    }


def prepared(slug: str, folder: Path, parts: Parts) -> Command:
    """Insert the job into a snippet, write and compile it; return the command that runs it."""
    job = str(folder / "job")
    return RUNNERS[slug].command(
        folder, {name: _with_jobs(slug, text).replace("/path/to/job", job) for name, text in parts.items()}
    )


def run(command: Command, folder: Path) -> Ran:
    argv, environment = command
    fixed = {"PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "FAULT": str(folder / "fault")}
    started = time.monotonic()
    ran = subprocess.run(
        argv,
        env={**os.environ, **fixed, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout.decode(errors="replace"), time.monotonic() - started)
