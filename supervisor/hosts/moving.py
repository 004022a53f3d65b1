"""Moves an agent's actor to another place, as the user asks: checks that it can go, reaches the host, then asks the
supervisor. Whatever is wrong is one line, and nothing has changed.

For the threads of requests: a host may need seconds to be reached, or minutes for its first installation. A request
waits for a moment; what comes later is announced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import get_args

from actors import values
from actors.edges import git
from actors.errors import LoopError, OperationalError, UserError
from actors.hosts import HOME, Host
from actors.messages import ProgressKind
from actors.settings import Role
from supervisor.hosts.kept_moves import KeptMove
from supervisor.run_tree import CHILDREN

REACH_S = 1.5


def role_named(actor: str, labels: Mapping[Role, str]) -> Role:
    """The role that the user means, by its own name or its agent's. Raises `UserError`."""
    for role, label in labels.items():
        if actor.lower() in (role, label.lower()):
            return role
    if actor.lower() in CHILDREN:
        raise UserError(f"{actor} stays at home: only {' and '.join(get_args(Role))} can be placed")
    known = [*get_args(Role), *labels.values()]
    raise UserError(f"no actor {actor!r}{values.meant(actor, known)}: there are {', '.join(labels)}")


def host_named(name: str, known: Mapping[str, Host]) -> Host | None:
    """The host; None = home. A name that the configuration does not have is one for ssh. Raises `UserError`."""
    return None if name == HOME else known.get(name) or Host(name=name)


class Mover:
    """One run's. `move` is for threads of requests; the callbacks are for any thread.

    `reach` results in why the host cannot be reached, "" = it is. `ask` asks the supervisor, and returns its answer;
    its last argument: the actor's turn is cut. Both raise `LoopError` with one line.
    """

    def __init__(
        self,
        cwd: Path,
        known: Mapping[str, Host],
        *,
        place_of: Callable[[Role], str],
        reach: Callable[[Host], Future[str]],
        ask: Callable[[Role, str, bool], str],
        announce: Callable[[ProgressKind, str], None],
        keep: Callable[[Role, KeptMove | None], None] = lambda _role, _move: None,
        patience_s: float = REACH_S,
    ) -> None:
        self._cwd = cwd
        self._known = known
        self._place_of = place_of
        self._reach = reach
        self._ask = ask
        self._announce = announce
        self._keep = keep
        self._patience_s = patience_s
        self._guard = threading.Lock()
        self._reaching: dict[Role, Future[str]] = {}  # what the last request for this actor waits for

    def move(self, role: Role, name: str, now: bool) -> str:
        """Returns what follows, for the user. `now`: its running turn is cut. Raises `LoopError`.

        A request takes the place of the one before, also where it cannot be carried out.
        """
        host = host_named(name, self._known)
        with self._guard:
            was_reaching = self._reaching.pop(role, None) is not None
        try:
            return self._move(role, host, now, was_reaching=was_reaching)
        except LoopError:
            if was_reaching:
                self._keep(role, None)
            raise

    def _move(self, role: Role, host: Host | None, now: bool, *, was_reaching: bool) -> str:
        if host is None or host.name == self._place_of(role):
            if was_reaching and (host.name if host else "") == self._place_of(role):
                self._keep(role, None)
                return f"{role} stays at {host.name if host else HOME}"
            return self._ask(role, host.name if host else "", now)
        if git.top_level(self._cwd) is None:
            raise UserError(
                f"{self._cwd} is in no git repository, so its files cannot go to {host.name}: run git init in it"
            )
        reached = self._reach(host)
        try:
            failure = reached.result(self._patience_s)
        except TimeoutError:
            with self._guard:
                self._reaching[role] = reached
            self._keep(role, KeptMove(host.name, now))
            reached.add_done_callback(lambda done: self._late(role, host, done, now))
            return f"{host.name} is being reached; {role} moves there when it answers"
        if failure:
            raise OperationalError(self._stays(role, host, failure))
        return self._ask(role, host.name, now)

    def _late(self, role: Role, host: Host, done: Future[str], now: bool) -> None:
        """The host's launcher's thread."""
        with self._guard:
            if self._reaching.get(role) is not done:
                return  # the user wants something else by now
            del self._reaching[role]
        if failure := done.result():
            self._keep(role, None)
            self._announce("error", self._stays(role, host, failure))
            return
        try:
            self._announce("note", self._ask(role, host.name, now))
        except LoopError as error:
            self._keep(role, None)
            self._announce("error", str(error))

    def _stays(self, role: Role, host: Host, failure: str) -> str:
        meant = "" if host.name in self._known else values.meant(host.name, self._known)
        return f"{failure}{meant}; {role} stays at {self._place_of(role) or HOME}"
