"""Writes small repositories, right and wrong, and says what python-tuf makes of them.

usage: worlds.py DIR FIRST COUNT

For each seed from FIRST on, a world: DIR/SEED/root.json, which a client is
shipped with, and DIR/SEED/STEP/{metadata,targets} as served at each step of the
repository's life. The client keeps what it trusts from step to step. Prints a
line of JSON for each world, and reads a line before the next:

{"seed": 7, "steps": [{"done": [...], "refresh": null | "why not",
  "kept": {ROLE: SHA256}, "targets": {PATH: SHA256 | null | "why not"}}]}

Metadata is made as plain JSON and signed with securesystemslib, so that every
rule can be broken. What is left out, because the two clients differ there for
good reasons, is in docs/trust.md.
"""

import copy
import hashlib
import json
import pathlib
import random
import sys
from urllib import parse

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

FUTURE = "2199-01-01T00:00:00Z"
PATHS = ["a/one", "a/two.txt", "b/one", "b/deep/er", "c", "d\u00e9 f/g h", "a/x-1.tgz", "z"]
PATTERNS = ["*", "a/*", "b/*", "b/*/*", "?", "a/x-?.tgz", "[!a]/*", "d*/g*", "*/one", "c", "a/[a-o]*"]
ROLES = ["A", "B", "C", "odd /%\u00e9", "..", "E.F", "g#h?", "H"]
TOP = ["root", "timestamp", "snapshot", "targets"]

_rsa_keys: dict = {}


class Key:
    """A private key and the object under which metadata names it."""

    def __init__(self, rng: random.Random):
        kind = rng.choices(["ed25519", "ecdsa", "old ecdsa", "rsa"], [10, 6, 2, 1])[0]
        if kind == "ed25519":
            private = ed25519.Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        elif kind == "rsa":
            # Slow to make, so that all worlds share a few.
            number = rng.randrange(4)
            if number not in _rsa_keys:
                _rsa_keys[number] = rsa.generate_private_key(65537, 2048)
            private = _rsa_keys[number]
        else:
            private = ec.derive_private_key(rng.randrange(1, 2**250), ec.SECP256R1())
        public = CryptoSigner(private).public_key
        self.keytype = "ecdsa-sha2-nistp256" if kind == "old ecdsa" else public.keytype
        # An id need not be the key's hash for a client to accept it.
        self.id = f"key {rng.randrange(10**9)}" if rng.random() < 0.1 and kind != "rsa" else public.keyid
        key = SSlibKey(self.id, self.keytype, public.scheme, public.keyval)
        self.signer = CryptoSigner(private, key)
        self.object = key.to_dict()

    def sign(self, data: bytes) -> dict:
        return {"keyid": self.id, "sig": self.signer.sign(data).signature}


def digest(name: str, data: bytes) -> str:
    if name == "blake2b-256":
        return hashlib.blake2b(data, digest_size=32).hexdigest()
    return hashlib.new(name, data).hexdigest()


def canonical(signed: dict) -> bytes:
    return encode_canonical(signed).encode()


