"""Updraft's own programs: a vendor that seeds, and an agent on each leecher.

Everything runs as it does at a customer's: agents join with a ticket, find
each other, let each other in, have installed a first release, and stay up.
The second release, which has the payload, is made and signed beforehand; the
start signal publishes it by the last thing that a publisher writes, the
timestamp. A leecher is done when its `current` is the new release, verified
and switched to.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from harness.completion import Completion, Payload
from harness.lab import Node
from harness.processes import Process
from harness.stage import Contender, SetupError, Stage, wait_for_file, wait_until

PORT = 4727
TRANSPORTS = {"both": ("quic", "tcp"), "quic": ("quic",), "tcp": ("tcp",)}
FIRST, SECOND = "1.0.0", "2.0.0"
READY_S = 60.0
ENOUGH_PEERS = 15
"""Members stop looking for more when they have about so many."""


@dataclass
class UpdraftSwarm(Contender):
    """See the module."""

    programs_dir: Path
    transport: str
    verbose: bool = False

    name = "updraft"

    def check(self) -> None:
        """See `Contender`."""
        for program in ("updraft-publisher", "updraft-agent"):
            if not (self.programs_dir / program).is_file():
                raise SetupError(
                    f"{self.programs_dir / program} is not there: run `cargo build --release "
                    "--bin updraft-publisher --bin updraft-agent`, or give --programs"
                )

    def options(self) -> dict:
        """See `Contender`."""
        return {"transport": self.transport}

    def start_seeder(self, stage: Stage) -> Process:
        """Publishes the first release, prepares the second, and seeds."""
        seeder = stage.lab.seeder
        tree = stage.run_dir / "tree"
        tree.mkdir()
        (tree / "hello").write_text("hello\n", encoding="ascii")
        self._publisher(stage, "init", "Bench", "--product", "bench")
        self._publisher(stage, "release", str(tree), "--version", FIRST)
        staged = stage.run_dir / "staged"
        shutil.copytree(vendor(stage), staged)
        os.link(seeder.payload, tree / seeder.payload.name)
        self._publisher(stage, "release", str(tree), "--version", SECOND, home=staged)
        everything_but_timestamp(staged / "repository", vendor(stage) / "repository")

        process = self.start_again(stage, seeder)
        addresses = vendor(stage) / "seed.addresses"
        wait_for_file(addresses, process)
        wait_until(
            lambda: all(seeder.ip in line for line in self._noted(addresses)),
            "the seeder to note where it listens",
            process,
        )
        self._publisher(stage, "ticket", "--out", str(ticket(stage)))
        timestamp = Path("metadata") / "timestamp.json"
        publish = ["mv", str(staged / "repository" / timestamp)]
        publish.append(str(vendor(stage) / "repository" / timestamp))
        stage.start_at_go("publish", seeder.namespace, publish)
        return process

    def start_leecher(self, stage: Stage, node: Node) -> Process:
        """Joins with the ticket and runs."""
        agent = [str(self.programs_dir / "updraft-agent"), "--home", str(home(node))]
        run([*agent, "join", str(ticket(stage)), "--into", str(into(node))])
        return self.start_again(stage, node)

    def start_again(self, stage: Stage, node: Node, name: str | None = None) -> Process:
        """Starts a node's program in the home that it has; `name` is its log's."""
        if node.index == 0:
            command = [str(self.programs_dir / "updraft-publisher"), "--home", str(vendor(stage))]
            command += ["seed", *self._listen(node)]
        else:
            level = "info,updraft_swarm=debug" if self.verbose else "warn,libp2p_gossipsub=error"
            command = [str(self.programs_dir / "updraft-agent"), "--home", str(home(node))]
            command += ["--log", level, "run", *self._listen(node)]
        return stage.start(name or f"node-{node.index}", node.namespace, command)

    def await_leechers(self, stage: Stage) -> None:
        """Returns once all have the first release and know each other."""
        wanted = min(len(stage.lab.leechers), ENOUGH_PEERS)
        deadline = time.monotonic() + READY_S
        waiting = stage.lab.leechers
        while waiting:
            waiting = [node for node in waiting if not is_ready(node, wanted)]
            if time.monotonic() > deadline:
                told = [f"{node.index}: {status(node)}" for node in waiting]
                raise SetupError("these leechers did not become ready:\n" + "\n".join(told))
            time.sleep(0.2)
        time.sleep(3.0)

    def result(self, node: Node) -> Path:
        """See `Contender`."""
        return into(node) / "current" / node.payload.name

    def completion(self, stage: Stage, node: Node, not_before: float) -> Completion:
        """See `Contender`."""
        return Switched(into(node) / "current", self.result(node), stage.payload)

    def _listen(self, node: Node) -> list[str]:
        """The addresses of a node, as options."""
        forms = {"quic": f"/ip4/{node.ip}/udp/{PORT}/quic-v1", "tcp": f"/ip4/{node.ip}/tcp/{PORT}"}
        return [word for name in TRANSPORTS[self.transport] for word in ("--listen", forms[name])]

    def _publisher(self, stage: Stage, *args: str, home: Path | None = None) -> None:
        """Runs the vendor's program to its end."""
        program = str(self.programs_dir / "updraft-publisher")
        run([program, "--home", str(home or vendor(stage)), *args])

    @staticmethod
    def _noted(addresses: Path) -> list[str]:
        """The lines of the seeder's note; one that says nothing while there are none."""
        return addresses.read_text(encoding="utf-8").split() or [""]


class Switched:
    """Done when `current` leads to a release that has the payload: at the time
    of the switch."""

    def __init__(self, current: Path, result: Path, payload: Payload):
        self._current = current
        self._result = result
        self._payload = payload

    def poll(self) -> float | None:
        """See `Completion`."""
        try:
            switched = os.lstat(self._current).st_ctime
            self._result.stat()
        except OSError:
            return None
        return switched if self._payload.is_at(self._result) else None


def vendor(stage: Stage) -> Path:
    """The vendor's home."""
    return stage.run_dir / "vendor"


def ticket(stage: Stage) -> Path:
    """What a leecher joins with."""
    return stage.run_dir / "bench.ticket"


def home(node: Node) -> Path:
    """An agent's home."""
    return node.dir / "home"


def into(node: Node) -> Path:
    """An agent's installation."""
    return node.dir / "bench"


def run(command: list[str]) -> None:
    """Runs a program to its end."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise SetupError(f"{' '.join(command)} failed: {ended.stderr.strip()}")


def everything_but_timestamp(source: Path, target: Path) -> None:
    """Brings a repository up to date, all but the file that makes it public."""
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
        elif path.name != "timestamp.json" and not copy.exists():
            shutil.copyfile(path, copy)


def status(node: Node) -> dict:
    """What an agent says of itself; nothing where it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(2.0)
            agent.connect(str(home(node) / "agent.sock"))
            agent.sendall(b"GET /status HTTP/1.0\r\nHost: agent\r\n\r\n")
            answer = b"".join(iter(lambda: agent.recv(1 << 16), b""))
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])
    except (OSError, ValueError, IndexError):
        return {}


def is_ready(node: Node, wanted_peers: int) -> bool:
    """Whether an agent runs the first release and knows so many members."""
    told = status(node)
    installed = (told.get("installed") or {}).get("version") == FIRST
    peers = told.get("peers", 0)
    return installed and (len(peers) if isinstance(peers, list) else peers) >= wanted_peers


