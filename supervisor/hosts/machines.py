"""The machines that have come in the name of one host, each with its newest link: any of them may still be at work.

A shim that begins on one ends what was left there. What another one has is over when its lease is, or when the host has
said itself that nothing lives there. Until then no actor starts on this one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from actors.machines.durations import span
from actors.machines.lease import Granted
from supervisor.hosts.kept_leases import KeptLeases, actor_of
from supervisor.hosts.link import Link

LOOK_S = 0.2  # between two looks whether a machine has said that nothing lives there


class Machines:
    """Those of one host. `tell`: a line for the user at home. Any thread."""

    def __init__(self, host: str, leases: KeptLeases, tell: Callable[[str], None]) -> None:
        self._host, self._leases, self._tell = host, leases, tell
        self._guard = threading.Lock()
        self._known: dict[str, tuple[Granted, Link]] = {}
        self._here: tuple[str, Link] | None = None

    def begun(self, machine: str, granted: Granted, link: Link) -> None:
        """The host is this machine now."""
        with self._guard:
            self._known[machine] = (granted, link)
            self._here = machine, link

    def wait_for_others(self, closed: threading.Event) -> None:
        """Waits until nothing can live on another one."""
        if self._others_s() > 0:
            closed.wait(LOOK_S)  # it may be about to say so
        if (left_s := self._others_s()) <= 0 or closed.is_set():
            return
        self._say(
            f"host {self._host} is another machine now: its actors start there in {_span(left_s)}, "
            "when the lease of the one before has ended: a key is for one machine, and loop keys new makes another one"
        )
        while (left_s := self._others_s()) > 0 and not closed.wait(min(left_s, LOOK_S)):
            pass

    def wait_for_earlier_root(self, child: str, closed: threading.Event) -> str:
        """The same, for an actor that an earlier root has left on another one. Returns which one is the host."""
        with self._guard:
            here = self._here[0] if self._here is not None else ""
        if found := self._leases.against(child, self._host, here):
            wait_s = self._leases.left_s(found[0])
            self._say(
                f"{actor_of(child)} starts on {self._host} in {_span(wait_s)}, "
                f"when nothing of it can live on {found[0].host}, another machine, any more"
            )
            closed.wait(wait_s)
        return here

    def _others_s(self) -> float:
        now_s = time.monotonic()
        with self._guard:
            here = self._here[0] if self._here is not None else ""
            others = [known for machine, known in self._known.items() if machine != here]
        return max((granted.given_up_in_s(now_s) for granted, link in others if not link.has_left()), default=0.0)

    def _say(self, text: str) -> None:
        self._tell(text)
        if self._here is not None:
            self._here[1].tell(text)


def _span(seconds: float) -> str:
    return span(round(seconds * 1_000))
