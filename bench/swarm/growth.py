#!/usr/bin/python3 -B
"""Does an agent's memory grow with the releases that it installs?

A publisher and one agent on loopback; release after release is published while
both run, each with another random file beside one that changes a little. After
each the agent's memory is read. Prints one line a release, and at the end how
much the anonymous memory grew from a quarter of the releases to the last.
Exit codes: 0 it stays within --allow-mib, 1 it grew, 2 the command line is
wrong, 3 the run could not be made.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from anchors.updraft_swarm import run
from harness.stage import SetupError
from swarmbench import RELEASE_DIR

PATIENCE_S = 60.0
EXIT_GREW = 1
EXIT_NOT_MADE = 3


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--releases", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--kib", type=int, default=1024, help="new bytes of each (default 1024)")
    parser.add_argument("--rest", type=float, default=2.0, help="seconds before memory is read")
    parser.add_argument("--allow-mib", type=float, default=2.0, help="growth that is no fault")
    parser.add_argument("--programs", type=Path, default=RELEASE_DIR)
    args = parser.parse_args()
    if args.releases < 4:
        parser.error("--releases must be at least 4: the first quarter is not judged")
    return args


def memory_kib(pid: int) -> dict[str, int]:
    """What the kernel says a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    names = ("VmRSS", "RssAnon", "RssFile", "VmHWM")
    return {name: int(fields[name].split()[0]) for name in names}


def write_tree(tree: Path, number: int, kib: int) -> None:
    """The files of one release."""
    (tree / "steady.txt").write_text("all the same\n" * 20_000 + f"{number}\n", encoding="ascii")
    (tree / "fresh.bin").write_bytes(os.urandom(kib * 1024))


def wait_for(what: str, holds, processes: list[subprocess.Popen]) -> None:
    """Returns once `holds()`; fails if a program ends before."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if any(process.poll() is not None for process in processes):
            raise SetupError(f"a program ended before {what}")
        if time.monotonic() > deadline:
            raise SetupError(f"no {what} within {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def measure(args: argparse.Namespace, work: Path, running: list[subprocess.Popen]) -> list[dict]:
    """Publishes and installs every release; what the agent has in memory after each."""
    programs = args.programs.resolve()
    publisher = [str(programs / "updraft-publisher"), "--home", str(work / "vendor")]
    agent = [str(programs / "updraft-agent"), "--home", str(work / "home")]
    tree, installed = work / "tree", work / "into" / "current" / "fresh.bin"
    tree.mkdir()
    run([*publisher, "init", "Bench", "--product", "bench"])

    def release(number: int) -> None:
        write_tree(tree, number, args.kib)
        run([*publisher, "release", str(tree), "--version", f"{number}.0.0"])

    def start(name: str, command: list[str]) -> subprocess.Popen:
        with (work / f"{name}.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        running.append(process)
        return process

    def arrived() -> bool:
        fresh = (tree / "fresh.bin").read_bytes()
        return installed.is_file() and installed.read_bytes() == fresh

    release(1)
    start("publisher", [*publisher, "seed", "--listen", "/ip4/127.0.0.1/tcp/0"])
    addresses = work / "vendor" / "seed.addresses"
    wait_for("address of the seeder", lambda: addresses.is_file() and addresses.read_text(), running)
    run([*publisher, "ticket", "--out", str(work / "ticket")])
    run([*agent, "join", str(work / "ticket"), "--into", str(work / "into")])
    process = start("agent", [*agent, "run", "--listen", "/ip4/127.0.0.1/tcp/0"])
    rows = []
    for number in range(1, args.releases + 1):
        if number > 1:
            release(number)
        wait_for(f"release {number} on the machine", arrived, running)
        time.sleep(args.rest)
        rows.append(memory_kib(process.pid))
        told = "  ".join(f"{name} {kib / 1024:6.2f}" for name, kib in rows[-1].items())
        print(f"{number:4}  {told}", flush=True)
    return rows


def main() -> int:
    """Runs one measurement."""
    args = parse()
    # Ends like any other exit, so that no program is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_NOT_MADE))
    running: list[subprocess.Popen] = []
    with tempfile.TemporaryDirectory(prefix="growth-") as work:
        try:
            rows = measure(args, Path(work), running)
        except (SetupError, OSError) as error:
            print(f"growth: {error}", file=sys.stderr)
            return EXIT_NOT_MADE
        finally:
            for process in running:
                process.kill()
                process.wait()
    judged = [row["RssAnon"] for row in rows[len(rows) // 4 :]]
    grown = (judged[-1] - judged[0]) / 1024
    print(f"growth: {grown:+.2f} MiB of anonymous memory over {len(judged) - 1} releases")
    return EXIT_GREW if grown > args.allow_mib else 0


if __name__ == "__main__":
    sys.exit(main())
