"""The way of a tool call into the bridge's mailbox, and of its answer back into the thread of the call.

`ask` runs in the thread of the call, all else in the mailbox's. An exception in a call is the answer to that call. One
that is raised while a decision settles, between its way into the journal and its last order, crashes the process, since
journal and memory may differ then. Its successor starts from the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from actors.errors import UndeliverableError
from actors.messages import Message

# Codex gives a tool 60 s. A decision takes milliseconds, or longer while the journal restarts.
ANSWER_PATIENCE_S = 45.0

T = TypeVar("T")


class ToolCall(Message, frozen=True, kw_only=True):
    """Tool call's thread -> bridge: run this in the mailbox's thread. Never leaves the process."""

    work: Callable[[], object]
    answer: Future[Any]


class Calls:
    """The calls of one bridge. `tell_self` puts a message into its mailbox."""

    def __init__(self, tell_self: Callable[[Message], None]) -> None:
        self._tell_self = tell_self
        self._is_settling = False

    def ask(self, work: Callable[[], T]) -> T:
        """Runs `work` in the mailbox's thread, and raises what it raises."""
        answer: Future[T] = Future()
        self._tell_self(ToolCall(work=work, answer=answer))
        try:
            return answer.result(ANSWER_PATIENCE_S)
        except TimeoutError:
            done = "it may still be done: check bridge_status before you call again"
            if answer.cancel():
                done = "nothing was done: call again later"
            raise UndeliverableError(f"the bridge gave no answer within {ANSWER_PATIENCE_S:g} s; {done}") from None

    @contextmanager
    def settling(self) -> Iterator[None]:
        """A decision is on its way into the journal, and from there into the world."""
        self._is_settling = True
        yield
        self._is_settling = False  # not after an exception

    def serve(self, call: ToolCall) -> None:
        """Does the work of a call, and answers it."""
        if not call.answer.set_running_or_notify_cancel():
            return  # the caller was told that nothing was done
        try:
            answer = call.work()
        except Exception as error:
            if self._is_settling:
                raise
            call.answer.set_exception(error)
        else:
            call.answer.set_result(answer)
