"""A root in miniature: a real router, and actor processes that a test starts, kills and starts again."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from actors import starts
from actors.actor_process import Sender
from actors.messages import ActorDown, ActorUp, Heartbeat, Message, Note, Ready
from supervisor.router import LocalEndpoint, Router
from tests.lab import reaper
from tests.patience import PATIENCE_S

RUN = "sample-12ab/1"
MAIN = "import sys; from actors.actor_process import main; main(sys.stdin.buffer.read(), [int(sys.argv[1])], None)"

M = TypeVar("M", bound=Message)


@dataclass
class Child:
    """One incarnation of an actor. `lifeline` is our end of its pipe."""

    name: str
    incarnation: int
    process: subprocess.Popen[bytes]
    lifeline: int
    log_path: Path

    def cut_lifeline(self) -> None:
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_S)

    def log(self) -> str:
        return self.log_path.read_text()


class Inbox:
    """What arrived at one of the root's own endpoints, in order."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[Message, Sender]] = queue.SimpleQueue()
        self.answer: Callable[[Message], Message | None] = lambda _message: None

    def put(self, message: Message, sender: Sender) -> Message | None:
        self.queue.put((message, sender))
        return self.answer(message)

    def next(self, kind: type[M], test: Callable[[M], bool] = lambda _message: True) -> M:
        """The next message of this kind; those before it are dropped."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            message, _sender = self.queue.get(timeout=max(0.0, deadline - time.monotonic()))
            if isinstance(message, kind) and test(message):
                return message


class World:
    """One router, one run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.router = Router(directory / "bus")
        self.supervisor_inbox, self.console_inbox = Inbox(), Inbox()
        self.supervisor: LocalEndpoint = self.router.open_local(RUN, "supervisor", self.supervisor_inbox.put)
        self.console: LocalEndpoint = self.router.open_local(RUN, "console", self.console_inbox.put)
        self.children: list[Child] = []

    def launch(
        self,
        name: str,
        incarnation: int = 1,
        *,
        actor: str = "sample_actors:Sample",
        endpoint: str = "",
        **options: Any,
    ) -> Child:
        """Starts a process and does not wait for it. It dials our router, unless another endpoint is given."""
        self.router.set_live(RUN, name, incarnation)
        start = starts.ProcessStart(
            run=RUN,
            name=name,
            incarnation=incarnation,
            endpoint=endpoint or self.router.endpoint,
            actor=actor,
            start=options,
            log=starts.LogSettings(level="DEBUG"),
        )
        theirs, ours = os.pipe()
        log_path = self.directory / f"{name}-{incarnation}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, str(theirs)],
                stdin=subprocess.PIPE,
                stderr=log,
                pass_fds=[theirs],
                env={
                    "PATH": os.environ["PATH"],
                    **reaper.inherited(),
                    "HOME": str(self.directory),
                    "PYTHONPATH": str(Path(__file__).parent),
                    "SAMPLE_API_KEY": "sk-very-secret-0123",
                },
            )
        os.close(theirs)
        assert process.stdin is not None
        with process.stdin:
            process.stdin.write(starts.encode(start))
        child = Child(name, incarnation, process, ours, log_path)
        self.children.append(child)
        return child

    def start(self, name: str, incarnation: int = 1, **options: Any) -> Child:
        """Starts a process, waits until its actor is ready, and tells the others."""
        child = self.launch(name, incarnation, **options)
        self.supervisor_inbox.next(Ready, lambda ready: ready.pid == child.process.pid)
        self.router.broadcast(RUN, ActorUp(name=name, incarnation=incarnation))
        return child

    def bury(self, child: Child) -> int:
        """What a supervisor does when a child has ended. Its exit code."""
        code = child.exit_code()
        self.router.set_dead(RUN, child.name, child.incarnation)
        self.router.broadcast(RUN, ActorDown(name=child.name, incarnation=child.incarnation, reason=f"exit {code}"))
        return code

    def tell(self, name: str, text: str) -> None:
        """An order to a sample actor."""
        self.console.ref(name).tell(Note(sender="console", recipient=name, text=text, at_ms=0))

    def said(self) -> str:
        """The next thing that an actor told the console."""
        return self.console_inbox.next(Note).text

    def heartbeat(self, test: Callable[[Heartbeat], bool]) -> Heartbeat:
        return self.supervisor_inbox.next(Heartbeat, test)

    def close(self) -> None:
        for child in self.children:
            child.process.kill()
            child.process.wait(PATIENCE_S)
            child.cut_lifeline()
        self.router.close()


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="loop-") as directory:
        world = World(Path(directory))
        try:
            yield world
        finally:
            world.close()
