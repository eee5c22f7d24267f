#!/usr/bin/python3 -B
"""Kills, restarts and cuts off the machines of a swarm while a release spreads,
and one member lies to all of them.

    sudo ./chaos.py [--first 1] [--runs 100] [--nodes 8] [--mib 8] [--results FILE] [--page FILE]

Each run has a seed, which decides who is hurt when and how. Beside the nodes
there is a machine with a credential that holds, which says to each agent that
it has everything, sends false blocks as fast as it can, and comes again when it
is let go. At the end every machine must run the new release with equal files,
and an agent's log must name the liar. Prints a row a run, and at the end how
many ended well. What FILE of `--results` tells of already is not run again, so
that a series that was cut off goes on where it was; `--page` writes all that it
tells of as a page of docs/. Needs root, nftables, and Updraft's programs (cargo
build --release --workspace --bins --example liar). Exit codes: 0 all finished;
1 some did not; 2 the command line is wrong; 3 a run could not be made.
"""

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from anchors.updraft_swarm import PORT, UpdraftSwarm, ticket, vendor
from harness.lab import Lab, Node
from harness.measure import check_machine, place_payload
from harness.plan import Links, Plan
from harness.processes import Process, Processes
from harness.stage import SetupError, Stage, require_programs, wait_for_line
from swarmbench import RELEASE_DIR

WHILE_S = 12.0
"""Blows fall within so many seconds after the start."""
TIMEOUT_S = 180.0
CUT = """
table inet chaos {
  chain in { type filter hook input priority 0; iif != lo drop; }
  chain out { type filter hook output priority 0; oif != lo drop; }
}
"""


@dataclass(frozen=True)
class Blow:
    """What happens to a node, when, and for how long."""

    at_s: float
    node: int
    kind: str
    for_s: float

    def __str__(self) -> str:
        return f"{self.kind} {self.node} at {self.at_s:.1f} for {self.for_s:.1f}"


def blows_of(seed: int, nodes: int) -> list[Blow]:
    """What the seed decides: kills with a restart, clean restarts, cut links."""
    dice = random.Random(seed)
    blows = []
    for _ in range(dice.randint(4, 12)):
        kind = dice.choice(["kill", "kill", "restart", "cut", "cut"])
        at_s = dice.uniform(0.0, WHILE_S)
        blows.append(Blow(at_s, dice.randrange(nodes), kind, dice.uniform(0.1, 5.0)))
    return sorted(blows, key=lambda blow: blow.at_s)


class Storm:
    """One run's blows, struck and healed in time."""

    def __init__(self, contender: UpdraftSwarm, stage: Stage, running: dict[int, Process]):
        self._contender = contender
        self._stage = stage
        self._running = running
        self._heal_at: dict[tuple[int, str], float] = {}
        self._restarts = 0

    def strike(self, blow: Blow, now_s: float) -> None:
        """Does it, unless the node has that already."""
        kind = "cut" if blow.kind == "cut" else "down"
        if (blow.node, kind) in self._heal_at:
            return
        self._heal_at[blow.node, kind] = now_s + blow.for_s
        if blow.kind == "cut":
            nft(self._stage.lab.nodes[blow.node], CUT)
        else:
            number = signal.SIGKILL if blow.kind == "kill" else signal.SIGTERM
            self._running[blow.node].signal(number)

    def heal(self, now_s: float) -> None:
        """Undoes what is over."""
        for (index, kind), at_s in list(self._heal_at.items()):
            if now_s < at_s:
                continue
            node = self._stage.lab.nodes[index]
            if kind == "cut":
                nft(node, "delete table inet chaos")
            elif self._running[index].exit_code() is None:
                continue
            else:
                self._restarts += 1
                name = f"node-{index}.{self._restarts}"
                self._running[index] = self._contender.start_again(self._stage, node, name)
            del self._heal_at[index, kind]

    @property
    def over(self) -> bool:
        """Whether nothing is broken any more."""
        return not self._heal_at


def nft(node: Node, rules: str) -> None:
    """Changes a node's firewall."""
    command = ["ip", "netns", "exec", node.namespace, "nft", "-f", "-"]
    subprocess.run(command, input=rules, text=True, check=True, capture_output=True)


