"""main of every actor process: start the actor, pump its mail, end in order.

The main thread is the I/O thread (edges/bus). The actor has a Pykka thread of its own, in which its `on_start`,
`receive` and `on_stop` run. Imported before the process is forked, so importing it makes no thread, socket or child.

Exit statuses: 0 after a stop; 69 when the root is gone; 70 after a crash, or a stop that took too long; 71 when
`on_start` failed; 125 when it failed with a `PermanentError`, which would recur. A crash is any exception, in any
thread, that is not an answer. The process always kills all processes below it first.

Five behaviours of Pykka 4.5.0 were seen to fail and are not relied upon. `ask` hides crashes from on_failure, so the
reliable channel carries every message and answer. on_failure is not called for on_start. Exceptions of on_stop are
swallowed. SystemExit in a handler silently stops all actors. A stop waits behind the backlog. This module handles all
five.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

import msgspec
import pykka
from loguru import logger

from actors import logs, starts
from actors.clock import wall_ms
from actors.edges import processes
from actors.edges.bus import Bus, End
from actors.edges.mailbox import Item, Mailbox
from actors.edges.reliable_channel import Delivery, ReliableChannel, monotonic_ms, refusal
from actors.errors import (
    EXIT_PERMANENT,
    LoopError,
    OperationalError,
    PermanentError,
    ProtocolError,
    UserError,
    described,
)
from actors.messages import (
    Ack,
    ActorDown,
    ActorUp,
    Applied,
    Apply,
    CannotStart,
    Message,
    Progress,
    ProgressKind,
    Ready,
    Refused,
    StopActor,
    Undeliverable,
)
from actors.remote import RemoteRef
from actors.wire.envelope import Address, Envelope, Sender

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ActorContext", "ProcessActor", "Sender", "main"]

EXIT_STOPPED = 0
EXIT_ORPHANED = 69
EXIT_CRASHED = 70
EXIT_START_FAILED = 71

# Sent to every actor; an actor that does not need them need not handle them.
_NOTICES = (ActorUp, ActorDown, Undeliverable)
# Endpoints in the root's own process; the router rejects these sender names from any other process.
_ROOT = ("supervisor", "console")


S = TypeVar("S", bound=msgspec.Struct)


class ActorContext(Generic[S]):
    """What an actor knows of its process. Made by `main`; usable from all of the actor's threads."""

    def __init__(
        self,
        channel: ReliableChannel,
        start: S,
        *,
        listen_fd: int | None = None,
        ended: Callable[[], None] = lambda: None,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        self.channel = channel
        self.run = channel.address.run
        self.name = channel.address.name
        self.incarnation = channel.address.incarnation  # also the epoch of its streams
        self.start = start  # the actor's start arguments
        self.listen_fd = listen_fd
        self.ended = ended  # called when the actor's thread has left its loop
        self.clock = clock
        self.start_failure = EXIT_STOPPED  # or the exit status that says how it failed to start
        self.detail = ""  # set in on_start: shown to the user when the actor is ready
        self.note = ""  # set any time: what the actor is busy with beside its mailbox; shown in heartbeats

    def ref(self, name: str) -> RemoteRef:
        """An actor of the same run, by name."""
        return RemoteRef(self.channel, name)

    def start_failed(self, error: BaseException) -> None:
        """One line for the log and the user; a traceback only for an error that is not one of ours."""
        permanent = isinstance(error, PermanentError)
        self.start_failure = EXIT_PERMANENT if permanent else EXIT_START_FAILED
        reason = f"{self.name} could not start: {str(error) if isinstance(error, LoopError) else repr(error)}"
        logger.opt(exception=None if isinstance(error, LoopError) else error).error("{}", reason)
        progress = Progress(at_ms=self.clock(), source=self.name, agent="", kind="error", text=reason)
        self.ref("console").tell(progress)
        if permanent:  # acknowledged before the process ends, so the supervisor knows it by then
            self.ref("supervisor").tell(CannotStart(reason=str(error)))

    def crash(self, what: str, error: BaseException) -> NoReturn:
        """Ends the process as a crash, from any thread: for errors that no handler has met."""
        _crash(what, error)


class ProcessActor(pykka.ThreadingActor, Generic[S]):
    """An actor with a process of its own. Subclasses implement `receive`, and open things in `on_start`."""

    start_type: type[S]  # the actor's start arguments (actors/starts.py)
    use_daemon_thread = True  # the main thread decides when the process ends
    actor_inbox: Mailbox

    def __init__(self, context: ActorContext[S]) -> None:
        super().__init__()
        self.context = context

    def show_progress(self, kind: ProgressKind, text: str, *, agent: str = "") -> None:
        """Sends a line to the consoles that follow the run. `agent`: its name for users, when the agent speaks."""
        context = self.context
        progress = Progress(at_ms=context.clock(), source=context.name, agent=agent, kind=kind, text=text)
        context.ref("console").tell(progress)

    def tell_self(self, message: Message) -> None:
        """Puts a message into this actor's own mailbox. Any thread. It need not be in the catalogue."""
        address = self.context.channel.address
        envelope = Envelope(
            id="self", run=address.run, sender=address.local, recipient=address.local, kind=type(message).__name__
        )
        self.actor_inbox.put(Item(Delivery(envelope, message, address, monotonic_ms())))

    def receive(self, message: Message, sender: Sender) -> Message | None:
        """Handles one message. What it returns answers a request; None answers it with `Ack`.

        A LoopError raised for a request answers it with `Refused`. A ProtocolError raised for another message is logged
        and the message is dropped: repeating it cannot help. Any exception, SystemExit included, is the answer to a
        read-only request. Any other exception ends the process. A message that must arrive is then resent to the next
        incarnation; a console's request is not (`RemoteRef.ask`, `once`).

        Notices come before mail, and may be refused with ProtocolError: ActorUp and ActorDown of the run's other
        actors, and Undeliverable for a message that is not resent.
        """
        raise NotImplementedError

    # --- Pykka's side -------------------------------------------------------------------------------------------

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    def on_receive(self, delivery: Delivery) -> None:
        """Pykka's hook. Nothing is ever raised from here."""
        self.actor_inbox.begin(delivery)
        try:
            self._handle(delivery)
        except BaseException as error:  # SystemExit too: in a handler it is a bug like any other
            _crash(f"handler of {delivery.envelope.kind} from {delivery.envelope.sender}", error)
        finally:
            self.actor_inbox.end()

    def _handle(self, delivery: Delivery) -> None:
        channel, envelope, message = self.context.channel, delivery.envelope, delivery.message
        if isinstance(message, StopActor):
            self.actor_inbox.set_activity("on_stop")
            logger.info("stopping: {}", message.reason)
            self._stop()
            return
        try:
            answer = (
                self._apply(message, delivery.sender)
                if isinstance(message, Apply)
                else self.receive(message, delivery.sender)
            )
        except ProtocolError as error:
            if not isinstance(message, _NOTICES):
                logger.error("{} from {} refused: {}", envelope.kind, envelope.sender, error)
            answer = refusal(error)
        except LoopError as error:
            if not envelope.wants_answer:
                raise
            answer = refusal(error)
        except BaseException as error:
            if not (message.only_looks and envelope.wants_answer):
                raise
            logger.opt(exception=error).error("{} from {} failed", envelope.kind, envelope.sender)
            answer = refusal(OperationalError(f"{self.context.name} failed at {envelope.kind}: {described(error)}"))
        if envelope.wants_answer:
            channel.answer(envelope, answer or Ack(seq=envelope.seq))
        else:
            channel.handled(envelope)

    def _apply(self, message: Apply, sender: Sender) -> Message:
        if sender.name not in _ROOT:
            raise ProtocolError(f"Apply from {sender.name!r} refused: code is only taken from {' and '.join(_ROOT)}")
        import cloudpickle  # few actors are ever inspected

        try:
            function = cloudpickle.loads(message.function)
            return Applied(text=repr(function(self)))
        except BaseException as error:  # a mistake at the console, even sys.exit(), must not end the actor
            return Refused(error=UserError.__name__, detail=described(error))

    def _actor_loop_setup(self) -> None:
        self.actor_inbox.set_activity("on_start")
        try:
            self.on_start()
        except BaseException as error:
            self.context.start_failed(error)
            self.actor_stopped.set()
            return
        self.actor_inbox.set_activity("")
        self.context.ref("supervisor").tell(Ready(pid=os.getpid(), detail=self.context.detail))

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,  # noqa: ARG002 (it is Pykka's signature)
    ) -> None:
        """Pykka's last resort, which only logs. Here: on_stop has failed."""
        _crash("on_stop", exception_value or RuntimeError(str(exception_type)))

    def _actor_loop_teardown(self) -> None:
        self.context.ended()


