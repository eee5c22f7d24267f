"""python-tuf writes a repository with delegations of every kind.

usage: write_repository.py REPOSITORY consistent|plain

Beside the four roles, two of three keys for targets, and a rotated root:
- `a b/%é` for the paths `odd/*` (a role's name is percent-encoded in files),
- `deep`, below it, for `odd/deep?.txt`,
- `hashed` by path hash prefixes, terminating,
- bins `bin-0` to `bin-7`, below `hashed`.
Prints as JSON which role has which target, and the content of each.
"""

import hashlib
import json
import pathlib
import sys
from datetime import datetime, timedelta, timezone
from urllib import parse

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

EXPIRES = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)


def signers(count: int) -> list[CryptoSigner]:
    return [CryptoSigner.generate_ed25519() for _ in range(count)]


def keys(of: list[CryptoSigner]) -> dict[str, Key]:
    return {signer.public_key.keyid: signer.public_key for signer in of}


def role(of: list[CryptoSigner], threshold: int = 1) -> Role:
    return Role([signer.public_key.keyid for signer in of], threshold)


def main() -> None:
    repository = pathlib.Path(sys.argv[1])
    consistent = sys.argv[2] == "consistent"
    (repository / "metadata").mkdir(parents=True)
    expected = {}

    def write(name: str, signed, by: list[CryptoSigner]) -> bytes:
        metadata = Metadata(signed)
        for signer in by:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes()
        name = parse.quote(name, "")
        versioned = consistent and name != "timestamp" or name == "root"
        prefix = f"{signed.version}." if versioned else ""
        (repository / "metadata" / f"{prefix}{name}.json").write_bytes(data)
        return data

    def put(targets: Targets, name: str, path: str) -> None:
        content = f"{path} of {name}\n".encode()
        info = TargetFile.from_data(path, content, ["sha256", "sha512"])
        targets.targets[path] = info
        expected[path] = {"role": name, "content": content.decode()}

    root_keys, next_root_keys = signers(2), signers(3)
    top = {name: signers(3 if name == "targets" else 1) for name in ("targets", "snapshot", "timestamp")}

    def root(version: int, own: list[CryptoSigner], threshold: int) -> Root:
        return Root(
            version=version,
            expires=EXPIRES,
            keys=keys(root_keys + next_root_keys + sum(top.values(), [])),
            roles={
                "root": role(own, threshold),
                "targets": role(top["targets"], 2),
                "snapshot": role(top["snapshot"]),
                "timestamp": role(top["timestamp"]),
            },
            consistent_snapshot=consistent,
        )

    write("root", root(1, root_keys, 1), root_keys)
    write("root", root(2, next_root_keys, 2), root_keys[:1] + next_root_keys[:2])

    delegated = {name: signers(1) for name in ("odd", "deep", "hashed", "bins")}
    odd_name = "a b/%\u00e9"

    targets = Targets(expires=EXPIRES)
    put(targets, "targets", "top.txt")
    hashed_paths = ["one", "two", "three", "four"]
    prefixes = [hashlib.sha256(path.encode()).hexdigest()[:3] for path in hashed_paths]
    targets.delegations = Delegations(
        keys=keys(delegated["odd"] + delegated["hashed"]),
        roles={
            odd_name: DelegatedRole(odd_name, list(keys(delegated["odd"])), 1, False, ["odd/*"]),
            "hashed": DelegatedRole(
                "hashed", list(keys(delegated["hashed"])), 1, True, path_hash_prefixes=prefixes
            ),
        },
    )

    odd = Targets(expires=EXPIRES)
    put(odd, odd_name, 'odd/"quoted" \u00e9.txt')
    odd.delegations = Delegations(
        keys=keys(delegated["deep"]),
        roles={"deep": DelegatedRole("deep", list(keys(delegated["deep"])), 1, False, ["odd/deep?.txt"])},
    )
    deep = Targets(expires=EXPIRES, unrecognized_fields={"x-note": {"b": [1, "\u001f"], "a": None}})
    put(deep, "deep", "odd/deep1.txt")

    bins = SuccinctRoles(list(keys(delegated["bins"])), 1, 3, "bin")
    hashed = Targets(expires=EXPIRES)
    hashed.delegations = Delegations(keys=keys(delegated["bins"]), succinct_roles=bins)
    in_bins = {name: Targets(expires=EXPIRES) for name in bins.get_roles()}
    for path in hashed_paths:
        name = bins.get_role_for_target(path)
        put(in_bins[name], name, path)

    files = {
        "targets": write("targets", targets, top["targets"][:2]),
        odd_name: write(odd_name, odd, delegated["odd"]),
        "deep": write("deep", deep, delegated["deep"]),
        "hashed": write("hashed", hashed, delegated["hashed"]),
    }
    for name, content in in_bins.items():
        files[name] = write(name, content, delegated["bins"])

    snapshot = Snapshot(expires=EXPIRES)
    snapshot.meta = {
        f"{name}.json": MetaFile.from_data(1, data, ["sha256"]) for name, data in files.items()
    }
    data = write("snapshot", snapshot, top["snapshot"])
    timestamp = Timestamp(expires=EXPIRES)
    timestamp.snapshot_meta = MetaFile.from_data(1, data, ["sha512"])
    write("timestamp", timestamp, top["timestamp"])
    print(json.dumps(expected))


main()