class World:
    """A repository's honest state, and how it is written at one step."""

    def __init__(self, seed: int):
        self.rng = rng = random.Random(seed)
        self.consistent = rng.choice([True, True, False])
        self.hashes = rng.choice([[], [], ["sha256"], ["sha512", "sha256"], ["blake2b-256"]])
        self.lengths = rng.random() < 0.5
        self.version = dict.fromkeys(TOP, 0)
        self.keys: dict[str, list[Key]] = {}
        self.threshold: dict[str, int] = {}
        for role in TOP:
            self.new_keys(role)
        self.old_root: list[Key] = []
        self.roots: dict[str, bytes] = {}
        # What each role says of target files, and to whom it delegates.
        self.targets: dict[str, dict] = {"targets": {}}
        self.edges: list[dict] = []
        self.bins: tuple | None = None
        self.content: dict[str, bytes] = {}
        self.forwarded = False
        self.written: dict = {}
        for name in rng.sample(ROLES, rng.randrange(len(ROLES))):
            self.delegate(name)
        for _ in range(rng.randrange(3)):
            self.delegate(None)
        if rng.random() < 0.2:
            self.succinct()
        for _ in range(rng.randrange(3, 10)):
            self.put()

    def some_keys(self) -> list[Key]:
        keys = [Key(self.rng) for _ in range(self.rng.choice([1, 1, 1, 2, 3]))]
        return list({key.id: key for key in keys}.values())

    def new_keys(self, role: str) -> None:
        self.keys[role] = self.some_keys()
        self.threshold[role] = self.rng.randint(1, len(self.keys[role]))

    def delegate(self, name: str | None) -> None:
        """Delegates to a new role, or once more to one that there is."""
        rng = self.rng
        known = [role for role in self.targets if role != "targets"]
        if name is None:
            if not known:
                return
            name = rng.choice(known)
        by = rng.choice([role for role in self.targets if role != name])
        if any(edge["by"] == by and edge["name"] == name for edge in self.edges):
            return
        keys = self.some_keys()
        edge = {"by": by, "name": name, "keys": keys, "threshold": rng.randint(1, len(keys)),
                "terminating": rng.random() < 0.25}
        if rng.random() < 0.2:
            digests = [hashlib.sha256(path.encode()).hexdigest() for path in PATHS]
            edge["path_hash_prefixes"] = [d[: rng.randint(1, 3)] for d in rng.sample(digests, 3)]
        else:
            edge["paths"] = rng.sample(PATTERNS, rng.randint(1, 3))
        self.edges.append(edge)
        self.targets.setdefault(name, {})
        self.version.setdefault(name, 0)

    def succinct(self) -> None:
        """One role delegates to bins instead of to roles."""
        free = [r for r in self.targets if not any(edge["by"] == r for edge in self.edges)]
        if not free:
            return
        bits, keys = self.rng.randint(1, 3), self.some_keys()
        names = [f"bin-{i:x}" for i in range(2**bits)]
        self.bins = (self.rng.choice(free), bits, keys, self.rng.randint(1, len(keys)), names)
        for name in names:
            self.targets[name] = {}
            self.version[name] = 0

    def put(self) -> None:
        role, path = self.rng.choice(list(self.targets)), self.rng.choice(PATHS)
        content = f"{path} of {role}, {self.rng.randrange(10**6)}\n".encode()
        known = ["sha224", "sha256", "sha384", "sha512", "blake2b-256"]
        algorithms = self.rng.sample(known, self.rng.randint(1, 2))
        hashes = {name: digest(name, content) for name in algorithms}
        self.targets[role][path] = {"length": len(content), "hashes": hashes}
        head, slash, tail = path.rpartition("/")
        for hash in hashes.values():
            self.content[f"{head}{slash}{hash}.{tail}"] = content
        self.content[path] = content

    def signed(self, role: str) -> dict:
        signed = {"_type": role if role in TOP else "targets", "spec_version": "1.0.31",
                  "version": self.version[role], "expires": FUTURE}
        if role == "root":
            keys = [key for top in TOP for key in self.keys[top]]
            signed["keys"] = {key.id: key.object for key in keys}
            signed["roles"] = {top: {"keyids": [key.id for key in self.keys[top]],
                                     "threshold": self.threshold[top]} for top in TOP}
            if self.consistent or self.version["root"] % 2:
                signed["consistent_snapshot"] = self.consistent
        elif role in self.targets:
            signed["targets"] = self.targets[role]
            edges = [edge for edge in self.edges if edge["by"] == role]
            if edges:
                keys = {key.id: key.object for edge in edges for key in edge["keys"]}
                roles = []
                for edge in edges:
                    one = {k: v for k, v in edge.items() if k not in ("by", "keys")}
                    roles.append(one | {"keyids": [key.id for key in edge["keys"]]})
                signed["delegations"] = {"keys": keys, "roles": roles}
            if self.bins and self.bins[0] == role:
                _, bits, keys, threshold, _ = self.bins
                signed["delegations"] = {
                    "keys": {key.id: key.object for key in keys},
                    "succinct_roles": {"keyids": [key.id for key in keys], "threshold": threshold,
                                       "bit_length": bits, "name_prefix": "bin"}}
        return copy.deepcopy(signed)

    def signers(self, role: str) -> list[Key]:
        if role == "root":
            return list({key.id: key for key in self.keys["root"] + self.old_root}.values())
        if role in TOP:
            return self.keys[role]
        if self.bins and role in self.bins[4]:
            return self.bins[2]
        # For every delegator, so that the role holds on each way to it.
        keys = [key for edge in self.edges if edge["name"] == role for key in edge["keys"]]
        return list({key.id: key for key in keys}.values())

    def least(self, role: str) -> int:
        """The lowest threshold that the role's file must meet."""
        if role in TOP:
            return self.threshold[role]
        if self.bins and role in self.bins[4]:
            return self.bins[3]
        return min(edge["threshold"] for edge in self.edges if edge["name"] == role)

    def write(self, lie=None) -> dict[str, bytes]:
        """All files of this step; `lie` may change each on its way."""
        out: dict[str, bytes] = {}
        meta: dict[str, dict] = {}
        delegated = [role for role in self.targets if role != "targets"]
        for role in ["root", *delegated, "targets", "snapshot", "timestamp"]:
            if role == "root" and f"{self.version[role]}.root.json" in self.roots:
                continue
            file = {"signed": self.signed(role), "signers": self.signers(role), "serve": True,
                    "after": [], "meta": {}}
            if role == "snapshot":
                file["signed"]["meta"] = {f"{r}.json": meta[r] for r in [*delegated, "targets"]}
            elif role == "timestamp":
                file["signed"]["meta"] = {"snapshot.json": meta["snapshot"]}
            if lie:
                lie(role, file)
            data = self.bytes(role, file)
            for change in file["after"]:
                data = change(data)
            signed = file["signed"]
            entry: dict = {"version": signed.get("version", 1)}
            if self.hashes:
                entry["hashes"] = {name: digest(name, data) for name in self.hashes}
            if self.lengths:
                entry["length"] = len(data)
            meta[role] = entry | file["meta"]
            name = parse.quote(role, "")
            version = self.version[role] if role == "root" else entry["version"]
            plain = role == "timestamp" or (role != "root" and not self.consistent)
            if role == "root":
                self.roots[f"{version}.root.json"] = data
                if not file["serve"]:
                    del self.roots[f"{version}.root.json"]
            elif file["serve"]:
                out[f"{name}.json" if plain else f"{version}.{name}.json"] = data
        return out | self.roots

    def bytes(self, role: str, file: dict) -> bytes:
        message = canonical(file["signed"])
        known = (role, message, tuple(key.id for key in file["signers"]))
        # A file that is the same in all it says is the same in every byte.
        if known not in self.written:
            signatures = [key.sign(message) for key in file["signers"]]
            self.rng.shuffle(signatures)
            whole = {"signatures": signatures, "signed": file["signed"]}
            ascii, indent = self.rng.random() < 0.5, self.rng.choice([None, 1])
            self.written[known] = json.dumps(whole, ensure_ascii=ascii, indent=indent).encode()
        return self.written[known]

    def live(self) -> list[str]:
        """Something that an honest repository does."""
        rng, done = self.rng, []
        roles = list(self.targets)
        for _ in range(rng.randint(1, 2)):
            what = rng.choice(["put", "put", "drop", "delegate", "root", "keys", "threshold", "role keys"])
            role = rng.choice(TOP)
            if what == "put":
                self.put()
            elif what == "drop":
                role = rng.choice(roles)
                if self.targets[role]:
                    self.targets[role].popitem()
            elif what == "delegate":
                self.delegate(rng.choice([None, rng.choice(ROLES)]))
            elif what == "role keys" and self.edges:
                edge = rng.choice(self.edges)
                edge["keys"] = self.some_keys()
                edge["threshold"] = rng.randint(1, len(edge["keys"]))
            elif what in ("root", "keys", "threshold"):
                if self.old_root:
                    continue
                role = "root" if what == "root" else role
                self.old_root = list(self.keys["root"])
                if what == "threshold":
                    self.threshold[role] = rng.randint(1, len(self.keys[role]))
                else:
                    self.new_keys(role)
                    # To recover from a fast-forward, python-tuf needs new keys
                    # of both: see docs/trust.md.
                    if self.forwarded and role in ("timestamp", "snapshot"):
                        self.new_keys("timestamp" if role == "snapshot" else "snapshot")
                self.version["root"] += 1
                done.append(f"{what} of {role}")
                continue
            done.append(what)
        return done


