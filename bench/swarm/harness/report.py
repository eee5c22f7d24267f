"""The figures of one run, and how near they come to what the links allow."""

import json
import statistics
from dataclasses import asdict, dataclass

from harness.plan import Plan

BITS_PER_BYTE = 8


@dataclass(frozen=True)
class Bound:
    """No swarm can end sooner than this, whatever it does."""

    seconds: float
    limit: str

    @classmethod
    def of(cls, plan: Plan, payload_bytes: int) -> "Bound":
        """max(F/u_s, F/d_min, L·F/(u_s + Σu_i)) for L leechers, and with
        sites also F over a site's WAN link in each direction.

        Packet headers are not counted, so even a perfect swarm ends some 5 %
        above it.
        """
        links = plan.links
        total_up = 0.0
        if links.seed_up and links.up:
            total_up = links.seed_up + plan.leechers * links.up
        candidates = [
            (seconds(payload_bytes, links.seed_up), "seeder's uplink"),
            (seconds(payload_bytes, links.down), "leecher's downlink"),
            (seconds(plan.leechers * payload_bytes, total_up), "sum of uplinks"),
        ]
        if plan.site_count() > 1:
            candidates.append((seconds(payload_bytes, links.wan_up), "seeder site's WAN uplink"))
            candidates.append((seconds(payload_bytes, links.wan_down), "site's WAN downlink"))
        return cls(*max(candidates, key=lambda candidate: candidate[0]))


def seconds(size_bytes: int, mbit: float) -> float:
    """How long a link needs for so many bytes; nothing if it is unshaped."""
    return size_bytes * BITS_PER_BYTE / (mbit * 1e6) if mbit else 0.0


@dataclass(frozen=True)
class NodeResult:
    """One node's outcome. `completed_s` counts from the start signal; the CPU
    time does too. `peak_rss_mib` is the node's largest process."""

    node: int
    site: int
    completed_s: float | None
    sha_ok: bool
    sent_x: float
    cpu_s: float
    peak_rss_mib: float
    exit_code: int | None


@dataclass(frozen=True)
class SiteResult:
    """What crossed a site's WAN link, in multiples of the payload."""

    site: int
    nodes: int
    wan_up_x: float
    wan_down_x: float


