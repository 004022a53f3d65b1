"""The way of a tool call into the bridge's mailbox: a thread that asks, and a test that is the mailbox."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.bridge_calls import Calls, ToolCall
from actors.messages import Message
from tests.patience import PATIENCE_S


class Mailbox:
    """The calls of a bridge, which are served one by one."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.calls = Calls(self.messages.put)

    def call(self) -> ToolCall:
        message = self.messages.get(timeout=PATIENCE_S)
        assert isinstance(message, ToolCall)
        return message

    def answer_to(self, work: Callable[[], object]) -> object:
        """Asks for the work in a thread of its own, serves the call, and returns or raises what it gets there."""
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.calls.ask, work)
            self.calls.serve(self.call())
            return asked.result(PATIENCE_S)


def test_the_work_of_a_call_is_done_in_the_mailboxs_thread_and_answered_in_its_own() -> None:
    mailbox = Mailbox()
    assert mailbox.answer_to(threading.get_ident) == threading.get_ident()


def test_an_exception_is_the_answer_to_its_call() -> None:
    mailbox = Mailbox()

    def work() -> None:
        raise ValueError("no such target")

    with pytest.raises(ValueError, match="no such target"):
        mailbox.answer_to(work)


def test_an_exception_in_the_middle_of_a_decision_ends_the_bridge() -> None:
    mailbox = Mailbox()

    def work() -> None:
        with mailbox.calls.settling():
            raise OSError("the journal is gone")

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(mailbox.calls.ask, work)
        call = mailbox.call()
        with pytest.raises(OSError, match="the journal is gone"):
            mailbox.calls.serve(call)
        call.answer.set_result(None)  # the process has ended, and with it the thread of the call
        assert asked.result(PATIENCE_S) is None


def test_a_decision_that_has_settled_is_no_reason_to_end() -> None:
    mailbox = Mailbox()

    def work() -> None:
        with mailbox.calls.settling():
            pass
        raise ValueError("after it")

    with pytest.raises(ValueError, match="after it"):
        mailbox.answer_to(work)


def test_a_call_that_was_given_up_is_not_done() -> None:
    mailbox = Mailbox()
    done: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(mailbox.calls.ask, lambda: done.append("work"))
        call = mailbox.call()
        assert call.answer.cancel()  # as a call whose patience has ended
        mailbox.calls.serve(call)
        assert asked.exception(PATIENCE_S) is not None
    assert done == []
