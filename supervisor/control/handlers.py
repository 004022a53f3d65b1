"""The handlers of console requests: they know the state of one run. They run in the root process.

A report needs no actor: standing.py has what the actors report about themselves. Only `serve` waits for actors, in the
thread of the request, and never longer than `PATIENCE_S`. Each request is asked `once`: a request that ended an actor
is not passed to its successor. The handlers decide nothing: requests go to the run, the agents' actors and the
supervisor, and their replies are the answer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pykka
from loguru import logger

from actors.clock import wall_ms
from actors.errors import RecipientEndedError, UndeliverableError, UserError
from actors.messages import (
    AnswerQuestionRequest,
    ControlRun,
    HumanHeard,
    InterruptTurnRequest,
    Message,
    Notable,
    Progress,
    ReviewRequest,
    RunStatus,
    SayToAgent,
    SubmitVerdictRequest,
    WaiveFindingRequest,
)
from actors.remote import RemoteRef
from actors.settings import Role
from supervisor.actor import change_child, move_child
from supervisor.control import actor_questions
from supervisor.control.actor_questions import PATIENCE_S
from supervisor.control.protocol import (
    ActorReport,
    AnswerQuestion,
    AnyAnswer,
    AnyRequest,
    ChangeActor,
    ChangeMail,
    Control,
    Done,
    GetReport,
    HostReport,
    Inspect,
    Interrupt,
    PeekMailbox,
    PlaceActor,
    Refusal,
    Report,
    RequestReview,
    Say,
    ShowMail,
    Shown,
    SubmitVerdict,
    WaiveFinding,
)
from supervisor.control.server import TraceTap
from supervisor.control.standing import RunStanding
from supervisor.hosts.moving import role_named
from supervisor.router import Router
from supervisor.run_tree import BRIDGE, DRIVER, WORKER, RunSpec
from supervisor.tree_protocol import AnswerChange, MoveAsked

# A message is taken into a turn, or begins one, within milliseconds after it has arrived.
HEARING_S = 1.5
PLANNING = ("plan", "plan-review")


class ControlHandler:
    """One run's handler. `note` and the callbacks of the control server are quick; `serve` blocks its thread.

    `tell` and `ref` speak to the run's actors as "console"; `stop` ends the run, gracefully or immediately.
    """

    def __init__(
        self,
        spec: RunSpec,
        router: Router,
        *,
        ref: Callable[[str], RemoteRef],
        stop: Callable[[str, bool], None],
        show: Callable[[Progress], None],
        hosts: Callable[[], list[HostReport]] = list,
        move: Callable[[Role, str, bool], str],
    ) -> None:
        self._spec = spec
        self._log = logger.bind(run=spec.key)
        self._router = router
        self._ref = ref
        self._stop = stop
        self._show = show
        self._hosts = hosts
        self._move = move
        self._supervisor: pykka.ActorRef[Any] | None = None
        self._started_at_ms = wall_ms()
        self._standing = RunStanding(checks_in=WORKER)
        self._heard: dict[str, Future[HumanHeard]] = {}
        self._guard = threading.Lock()  # of `_heard` and `_standing`

    def supervised_by(self, supervisor: pykka.ActorRef[Any]) -> None:
        """Sets the supervisor. Call it once, before the first console can ask."""
        self._supervisor = supervisor

    def note(self, message: Message) -> None:
        """Router's thread: keeps what an actor reports about itself."""
        with self._guard:
            self._standing.note(message)
            waiting = self._heard.get(message.message_id) if isinstance(message, HumanHeard) else None
        if waiting is not None and isinstance(message, HumanHeard) and not waiting.done():
            waiting.set_result(message)

    def children(self, actors: list[ActorReport]) -> None:
        """Supervisor's thread: keeps the state of the actors."""
        with self._guard:
            self._standing.children(actors)

    def asks(self, question: str) -> None:
        """Supervisor's thread: the run is suspended until this question is answered; "": it is not suspended."""
        with self._guard:
            self._standing.asks(question)

    def tell_notable(self, tell: Callable[[Notable | None], None]) -> None:
        """Any thread: calls `tell` with what there is to tell a user who is not there, once that is known."""
        with self._guard:
            if self._standing.is_known:
                tell(self._standing.notable())

    # --- what the server asks -----------------------------------------------------------------------------------------

    def at_once(self, request: GetReport, consoles: int) -> AnyAnswer:  # noqa: ARG002 - one request, no fields
        """See `Handler.at_once`."""
        spec, now_ms = self._spec, wall_ms()
        with self._guard:
            return Report(
                at_ms=now_ms,
                run_id=spec.run_id,
                key=spec.key,
                directory=str(spec.directory),
                cwd=str(spec.cwd),
                worktree=spec.worktree,
                root_pid=os.getpid(),
                started_at_ms=self._started_at_ms,
                status=self._standing.status(now_ms),
                actors=self._standing.actors(now_ms),
                agents=self._standing.agents(),
                check=self._standing.check,
                dead_letters=sum(not letter.kept for letter in self._router.dead_letters(spec.key)),
                consoles=consoles,
                question=self._standing.question,
                hosts=self._hosts(),
                problems=self._standing.problems(),
            )

    def news(self, news: Shown) -> None:
        """Writes news into the log, which `loop logs` shows, and keeps the last event of each actor."""
        progress = news.progress
        if progress.kind == "raw":
            return
        with self._guard:
            self._standing.said(progress)
        if progress.kind != "usage":
            who = progress.agent or progress.source
            self._log.info("{}: {}: {}", who, progress.kind, progress.text.rstrip())

    def set_tap(self, tap: TraceTap | None) -> None:
        """See `Router.set_tap`."""
        self._router.set_tap(self._spec.key, tap)

    def serve(self, request: AnyRequest) -> AnyAnswer:
        """See `Handler.serve`. Raises `LoopError` when the request cannot be carried out."""
        match request:
            case PeekMailbox():
                actor = self._actor(request.actor)
                letters = partial(self._router.dead_letters, self._spec.key)
                return actor_questions.mailbox(request, actor, self._ref(actor.name), letters)
            case Inspect():
                actor = self._up(request.actor)
                return actor_questions.inspection(request, actor, self._ref(actor.name), self._hosts())
            case Say():
                return self._say(request)
            case Interrupt():
                return self._interrupt(request)
            case Control(action="stop" | "stop-now" as action):
                self._stop("stopped from a console", action == "stop-now")
                return Done(text="stopping" if action == "stop" else "stopping immediately")
            case Control(action="pause" | "pause-now" | "resume" as action):
                return self._ask_run(ControlRun(action=action))
            case AnswerQuestion():
                self._show(_said(f"you answer: {request.text.strip() or '(nothing more)'}"))
                return self._ask_run(AnswerQuestionRequest(text=request.text))
            case RequestReview():
                return self._ask_run(ReviewRequest())
            case SubmitVerdict():
                return self._ask_run(SubmitVerdictRequest(approved=request.approved, notes=request.notes))
            case WaiveFinding():
                return self._ask_run(WaiveFindingRequest(finding_id=request.finding_id, reason=request.reason))
            case ChangeActor():
                return self._change(request)
            case PlaceActor():
                return self._place(request)
            case ShowMail() | ChangeMail():
                if not self._spec.paired:
                    raise UserError("this run has a single agent: there is no mail")
                return actor_questions.mail(request, self._ref(self._up(BRIDGE).name))
            case _:
                return Refusal(text=f"the run does not serve {type(request).__name__}")

    # --- the run ----------------------------------------------------------------------------------------------------

    def _ask_run(self, message: Message) -> AnyAnswer:
        """Sends a request to the driver. If the driver is stuck, its next incarnation gets the request."""
        driver = self._ref(self._up(DRIVER).name)
        try:
            answer = driver.ask(message, timeout_s=PATIENCE_S, once=True)
        except RecipientEndedError:
            raise
        except UndeliverableError:
            driver.tell(message)
            state = self._actor(DRIVER).state
            return Done(text=f"{DRIVER} is {state}: it gets the request as soon as it is ready")
        if not isinstance(answer, RunStatus):
            return Refusal(text=f"{DRIVER} answered {type(answer).__name__}", in_doubt=True)
        self.note(answer)
        return Done(text=answer.line)

    def _place(self, request: PlaceActor) -> AnyAnswer:
        role = role_named(request.actor, self._spec.labels)
        text = self._move(role, request.host, request.now)
        self._show(_said(f"place {role} {request.host}: {text}"))
        return Done(text=text)

    def ask_to_move(self, role: Role, place: str, now: bool) -> str:
        """Any thread but the supervisor's: has the actor moved to this place, which can be used. Raises `LoopError`."""
        supervisor = self._supervisor
        assert supervisor is not None
        return _done(lambda: move_child(supervisor, MoveAsked(role, place, now), timeout_s=PATIENCE_S))

    def _change(self, request: ChangeActor) -> AnyAnswer:
        supervisor = self._supervisor
        assert supervisor is not None
        text = _done(lambda: change_child(supervisor, request.action, request.actor, timeout_s=PATIENCE_S))
        self._show(_said(f"{request.action} {request.actor}: {text}"))
        return Done(text=text)

    # --- agents -----------------------------------------------------------------------------------------------------

    def _say(self, request: Say) -> AnyAnswer:
        if not request.text.strip():
            raise UserError("empty message: give some text")
        role = self._role(request.agent) if request.agent else self._at_work()
        label = self._spec.labels[role]
        heard: Future[HumanHeard] = Future()
        with self._guard:
            self._heard[request.message_id] = heard
        try:
            self._ref(self._up(role).name).tell(SayToAgent(message_id=request.message_id, text=request.text))
            self._show(_said(f"you -> {label}: {request.text}"))
            return Done(text=_how_heard(label, heard.result(HEARING_S)))
        except TimeoutError:
            return Done(text=f"{label} has not taken it yet: it waits in the mailbox of the {role}")
        finally:
            with self._guard:
                del self._heard[request.message_id]

    def _interrupt(self, request: Interrupt) -> AnyAnswer:
        wanted = [self._role(request.agent)] if request.agent else list(self._spec.labels)
        with self._guard:
            running = self._standing.running(wanted)
        if not running:
            raise UserError(f"{self._spec.labels[wanted[0]]} has no turn running" if request.agent else "no turn runs")
        for agent in running:
            if agent.purpose in PLANNING:
                # A plan that ends early is an error of the run. A pause interrupts the turn, and keeps its place.
                return self._ask_run(ControlRun(action="pause-now"))
            self._ref(agent.role).tell(InterruptTurnRequest(turn_id=agent.turn_id, reason="interrupted from a console"))
        names = ", ".join(f"{agent.label}'s {agent.purpose} turn" for agent in running)
        self._show(_said(f"you interrupt {names}"))
        return Done(text=f"interrupting {names}")

    def _role(self, name: str) -> Role:
        """The role of an agent's name, or of a role's own name."""
        for role, label in self._spec.labels.items():
            if name.lower() in (label.lower(), role):
                return role
        known = ", ".join(self._spec.labels.values())
        raise UserError(f"no agent {name!r} in this run: there are {known}")

    def _at_work(self) -> Role:
        """The role that `steer` means: the one whose turn runs; the worker when both run."""
        with self._guard:
            running = self._standing.running(self._spec.labels)
        if running:
            return running[0].role
        raise UserError("no turn runs: use say AGENT text")

    # --- actors -----------------------------------------------------------------------------------------------------

    def _actor(self, name: str) -> ActorReport:
        with self._guard:
            return self._standing.actor(name, wall_ms())

    def _up(self, name: str) -> ActorReport:
        with self._guard:
            return self._standing.up(name, wall_ms())


def _done(ask: Callable[[], AnswerChange]) -> str:
    """The supervisor's answer. Raises `LoopError` where nothing was changed, or it is not known."""
    try:
        answer = ask()
    except pykka.ActorDeadError:
        raise UserError("the run is ending") from None
    except pykka.Timeout:
        raise UndeliverableError(f"the supervisor did not answer within {PATIENCE_S:g} s") from None
    if answer.refused:
        raise UserError(answer.text)
    return answer.text


def _how_heard(label: str, heard: HumanHeard) -> str:
    match heard.how:
        case "steered":
            return f"{label} gets it in the turn that runs"
        case "turn":
            return f"{label} begins a turn with it"
        case "waits":
            return f"{label} gets it later: it waits for {heard.detail}"
        case "settled":
            return f"{label} has had it already"


def _said(text: str) -> Progress:
    return Progress(at_ms=wall_ms(), source="console", agent="", kind="note", text=text)