def start_liar(stage: Stage, node: Node, programs: Path) -> str:
    """Has a member lie to every agent; the name that their logs know it by."""
    agents = [f"/ip4/{leecher.ip}/tcp/{PORT}" for leecher in stage.lab.leechers]
    command = [str(programs / "examples" / "liar"), str(ticket(stage))]
    command += [str(vendor(stage) / "repository"), *agents]
    liar = stage.start("liar", node.namespace, command)
    wait_for_line("machine ", liar.log, liar)
    return liar.log.read_text(encoding="utf-8").strip()


def naming(log_dir: Path, liar: str) -> int:
    """How many agents' logs say that the liar did wrong."""
    logs: dict[str, bool] = {}
    for log in log_dir.glob("node-*.log"):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        named = any(liar in line and "did wrong" in line for line in lines)
        # A node that was restarted has written several.
        node = log.stem.split(".")[0]
        logs[node] = logs.get(node, False) or named
    return sum(logs.values())


def run_one(seed: int, args: argparse.Namespace, run_dir: Path) -> dict:
    """One run from an empty folder to its outcome."""
    links = Links(args.up, args.up, args.up, args.up, args.up, 32, 50)
    # One more than take part: the liar's.
    plan = Plan(args.nodes + 1, links, args.mib, None, 0, False, TIMEOUT_S, 0.0, None, "")
    contender = UpdraftSwarm(args.programs, "both", verbose=True)
    contender.check()
    (run_dir / "logs").mkdir()
    lab, processes = Lab(plan, run_dir), Processes(run_dir / "logs")
    try:
        lab.up()
        liar_node = lab.nodes.pop()
        stage = Stage(lab, processes, place_payload(plan, lab.seeder.payload), run_dir,
                      run_dir / "go")
        running = {0: contender.start_seeder(stage)}
        for node in lab.leechers:
            running[node.index] = contender.start_leecher(stage, node)
        contender.await_leechers(stage)
        liar = start_liar(stage, liar_node, args.programs)
        started = time.time()
        stage.go.write_text(f"{started}\n", encoding="ascii")
        outcome = weather(seed, args, Storm(contender, stage, running), contender, stage)
        outcome["named_by"] = naming(run_dir / "logs", liar)
        if outcome["named_by"] == 0:
            outcome["outcome"] += ", and nobody names the liar"
            outcome["good"] = False
        return outcome
    finally:
        processes.stop_all()
        lab.down()


def weather(seed: int, args: argparse.Namespace, storm: Storm, contender: UpdraftSwarm,
            stage: Stage) -> dict:
    """Strikes until all is struck, and waits until all have the release."""
    begun = time.monotonic()
    blows = blows_of(seed, args.nodes)
    waiting = list(blows)
    done: dict[int, float] = {}
    started = time.time()
    completions = {n.index: contender.completion(stage, n, started) for n in stage.lab.leechers}
    while (now_s := time.monotonic() - begun) < TIMEOUT_S:
        while waiting and waiting[0].at_s <= now_s:
            storm.strike(waiting.pop(0), now_s)
        storm.heal(now_s)
        for index, completion in completions.items():
            if index not in done and completion.poll() is not None:
                done[index] = now_s
        if len(done) == len(completions) and not waiting and storm.over:
            break
        time.sleep(0.05)
    equal = [stage.payload.is_at(contender.result(node)) for node in stage.lab.leechers]
    lost = [index for index in completions if index not in done]
    return {
        "seed": seed,
        "blows": [str(blow) for blow in blows],
        "outcome": "all installed, all equal" if all(equal) else f"without: {lost}",
        "good": all(equal),
        "last_s": round(max(done.values(), default=TIMEOUT_S), 1),
    }


HEAD = """| seed | kills, restarts, cuts | last machine after | the liar is named by | outcome |
|---|---|---|---|---|"""


