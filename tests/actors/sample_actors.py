"""Actors for the tests of actor processes, started in processes of their own with this folder on PYTHONPATH."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from actors.actor_process import ProcessActor, Sender
from actors.errors import JournalConflictError, ProtocolError, UserError
from actors.messages import (
    ActorDown,
    ActorUp,
    Applied,
    Apply,
    Load,
    Loaded,
    Message,
    Note,
    Progress,
    Record,
    ShowMailRequest,
    Undeliverable,
)


class StartSample(msgspec.Struct):
    """How it behaves."""

    seen: str | None = None
    on_start: str = ""
    on_stop: str = ""
    notices: bool = False
    answer: int = 0


class Sample(ProcessActor[StartSample]):
    """Does what the text of a `Note` says, and appends each Note's text to the file `seen`."""

    start_type = StartSample

    def on_start(self) -> None:
        self.seen = self.context.start.seen
        self.context.detail = "at your service"
        match self.context.start.on_start:
            case "user error":
                raise UserError("the moon is not there: look up")
            case "bug":
                raise KeyError("moon")
            case "exit":
                sys.exit(5)
            case _:
                pass

    def on_stop(self) -> None:
        if self.context.start.on_stop == "bug":
            raise KeyError("sun")
        if self.context.start.on_stop == "farewell":
            self.tell("console", "farewell")

    def tell(self, name: str, text: str) -> None:
        self.context.ref(name).tell(Note(sender=self.context.name, recipient=name, text=text, at_ms=0))

    def receive(self, message: Message, sender: Sender) -> Message | None:
        match message:
            case Note():
                return self.obey(message.text, message, sender)
            case Load(stream=stream):
                return self.answer(stream)
            case ShowMailRequest():
                sys.exit(3)
            case ActorUp() | ActorDown() if self.context.start.notices:
                self.tell("console", f"notice {message!r}")
            case Undeliverable():
                self.tell("console", f"undeliverable {message.kind} for {message.recipient}: {message.reason}")
            case _:
                raise ProtocolError(f"Sample does not take {type(message).__name__}")
        return None

    def answer(self, stream: str) -> Message | None:
        match stream:
            case "conflict":
                raise JournalConflictError("epoch 1 is fenced")
            case "nothing":
                return None
            case "crash once" if self.context.incarnation == 1:
                raise RuntimeError("crash once")
            case "bug":
                raise RuntimeError("a bug")
            case _:
                body = f"{self.context.incarnation}"
                return Loaded(stream=stream, records=[Record(event_id="e", at_ms=0, kind="Echo", body=body)])

    def obey(self, text: str, message: Note, sender: Sender) -> Message | None:
        order, _, rest = text.partition(" ")
        if order == "crash" and str(self.context.incarnation) in rest.split():
            raise RuntimeError("told to crash")
        match order:
            case "exit":
                sys.exit(3)
            case "conflict":
                raise JournalConflictError("epoch 1 is fenced")
            case "stick":
                self.tell("console", "stuck")
                threading.Event().wait()
            case "thread":
                threading.Thread(target=self.thread_that_fails, name="failing").start()
            case "relay":
                name, _, words = rest.partition(" ")
                self.tell(name, words)
            case "say":
                progress = Progress(at_ms=0, source=self.context.name, agent="", kind="note", text="hello")
                self.context.ref(rest).tell(progress)
            case "ask":
                name, stream = rest.split(" ", 1)
                answer = self.context.ref(name).ask(Load(stream=stream, epoch=1), timeout_s=60)
                assert isinstance(answer, Loaded)
                self.tell("console", f"answered {answer.records[0].body}")
            case "apply":
                self.apply_to(rest)
            case "self":
                self.tell_self(Note(sender="self", recipient="self", text=rest, at_ms=0))
            case "child" | "daemon":
                self.start_child(order)
            case "stop":
                self.stop()
            case "pause":
                threading.Event().wait(int(rest) / 1_000)
            case _:
                pass
        if self.seen is not None:
            with Path(self.seen).open("a") as file:
                file.write(f"{self.context.incarnation} {sender.local} {message.text}\n")
        return None

    def apply_to(self, name: str) -> None:
        try:
            answer = self.context.ref(name).ask(Apply(function=b"not even a pickle"), timeout_s=60)
            self.tell("console", f"applied {answer!r}" if isinstance(answer, Applied) else "no answer")
        except ProtocolError as error:
            self.tell("console", f"refused {error}")

    def start_child(self, how: str) -> None:
        """A process in a session of its own; as a daemon, its parent has ended as well."""
        fork = "import os\nif os.fork(): os._exit(0)\n" if how == "daemon" else ""
        code = f"{fork}import os,time; os.setsid(); print(os.getpid(), flush=True); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        pid = child.stdout.readline().strip()
        if how == "daemon":
            child.wait(60)
        self.tell("console", f"child {pid}")

    def thread_that_fails(self) -> None:
        raise RuntimeError("in a thread")


class NoActor:
    """Not a ProcessActor."""
