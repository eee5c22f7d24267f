#!/usr/bin/python3
"""One end of a plain TCP connection.

    raw_tcp_node.py send IP PORT FILE READY
    raw_tcp_node.py receive IP PORT FILE GO DONE

The sender reads FILE into memory, makes READY, and sends it to whoever asks
with one byte. The receiver asks when GO exists, receives into memory, notes
the time, writes FILE, and then makes DONE, which holds that time.
"""

import os
import socket
import sys
import time

LENGTH_BYTES = 8


def send(ip: str, port: int, file: str, ready: str) -> None:
    """Serves one receiver."""
    with open(file, "rb") as source:
        payload = source.read()
    with socket.create_server((ip, port)) as server:
        open(ready, "w", encoding="ascii").close()
        peer, _ = server.accept()
        peer.recv(1)
        peer.sendall(len(payload).to_bytes(LENGTH_BYTES, "big"))
        peer.sendall(payload)
        peer.recv(1)


def receive(ip: str, port: int, file: str, go: str, done: str) -> None:
    """Receives at the start signal."""
    peer = socket.create_connection((ip, port))
    while not os.path.exists(go):
        time.sleep(0.001)
    peer.sendall(b"?")
    length = int.from_bytes(peer.recv(LENGTH_BYTES, socket.MSG_WAITALL), "big")
    payload = bytearray(length)
    view, filled = memoryview(payload), 0
    while filled < length:
        count = peer.recv_into(view[filled:])
        if count == 0:
            raise SystemExit("the sender has gone")
        filled += count
    finished = time.time()
    with open(file, "wb") as target:
        target.write(payload)
    with open(f"{done}.part", "w", encoding="ascii") as told:
        told.write(f"{finished}\n")
    os.rename(f"{done}.part", done)


def main() -> None:
    """The command line."""
    match sys.argv[1:]:
        case ["send", ip, port, file, ready]:
            send(ip, int(port), file, ready)
        case ["receive", ip, port, file, go, done]:
            receive(ip, int(port), file, go, done)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
