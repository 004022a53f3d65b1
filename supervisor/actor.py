"""SupervisorActor: keeps the actors of one run alive. A Pykka thread in the root process.

It decides nothing. `supervisor.tree` says what follows from an event; this actor hands the events in and carries the
commands out. It opens only message bodies that are addressed to it, and does not drive the run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import pykka
from loguru import logger

from actors import starts
from actors.actor_process import Sender
from actors.alarms import Alarms
from actors.clock import wall_ms
from actors.messages import ActorDown, ActorUp, Message, ProgressKind
from actors.starts import LogSettings
from supervisor import children, tree
from supervisor import tree_protocol as events
from supervisor.control.protocol import ActorReport
from supervisor.launchers import Launcher
from supervisor.run_tree import DRIVER, STOP_LEVELS, RunTree, launch_name
from supervisor.spawning import SpawnRequest
from supervisor.tree_protocol import Action, AnswerChange, ChangeAsked, MoveAsked, RunResult, StopAsked
from supervisor.tree_step import Moment


class RunRouter(Protocol):
    """The part of the router that a run's supervisor uses."""

    endpoint: str

    def set_live(self, run: str, name: str, incarnation: int) -> None:
        """From now on mail for `name` goes to this incarnation, and only it is heard. Called before the start."""

    def set_dead(self, run: str, name: str, incarnation: int) -> None:
        """From now on the incarnation gets no mail."""

    def broadcast(self, run: str, message: Message) -> None:
        """Sends the message to every live actor of the run, before ordinary mail."""


@dataclass(frozen=True)
class FromActor:
    """A message for the supervisor, as the router delivers it."""

    message: Message
    sender: Sender


@dataclass
class SupervisorOptions:
    """What the supervisor is given. All callbacks must return immediately. `done` is called once, when every child is
    gone. `tell` sends a message to an actor. `publish` gets the state of the children after each event. `has_operator`
    says whether a user can be asked when an actor ends too often. `asks` gets the question when every child is gone,
    and "" when the user has answered and before any child is started. `place` gets a child that is down, the place
    where it is started next, and why. `keep_move` gets a child whose move is to be written down, and where to; None:
    nowhere any more. `leases` and `holds` are those of `Moment`.
    """

    key: str
    tree: RunTree
    router: RunRouter
    launcher: Launcher
    tell: Callable[[str, Message], None]
    announce: Callable[[ProgressKind, str], None]  # (kind, text) for the user
    done: Callable[[RunResult], None]
    log: LogSettings
    publish: Callable[[list[ActorReport]], None] = lambda _actors: None
    has_operator: Callable[[], bool] = lambda: False
    leases: Callable[[], dict[str, float]] = dict
    holds: Callable[[], dict[str, float]] = dict
    asks: Callable[[str], None] = lambda _question: None
    place: Callable[[str, str, str], None] = lambda _child, _place, _why: None
    keep_move: Callable[[str, str | None, bool], None] = lambda _child, _place, _now: None
    jitter: Callable[[], float] = field(default=random.random)


