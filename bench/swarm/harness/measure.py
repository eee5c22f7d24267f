"""One measurement from an empty folder to a report, leaving nothing behind."""

import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from harness.completion import Completion, Payload
from harness.foreground import ForegroundProbe
from harness.lab import Lab, Node, Traffic
from harness.plan import MIB, Plan
from harness.processes import MachineCpu, Process, Processes
from harness.report import NodeResult, Report, SiteResult
from harness.stage import Contender, SetupError, Stage, require_programs

POLL_S = 0.05
FIRST_WEIGHING_S = 0.1
WEIGH_EVERY_S = 0.25
GRACE_S = 1.0


def measure(contender: Contender, plan: Plan, run_dir: Path) -> Report:
    """Builds the network in `run_dir`, lets the contender distribute the payload,
    and takes everything down again, also when interrupted."""
    check_machine()
    contender.check()
    (run_dir / "logs").mkdir()
    lab = Lab(plan, run_dir)
    processes = Processes(run_dir / "logs")
    try:
        lab.up()
        payload = place_payload(plan, lab.seeder.payload)
        stage = Stage(lab, processes, payload, run_dir, run_dir / "go")
        return Race(contender, plan, stage).run()
    finally:
        processes.stop_all()
        lab.down()


def check_machine() -> None:
    """Refuses to begin where namespaces cannot be made."""
    if os.geteuid() != 0:
        raise SetupError("network namespaces need root: run this with sudo")
    require_programs({"ip": "iproute2", "tc": "iproute2", "sysctl": "procps"})


def place_payload(plan: Plan, path: Path) -> Payload:
    """Puts the payload into the seeder's folder: the user's file, or noise."""
    if plan.payload_file is not None:
        shutil.copyfile(plan.payload_file, path)
    else:
        left = int(plan.payload_mib * MIB)
        with path.open("wb") as file:
            while left > 0:
                left -= file.write(os.urandom(min(left, MIB)))
    return Payload.of(path)


class Leecher:
    """A fetching node during the race."""

    def __init__(self, node: Node, process: Process, completion: Completion):
        self.node = node
        self.process = process
        self.completed_at: float | None = None
        self._completion = completion

    def look(self) -> None:
        """Notes the time if the node is done."""
        if self.completed_at is None:
            self.completed_at = self._completion.poll()

    @property
    def lost(self) -> bool:
        """Whether it ended without being done."""
        return self.completed_at is None and self.process.exit_code() is not None


