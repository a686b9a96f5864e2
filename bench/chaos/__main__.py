"""Whatever goes wrong, what Tianji promises holds: `make chaos`, or `python -m bench.chaos`.

Starts PostgreSQL, Redis, two web processes, two workers and two Celery Beats, and dozens of senders; lets
things go wrong in an order that the seed decides, heals everything, and compares what the senders were
answered and what two webhook receivers got with the database. bench/README.md says more.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

from bench.chaos.plan import FAMILIES, Fault, make_plan
from bench.chaos.run import HARD_SECONDS, Run, write_plan

_IN_NAMESPACE = "TIANJI_CHAOS_MOUNTS"


def main() -> None:
    options = _options()
    _have_mounts_of_our_own()
    plan = options.plan or make_plan(options.seed, options.seconds, options.faults)
    repeat = f"--seed {options.seed} --seconds {options.seconds:g} --senders {options.senders}"
    if set(options.faults) != set(FAMILIES):
        repeat += f" --faults {','.join(options.faults)}"
    print(f"python -m bench.chaos {repeat}", *plan, sep="\n", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tianji-chaos-"))
    # PostgreSQL, which may run as another user, has a disk in it.
    folder.chmod(0o755)
    run = Run(plan, seed=options.seed, seconds=options.seconds, senders=options.senders, folder=folder)
    write_plan(run)
    signal.signal(signal.SIGTERM, _leave)
    watch = threading.Timer(options.seconds + HARD_SECONDS, _end_at_once, [run])
    watch.daemon = True
    watch.start()
    try:
        found = run.go()
    except BaseException:
        print(f"The run broke off. Its ledger and logs are in {folder}")
        raise
    if found:
        print(f"\nWhat did not hold ({len(found)}):", *found, sep="\n  ")
        print(f"\nSeed {options.seed}, with this plan:", *plan, sep="\n")
        print(f"The ledger and the logs are in {folder}")
        sys.exit(1)
    if options.keep:
        print(f"The ledger and the logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print("All held.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="decides the plan (default %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="how long things go wrong (default %(default)s)"
    )
    parser.add_argument("--senders", type=int, default=40, help="how many (default %(default)s)")
    parser.add_argument(
        "--faults",
        type=lambda text: text.split(","),
        default=list(FAMILIES),
        help=f"families, separated by commas, of {', '.join(FAMILIES)}; all by default",
    )
    parser.add_argument(
        "--plan", type=_plan_in, help="a file with a plan to repeat, as in the folder of a failed run"
    )
    parser.add_argument("--keep", action="store_true", help="keep the ledger and the logs if all held, too")
    options = parser.parse_args()
    if unknown := set(options.faults) - set(FAMILIES):
        parser.error(f"no family {', '.join(sorted(unknown))}: there are {', '.join(FAMILIES)}")
    return options


def _plan_in(path: str) -> list[Fault]:
    return [Fault(**each) for each in json.loads(Path(path).read_text())]


def _have_mounts_of_our_own() -> None:
    """Start again in a mount namespace, if allowed: what is mounted in it is gone when it ends."""
    apart = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() or _IN_NAMESPACE in os.environ or not shutil.which("unshare"):
        return
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode == 0:
        os.environ[_IN_NAMESPACE] = "1"
        os.execvp("unshare", [*apart, sys.executable, "-m", "bench.chaos", *sys.argv[1:]])  # noqa: S606


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _end_at_once(run: Run) -> None:
    """The run has not ended in time: end every process, and say where it was."""
    print("The run did not end in time.", flush=True)
    faulthandler.dump_traceback()
    if run.installation is not None:
        run.installation.end()
        for server in ("postgres", "redis"):
            for process in run.installation.processes_of(server):
                process.kill()
    os._exit(3)


if __name__ == "__main__":
    main()
