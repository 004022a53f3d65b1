"""A supervisor's tree without processes: events in, commands out, and a launcher's part played by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from actors.errors import EXIT_PERMANENT
from actors.messages import CannotStart, Heartbeat, Message, Ready, RunEnded, StopActor
from supervisor import children, tree
from supervisor.run_tree import CHILDREN, DRIVER, STOP_LEVELS
from supervisor.spawning import Exited, Started
from supervisor.spec import BackOff, ChildSpec, Intensity, SupervisorSpec
from supervisor.tree_protocol import (
    Action,
    AnswerChange,
    ChangeAsked,
    ChildSaid,
    Command,
    Event,
    StartChild,
    StopAsked,
    TellChild,
    TreeBegun,
    Wake,
)
from supervisor.tree_step import Moment

START_ORDER = ("persistence", "bridge", "run", "worker", "reviewer")
C = TypeVar("C")


def spec(**changes: Any) -> SupervisorSpec:
    """As of a paired run. `children`: changes of every child; the rest: of the supervisor."""
    of_each = changes.pop("children", {})
    return SupervisorSpec(
        children=tuple(ChildSpec(id=name, entry="actors.actor_process:main", **of_each) for name in START_ORDER),
        **changes,
    )


class Rig:
    """One tree and all that it has ordered. Time passes where a test says so."""

    def __init__(self, supervisor: SupervisorSpec | None = None, *, has_operator: bool = False) -> None:
        self.tree = children.plant(supervisor or spec(), STOP_LEVELS, DRIVER)
        self.has_operator = has_operator
        self.leases: dict[str, float] = {}
        self.now_ms = 1_000_000
        self.last: list[Command] = []
        self.all: list[Command] = []

    def feed(self, event: Event, *, after_ms: int = 0) -> list[Command]:
        self.now_ms += after_ms
        at = Moment(
            now_ms=self.now_ms,
            unix_ms=self.now_ms + 1_700_000_000_000,
            has_operator=self.has_operator,
            leases=self.leases,
        )
        self.tree, self.last = tree.decide(self.tree, event, at)
        self.all += self.last
        return self.last

    def begun(self) -> Rig:
        self.feed(TreeBegun())
        return self

    def ready(self, *names: str) -> Rig:
        for name in names or CHILDREN:
            self.say(name, Ready(pid=7))
        return self

    def say(self, name: str, message: Message, *, after_ms: int = 0) -> list[Command]:
        return self.feed(ChildSaid(name, self.incarnation(name), message), after_ms=after_ms)

    def started(self, name: str) -> list[Command]:
        return self.feed(Started(child=f"r/1/{name}", incarnation=self.incarnation(name), pid=7, started="1"))

    def exits(
        self, name: str, *, code: int | None = None, signal: int | None = None, after_ms: int = 0
    ) -> list[Command]:
        end = Exited(child=f"r/1/{name}", incarnation=self.incarnation(name), code=code, signal=signal)
        return self.feed(end, after_ms=after_ms)

    def killed(self, name: str) -> list[Command]:
        return self.exits(name, signal=9)

    def stopped(self, *names: str) -> list[Command]:
        """They end as they were asked to."""
        for name in names:
            self.exits(name, code=0)
        return self.last

    def cannot_start(self, name: str, why: str) -> list[Command]:
        self.say(name, CannotStart(reason=why))
        return self.exits(name, code=EXIT_PERMANENT)

    def run_ended(self, state: str = "completed", detail: str = "") -> list[Command]:
        return self.say(DRIVER, RunEnded(state=state, detail=detail))

    def beat(self, name: str, *, age_ms: int = 0, after_ms: int = 0) -> list[Command]:
        beat = Heartbeat(handler_age_ms=age_ms, handling="StartTurnRequest" if age_ms else "", mailbox=0, handled=1)
        return self.say(name, beat, after_ms=after_ms)

    def stop(self, *, now: bool = False) -> list[Command]:
        return self.feed(StopAsked("you said so", now))

    def change(self, action: Action, child: str) -> AnswerChange:
        (answer,) = only(AnswerChange, self.feed(ChangeAsked(action, child)))
        return answer

    def wake(self, kind: type[C]) -> list[Command]:
        """The newest timer of this kind goes off."""
        wake = [each for each in only(Wake, self.all) if isinstance(each.event, kind)][-1]
        return self.feed(wake.event, after_ms=wake.after_ms)

    def too_often(self, name: str) -> list[Command]:
        """It ends as soon as it is ready, until it is given up."""
        for _ in range(self.tree.spec.intensity.max_restarts):
            self.killed(name)
            self.feed(only(Wake, self.last)[-1].event)
            self.ready(name)
        return self.killed(name)

    def incarnation(self, name: str) -> int:
        return self.tree.children[name].incarnation

    def phase(self, name: str) -> str:
        return self.tree.children[name].phase

    def phases(self) -> dict[str, str]:
        return {name: child.phase for name, child in self.tree.children.items()}

    def shown(self, name: str) -> tuple[str, str]:
        (report,) = [each for each in children.reports(self.tree, self.now_ms) if each.name == name]
        return report.state, report.why


def only(kind: type[C], commands: Sequence[object]) -> list[C]:
    return [each for each in commands if isinstance(each, kind)]


def started(commands: Sequence[Command]) -> list[str]:
    return [each.child for each in only(StartChild, commands)]


def asked_to_stop(commands: Sequence[Command]) -> list[str]:
    return [each.child for each in only(TellChild, commands) if isinstance(each.message, StopActor)]


NO_BACK_OFF = BackOff(first_s=0, max_s=0)
ONE_RESTART = Intensity(max_restarts=1, period_s=60)
