"""SupervisorActor: keeps the actors of one run alive. A Pykka thread in the root process.

It starts the children in order, notices how they end, asks the policy (a pure module) what follows, and carries that
out; it tells every actor of the run who came up and who went down. It never opens a message body that is not for it,
and it does not drive the run: the worker says when that has ended.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import cloudpickle
import pykka
from loguru import logger

from actors.clock import wall_ms
from actors.host import Sender, StartArguments
from actors.logs import LogSettings
from actors.messages import ActorDown, ActorUp, CannotStart, ControlRun, Heartbeat, Message, Ready, RunEnded, StopActor
from supervisor import children, policy
from supervisor.children import Child, Phase
from supervisor.console_wire import ActorReport
from supervisor.launchers import Launcher
from supervisor.orders import Exited, Started, StartFailed, StartOrder
from supervisor.run_tree import STOP_LEVELS, RunTree, launch_name

TICK_S = 1.0
# The whole tree is gone by then: under a Procfile manager the whole stop has 5 s.
STOP_S = 3.0
# A graceful stop first lets the worker interrupt its turns and say how the run ended.
GRACE_S = 15.0


class RunRouter(Protocol):
    """What the supervisor needs of the router: the run's own side of it."""

    endpoint: str

    def set_live(self, run: str, name: str, incarnation: int) -> None:
        """Mail for `name` goes to this incarnation, and only it is heard. Before it is started."""

    def set_dead(self, run: str, name: str, incarnation: int) -> None:
        """The incarnation takes no more mail."""

    def broadcast(self, run: str, message: Message) -> None:
        """To every live actor of the run, before ordinary mail."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended: the worker's own words, or the supervisor's when the worker could not say."""

    state: str
    detail: str


@dataclass(frozen=True)
class _Due:
    """A timer has run out. `child` and `incarnation` tell whether it still matters."""

    what: Literal["tick", "not-ready", "restart", "kill", "grace"]
    child: str = ""
    incarnation: int = 0


@dataclass(frozen=True)
class _Stop:
    reason: str
    now: bool


@dataclass(frozen=True)
class _Change:
    action: Literal["restart", "kill", "start"]
    child: str


@dataclass(frozen=True)
class Changed:
    """What has come of `change_child`. `refused`: nothing was done."""

    text: str
    refused: bool = False


@dataclass(frozen=True)
class FromActor:
    """A message that the router has for the supervisor."""

    message: Message
    sender: Sender


@dataclass
class SupervisorOptions:
    """What the supervisor is given. `done` is called once, when every child is gone; `tell` speaks to an actor;
    `publish` is told how the children stand, after everything that happens. `attended` says whether there is somebody
    to ask when an actor ends too often; `asks` is told the question when every child is gone, and "" when it has been
    answered and before any is started. All must return at once.
    """

    key: str
    tree: RunTree
    router: RunRouter
    launcher: Launcher
    tell: Callable[[str, Message], None]
    announce: Callable[[str, str], None]  # (kind, text) for people
    done: Callable[[RunResult], None]
    log: LogSettings
    publish: Callable[[list[ActorReport]], None] = lambda _actors: None
    attended: Callable[[], bool] = lambda: False
    asks: Callable[[str], None] = lambda _question: None
    jitter: Callable[[], float] = field(default=random.random)