class SupervisorActor(pykka.ThreadingActor):
    """One run's supervisor. Takes `FromActor` and the events of `supervisor.tree` by `tell`, what the user
    changes by `ask`.
    """

    use_daemon_thread = True

    def __init__(self, options: SupervisorOptions) -> None:
        super().__init__()
        self._options = options
        self._log = logger.bind(run=options.key)
        self._alarms: Alarms[events.Event] = Alarms(f"alarms of {options.key}", self._tell_quietly)
        self._tree = children.plant(options.tree.spec(), STOP_LEVELS, DRIVER, options.tree.places)

    def on_start(self) -> None:
        """Starts the children."""
        self._step(events.TreeBegun())

    def on_stop(self) -> None:
        """Nothing rings any more."""
        self._alarms.close()

    def on_failure(self, *_error: object) -> None:
        """As `on_stop`."""
        self._alarms.close()

    def on_receive(self, message: object) -> object:
        """Pykka's hook. Only a change by the user has an answer."""
        match message:
            case FromActor(said, sender):
                return self._step(events.ChildSaid(sender.name, sender.incarnation, said))
            case _ if isinstance(message, events.Event):
                return self._step(message)
            case _:
                self._log.error("the supervisor does not take {}", message)
                return None

    def _step(self, event: events.Event) -> AnswerChange | None:
        """Ends the run after an error of ours: a tree without a supervisor must not remain."""
        answer, error = self._decide(event)
        if error:
            self._decide(events.SupervisorFailed(error))
            answer = answer or AnswerChange(error, refused=True)
        self._options.publish(children.reports(self._tree, _monotonic_ms()))
        return answer

    def _decide(self, event: events.Event) -> tuple[AnswerChange | None, str]:
        """Returns the answer, and what went wrong. Tries each command, so that the failure of one stops no other."""
        answer, wrong = None, ""
        try:
            self._tree, commands = tree.decide(self._tree, event, self._moment())
        except Exception as error:
            logger.exception("the supervisor failed")
            return None, f"{type(error).__name__}: {error}"
        for command in commands:
            if isinstance(command, AnswerChange):
                answer = command
                continue
            try:
                self._carry_out(command)
            except Exception as error:
                logger.exception("the supervisor failed")
                wrong = f"{type(error).__name__}: {error}"
        return answer, wrong

    def _moment(self) -> Moment:
        options = self._options
        return Moment(
            now_ms=_monotonic_ms(),
            unix_ms=wall_ms(),
            jitter=options.jitter(),
            has_operator=options.has_operator(),
            leases=options.leases(),
            holds=options.holds(),
        )

    def _carry_out(self, command: events.Command) -> None:
        options, key = self._options, self._options.key
        match command:
            case events.StartChild():
                self._start(command.child, command.incarnation)
            case events.PlaceChild():
                options.place(command.child, command.place, command.why)
            case events.KeepMove():
                options.keep_move(command.child, command.place, command.now)
            case events.KillChild():
                options.launcher.kill(launch_name(key, command.child), command.incarnation)
            case events.TellChild():
                options.tell(command.child, command.message)
            case events.ReportUp():
                options.router.broadcast(key, ActorUp(name=command.child, incarnation=command.incarnation))
            case events.ReportDown():
                options.router.set_dead(key, command.child, command.incarnation)
                down = ActorDown(name=command.child, incarnation=command.incarnation, reason=command.reason)
                options.router.broadcast(key, down)
            case events.Wake():
                self._wake(command)
            case events.Note():
                self._log.info(command.text)
            case events.Announce():
                options.announce(command.kind, command.text)
            case events.AskUser():
                options.asks(command.question)
            case events.FinishRun():
                options.done(command.result)

    def _start(self, name: str, incarnation: int) -> None:
        options = self._options
        options.router.set_live(options.key, name, incarnation)
        start = starts.ProcessStart(
            run=options.key,
            name=name,
            incarnation=incarnation,
            endpoint=options.router.endpoint,
            actor=options.tree.actor(name),
            start=options.tree.start(name),
            log=options.log,
        )
        child = self._tree.spec.child(name)
        options.launcher.start(
            SpawnRequest(
                child=launch_name(options.key, name),
                incarnation=incarnation,
                entry=child.entry,
                arguments=starts.encode(start),
                listens=child.listens,
                imports=child.imports,
                runtime_dir=options.tree.directory,
                log_path=options.tree.directory / "log",  # a stray word on the terminal would tear the prompt
            )
        )

    def _wake(self, wake: events.Wake) -> None:
        if wake.after_ms <= 0:
            self.actor_ref.tell(wake.event)
            return
        self._alarms.set(wake.after_ms / 1000, wake.event)

    def _tell_quietly(self, event: events.Event) -> None:
        with suppress(pykka.ActorDeadError):
            self.actor_ref.tell(event)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def stop_run(supervisor: pykka.ActorRef[Any], reason: str, *, now: bool) -> None:
    """Asks for the end of the run: gracefully (interrupts its turns and journals that), or immediately."""
    supervisor.tell(StopAsked(reason, now))


def change_child(supervisor: pykka.ActorRef[Any], action: Action, child: str, *, timeout_s: float) -> AnswerChange:
    """Kills (it stays down), starts or restarts one actor, whatever the policy says. Blocks; never in its thread."""
    changed = supervisor.ask(ChangeAsked(action, child), timeout=timeout_s)
    assert isinstance(changed, AnswerChange)
    return changed


def move_child(supervisor: pykka.ActorRef[Any], asked: MoveAsked, *, timeout_s: float) -> AnswerChange:
    """Has the actor run at this place, which can be used. Blocks; never in its thread."""
    moved = supervisor.ask(asked, timeout=timeout_s)
    assert isinstance(moved, AnswerChange)
    return moved
