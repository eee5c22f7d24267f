"""python-tuf's client reads a repository over HTTP on loopback.

usage: read_repository.py REPOSITORY HOME TARGET...

REPOSITORY holds metadata/ and targets/. HOME keeps the client's trusted
metadata between runs and receives the targets; its first root is
REPOSITORY/metadata/1.root.json. Prints the trusted versions and each target's
path as JSON; exits with 1 and the exception's name if anything is refused.
"""

import functools
import http.server
import json
import pathlib
import sys
import threading

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main() -> int:
    repository, home, *targets = sys.argv[1:]
    repository, home = pathlib.Path(repository), pathlib.Path(home)
    handler = functools.partial(Quiet, directory=repository)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    (home / "metadata").mkdir(parents=True, exist_ok=True)
    (home / "targets").mkdir(parents=True, exist_ok=True)
    try:
        updater = Updater(
            metadata_dir=str(home / "metadata"),
            metadata_base_url=f"{base}/metadata/",
            target_dir=str(home / "targets"),
            target_base_url=f"{base}/targets/",
            bootstrap=(repository / "metadata" / "1.root.json").read_bytes(),
        )
        updater.refresh()
        downloaded = {}
        for target in targets:
            info = updater.get_targetinfo(target)
            downloaded[target] = None if info is None else updater.download_target(info)
    except (RepositoryError, DownloadError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    finally:
        server.shutdown()

    def version(role: str) -> int:
        text = (home / "metadata" / f"{role}.json").read_text()
        return json.loads(text)["signed"]["version"]

    roles = ["root", "timestamp", "snapshot", "targets"]
    print(json.dumps({"versions": {role: version(role) for role in roles}, "targets": downloaded}))
    return 0


sys.exit(main())
