"""How long python-tuf takes for what bench/trust/trust.rs measures.

usage: speed.py DIR

DIR holds the files that the benchmark wrote.
"""

import pathlib
import statistics
import sys
import time

from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

files = {path.name: path.read_bytes() for path in pathlib.Path(sys.argv[1]).glob("*.json")}


def chain() -> None:
    trusted = TrustedMetadataSet(files["1.root.json"], EnvelopeType.METADATA)
    trusted.update_timestamp(files["timestamp.json"])
    trusted.update_snapshot(files["2.snapshot.json"])
    trusted.update_targets(files["2.targets.json"])
    releases = trusted.update_delegated_targets(files["1.releases.json"], "releases", "targets")
    assert len(releases.targets) == 1000


def nothing_new() -> None:
    # A run of ngclient begins from its files each time.
    trusted = TrustedMetadataSet(files["1.root.json"], EnvelopeType.METADATA)
    for _ in range(2):
        try:
            trusted.update_timestamp(files["timestamp.json"])
        except Exception as error:
            assert type(error).__name__ == "EqualVersionNumberError", error
    trusted.update_snapshot(files["2.snapshot.json"], trusted=True)
    trusted.update_targets(files["2.targets.json"])


def median(run, runs: int) -> float:
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


print(f"chain with 1000 delegated targets: {median(chain, 51) * 1000:.2f} ms")
print(f"refresh with nothing new: {median(nothing_new, 101) * 1000:.2f} ms")
