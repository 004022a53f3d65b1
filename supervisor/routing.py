"""Which incarnation of each name gets mail, and which one is heard. Pure; the supervisors set it, the router asks it.

An incarnation is registered before it is started, and replaces the one before. A dead one gets no mail. Its last words
are accepted until it is replaced.
"""

from __future__ import annotations

import msgspec

from actors.wire.envelope import Address


class Registration(msgspec.Struct):
    """One name of one run. A dead incarnation's last words are accepted until it is replaced."""

    incarnation: int
    alive: bool


class Routes:
    """The registered names of all runs of one root."""

    def __init__(self) -> None:
        self._registrations: dict[tuple[str, str], Registration] = {}

    def set_live(self, run: str, name: str, incarnation: int) -> None:
        """From now on mail goes to `incarnation`, and only it is heard."""
        self._registrations[run, name] = Registration(incarnation, alive=True)

    def set_dead(self, run: str, name: str, incarnation: int) -> None:
        """From now on the incarnation gets no mail."""
        registration = self._registrations.get((run, name))
        if registration is not None and registration.incarnation == incarnation:
            registration.alive = False

    def forget_run(self, run: str) -> None:
        """Removes the names of a run that is over."""
        self._registrations = {key: each for key, each in self._registrations.items() if key[0] != run}

    def muted(self, source: Address) -> str | None:
        """Why this sender is ignored; None when it is not."""
        registration = self._registrations.get((source.run, source.name))
        if registration is None:
            return f"sender {source} is unknown"
        if registration.incarnation != source.incarnation:
            return f"sender {source} was replaced by #{registration.incarnation}"
        return None

    def recipient(self, run: str, name: str, incarnation: int | None) -> Address | str:
        """Who gets mail for this name, or why it is not delivered. `incarnation`: the only one that may get it."""
        registration = self._registrations.get((run, name))
        if registration is None:
            return f"{name} is unknown"
        if not registration.alive:
            return f"{name} is down"
        if incarnation not in (None, registration.incarnation):
            return f"{name}#{incarnation} is gone"
        return Address(run, name, registration.incarnation)

    def live(self, run: str) -> list[Address]:
        """The live incarnations of the run."""
        return [
            Address(run, name, registration.incarnation)
            for (its_run, name), registration in self._registrations.items()
            if its_run == run and registration.alive
        ]