def main(arguments: bytes, lifelines: Sequence[int], listen_fd: int | None) -> NoReturn:
    """Runs one actor until it ends, and ends the process. The calling thread must be the process's main thread.

    `lifelines`: see supervisor.spawning.SpawnRequest.
    `listen_fd`: a listening socket that outlives this process, for the actor that wants one.
    """
    start = starts.decode(arguments)
    logs.set_up(start.log, run=start.run, actor=f"{start.name}#{start.incarnation}")
    try:
        code = _run(start, lifelines, listen_fd)
    except BaseException as error:
        _crash("I/O thread", error)
    _end(code)


def _run(start: starts.ProcessStart, lifelines: Sequence[int], listen_fd: int | None) -> int:
    faulthandler.register(signal.SIGUSR2, all_threads=True)  # for a handler that holds the interpreter lock for ever
    threading.excepthook = _thread_crashed
    processes.become_subreaper()
    bus = Bus(Address(start.run, start.name, start.incarnation), start.endpoint, lifelines)
    bus.handle_signals()
    mailbox = Mailbox()
    context: ActorContext[Any] = ActorContext(bus.channel, None, listen_fd=listen_fd, ended=bus.actor_ended)
    try:
        actor = _load(start.actor)
        context.start = starts.typed(start.start, actor.start_type)
        mailbox = cast("Mailbox", actor.start(context).actor_inbox)
    except Exception as error:
        context.start_failed(error)
        bus.actor_ended()
    end = bus.run(mailbox, lambda: context.note)
    if context.start_failure:
        return context.start_failure
    match end:
        case End.STOPPED:
            logger.info("stopped")
            return EXIT_STOPPED
        case End.ORPHANED:
            if len(lifelines) > 1:  # a forkserver in SIGSTOP does not see it; once continued, it ends everything
                processes.send(os.getppid(), signal.SIGCONT)
            logger.warning("the root is gone: ending")
            return EXIT_ORPHANED
        case End.OVERDUE:
            logger.error("did not stop in time: {}", mailbox.vitals(context.note))
            return EXIT_CRASHED


def _load(actor: str) -> type[ProcessActor[Any]]:
    module, _, name = actor.partition(":")
    cls = getattr(importlib.import_module(module), name)
    if not (isinstance(cls, type) and issubclass(cls, ProcessActor)):
        raise ProtocolError(f"{actor!r} is not a ProcessActor")
    return cls


def _thread_crashed(args: threading.ExceptHookArgs) -> None:
    _crash(f"thread {args.thread.name if args.thread else '?'}", args.exc_value or SystemExit(str(args.exc_type)))


def _crash(what: str, error: BaseException) -> NoReturn:
    logger.opt(exception=error).critical("{} failed: {}", what, repr(error))
    _end(EXIT_CRASHED)


def _end(code: int) -> NoReturn:
    """Ends without sys.exit: library threads would keep the process alive, and a fork would run its parent's exit
    handlers.
    """
    left = processes.kill_tree(os.getpid(), itself=False)
    if left:
        logger.error("could not kill processes {}", left)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