class SupervisorActor(pykka.ThreadingActor):
    """One run's supervisor. Told: launcher events, `FromActor`, and `stop_run` from the root."""

    use_daemon_thread = True

    def __init__(self, options: SupervisorOptions) -> None:
        super().__init__()
        self._options = options
        self._log = logger.bind(run=options.key)
        self._spec = options.tree.spec()
        self._children = {spec.id: Child(spec) for spec in self._spec.children}
        self._history: policy.History = ()
        self._held: set[str] = set()
        self._result: RunResult | None = None  # known: the tree is being stopped for good
        self._question = ""  # of people, while nothing is restarted; it is asked when the tree is down
        self._answered = False  # it goes on as soon as the tree is down
        self._stopping = False
        self._asked_to_end = False
        self._finished = False

    def on_start(self) -> None:
        """Starts the children in order. None waits for the one before it: what it asks of it waits in the router."""
        for child in self._children.values():
            self._start(child)
        self._timer(TICK_S, _Due("tick"))

    def on_receive(self, message: object) -> object:
        """Pykka's hook. An unforeseen error here would leave a tree without supervisor: the run ends instead."""
        try:
            answer = self._receive(message)
            self._options.publish([self._report(child) for child in self._children.values()])
            return answer
        except Exception as error:
            logger.exception("the supervisor failed")
            self._end(RunResult("failed", f"the supervisor failed: {type(error).__name__}: {error}"))
            return None

    def _receive(self, message: object) -> object:
        match message:
            case _Change():
                return self._change(message)
            case Started():
                self._children[_name(message.child)].pid = message.pid
            case Exited():
                self._exited(message)
            case StartFailed():
                self._gone(self._child(message), "start-failed", message.reason)
            case FromActor():
                self._from_actor(message.message, message.sender)
            case _Due():
                self._due(message)
            case _Stop():
                self._stop_asked(message)
            case _:
                self._log.error("the supervisor does not take {}", message)
        return None

    # --- what children say ---

    def _from_actor(self, message: Message, sender: Sender) -> None:
        child = self._children.get(sender.name)
        if child is None or sender.incarnation != child.incarnation:
            return
        match message:
            case Ready():
                self._ready(child, message)
            case CannotStart():
                child.cannot_start = message.reason
            case Heartbeat():
                child.heartbeat, child.heard_at, child.heard_at_ms = message, time.monotonic(), wall_ms()
                self._look_for_hang(child)
            case RunEnded() if child.spec.id == "worker":
                self._end(RunResult(message.state, message.detail))
            case _:
                pass

    def _ready(self, child: Child, message: Ready) -> None:
        if child.phase != "starting":
            return
        self._phase(child, "ready")
        child.was_ready = True
        self._log.info("{}#{} is ready: pid {}", child.spec.id, child.incarnation, message.pid)
        child.heard_at, child.heard_at_ms, child.since_ms = time.monotonic(), wall_ms(), wall_ms()
        self._options.router.broadcast(self._options.key, ActorUp(name=child.spec.id, incarnation=child.incarnation))
        if all(each.phase == "ready" for each in self._children.values()):
            self._options.announce("ready", f"{', '.join(self._children)} are ready")

    # --- starting ---

    def _start(self, child: Child) -> None:
        child.incarnation += 1
        child.stuck, child.heartbeat, child.pid, child.restart_due = "", None, 0, False
        child.cannot_start = ""
        self._phase(child, "starting")
        name = child.spec.id
        self._options.router.set_live(self._options.key, name, child.incarnation)
        arguments = StartArguments(
            run=self._options.key,
            name=name,
            incarnation=child.incarnation,
            endpoint=self._options.router.endpoint,
            actor=self._options.tree.actor(name),
            options=self._options.tree.options(name),
            log=self._options.log,
        )
        self._options.launcher.start(
            StartOrder(
                child=self._launch_name(child),
                incarnation=child.incarnation,
                entry=child.spec.entry,
                arguments=cloudpickle.dumps(arguments),
                wants_socket=child.spec.wants_socket,
                runtime_dir=self._options.tree.directory,
                log_path=self._options.tree.directory / "log",  # a stray word on the terminal would tear the prompt
            )
        )
        self._timer(child.spec.ready_within_s, _Due("not-ready", name, child.incarnation))

    # --- ending ---

    def _exited(self, event: Exited) -> None:
        child = self._child(event)
        if event.incarnation != child.incarnation or child.phase == "down":
            return
        exit_class = policy.classify(
            code=event.code,
            signal=event.signal,
            ready=child.phase != "starting",
            asked_to_stop=child.phase == "stopping",
            stuck=bool(child.stuck),
        )
        self._gone(child, exit_class, child.stuck or child.cannot_start or describe_end(event))

    def _gone(self, child: Child, exit_class: policy.ExitClass, detail: str) -> None:
        healthy_s = time.monotonic() - child.since if child.phase == "ready" else 0.0
        name = child.spec.id
        self._phase(child, "down")
        child.why_down = f"{exit_class} ({detail})"
        self._options.router.set_dead(self._options.key, name, child.incarnation)
        self._options.router.broadcast(
            self._options.key, ActorDown(name=name, incarnation=child.incarnation, reason=child.why_down)
        )
        if self._stopping:
            self._stop_level()
            return
        if child.restart_wanted:
            child.restart_wanted = False
            child.restarts += 1
            self._start(child)
            return
        end = policy.ChildExit(child=name, exit_class=exit_class, detail=detail, healthy_s=healthy_s)
        decision, self._history = policy.decide(
            self._spec,
            end,
            self._history,
            alive=[other.spec.id for other in self._children.values() if other.phase != "down"],
            held=self._held,
            attended=not self._asked_to_end and self._options.attended(),
            now_ms=wall_ms(),
            jitter=self._options.jitter(),
        )
        child.given_up = isinstance(decision, policy.GiveUp)
        self._carry_out(decision)

    def _carry_out(self, decision: policy.Decision) -> None:
        self._log.info(decision.why)
        is_last_word = isinstance(decision, policy.GiveUp) and decision.permanent and not decision.ask
        if not is_last_word:  # which is the run's result
            self._options.announce("note", decision.why)
        match decision:
            case policy.RestartChildren():
                for name in decision.stop:
                    self._ask_to_stop(self._children[name], "a sibling is restarted")
                for name in decision.start:
                    child = self._children[name]
                    child.restart_due = True
                    self._timer(decision.after_s, _Due("restart", name, child.incarnation))
            case policy.GiveUp(ask=True):
                self._stand_still(decision.why)
            case policy.GiveUp():
                self._end(RunResult("failed", decision.why + ("" if decision.permanent else ": giving up")))
            case policy.ShutDown():
                self._end(RunResult("failed", decision.why))
            case policy.Leave():
                pass

    # --- timers ---

    def _timer(self, after_s: float, due: _Due) -> None:
        if after_s <= 0:
            self.actor_ref.tell(due)
            return
        timer = threading.Timer(after_s, self._tell_quietly, [due])
        timer.daemon = True
        timer.start()

    def _tell_quietly(self, due: _Due) -> None:
        if self.actor_ref.is_alive():
            self.actor_ref.tell(due)

    def _due(self, due: _Due) -> None:
        if due.what == "tick":
            for child in self._children.values():
                self._look_for_hang(child)
            if not self._finished:
                self._timer(TICK_S, due)
            return
        if due.what == "grace":
            if not self._stopping:
                self._end(
                    RunResult("stopped", "the worker did not stop in time; its turn goes on when the run is resumed")
                )
            return
        child = self._children[due.child]
        if child.incarnation != due.incarnation:
            return
        match due.what:
            case "not-ready" if child.phase == "starting":
                child.stuck = f"not ready within {child.spec.ready_within_s:g} s"
                self._kill(child)
            case "restart" if child.phase == "down" and child.restart_due and not self._stopping:
                child.restarts += 1
                self._start(child)
            case "restart" if child.phase == "stopping":
                self._timer(0.05, due)  # a sibling that is restarted with another one is still on its way out
            case "kill" if child.phase == "stopping":
                self._kill(child)
            case _:
                pass

    def _look_for_hang(self, child: Child) -> None:
        if child.phase == "ready" and not child.stuck:
            child.stuck = children.hang(child, time.monotonic())
            if child.stuck:
                self._kill(child)

    def _kill(self, child: Child) -> None:
        self._options.launcher.kill(self._launch_name(child), child.incarnation)

    # --- stopping ---

    def _stop_asked(self, stop: _Stop) -> None:
        if stop.now or self._question:
            self._end(RunResult("stopped", stop.reason))
        elif not self._is_up("worker") and not self._children["worker"].restart_due:
            self._end(RunResult("stopped", f"{stop.reason}; the worker was down"))
        elif not self._asked_to_end:
            self._asked_to_end = True
            self._options.tell("worker", ControlRun(action="stop", reason=stop.reason))
            self._timer(GRACE_S, _Due("grace"))

    def _end(self, result: RunResult) -> None:
        """The run is over, one way or another: stop the tree level by level, then say so."""
        if self._result is not None:
            return
        self._stopping = True
        self._result = result
        self._stop_level()

    def _stand_still(self, why: str) -> None:
        """Stops the tree, and asks people whether it is to be tried again."""
        (given_up,) = (name for name, child in self._children.items() if child.given_up)
        self._question = f"restart {given_up}, or stop? {why}."
        self._stopping = True
        for child in self._children.values():
            child.restart_due = child.restart_wanted = False
        self._stop_level()

    def _go_on(self) -> None:
        """Everything anew, but for what people want to stay down."""
        self._question, self._answered, self._stopping, self._history = "", False, False, ()
        self._options.asks("")
        for name, child in self._children.items():
            child.given_up = False
            if name not in self._held:
                child.restarts += child.was_ready
                self._start(child)

    def _stop_level(self) -> None:
        for level in STOP_LEVELS:
            alive = [self._children[name] for name in level if self._is_up(name)]
            for child in alive:
                if child.phase != "stopping":
                    self._ask_to_stop(child, "the run is over")
            if alive:
                return
        if self._result is None:
            if self._answered:
                self._go_on()
            else:
                self._options.asks(self._question)
        elif not self._finished:
            self._finished = True
            self._options.done(self._result)

    def _is_up(self, name: str) -> bool:
        return name in self._children and self._children[name].phase != "down"

    def _ask_to_stop(self, child: Child, reason: str) -> None:
        if child.phase == "starting":  # it does not listen yet
            self._phase(child, "stopping")
            self._kill(child)
            return
        self._phase(child, "stopping")
        self._options.tell(child.spec.id, StopActor(reason=reason, grace_s=child.spec.shutdown_s))
        self._timer(min(child.spec.shutdown_s, STOP_S), _Due("kill", child.spec.id, child.incarnation))

    # --- what people want of a child ---

    def _change(self, change: _Change) -> Changed:
        child = self._children.get(change.child)
        if child is None:
            return Changed(f"no actor {change.child!r}: there are {', '.join(self._children)}", refused=True)
        if self._result is not None:
            return Changed("the run is ending: its actors are not changed any more", refused=True)
        name, up = child.spec.id, self._is_up(change.child)
        if self._question:
            return self._answer(change.action, name)
        match change.action:
            case "kill" if not up and not child.restart_due:
                self._held.add(name)
                return Changed(f"{name} is down already, and stays down until: start {name}")
            case "kill":
                self._held.add(name)
                child.restart_due = child.restart_wanted = False
                self._stop_child(child)
                return Changed(f"{name} is being stopped, and stays down until: start {name}")
            case "start" if up:
                return Changed(f"{name} is up already; restart {name} makes a new one", refused=True)
            case "restart" if up:
                self._held.discard(name)
                child.restart_wanted = True
                self._stop_child(child)
                return Changed(f"{name} is being restarted")
            case _:
                self._held.discard(name)
                child.restarts += child.was_ready
                self._start(child)
                return Changed(f"{name} is being started")

    def _answer(self, action: Literal["restart", "kill", "start"], name: str) -> Changed:
        """While nothing is restarted, it is about all of them."""
        if action == "kill":
            self._held.add(name)
            return Changed(f"{name} stays down when the others are started, until: start {name}")
        self._held.discard(name)
        self._answered = True
        if not any(self._is_up(each) for each in self._children):
            self._go_on()
        return Changed(f"{name} is being started, and the others with it")

    def _stop_child(self, child: Child) -> None:
        if child.phase in ("starting", "ready"):
            self._ask_to_stop(child, "a person wants it")

    def _report(self, child: Child) -> ActorReport:
        intensity = self._spec.intensity
        return children.report(
            child,
            restarts_now=policy.restarts_within(self._history, intensity.period_s, wall_ms()),
            intensity=intensity,
            held=child.spec.id in self._held,
            standstill="the run is over" if self._result else "until it is tried again" if self._question else "",
        )

    # --- small things ---

    def _phase(self, child: Child, phase: Phase) -> None:
        child.phase, child.since = phase, time.monotonic()

    def _launch_name(self, child: Child) -> str:
        return launch_name(self._options.key, child.spec.id)

    def _child(self, event: Exited | StartFailed) -> Child:
        return self._children[_name(event.child)]


def _name(launch_name: str) -> str:
    return launch_name.rpartition("/")[2]


def describe_end(event: Exited) -> str:
    """How a process ended, for people."""
    if event.signal is not None:
        return f"signal {event.signal}"
    return "gone without a status" if event.code is None else f"exit code {event.code}"


def stop_run(supervisor: pykka.ActorRef[Any], reason: str, *, now: bool) -> None:
    """Asks for the end of the run: gracefully (the worker interrupts its turns and says so), or at once."""
    supervisor.tell(_Stop(reason, now))


def change_child(
    supervisor: pykka.ActorRef[Any], action: Literal["restart", "kill", "start"], child: str, *, timeout_s: float
) -> Changed:
    """Kills (it stays down), starts or restarts one actor, whatever the policy would do. Blocks; not its thread."""
    changed = supervisor.ask(_Change(action, child), timeout=timeout_s)
    assert isinstance(changed, Changed)
    return changed
