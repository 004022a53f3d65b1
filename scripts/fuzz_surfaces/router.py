"""The router of a root, and an actor process behind it: frames from arbitrary peers.

One peer is an actor of the run, which may write to all in its own name; the others use any name. Good work: the root
asks the actor through the same router, and the same process as before answers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from random import Random
from typing import Any

import zmq

from actors import starts
from actors.errors import LoopError
from actors.messages import KINDS, WIRE_VERSION, Load, Loaded, Message
from actors.wire.envelope import MAX_FRAME_BYTES
from fuzz_surfaces import inputs as make
from fuzz_surfaces.oracle import Failed
from fuzz_surfaces.structs import example
from fuzz_surfaces.surface import ANSWER_S, Surface
from supervisor.router import Router

RUN = "fuzzed-12ab/1"
MAIN = "import sys; from actors.actor_process import main; main(sys.stdin.buffer.read(), [int(sys.argv[1])], None)"
KIND_NAMES = tuple(KINDS)
# The identities of the peers: the first is the actor that may speak; the others are unknown, or another's.
PEERS = (f"{RUN}/attacker#1", f"{RUN}/attacker#2", f"{RUN}/nobody#1", f"{RUN}/console#1", "x", "\xff", f"{RUN}/#", "")
NAMES = ("echo", "echo#1", "echo#2", "console", "supervisor", "console#1", "attacker", "attacker#1", "router", "nobody")


class RouterSurface(Surface):
    """See the module."""

    name = "router"
    batch = 50
    settle_each = 500

    def open(self) -> None:
        self._kinds = {name: cls for name, cls in KINDS.items() if name != "StopActor"}
        self.router = Router(self.folder / "bus")
        self.supervisor = self.router.open_local(RUN, "supervisor", lambda _message, _sender: None)
        self.console = self.router.open_local(RUN, "console", lambda _message, _sender: None)
        self.router.set_live(RUN, "attacker", 1)
        self.router.set_live(RUN, "echo", 1)
        self._start_echo()
        self.context = zmq.Context()
        self.sockets = [self._socket(peer) for peer in PEERS]
        self.settle()

    def _start_echo(self) -> None:
        start = starts.ProcessStart(
            run=RUN,
            name="echo",
            incarnation=1,
            endpoint=self.router.endpoint,
            actor="fuzz_surfaces.echo:Echo",
            start={},
            log=starts.LogSettings(stderr=False, file=str(self.folder / "echo.log")),
        )
        theirs, self.lifeline = os.pipe()
        self.echo = subprocess.Popen(
            [sys.executable, "-c", MAIN, str(theirs)], stdin=subprocess.PIPE, pass_fds=[theirs]
        )
        os.close(theirs)
        assert self.echo.stdin is not None
        with self.echo.stdin:
            self.echo.stdin.write(starts.encode(start))

    def _socket(self, peer: str) -> Any:
        socket = self.context.socket(zmq.DEALER)
        if peer:
            socket.setsockopt(zmq.ROUTING_ID, peer.encode())
        socket.setsockopt(zmq.SNDTIMEO, 10_000)
        socket.setsockopt(zmq.RCVHWM, 100)
        socket.connect(self.router.endpoint)
        return socket

    def make(self, rng: Random) -> tuple[int, list[bytes]]:
        """Which peer sends it, and its frames."""
        peer = 0 if rng.random() < 0.8 else rng.randrange(len(PEERS))
        kind = rng.choice(tuple(self._kinds))
        recipient = rng.choice(NAMES)
        answer = rng.random() < 0.1
        header = {
            "version": WIRE_VERSION,
            "id": rng.choice(("id", make.text(rng), str(rng.random()))),
            "run": RUN,
            "sender": "attacker#1" if rng.random() < 0.9 else rng.choice(NAMES),
            "recipient": recipient,
            "kind": kind if rng.random() < 0.95 else make.text(rng),
            "reply_to": "id" if answer else "",
            "wants_answer": rng.random() < 0.3,
            "sent_at_ms": 0,
            "attempt": rng.choice((1, 2)),
            "seq": rng.choice((0, 0, 0, 1, 2, 3, rng.randrange(10_000))),
            "after": rng.choice((0, 0, 1)),
        }
        if str(header["recipient"]).startswith("console") and kind == "Progress":  # its own flood is no fault
            header["seq"] = 0
        tree = list(header.values())
        header_bytes = make.as_msgpack(tree) if rng.random() < 0.55 else make.encoded(rng, tree, make.as_msgpack)
        body = make.encoded(rng, example(rng, self._kinds[kind]), make.as_msgpack)
        frames = [f"{RUN}/{recipient}".encode(), header_bytes, body]
        how = rng.random()
        if how < 0.04:
            frames = [*frames, *frames][: rng.choice((0, 1, 2, 4, 5, 6))] or [b""]
        elif how < 0.08:
            frames[rng.randrange(3)] = make.noise(rng)
        return peer, frames

    def feed(self, inputs: Sequence[tuple[int, list[bytes]]]) -> None:
        for peer, frames in inputs:
            if sum(map(len, frames)) < MAX_FRAME_BYTES:
                self.sockets[peer].send_multipart(frames)
        for socket in self.sockets:  # what comes back is read, and dropped
            while socket.poll(0):
                socket.recv_multipart()
        if self.echo.poll() is not None:
            raise Failed(f"the actor ended with {self.echo.returncode}: {self._last_words()}")

    def settle(self) -> None:
        try:
            answer: Message = self.console.ref("echo").ask(Load(stream="x", epoch=1), timeout_s=ANSWER_S)
        except LoopError as error:
            raise Failed(f"the actor does not answer: {error}; {self._last_words()}") from error
        if not (isinstance(answer, Loaded) and answer.stream == "x"):
            raise Failed(f"the actor answered {answer!r}")
        text = (self.folder / "echo.log").read_text(errors="replace")
        (self.folder / "echo.log").write_text("")
        if "Traceback" in text:
            raise Failed(f"a traceback in the actor's log: {text[text.index('Traceback') :][:2_000]}")

    def _last_words(self) -> str:
        log = self.folder / "echo.log"
        return log.read_text(errors="replace")[-2_000:] if log.exists() else ""

    def reopen(self) -> None:
        if self.echo.poll() is not None:
            os.close(self.lifeline)
            self._start_echo()

    def pids(self) -> list[int]:
        return [os.getpid(), self.echo.pid]

    def close(self) -> None:
        self.echo.kill()
        self.echo.wait()
        for socket in self.sockets:
            socket.close(0)
        self.context.term()
        self.router.close()
