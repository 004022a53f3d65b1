"""A console's side of the link to a run: requests out, answers and news in. One I/O thread owns the socket.

It never decides what a request means, and never blocks the run: a slow console only misses news.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import zmq

from actors.edges import environments, run_dir, run_lock
from actors.edges.socket_loop import SocketLoop
from actors.errors import OperationalError, ProtocolError, UndeliverableError, UserError
from shell.run_files import resume_command
from supervisor.control.protocol import AnyAnswer, AnyNews, Ended, Refusal, Request, Shown, Traced
from supervisor.control.protocol import decode_answer as decode
from supervisor.control.protocol import encode_request as encode

# The control server answers from memory in milliseconds, and reports an actor that does not answer after 2 s.
PATIENCE_S = 5.0
# News that wait in this console's socket while it does not read; the server counts further ones as missed.
BACKLOG = 100


class RunEndedError(OperationalError):
    """The run ended before it answered."""


def control_endpoint(directory: Path) -> str:
    """The control server's address of the run in `directory`. Raises `OperationalError` when no root holds the run."""
    holder = run_lock.holder(directory)
    if holder is None or not holder.endpoint:
        how = resume_command(directory, run_dir.read_manifest(directory) or {})
        raise OperationalError(f"run {directory.name} is not running; to resume it: {how}")
    return holder.endpoint


class ControlClient:
    """Connected when the constructor returns, or as soon as there is a server. `ask` is for any thread but `on_news`'s.

    `on_news` is called in the I/O thread and must not block; `alive` says whether the run's root still runs.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        alive: Callable[[], bool],
        on_news: Callable[[AnyNews], None] = lambda _news: None,
    ) -> None:
        environments.check_open_files(environments.FILES_OF_A_CONSOLE)
        self._endpoint = endpoint
        self._alive = alive
        self._on_news = on_news
        self._ids = itertools.count(1)
        self._loop = SocketLoop("console")
        self._out: deque[bytes] = deque()
        self._questions: dict[int, Future[AnyAnswer]] = {}
        self._closing = False
        self.ended: Ended | None = None
        self._loop.start(self._open, self._serve)

    def ask(self, request: Request, *, timeout_s: float = PATIENCE_S) -> AnyAnswer:
        """Returns the answer. Raises `UserError` for a refusal, `UndeliverableError` for no answer in time, and
        `RunEndedError` when the run ends first.
        """
        request_id = next(self._ids)
        question: Future[AnyAnswer] = Future()
        self._questions[request_id] = question
        self._out.append(encode(request_id, request))
        self._loop.wake()
        if self._closing:
            raise RunEndedError("the run is over")
        try:
            answer = question.result(timeout_s)
        except TimeoutError:
            if not self._alive():
                raise RunEndedError("the run has ended") from None
            raise UndeliverableError(f"the run gave no answer within {timeout_s:g} s") from None
        finally:
            self._questions.pop(request_id, None)
        if isinstance(answer, Refusal):
            raise UndeliverableError(answer.text) if answer.in_doubt else UserError(answer.text)
        return answer

    def close(self) -> None:
        """Closes the link. Idempotent. Never call it in `on_news`."""
        self._closing = True
        self._loop.wake()
        self._loop.join()

    # --- I/O thread -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        options = {zmq.LINGER: 0, zmq.RCVHWM: BACKLOG, zmq.RECONNECT_IVL: 20}  # the control server may be about to open
        self._socket = self._loop.connect(zmq.DEALER, self._endpoint, options)

    def _serve(self) -> None:
        try:
            while not self._closing:
                while self._out:
                    self._socket.send(self._out.popleft())
                if self._socket in self._loop.poll():
                    self._take(self._socket.recv())
        finally:
            self._closing = True
            for question in list(self._questions.values()):
                question.set_exception(RunEndedError("the run is over"))

    def _take(self, frame: bytes) -> None:
        try:
            message = decode(frame)
        except ProtocolError:
            return  # news of a newer version: ignored
        question = self._questions.pop(message.id, None)
        if question is not None:
            question.set_result(message.body)
        elif isinstance(message.body, Shown | Traced | Ended):
            if isinstance(message.body, Ended):
                self.ended = message.body
            self._on_news(message.body)