def row(outcome: dict) -> str:
    """A run as a line of the table."""
    kinds = [blow.split()[0] for blow in outcome["blows"]]
    counts = ", ".join(str(kinds.count(kind)) for kind in ("kill", "restart", "cut"))
    words = [outcome["seed"], counts, f"{outcome['last_s']} s", outcome["named_by"]]
    return f"| {' | '.join(map(str, [*words, outcome['outcome']]))} |"


def told(outcomes: list[dict]) -> str:
    """All runs in a sentence."""
    good = sorted(outcome["last_s"] for outcome in outcomes if outcome["good"])
    text = f"{len(good)} of {len(outcomes)} runs ended with equal files on all machines"
    if good:
        text += f", the last of them after {good[0]} to {good[-1]} s"
        text += f", {statistics.median(good):.1f} s in the median"
    return text


def page(outcomes: list[dict], args: argparse.Namespace) -> str:
    """All runs as a page of docs/."""
    command = f"sudo bench/swarm/chaos.py --runs {args.runs} --results FILE --page docs/chaos.md"
    blows = sum(len(outcome["blows"]) for outcome in outcomes)
    rows = "\n".join(map(row, outcomes))
    return f"""# Machines that are hurt while a release spreads

{args.nodes} machines, the vendor's seeder among them, on links of {args.up:g} Mbit/s; a release of \
{args.mib:g} MiB spreads while each run's seed has machines killed (SIGKILL) or stopped (SIGTERM) and \
started again, or their links cut by nftables, for 0.1 to 5 seconds each within the first \
{WHILE_S:g}. One more machine, with a credential that holds, lies to every agent all the time: it says \
that it has everything, and sends false blocks. At the end all files are compared, and \
at least one agent's log must name the liar; the last but one column says how many do.

```sh
cargo build --release --workspace --bins --example liar
{command}
```

{told(outcomes)}; {blows} blows in all.

{HEAD}
{rows}
"""


def known(results: Path | None) -> dict[int, dict]:
    """The runs that a file tells of, by seed."""
    if results is None or not results.exists():
        return {}
    lines = results.read_text(encoding="utf-8").splitlines()
    return {outcome["seed"]: outcome for outcome in map(json.loads, lines)}


def run_kept(seed: int, args: argparse.Namespace) -> dict:
    """One run in a folder that is removed, unless it failed and is to be kept."""
    run_dir = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = None
    try:
        outcome = run_one(seed, args, run_dir)
        return outcome
    finally:
        if args.keep and not (outcome and outcome["good"]):
            print(f"chaos: files and logs are in {run_dir}", file=sys.stderr)
        else:
            shutil.rmtree(run_dir, ignore_errors=True)


def main() -> int:
    """All runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=8, help="the seeder included")
    parser.add_argument("--mib", type=float, default=8.0, help="the release's payload")
    parser.add_argument("--up", type=float, default=10.0, help="Mbit/s of each link")
    parser.add_argument("--programs", type=Path, default=RELEASE_DIR)
    parser.add_argument("--results", type=Path,
                        help="append a JSON line a run to this file; seeds in it are not run again")
    parser.add_argument("--page", type=Path, help="write all runs to this Markdown file")
    parser.add_argument("--keep", action="store_true", help="keep the logs of runs that failed")
    args = parser.parse_args()
    outcomes = known(args.results)
    seeds = range(args.first, args.first + args.runs)
    print(HEAD, flush=True)
    try:
        check_machine()
        require_programs({"nft": "nftables"})
        if not (args.programs / "examples" / "liar").is_file():
            raise SetupError("the liar is not built: cargo build --release --example liar")
        for seed in seeds:
            if seed not in outcomes:
                outcomes[seed] = run_kept(seed, args)
                if args.results is not None:
                    with args.results.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(outcomes[seed]) + "\n")
            print(row(outcomes[seed]), flush=True)
            if args.page is not None:
                text = page([outcomes[seed] for seed in seeds if seed in outcomes], args)
                args.page.write_text(text, encoding="utf-8")
    except (SetupError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 3
    all_runs = [outcomes[seed] for seed in seeds]
    print(told(all_runs), file=sys.stderr)
    return 0 if all(outcome["good"] for outcome in all_runs) else 1


if __name__ == "__main__":
    sys.exit(main())