class Race:
    """Everything from the seeder's start to the last leecher's end."""

    def __init__(self, contender: Contender, plan: Plan, stage: Stage):
        self._contender = contender
        self._plan = plan
        self._stage = stage
        self._processes = stage.processes
        self._lab = stage.lab

    def run(self) -> Report:
        """Runs the race and reports it."""
        load_before = os.getloadavg()[0]
        seeder, starters = self._line_up()
        probe = self._foreground_probe()
        if probe:
            probe.measure_idle_link()

        nodes_before, wan_before = self._lab.node_traffic(), self._lab.wan_traffic()
        self._processes.start_line()
        cpu = MachineCpu()
        started_at = time.time()
        self._stage.go.write_text(f"{started_at}\n", encoding="ascii")

        leechers = [
            Leecher(node, process, self._contender.completion(self._stage, node, started_at))
            for node, process in zip(self._lab.leechers, starters)
        ]
        self._watch(leechers, probe)
        busy = cpu.busy_share()
        nodes_after, wan_after = self._lab.node_traffic(), self._lab.wan_traffic()
        self._processes.weigh()
        load_after = os.getloadavg()[0]
        ended_at = max(
            (leecher.completed_at for leecher in leechers if leecher.completed_at),
            default=time.time(),
        )
        foreground = probe.result(ended_at) if probe else None
        resting = self._rest(leechers)

        node_results = self._node_results(
            seeder,
            leechers,
            started_at,
            [after.since(before) for before, after in zip(nodes_before, nodes_after)],
        )
        self._show_logs_of_losers(leechers, node_results)
        return Report.of(
            tool=self._contender.name,
            options=self._contender.options(),
            plan=self._plan,
            payload_bytes=self._stage.payload.size,
            node_results=node_results,
            site_results=self._site_results(
                [after.since(before) for before, after in zip(wan_before, wan_after)]
            ),
            load_before=load_before,
            load_after=load_after,
            machine_busy=busy,
            resting_rss_mib=resting,
            foreground=foreground,
        )

    def _rest(self, leechers: list[Leecher]) -> float | None:
        """Leaves everybody alone for a while, if that was asked for: what the
        median leecher then has in memory."""
        if not self._plan.rest_s:
            return None
        time.sleep(self._plan.rest_s)
        resident = self._processes.resident_kib()
        kib = [resident.get(leecher.process.session, 0) for leecher in leechers]
        return round(statistics.median(kib) / 1024, 1)

    def _line_up(self) -> tuple[Process, list[Process]]:
        """Starts everybody, up to the start signal."""
        seeder = self._contender.start_seeder(self._stage)
        starters = [self._contender.start_leecher(self._stage, n) for n in self._lab.leechers]
        self._contender.await_leechers(self._stage)
        for process in [seeder, *starters]:
            code = process.exit_code()
            if code is not None:
                process.show_log()
                raise SetupError(f"{process.name} ended with exit code {code} before the start")
        return seeder, starters

    def _foreground_probe(self) -> ForegroundProbe | None:
        """The probe, if one was asked for."""
        if self._plan.foreground is None:
            return None
        return ForegroundProbe(self._plan.foreground, self._stage)

    def _watch(self, leechers: list[Leecher], probe: ForegroundProbe | None) -> None:
        """Waits until all leechers are done, all others have ended, or time is up."""
        start = time.monotonic()
        next_weighing = start + FIRST_WEIGHING_S
        all_lost_since: float | None = None
        while (now := time.monotonic()) - start < self._plan.timeout_s:
            for leecher in leechers:
                leecher.look()
            racing = [leecher for leecher in leechers if leecher.completed_at is None]
            if not racing:
                return
            if all(leecher.lost for leecher in racing):
                all_lost_since = all_lost_since or now
                if now - all_lost_since > GRACE_S:
                    return
            if probe:
                probe.start_when_due(now - start)
            if now >= next_weighing:
                self._processes.weigh()
                next_weighing = now + WEIGH_EVERY_S
            time.sleep(POLL_S)

    def _node_results(
        self,
        seeder: Process,
        leechers: list[Leecher],
        started_at: float,
        traffic: list[Traffic],
    ) -> list[NodeResult]:
        """Each node's outcome, the seeder's first."""
        completed = [None, *(leecher.completed_at for leecher in leechers)]
        processes = [seeder, *(leecher.process for leecher in leechers)]
        results = []
        for node in self._lab.nodes:
            file = node.payload if node.index == 0 else self._contender.result(node)
            finished_at = completed[node.index]
            process = processes[node.index]
            results.append(
                NodeResult(
                    node=node.index,
                    site=node.site,
                    completed_s=None if finished_at is None else round(finished_at - started_at, 2),
                    sha_ok=self._stage.payload.is_at(file),
                    sent_x=round(traffic[node.index].sent / self._stage.payload.size, 3),
                    cpu_s=round(process.usage.cpu_s, 2),
                    peak_rss_mib=round(process.usage.peak_rss_kib / 1024, 1),
                    exit_code=process.exit_code(),
                )
            )
        return results

    def _site_results(self, traffic: list[Traffic]) -> list[SiteResult]:
        """What crossed each site's WAN link."""
        size = self._stage.payload.size
        return [
            SiteResult(
                site=router.site,
                nodes=sum(node.site == router.site for node in self._lab.nodes),
                wan_up_x=round(seen.sent / size, 3),
                wan_down_x=round(seen.received / size, 3),
            )
            for router, seen in zip(self._lab.routers, traffic)
        ]

    def _show_logs_of_losers(self, leechers: list[Leecher], results: list[NodeResult]) -> None:
        """Prints the last words of each leecher that has not got the payload."""
        for leecher in leechers:
            result = results[leecher.node.index]
            if leecher.completed_at is None or not result.sha_ok:
                what = "never finished" if leecher.completed_at is None else "has a wrong file"
                print(f"node {leecher.node.index} {what}", file=sys.stderr)
                leecher.process.show_log()
