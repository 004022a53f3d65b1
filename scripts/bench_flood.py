"""The neighbour of `scripts/bench neighbours`: COUNT idle connections to a local PORT; closed ones are opened again.

`python bench_flood.py PORT COUNT RATE`: it opens at most RATE per second again; 0: none. It prints "flooding" once all
are open and, when its stdin ends, how many it has opened again. It is a process of its own, so that it takes no time
from the measuring one.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time

LOOK_S = 0.01


def main() -> int:
    """See above."""
    port, count, rate = map(int, sys.argv[1:])
    looks = selectors.DefaultSelector()
    looks.register(sys.stdin, selectors.EVENT_READ)
    for _ in range(count):
        looks.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ)
    print("flooding", flush=True)
    opened, lost, since = 0, 0, time.monotonic()
    while True:
        for key, _ in looks.select(LOOK_S):
            if key.fileobj is sys.stdin:
                print(opened, flush=True)
                return 0
            assert isinstance(key.fileobj, socket.socket)
            looks.unregister(key.fileobj)
            key.fileobj.close()
            lost += 1
        for _ in range(min(lost, int((time.monotonic() - since) * rate) - opened)):
            looks.register(connected(port), selectors.EVENT_READ)
            opened, lost = opened + 1, lost - 1


def connected(port: int) -> socket.socket:
    """An idle connection; it may still wait in the listener's backlog."""
    made = socket.socket()
    made.setblocking(False)
    made.connect_ex(("127.0.0.1", port))
    return made


if __name__ == "__main__":
    sys.exit(main())
