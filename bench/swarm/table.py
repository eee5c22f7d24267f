#!/usr/bin/python3 -B
"""Fills the table of docs/benchmarks.md: every measure, Updraft beside others.

    sudo ./table.py [MEASURE...] [--runs 3] [--results FILE]

Runs swarmbench.py once for each measure, program and repetition, and prints
one row a measure: the median of the runs, and behind it their range. Needs
root, and Updraft's programs (cargo build --release --bin updraft-publisher
--bin updraft-agent). Exit codes: 0 everything finished; 1 some run did not;
2 the command line is wrong.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SWARMBENCH = Path(__file__).resolve().parent / "swarmbench.py"
OTHERS = ["libtorrent", "aria2", "http"]


@dataclass(frozen=True)
class Measure:
    """One row: what is run, and which figure is taken of it."""

    key: str
    title: str
    options: list[str]
    figure: Callable[[dict], float | None]
    unit: str = ""
    others: tuple[str, ...] = ("libtorrent", "aria2", "http")


def kept(report: dict) -> float | None:
    """The share of somebody else's download that was left to it, in per cent."""
    foreground = report["foreground"] or {}
    idle, busy = foreground.get("idle"), foreground.get("busy")
    return 100 * busy["mbit"] / idle["mbit"] if idle and busy else None


def most_copies(report: dict) -> float | None:
    """The most that any site of leechers took over its WAN link."""
    return max((site["wan_down_x"] for site in report["wan"][1:]), default=None)


def megabytes(mib: float | None) -> float | None:
    """MB of 10^6 bytes."""
    return None if mib is None else mib * (1 << 20) / 1e6


SLOW = ["--up", "10", "--mib", "16"]
SITES = ["--nodes", "13", "--sites", "3", "--seeder-apart", "--mib", "16"]
SMALL = ["--nodes", "8", "--up", "10", "--mib", "0.5"]
MEASURES = [
    Measure("n8", "last ÷ bound, 10 Mbit/s, 16 MiB, N = 8", ["--nodes", "8", *SLOW],
            lambda r: r["last_over_bound"]),
    Measure("n16", "same, N = 16", ["--nodes", "16", *SLOW], lambda r: r["last_over_bound"]),
    Measure("fast", "same, 50 Mbit/s, 32 MiB, N = 8", ["--nodes", "8", "--up", "50", "--mib", "32"],
            lambda r: r["last_over_bound"]),
    Measure("egress", "origin's egress, N = 16, × payload", ["--nodes", "16", *SLOW],
            lambda r: r["seeder_x"]),
    Measure("small", "512 KiB, N = 8, 10 Mbit/s", SMALL, lambda r: r["last_s"], " s"),
    Measure("sites", "copies over a site's WAN link, 3 sites", SITES, most_copies),
    Measure("foreground", "foreground HTTP kept", ["--nodes", "8", *SLOW, "--foreground"],
            kept, " %"),
    Measure("loopback", "256 MiB, one to one, unshaped",
            ["--nodes", "2", "--up", "0", "--mib", "256"],
            lambda r: 256 * (1 << 20) / r["last_s"] / 1e6 if r["last_s"] else None,
            " MB/s", ("raw-tcp", "libtorrent", "http")),
    Measure("busy", "an agent's memory, peak", ["--nodes", "8", *SLOW],
            lambda r: megabytes(r["leecher_peak_rss_mib"]), " MB", ("libtorrent", "aria2")),
    Measure("idle", "an agent's memory, 25 s later", ["--nodes", "8", *SLOW, "--rest", "25"],
            lambda r: megabytes(r["resting_rss_mib"]), " MB", ()),
]


class Bench:
    """Runs, each made once however many measures look at it."""

    def __init__(self, results: Path | None, programs: Path | None):
        self._results = results
        self._programs = programs
        self._reports: dict[tuple, dict | None] = {}
        self.failures = 0

    def report(self, tool: str, options: list[str], number: int) -> dict | None:
        """One run's report; None if it failed."""
        run = (tool, *options, number)
        if run not in self._reports:
            self._reports[run] = self._run(tool, options)
        return self._reports[run]

    def _run(self, tool: str, options: list[str]) -> dict | None:
        command = [sys.executable, str(SWARMBENCH), tool, *options]
        if tool == "updraft" and self._programs:
            command += ["--programs", str(self._programs)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if ended.returncode != 0 or not ended.stdout.strip():
            self.failures += 1
            return None
        if self._results:
            with self._results.open("a", encoding="utf-8") as file:
                file.write(ended.stdout)
        return json.loads(ended.stdout)

    def cell(self, measure: Measure, tool: str, runs: int) -> str:
        """What a program reached: the median, and from where to where."""
        reports = [self.report(tool, measure.options, number) for number in range(runs)]
        found = sorted(v for r in reports if r and (v := measure.figure(r)) is not None)
        if not found:
            return "failed"
        shown = f"{number(statistics.median(found))}{measure.unit}"
        if len(found) > 1:
            shown += f" ({number(found[0])}–{number(found[-1])})"
        return shown if len(found) == runs else f"{shown}, {runs - len(found)} failed"


def number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def main() -> int:
    """The command line."""
    keys = [measure.key for measure in MEASURES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of: {', '.join(keys)}")
    parser.add_argument("--runs", type=int, default=3, help="of each, for the median (default 3)")
    parser.add_argument("--only-ours", action="store_true", help="do not run the others")
    parser.add_argument("--results", type=Path, help="append each run's JSON line to this file")
    parser.add_argument("--programs", type=Path, help="where Updraft's programs are")
    args = parser.parse_args()
    if unknown := set(args.measures) - set(keys):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    bench = Bench(args.results, args.programs)
    columns = ["updraft"] if args.only_ours else ["updraft", "raw-tcp", *OTHERS]
    print("| measure | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|", sep="\n")
    for measure in MEASURES:
        if args.measures and measure.key not in args.measures:
            continue
        made = [
            bench.cell(measure, tool, args.runs)
            if tool == "updraft" or tool in measure.others
            else "–"
            for tool in columns
        ]
        print(f"| {measure.title} | " + " | ".join(made) + " |", flush=True)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
