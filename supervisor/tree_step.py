"""One decision about a tree in the making: the tree so far, the commands so far, and what can be done to one child.

Pure. `supervisor.tree` decides what is done; supervisor/by_hand and supervisor/moves do it for changes that a user asks
for. Each method keeps the tree and the commands in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from actors.messages import StopActor
from supervisor.children import SILENCE_S, Child, Tree
from supervisor.tree_protocol import AskUser, Command, KillChild, KillDue, ReadyOverdue, StartChild, TellChild, Wake

# By then the whole tree is gone: a Procfile manager gives the whole stop 5 s.
STOP_S = 3.0


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of an event: monotonic time, the user's clock, chance, whether a user is attached, and the
    leases of hosts.
    """

    now_ms: int  # monotonic
    unix_ms: int
    jitter: float = 0.0  # random, in [0, 1)
    has_operator: bool = False  # a user can be asked
    leases: Mapping[str, float] = MappingProxyType({})  # by host: seconds for which its link may be silent
    holds: Mapping[str, float] = MappingProxyType({})  # by child: seconds for which its start may be held up


class TreeStep:
    """`tree` and `commands` are the decision; read them when it is made."""

    def __init__(self, tree: Tree, at: Moment) -> None:
        self.tree = tree
        self.commands: list[Command] = []
        self.at = at

    def do(self, command: Command) -> None:
        """Adds a command."""
        self.commands.append(command)

    def update(self, name: str, **changes: Any) -> None:
        """Changes fields of the child."""
        changed = replace(self.tree.children[name], **changes)
        self.tree = replace(self.tree, children={**self.tree.children, name: changed})

    def is_up(self, name: str) -> bool:
        """Whether there is such a child, with a process."""
        return name in self.tree.children and self.tree.children[name].phase != "down"

    def start(self, name: str, *, again: bool = False) -> None:
        """Starts the next incarnation of a child that is down. `again`: it counts as a restart."""
        child = self.tree.children[name]
        assert child.phase == "down", f"{name} is {child.phase}: it cannot be started"
        incarnation = child.incarnation + 1
        self.tree = replace(
            self.tree,
            children={
                **self.tree.children,
                name: Child(
                    spec=child.spec,
                    phase="starting",
                    since_ms=self.at.now_ms,
                    incarnation=incarnation,
                    restarts=child.restarts + again,
                    was_ready=child.was_ready,
                    why_down=child.why_down,
                    heard_at_ms=child.heard_at_ms,
                    silence_s=SILENCE_S + self.at.leases.get(child.place, 0.0),
                    place=child.place,
                    came_from=child.came_from,
                ),
            },
        )
        self.do(StartChild(name, incarnation))
        ready_within_s = child.spec.ready_within_s + self.at.holds.get(name, 0.0)
        self.do(Wake(round(ready_within_s * 1000), ReadyOverdue(name, incarnation)))

    def ask_to_stop(self, name: str, reason: str) -> None:
        """Stops the child, if it is up: first a request, at the end of its time a kill."""
        child = self.tree.children[name]
        if child.phase not in ("starting", "ready"):
            return
        self.update(name, phase="stopping", since_ms=self.at.now_ms)
        if child.phase == "starting":  # it reads no messages yet
            self.kill(child)
            return
        self.do(TellChild(name, StopActor(reason=reason, grace_s=child.spec.shutdown_s)))
        self.do(Wake(round(min(child.spec.shutdown_s, STOP_S) * 1000), KillDue(name, child.incarnation)))

    def kill(self, child: Child) -> None:
        """Ends its process, now."""
        self.do(KillChild(child.spec.id, child.incarnation))

    def resume(self) -> None:
        """Starts all children again, except those that the user keeps down."""
        self.tree = replace(self.tree, phase="running", question="", answered=False, history=())
        self.do(AskUser(""))
        for name, child in self.tree.children.items():
            self.update(name, given_up=False)
            if not child.held:
                self.start(name, again=child.was_ready)