def lies(world: World, root_is_new: bool):
    """One way to be wrong, and its name; some of them are no wrong at all."""
    rng = world.rng
    delegated = [role for role in world.targets if role != "targets"]
    victim = rng.choice(["timestamp", "snapshot", "targets", *(delegated or ["targets"]), "any"])
    if victim == "any":
        victim = rng.choice(["timestamp", "snapshot", "targets", *delegated])
    if root_is_new and rng.random() < 0.7:
        victim = "root"

    def signed(change):
        return lambda file: change(file["signed"])

    def after(change):
        return lambda file: file["after"].append(change)

    def below(file):
        file["signers"] = file["signers"][: world.least(victim) - 1]

    def stranger(file):
        key = Key(rng)
        key.id = file["signers"][0].id
        file["signers"] = [key, *file["signers"][world.least(victim):]]

    def without_old(file):
        file["signers"] = world.keys["root"] if victim == "root" else file["signers"]

    def without_new(file):
        file["signers"] = world.old_root if victim == "root" else file["signers"]

    def flipped(data):
        return data.replace(b'"expires"', b'"x": 7, "expires"', 1)

    def twice(data):
        whole = json.loads(data)
        whole["signatures"] += whole["signatures"][:1]
        return json.dumps(whole).encode()

    def other_sig(text):
        def change(data):
            whole = json.loads(data)
            for signature in whole["signatures"]:
                signature["sig"] = text
                break
            return json.dumps(whole).encode()
        return change

    def extra_sig(data):
        whole = json.loads(data)
        whole["signatures"].insert(0, {"keyid": "nobody", "sig": "00" * 64})
        return json.dumps(whole).encode()

    def thresholds(value):
        def change(content):
            for role in roles_in(content):
                role["threshold"] = value
        return change

    def doubled(content):
        for role in roles_in(content):
            role["keyids"] = role["keyids"] * 2

    def roles_in(content):
        if "roles" in content:
            return list(content["roles"].values())
        delegations = content.get("delegations", {})
        return delegations.get("roles") or [delegations.get("succinct_roles", {"keyids": []})]

    def both_paths(content):
        for role in content.get("delegations", {}).get("roles", []):
            role["paths"], role["path_hash_prefixes"] = ["*"], ["0"]

    def top_level_name(content):
        for role in content.get("delegations", {}).get("roles", [])[:1]:
            role["name"] = "snapshot"

    def repeated_name(content):
        roles = content.get("delegations", {}).get("roles", [])
        roles.extend(copy.deepcopy(roles[:1]))

    def meta_without(content):
        if len(content.get("meta", {})) > 1:
            content["meta"].pop(rng.choice(list(content["meta"])))

    def meta_version(delta):
        def change(content):
            for entry in content.get("meta", {}).values():
                entry["version"] += delta
                # Not also a mismatch: see docs/trust.md.
                entry.pop("hashes", None)
                entry.pop("length", None)
                break
        return change

    def no_meta_facts(content):
        for entry in content.get("meta", {}).values():
            entry.pop("hashes", None)
            entry.pop("length", None)

    def set_to(name, value):
        return signed(lambda content: content.__setitem__(name, value))

    def lower_version(content):
        # Not also another file of the trusted version: see docs/trust.md.
        if victim == "snapshot" and (world.hashes or world.lengths):
            return
        content["version"] = max(1, content["version"] - rng.randint(1, 3))

    ways = {
        "signed by nobody": lambda file: file.update(signers=[]),
        "below threshold": below,
        "stranger's signature": stranger,
        "not signed by the old root": without_old,
        "not signed by the new root": without_new,
        "changed after signing": after(flipped),
        "two signatures of one key": after(twice),
        "first signature empty": after(other_sig("")),
        "first signature no hex": after(other_sig("zz")),
        "first signature wrong": after(other_sig("3046" + "00" * 70)),
        "an extra signature": after(extra_sig),
        "white space behind": after(lambda data: data + b" \n"),
        "cut": after(lambda data: data[: len(data) // 2]),
        "empty": after(lambda data: b""),
        "a list": after(lambda data: b"[" + data + b"]"),
        "two documents": after(lambda data: data + b"{}"),
        "not there": lambda file: file.update(serve=False),
        "expired": set_to("expires", "2020-01-01T00:00:00Z"),
        "expires in fractions": set_to("expires", "2199-01-01T00:00:00.5Z"),
        "expires with an offset": set_to("expires", "2199-01-01T00:00:00+00:00"),
        "expires on a day": set_to("expires", "2199-01-01"),
        "expires never": set_to("expires", None),
        "spec 2": set_to("spec_version", "2.0.0"),
        "spec 1.0": set_to("spec_version", "1.0"),
        "spec 1": set_to("spec_version", "1"),
        "spec 1.99.7": set_to("spec_version", "1.99.7"),
        "spec 1.0.0.0": set_to("spec_version", "1.0.0.0"),
        "spec in words": set_to("spec_version", "1.x"),
        "version 0": set_to("version", 0),
        "version -1": set_to("version", -1),
        "version in a string": set_to("version", "1"),
        "higher version": signed(lambda content: content.__setitem__("version", content["version"] + 5)),
        "lower version": signed(lower_version),
        "another type": set_to("_type", "timestamp" if victim != "timestamp" else "snapshot"),
        "no type": signed(lambda content: content.pop("_type")),
        "unknown members": set_to("x-unknown", {"b": [1, None, "\u001f\u00e9\U0001f600"], "a": {}}),
        "threshold 0": signed(thresholds(0)),
        "threshold above": signed(thresholds(9)),
        "a key twice in a role": signed(doubled),
        "paths and prefixes": signed(both_paths),
        "delegates to snapshot": signed(top_level_name),
        "delegates twice to one name": signed(repeated_name),
        "meta leaves one out": signed(meta_without),
        "meta names a higher version": signed(meta_version(1)),
        "meta names a lower version": signed(meta_version(-1)),
        "meta names versions alone": signed(no_meta_facts),
        "meta is no object": set_to("meta", []),
        "targets is no object": set_to("targets", 7),
        "wrong hash named": lambda file: file["meta"].update(hashes={"sha256": "0" * 64}),
        "unknown hash named": lambda file: file["meta"].update(hashes={"rot13": "00"}),
        "no hashes named": lambda file: file["meta"].update(hashes={}),
        "too long named": lambda file: file["meta"].update(length=10**6),
        "too short named": lambda file: file["meta"].update(length=10),
        "negative length named": lambda file: file["meta"].update(length=-1),
    }
    name = rng.choice(list(ways))

    def lie(role, file):
        if role == victim:
            ways[name](file)

    return f"{victim}: {name}", lie


class Disk(FetcherInterface):
    """Reads what our client reads over HTTP."""

    def __init__(self, base: pathlib.Path):
        self.base = base

    def _fetch(self, url: str):
        path = self.base / url.removeprefix("disk://")
        try:
            return iter([path.read_bytes()])
        except OSError as error:
            raise DownloadHTTPError("not there", 404) from error


def judge(served: pathlib.Path, home: pathlib.Path, targets: list[str]) -> dict:
    def updater() -> Updater:
        kept = home / "metadata"
        return Updater(str(kept), "disk://metadata/", str(home / "targets"), "disk://targets/",
                       fetcher=Disk(served), bootstrap=None)

    def one(path: str):
        try:
            client = updater()
            info = client.get_targetinfo(path)
            if info is None:
                return None
            file = client.find_cached_target(info) or client.download_target(info)
            return hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
        except (RepositoryError, DownloadError) as error:
            return f"{type(error).__name__}: {error}"

    verdict = {"refresh": None}
    try:
        updater().refresh()
    except (RepositoryError, DownloadError) as error:
        verdict["refresh"] = f"{type(error).__name__}: {error}"
    verdict["targets"] = {path: one(path) for path in targets}
    verdict["kept"] = {}
    for role in TOP:
        file = home / "metadata" / f"{role}.json"
        if file.exists():
            verdict["kept"][role] = hashlib.sha256(file.read_bytes()).hexdigest()
    return verdict


def play(base: pathlib.Path, seed: int) -> dict:
    world = World(seed)
    rng, home = world.rng, base / str(seed) / "python"
    for name in ("metadata", "targets"):
        (home / name).mkdir(parents=True)
    steps = []
    root_is_new = True
    for step in range(rng.randint(2, 4)):
        done = [] if step == 0 else world.live()
        if step == 0:
            world.version["root"] = 1
        for role in world.version:
            # Everything anew each time but root: files that stay are another test.
            if role != "root" and (role in TOP or rng.random() < 0.6 or not world.version[role]):
                world.version[role] += 1
        root_is_new = any(" of " in what for what in done)
        lie = None
        # A lie beside a rotation of these two is left out: see docs/trust.md.
        rotated = any(what in ("keys of timestamp", "keys of snapshot") for what in done)
        if rng.random() < 0.6 and not rotated:
            name, lie = lies(world, root_is_new)
            done.append(name)
            world.forwarded |= "higher" in name
        roots = dict(world.roots)
        files = world.write(lie)
        served = base / str(seed) / str(step)
        if step == 0:
            (base / str(seed) / "root.json").write_bytes(world.roots["1.root.json"])
            (home / "metadata" / "root.json").write_bytes(world.roots["1.root.json"])
        (served / "metadata").mkdir(parents=True)
        for name, data in files.items():
            (served / "metadata" / name).write_bytes(data)
        content = dict(world.content)
        if rng.random() < 0.15 and content:
            name = rng.choice(list(content))
            right = content[name]
            wrong = rng.choice([b"", right + b"!", b"X" + right[1:]])
            # Under each of its hashes: which one is asked for is the client's choice.
            content = {n: wrong if data == right else data for n, data in content.items()}
            done.append(f"other content of {name}")
        for name, data in content.items():
            file = served / "targets" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        verdict = judge(served, home, rng.sample(PATHS, 3))
        steps.append({"done": done, **verdict})
        if lie:
            # The vendor's next step begins from what is honest.
            world.roots = roots
            if root_is_new:
                world.write()
        world.old_root = []
    return {"seed": seed, "steps": steps}


def main() -> None:
    base, first, count = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for seed in range(first, first + count):
        print(json.dumps(play(base, seed)), flush=True)
        # Whoever reads this removes the world's files, and says so.
        sys.stdin.readline()


main()
