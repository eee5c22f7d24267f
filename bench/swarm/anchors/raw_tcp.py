"""One TCP connection from memory to memory: what two programs on this machine
could reach that do nothing but send and receive."""

import sys
from dataclasses import dataclass
from pathlib import Path

from harness.lab import Node
from harness.processes import Process
from harness.stage import SWARM_DIR, Contender, SetupError, Stage, wait_for_file

RAW_TCP_NODE = SWARM_DIR / "anchors" / "raw_tcp_node.py"
PORT = 8090


@dataclass
class RawTcp(Contender):
    """See the module."""

    name = "raw-tcp"

    def options(self) -> dict:
        """See `Contender`."""
        return {}

    def start_seeder(self, stage: Stage) -> Process:
        """See `Contender`."""
        if len(stage.lab.leechers) != 1:
            raise SetupError("raw TCP is for two nodes")
        seeder = stage.lab.seeder
        ready = stage.run_dir / "ready-0"
        argv = [sys.executable, str(RAW_TCP_NODE), "send", seeder.ip, str(PORT)]
        process = stage.start("node-0", seeder.namespace, [*argv, str(seeder.payload), str(ready)])
        wait_for_file(ready, process)
        return process

    def start_leecher(self, stage: Stage, node: Node) -> Process:
        """See `Contender`."""
        argv = [sys.executable, str(RAW_TCP_NODE), "receive", stage.lab.seeder.ip, str(PORT)]
        argv += [str(node.payload), str(stage.go), str(node.done)]
        return stage.start(f"node-{node.index}", node.namespace, argv)

    def result(self, node: Node) -> Path:
        """See `Contender`. Written after the clock has stopped."""
        return node.payload
