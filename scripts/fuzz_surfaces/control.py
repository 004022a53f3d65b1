"""The control server of a real run: requests of every kind with nasty fields, and frames that are none.

The run is a whole `loop` with embedded agents whose model never answers. Failures are an actor that ended, a request
that is never answered, a traceback in the run's log. Requests that end the run or an actor by design are left out. Good
work: the run's report, and an expression in an actor.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types
import zmq

from actors.edges import run_lock
from actors.errors import ProtocolError
from fuzz_surfaces import inputs as make
from fuzz_surfaces.oracle import Failed
from fuzz_surfaces.structs import example
from fuzz_surfaces.surface import ANSWER_S, Surface
from supervisor.control.protocol import (
    MAX_REQUEST_BYTES,
    AnyRequest,
    Done,
    GetReport,
    Inspect,
    Report,
    decode_answer,
    encode_request,
)
from tests.lab.world import World

HANGS = '[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000000 }\n'
KINDS: tuple[Any, ...] = AnyRequest.__args__
ACTORS = ("run", "worker", "reviewer", "bridge", "persistence")
EXPRESSIONS = (
    "self", "1/0", "(", "__import__('sys').exit(3)", "(_ for _ in ()).throw(KeyboardInterrupt)", "self.x", "\0",
    "'\\ud83d'", "'x' * 10**6", "lambda: 0", "[[]] * 1000", "raise SystemExit", "exit()", "quit(5)", "assert 0",
)  # fmt: skip
# By design these end the run or an actor, or make it say so much that its log and journal grow.
LEFT_OUT = re.compile(rb"stop|kill|restart|approved")
START_S = 60.0


class ControlSurface(Surface):
    """See the module."""

    name = "control"
    batch = 32
    settle_each = 960

    def open(self) -> None:
        self.number = 0
        self.context = zmq.Context()
        self._start()

    def _start(self) -> None:
        base = self.folder / f"w{self.number}"
        self.number += 1
        base.mkdir()
        self.world = World(base)
        scenario = base / "hang.toml"
        scenario.write_text(HANGS)
        self.world.play_embedded(scenario)
        words = ("--agent", "embedded", "--max-iterations", "1000000", "--silence", "0", "wait for ever")
        self.loop = self.world.start(*words)
        self.loop.wait_for("planning: waits for", START_S)
        holder = run_lock.holder(self.world.run_directory())
        assert holder is not None
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.MAXMSGSIZE, -1)
        self.socket.connect(holder.endpoint)
        self.asked = 1 << 40
        self.log_read = 0
        self.actors: dict[str, int] = {}
        deadline = time.monotonic() + START_S
        while len(self.actors) < len(ACTORS):
            report = self._report()
            self.actors = {actor.name: actor.pid for actor in report.actors if actor.pid and actor.state != "starting"}
            if time.monotonic() > deadline:
                raise Failed(f"the run has not started: {report}")
            time.sleep(0.05)
        self.settle()

    def make(self, rng: random.Random) -> tuple[list[bytes], bool]:
        """The frames of one request, and whether it must be answered: it can be read as far as its id."""
        kind = rng.choice(KINDS)
        tree = _named(rng, example(rng, kind))
        request = make.as_msgpack(make.mutated(rng, tree) if rng.random() < 0.7 else tree)
        frame = {"version": 1, "id": 0, "request": "@request@"}
        how = rng.random()
        answered = how < 0.75
        if how >= 0.9:
            return [make.noise(rng)] * rng.choice((0, 1, 1, 2, 3)), False
        if not answered:
            frame = make.mutated(rng, frame)
        packed = make.as_msgpack(frame)
        mark = make.as_msgpack("@request@")
        packed = packed.replace(mark, request)
        if how >= 0.85:
            packed = make.mutated_bytes(rng, packed)
        # Too deep nesting cannot be skipped, so the id is not found: the frame is refused without one.
        readable = len(packed) < MAX_REQUEST_BYTES and not any(deep in packed for deep in _DEEP)
        return [packed], answered and readable

    def feed(self, inputs: Sequence[tuple[list[bytes], bool]]) -> None:
        open_ids = set()
        for given, answered in inputs:
            frames = given
            if not frames or LEFT_OUT.search(frames[0]) or sum(map(len, frames)) >= MAX_REQUEST_BYTES:
                continue
            if answered:
                self.asked += 1
                open_ids.add(self.asked)
                frames = [frames[0].replace(_NO_ID, _ID + make.as_msgpack(self.asked), 1)]
            self.socket.send_multipart(frames)
        self._read(open_ids)
        self._look()

    def _read(self, open_ids: set[int]) -> None:
        """Reads until all of them are answered."""
        deadline = time.monotonic() + ANSWER_S
        while open_ids:
            if not self.socket.poll(max(1, round(1_000 * (deadline - time.monotonic())))):
                raise Failed(f"requests are not answered within {ANSWER_S:g} s")
            try:
                open_ids.discard(decode_answer(self.socket.recv()).id)
            except ProtocolError as error:
                raise Failed(f"an answer that cannot be read: {error}") from error

    def _ask(self, request: Any) -> Any:
        self.asked += 1
        self.socket.send(encode_request(self.asked, request))
        deadline = time.monotonic() + ANSWER_S
        while self.socket.poll(max(1, round(1_000 * (deadline - time.monotonic())))):
            answer = decode_answer(self.socket.recv())
            if answer.id == self.asked:
                return answer.body
        raise Failed(f"no answer to {request} within {ANSWER_S:g} s")

    def _report(self) -> Report:
        report = self._ask(GetReport())
        if not isinstance(report, Report):
            raise Failed(f"the report is {report}")
        return report

    def _look(self) -> None:
        report = self._report()
        changed = [
            f"{actor.name} (it was {self.actors.get(actor.name)}, it is {actor.pid}, {actor.state} {actor.why})"
            for actor in report.actors
            if actor.pid != self.actors.get(actor.name)
        ]
        if changed:
            raise Failed(f"an actor ended: {changed}; {self._log()[-3_000:]}")

    def _log(self) -> str:
        path = self.world.run_directory() / "log"
        with path.open("rb") as file:
            file.seek(self.log_read)
            found = file.read()
        self.log_read += len(found)
        return found.decode(errors="replace")

    def settle(self) -> None:
        said = self._log()
        if "Traceback (most recent call last)" in said:
            where = said.index("Traceback (most recent call last)")
            raise Failed(f"a traceback in the log: {said[max(0, where - 500) :][:3_000]}")
        for actor in ACTORS:
            answer = self._ask(Inspect(actor=actor, expression="1 + 1"))
            if not (isinstance(answer, Done) and "2" in answer.text):
                raise Failed(f"{actor} is asked for 1 + 1, and says {answer}")
        self._look()

    def reopen(self) -> None:
        self._end()
        self._start()

    def pids(self) -> list[int]:
        return [self.loop.process.pid, *self.actors.values()]

    def _end(self) -> None:
        self.socket.close(0)
        self.loop.process.kill()
        self.world.end()
        psutil.wait_procs(self.world.survivors(), timeout=10)

    def close(self) -> None:
        self._end()
        self.context.term()


_DEEP = (make.as_msgpack(make.DEEP_LIST), make.as_msgpack(make.DEEP_MAP))
# In our own frame: the key, and the placeholder number until it is sent.
_ID = make.as_msgpack("id")
_NO_ID = _ID + make.as_msgpack(0)


def _named(rng: random.Random, tree: dict[str, Any]) -> dict[str, Any]:
    """Mostly fills fields that name an actor or an expression with an existing one: otherwise no request gets far."""
    if "actor" in tree and rng.random() < 0.8:
        tree["actor"] = rng.choice(ACTORS)
    if "expression" in tree:
        tree["expression"] = rng.choice(EXPRESSIONS)
    if "agent" in tree:
        tree["agent"] = rng.choice(("nobody", "embedded-nobody", make.text(rng)))
    if "only" in tree:
        tree["on"] = rng.random() < 0.3
    return tree
