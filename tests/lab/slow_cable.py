"""A cable with a delay and with losses: two ends of the kernel's (tap), and a thread that carries the frames.

In the place of `tc netem`, which many kernels lack. Linux, root.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

DEVICE = Path("/dev/net/tun")
_SET_INTERFACE = 0x400454CA
_TAP_WITHOUT_HEADER = 0x1002
_MOST_BYTES = 65_536


def missing() -> str:
    """Why there can be none here; "" = there can."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR))
    except OSError as error:
        return f"no tap device can be made: {error}"
    return ""


@contextmanager
def slow_cable(near: str, far: str, delay_s: float, loss: float, seed: int = 1) -> Iterator[None]:
    """Makes two interfaces of these names, both here. Inside the block frames travel between them: each is lost with
    this probability, and takes that long.
    """
    ends = [_end(near), _end(far)]
    stop, stopped = os.pipe()
    carrier = threading.Thread(target=_carry, args=(ends, stop, delay_s, loss, random.Random(seed)), daemon=True)
    carrier.start()
    try:
        yield
    finally:
        os.close(stopped)
        carrier.join()
        for descriptor in (*ends, stop):
            os.close(descriptor)


def _end(name: str) -> int:
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
    return descriptor


def _carry(ends: list[int], stop: int, delay_s: float, loss: float, chance: random.Random) -> None:
    others = dict(zip(ends, reversed(ends), strict=True))
    numbers = count()
    due: list[tuple[float, int, int, bytes]] = []
    while True:
        patience_s = max(0.0, due[0][0] - time.monotonic()) if due else None
        ready = select.select([*ends, stop], [], [], patience_s)[0]
        if stop in ready:
            return
        for end in ready:
            with suppress(OSError):  # the interface is down
                frame = os.read(end, _MOST_BYTES)
                if chance.random() >= loss:
                    heapq.heappush(due, (time.monotonic() + delay_s, next(numbers), others[end], frame))
        while due and due[0][0] <= time.monotonic():
            _, _, other, frame = heapq.heappop(due)
            with suppress(OSError):
                os.write(other, frame)