@dataclass(frozen=True)
class Report:
    """Everything that one run found out. `seeder_x` is what the seeder sent in
    multiples of the payload; `total_x` what all nodes sent, for each leecher."""

    tool: str
    label: str
    nodes: int
    leechers: int
    payload_mib: float
    up_mbit: float
    down_mbit: float
    seed_up_mbit: float
    wan_up_mbit: float | None
    wan_down_mbit: float | None
    sites: int
    options: dict
    completed: int
    sha_ok: int
    first_s: float | None
    median_s: float | None
    last_s: float | None
    bound_s: float
    bound_by: str
    median_over_bound: float | None
    last_over_bound: float | None
    seeder_x: float
    total_x: float
    wan: list[SiteResult]
    leecher_cpu_s: float
    leecher_peak_rss_mib: float
    load_before: float
    load_after: float
    machine_busy: float
    resting_rss_mib: float | None
    per_node: list[NodeResult]
    foreground: dict | None

    @classmethod
    def of(
        cls,
        tool: str,
        options: dict,
        plan: Plan,
        payload_bytes: int,
        node_results: list[NodeResult],
        site_results: list[SiteResult],
        load_before: float,
        load_after: float,
        machine_busy: float,
        resting_rss_mib: float | None,
        foreground: dict | None,
    ) -> "Report":
        """Sums up what was seen of each node and site. Only who has the right
        bytes has arrived, and a figure that covers all leechers is absent if
        one has not."""
        leechers = node_results[1:]
        completed = [n for n in leechers if n.completed_s is not None]
        times = sorted(n.completed_s for n in completed if n.sha_ok)
        everyone = len(times) == len(leechers)
        bound = Bound.of(plan, payload_bytes)
        median_s = statistics.median(times) if everyone else None
        last_s = times[-1] if everyone else None
        shaped_wan = plan.links if plan.sites else None
        return cls(
            tool=tool,
            label=plan.label,
            nodes=plan.nodes,
            leechers=plan.leechers,
            payload_mib=round(payload_bytes / (1 << 20), 3),
            up_mbit=plan.links.up,
            down_mbit=plan.links.down,
            seed_up_mbit=plan.links.seed_up,
            wan_up_mbit=shaped_wan and shaped_wan.wan_up,
            wan_down_mbit=shaped_wan and shaped_wan.wan_down,
            sites=plan.site_count() if plan.sites else 0,
            options=options,
            completed=len(completed),
            sha_ok=sum(n.sha_ok for n in leechers),
            first_s=rounded(times[0] if times else None),
            median_s=rounded(median_s),
            last_s=rounded(last_s),
            bound_s=round(bound.seconds, 2),
            bound_by=bound.limit,
            median_over_bound=ratio(median_s, bound.seconds),
            last_over_bound=ratio(last_s, bound.seconds),
            seeder_x=node_results[0].sent_x,
            total_x=round(sum(n.sent_x for n in node_results) / plan.leechers, 3),
            wan=site_results,
            leecher_cpu_s=round(statistics.mean(n.cpu_s for n in leechers), 2),
            leecher_peak_rss_mib=max(n.peak_rss_mib for n in leechers),
            load_before=round(load_before, 2),
            load_after=round(load_after, 2),
            machine_busy=round(machine_busy, 2),
            resting_rss_mib=resting_rss_mib,
            per_node=node_results,
            foreground=foreground,
        )

    @property
    def good(self) -> bool:
        """Whether every leecher finished with the right bytes."""
        return self.completed == self.sha_ok == self.leechers

    def json_line(self) -> str:
        """The whole report on one line."""
        return json.dumps(asdict(self))

    def human_line(self) -> str:
        """The report as a person would tell it."""
        parts = [f"{self.tool}: {self.leechers} leechers, {self.payload_mib:g} MiB"]
        if self.last_s is None:
            parts.append(f"FAILED: {self.completed} finished, {self.sha_ok} have the right bytes")
        else:
            parts.append(f"last {self.last_s} s{as_ratio(self.last_over_bound)}")
            parts.append(f"median {self.median_s} s{as_ratio(self.median_over_bound)}")
            parts.append(f"bound {self.bound_s} s ({self.bound_by})")
        parts.append(f"seeder sent {self.seeder_x}x")
        parts.append(f"total {self.total_x}x per leecher")
        for site in self.wan:
            parts.append(f"WAN site {site.site} up {site.wan_up_x}x down {site.wan_down_x}x")
        parts.append(f"leecher {self.leecher_cpu_s} CPU s, {self.leecher_peak_rss_mib} MiB")
        parts.append(f"sha256 right {self.sha_ok}/{self.leechers}")
        parts.append(f"load {self.load_before}, machine {self.machine_busy:.0%} busy")
        if self.foreground:
            parts.append(foreground_sentence(self.foreground))
        return "; ".join(parts)


def rounded(value: float | None) -> float | None:
    """Centiseconds are as fine as these clocks tell."""
    return None if value is None else round(value, 2)


def ratio(value: float | None, bound: float) -> float | None:
    """How often the bound fits in the value; None where either is missing."""
    return round(value / bound, 2) if value is not None and bound else None


def as_ratio(value: float | None) -> str:
    """A ratio for the eye, or nothing on unshaped links."""
    return "" if value is None else f" = {value}x bound"


def foreground_sentence(foreground: dict) -> str:
    """How somebody else's download fared."""
    idle, busy = foreground.get("idle"), foreground.get("busy")
    if not idle or not busy:
        return "no foreground figures: the swarm was over before the probe, or the probe failed"
    return (
        f"foreground download {busy['mbit']} of {idle['mbit']} Mbit/s, "
        f"connect {idle['connect_p50_ms']} -> {busy['connect_p50_ms']} ms"
    )
