#!/usr/bin/python3 -B
"""Measures how fast a swarm spreads one file over shaped links.

Each run prints one JSON line on standard output and a sentence on standard
error. Exit codes: 0 every leecher has the right bytes, 1 some have not,
2 the command line is wrong, 3 the run could not be made, 130 interrupted.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from anchors.aria2_swarm import Aria2Swarm
from anchors.command import PLACEHOLDERS, Command
from anchors.libtorrent_swarm import TRANSPORT_SETTINGS, LibtorrentSwarm
from anchors.plain_http import PlainHttp
from anchors.raw_tcp import RawTcp
from anchors.updraft_swarm import TRANSPORTS, UpdraftSwarm
from harness.measure import measure
from harness.plan import Foreground, Links, Plan
from harness.report import Report
from harness.stage import Contender, SetupError

MAX_NODES = 200
SITE_LINK_MBIT = 100.0
FLAT_LINK_MBIT = 10.0
TARGET_DIR = os.environ.get("CARGO_TARGET_DIR", Path(__file__).resolve().parents[2] / "target")
RELEASE_DIR = Path(TARGET_DIR) / "release"
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EXIT_NODE_FAILED = 1
EXIT_NOT_MADE = 3
EXIT_INTERRUPTED = 130


class Interrupted(BaseException):
    """Somebody asked for an end."""


def common_options() -> argparse.ArgumentParser:
    """What every contender can be asked."""
    parser = argparse.ArgumentParser(add_help=False)
    swarm = parser.add_argument_group("the swarm")
    swarm.add_argument("--nodes", type=int, default=4, help="seeder included (default 4)")
    payload = swarm.add_mutually_exclusive_group()
    payload.add_argument("--mib", type=float, default=16.0, help="random payload (default 16)")
    payload.add_argument("--payload", type=Path, help="distribute this file instead")
    links = parser.add_argument_group("the links, in Mbit/s; 0 is unshaped")
    links.add_argument("--up", type=float, help="each node's uplink (default 10; with sites 100)")
    links.add_argument("--down", type=float, help="each node's downlink (default the same)")
    links.add_argument("--seed-up", type=float, help="the seeder's uplink (default --up)")
    links.add_argument("--burst-kib", type=int, default=32, help="bucket of each tbf")
    links.add_argument("--queue-ms", type=int, default=50, help="longest wait in a tbf")
    sites = parser.add_argument_group("sites")
    sites.add_argument("--sites", type=int, default=0, metavar="K", help="split into K LANs")
    sites.add_argument("--wan-up", type=float, default=10.0, help="each site's uplink")
    sites.add_argument("--wan-down", type=float, default=10.0, help="each site's downlink")
    sites.add_argument(
        "--seeder-apart", action="store_true", help="put the seeder in a site of its own"
    )
    probe = parser.add_argument_group("foreground")
    probe.add_argument("--foreground", action="store_true", help="probe a leecher's link")
    probe.add_argument("--foreground-node", type=int, help="which one (default the last)")
    probe.add_argument("--foreground-mib", type=float, default=4.0, help="size of its download")
    probe.add_argument("--foreground-delay", type=float, default=4.0, help="seconds after start")
    run = parser.add_argument_group("the run")
    run.add_argument("--timeout", type=float, default=180.0, help="seconds after the start")
    run.add_argument(
        "--rest",
        type=float,
        default=0.0,
        help="seconds after the end, after which the leechers' memory is read once more",
    )
    run.add_argument("--label", default="", help="copied to the report")
    run.add_argument("--results", type=Path, help="append the JSON line to this file too")
    run.add_argument("--work-dir", type=Path, help="where to work (default a temporary folder)")
    run.add_argument("--keep", action="store_true", help="leave the files and logs there")
    return parser


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    contenders = parser.add_subparsers(dest="contender", required=True)
    common = common_options()
    updraft = contenders.add_parser("updraft", parents=[common], help="publisher and agents")
    updraft.add_argument("--transport", choices=sorted(TRANSPORTS), default="both")
    updraft.add_argument(
        "--programs",
        type=Path,
        default=RELEASE_DIR,
        help="where updraft-publisher and updraft-agent are (default target/release)",
    )
    updraft.add_argument("--verbose", action="store_true", help="agents log what the swarm does")

    contenders.add_parser("http", parents=[common], help="nginx and curl")
    contenders.add_parser("raw-tcp", parents=[common], help="one TCP connection, two nodes")

    libtorrent = contenders.add_parser("libtorrent", parents=[common], help="libtorrent-rasterbar")
    libtorrent.add_argument("--piece-kib", type=int, default=128)
    libtorrent.add_argument("--transport", choices=sorted(TRANSPORT_SETTINGS), default="both")
    libtorrent.add_argument("--super-seeding", action="store_true")
    libtorrent.add_argument(
        "--explicit-peers", action="store_true", help="tell each leecher of all others at once"
    )

    aria2 = contenders.add_parser("aria2", parents=[common], help="aria2 as a BitTorrent client")
    aria2.add_argument("--piece-kib", type=int, default=128)

    command = contenders.add_parser(
        "command",
        parents=[common],
        help="any program",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"placeholders in the commands:\n{PLACEHOLDERS}",
    )
    command.add_argument("--seed-cmd", required=True, help="shell command; stays in the foreground")
    command.add_argument("--leech-cmd", required=True, help="without {go} it is started at the go")
    command.add_argument(
        "--result-path",
        help="the fetched file, e.g. '{dir}/payload.bin' (the default); without {done} in "
        "--leech-cmd a leecher is done when this has the right size and SHA-256",
    )
    command.add_argument(
        "--leechers-first",
        action="store_true",
        help="start the leechers before the clock although their command has no {go}: daemons "
        "that learn from the seeder, whose own command waits for {go}, what to fetch",
    )
    command.add_argument("--settle", type=float, default=2.0, help="seconds for a start")
    return parser


def make_contender(args: argparse.Namespace) -> Contender:
    """The program under test."""
    match args.contender:
        case "updraft":
            return UpdraftSwarm(args.programs.resolve(), args.transport, args.verbose)
        case "http":
            return PlainHttp()
        case "raw-tcp":
            return RawTcp()
        case "libtorrent":
            return LibtorrentSwarm(
                args.piece_kib, args.transport, args.super_seeding, args.explicit_peers
            )
        case "aria2":
            return Aria2Swarm(args.piece_kib)
        case "command":
            return Command(
                args.seed_cmd, args.leech_cmd, args.result_path, args.settle, args.leechers_first
            )
    raise AssertionError(args.contender)


def make_plan(args: argparse.Namespace, parser: argparse.ArgumentParser) -> Plan:
    """Checks what was asked for, and fills in what was not."""
    if not 2 <= args.nodes <= MAX_NODES:
        parser.error(f"--nodes must be 2 to {MAX_NODES}: a seeder and at least one leecher")
    if args.mib <= 0:
        parser.error("--mib must be more than 0")
    if args.payload is not None and not args.payload.is_file():
        parser.error(f"--payload {args.payload} is not a file")
    most_sites = args.nodes - 1 if args.seeder_apart else args.nodes
    if not 0 <= args.sites <= most_sites:
        parser.error(f"--sites must be 0 to {most_sites} for these nodes")
    if args.seeder_apart and args.sites == 0:
        parser.error("--seeder-apart needs --sites")
    up = args.up if args.up is not None else (SITE_LINK_MBIT if args.sites else FLAT_LINK_MBIT)
    links = Links(
        up=up,
        down=args.down if args.down is not None else up,
        seed_up=args.seed_up if args.seed_up is not None else up,
        wan_up=args.wan_up,
        wan_down=args.wan_down,
        burst_kib=args.burst_kib,
        queue_ms=args.queue_ms,
    )
    if min(links.up, links.down, links.seed_up, links.wan_up, links.wan_down) < 0:
        parser.error("a rate cannot be negative")
    return Plan(
        nodes=args.nodes,
        links=links,
        payload_mib=args.mib,
        payload_file=args.payload,
        sites=args.sites,
        seeder_apart=args.seeder_apart,
        timeout_s=args.timeout,
        rest_s=args.rest,
        foreground=make_foreground(args, parser),
        label=args.label,
    )


def make_foreground(args: argparse.Namespace, parser: argparse.ArgumentParser) -> Foreground | None:
    """The foreground probe, if it was asked for."""
    if not args.foreground:
        return None
    node = args.foreground_node if args.foreground_node is not None else args.nodes - 1
    if not 1 <= node < args.nodes:
        parser.error(f"--foreground-node must be a leecher: 1 to {args.nodes - 1}")
    return Foreground(node, args.foreground_mib, args.foreground_delay)


def make_run_dir(work_dir: Path | None) -> Path:
    """A fresh folder for one run."""
    parent = Path(work_dir or tempfile.gettempdir()).resolve()
    # Commands name files in there without quotes.
    if any(character.isspace() for character in str(parent)):
        raise SetupError(f"the work folder must not have blanks in its name: {parent}")
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="swarmbench-", dir=parent))


def on_interruption(number: int, frame: object) -> None:
    """Turns the first signal into an exception, and ignores any that follow,
    so that the clearing up is not interrupted itself."""
    for each in INTERRUPTIONS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def publish(report: Report, results: Path | None) -> None:
    """Tells what came out."""
    print(report.json_line(), flush=True)
    print(report.human_line(), file=sys.stderr)
    if results is not None:
        with results.open("a", encoding="utf-8") as file:
            file.write(report.json_line() + "\n")


def main() -> int:
    """Runs one measurement."""
    parser = build_parser()
    args = parser.parse_args()
    contender = make_contender(args)
    plan = make_plan(args, parser)
    for number in INTERRUPTIONS:
        signal.signal(number, on_interruption)
    run_dir: Path | None = None
    try:
        run_dir = make_run_dir(args.work_dir)
        report = measure(contender, plan, run_dir)
        publish(report, args.results)
        return 0 if report.good else EXIT_NODE_FAILED
    except (SetupError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"swarmbench: {error}", file=sys.stderr)
        return EXIT_NOT_MADE
    except Interrupted as interruption:
        print(f"swarmbench: ended by {interruption}", file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        if run_dir is not None and args.keep:
            print(f"swarmbench: files and logs are in {run_dir}", file=sys.stderr)
        elif run_dir is not None:
            shutil.rmtree(run_dir, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
