"""What is to be measured: sizes, rates and places, as the user asked for them."""

from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Links:
    """The network's rates, in Mbit/s (10^6 bits); 0 means unshaped.

    `up`, `down` and `seed_up` belong to the nodes' own links, `wan_up` and
    `wan_down` to each site's router.
    """

    up: float
    down: float
    seed_up: float
    wan_up: float
    wan_down: float
    burst_kib: int
    queue_ms: int


@dataclass(frozen=True)
class Foreground:
    """Somebody else's download on one leecher's link, for the probe."""

    node: int
    mib: float
    delay_s: float


@dataclass(frozen=True)
class Plan:
    """One measurement. Node 0 seeds, the `nodes - 1` others fetch."""

    nodes: int
    links: Links
    payload_mib: float
    payload_file: Path | None
    sites: int
    seeder_apart: bool
    timeout_s: float
    rest_s: float
    foreground: Foreground | None
    label: str

    @property
    def leechers(self) -> int:
        """How many nodes fetch."""
        return self.nodes - 1

    def site_of_nodes(self) -> list[int]:
        """The site of each node; all 0 where the network is one flat LAN.

        Nodes fill the sites in order, in shares that differ by at most one.
        A seeder that stands apart is alone in a site 0 of its own.
        """
        if self.sites == 0:
            return [0] * self.nodes
        if self.seeder_apart:
            return [0] + [1 + i * self.sites // self.leechers for i in range(self.leechers)]
        return [i * self.sites // self.nodes for i in range(self.nodes)]

    def site_count(self) -> int:
        """How many sites there are, the seeder's own included."""
        return max(self.site_of_nodes()) + 1
