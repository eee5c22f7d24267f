"""The processes of a run: started in namespaces, weighed, and all ended.

Each one leads a session of its own, and its whole session is weighed and
ended with it. Programs under test must therefore stay in the foreground.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 2.0
LOG_TAIL_LINES = 8


@dataclass(frozen=True)
class Usage:
    """What a session has used: CPU of all its processes, largest memory of one."""

    cpu_s: float = 0.0
    peak_rss_kib: int = 0


class Process:
    """One started program. Its exit is left uncollected until `stop_all`,
    because /proc keeps the CPU time of a dead process only until then."""

    def __init__(self, name: str, popen: subprocess.Popen, log: Path):
        self.name = name
        self.log = log
        self.usage = Usage()
        self._popen = popen
        self._cpu_before_s = 0.0

    @property
    def session(self) -> int:
        """The id of the process and of the session that it leads."""
        return self._popen.pid

    def begin_race(self) -> None:
        """Counts from here. See `Processes.start_line`."""
        self._cpu_before_s += self.usage.cpu_s
        self.usage = Usage()

    def note(self, cpu_s: float, peak_rss_kib: int) -> None:
        """Takes in a weighing: all CPU time since birth, the peak of the living."""
        self.usage = Usage(
            max(self.usage.cpu_s, cpu_s - self._cpu_before_s),
            max(self.usage.peak_rss_kib, peak_rss_kib),
        )

    def exit_code(self) -> int | None:
        """How it ended (minus the signal's number if by one); None while it runs."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        ended = os.waitid(os.P_PID, self._popen.pid, flags)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def wait(self, timeout_s: float) -> int | None:
        """Like `exit_code`, but gives it time to end."""
        deadline = time.monotonic() + timeout_s
        while self.exit_code() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.exit_code()

    def show_log(self) -> None:
        """Prints its last words."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines()[-LOG_TAIL_LINES:]:
            print(f"  {self.name}: {line}", file=sys.stderr)

    def signal(self, number: int) -> None:
        """Sends a signal to its process group."""
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            pass

    def collect(self) -> None:
        """Forgets it. Its id may be given to another process after this."""
        self._popen.wait()


class Processes:
    """All processes of one run."""

    def __init__(self, log_dir: Path):
        self._log_dir = log_dir
        self._all: list[Process] = []

    def start(self, name: str, namespace: str, argv: list[str]) -> Process:
        """Starts `argv` in a namespace; its output goes to a log called `name`."""
        log = self._log_dir / f"{name}.log"
        with log.open("w") as output:
            popen = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self._all.append(process)
        return process

    def weigh(self) -> None:
        """Brings every process's `usage` up to date."""
        cpu_ticks: dict[int, int] = {}
        peak_kib: dict[int, int] = {}
        sessions = {process.session for process in self._all}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            seen = read_stat(pid)
            if seen is None or seen[0] not in sessions:
                continue
            session, ticks = seen
            cpu_ticks[session] = cpu_ticks.get(session, 0) + ticks
            peak_kib[session] = max(peak_kib.get(session, 0), read_rss_kib(pid, "VmHWM:"))
        for process in self._all:
            cpu_s = cpu_ticks.get(process.session, 0) / TICKS_PER_SECOND
            process.note(cpu_s, peak_kib.get(process.session, 0))

    def resident_kib(self) -> dict[int, int]:
        """What each session's largest living process has in memory now."""
        resident: dict[int, int] = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if seen := read_stat(pid):
                kib = read_rss_kib(pid, "VmRSS:")
                resident[seen[0]] = max(resident.get(seen[0], 0), kib)
        return resident

    def start_line(self) -> None:
        """From here on, `usage` counts what the race itself costs: CPU from now,
        and no memory peak of what waited for the start and became another program."""
        self.weigh()
        for process in self._all:
            process.begin_race()

    def stop_all(self) -> None:
        """Ends every process: politely, then not."""
        for process in self._all:
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        for process in self._all:
            process.wait(max(0.0, deadline - time.monotonic()))
        for process in self._all:
            process.signal(signal.SIGKILL)
            process.collect()


def read_stat(pid: str) -> tuple[int, int] | None:
    """A process's session, and its CPU ticks with those of its dead children."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            # The name, in brackets, may contain anything; fields follow it.
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return int(fields[3]), sum(map(int, fields[11:15]))


def read_rss_kib(pid: str, field: str) -> int:
    """A living process's resident set: the largest so far (`VmHWM:`) or the
    present one (`VmRSS:`); 0 for a dead one."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            for line in status:
                if line.startswith(field):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


class MachineCpu:
    """How busy the whole machine was since this was made."""

    def __init__(self) -> None:
        self._start = self._read()

    @staticmethod
    def _read() -> tuple[int, int]:
        """Idle ticks and all ticks since boot."""
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = list(map(int, stat.readline().split()[1:9]))
        return ticks[3], sum(ticks)

    def busy_share(self) -> float:
        """0 for an idle machine, 1 if no core ever rested."""
        idle, total = self._read()
        return 1 - (idle - self._start[0]) / max(1, total - self._start[1])
