"""One agent's session in a thread of its own, so that its actor's mailbox stays free during long turns.

Its inbox has no bound of its own. The mailbox bounds what its actor adds. The agent can add only reports on our
messages, the end of its program, and one question to the user at a time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from actors.messages import Patience, StartTurnRequest
from actors.session.driver import Driver
from actors.session.inbox import Granted, HoldChanged, InterruptRequested, LeaveAsked, MessageDelivered
from actors.session.options import SessionOptions


class AgentSession:
    """The session of one agent. `start` once, `close` once; the others any time between, from any thread."""

    def __init__(self, options: SessionOptions) -> None:
        self._loop = asyncio.new_event_loop()
        self._listener = options.listener
        self._driver = Driver(options, self._loop)
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="agent-session", daemon=True)

    def start(self) -> None:
        """Loads the ledger, starts the agent's program, resumes open turns."""
        self._thread.start()

    def start_turn(self, request: StartTurnRequest) -> None:
        """Queues this turn. A repeated turn id only gets its outcome reported again."""
        self._driver.put(request)

    def deliver(self, mail_id: str, text: str) -> None:
        """Brings a mail to the agent: into the running turn if the agent supports it, else as a turn of its own."""
        self._driver.put(MessageDelivered(mail_id, "mail", text))

    def say(self, message_id: str, text: str) -> None:
        """Brings the user's message to the agent, as `deliver` does with mail."""
        self._driver.put(MessageDelivered(message_id, "human", text))

    def hold(
        self, *, held: bool, finishing: bool = False, patience: Patience | None = None, by_grant: bool = False
    ) -> None:
        """While held, no turn starts, mail included; the running turn continues. `finishing`: so does what was begun,
        and a turn that the run has asked for. `patience`: None leaves it as it is. `by_grant`: each turn waits for
        `grant`.
        """
        self._driver.put(HoldChanged(held, finishing, patience, by_grant))

    def grant(self, turn_id: str) -> None:
        """The turn that was wanted may begin."""
        self._driver.put(Granted(turn_id))

    def leave(self, then: Callable[[], None] | None, *, now: bool = False) -> None:
        """No turn starts or resumes here any more. `then` is called in the session's thread whenever none runs; it may
        be called again. None: the session stays after all. `now`: the running turn is cut, and stays open.
        """
        self._driver.put(LeaveAsked(then, now))

    def interrupt(self, turn_id: str, reason: str) -> None:
        """Interrupts this turn, or cancels it before its start. It settles as interrupted, unless it has just ended."""
        self._driver.put(InterruptRequested(turn_id, reason))

    def close(self, timeout_s: float) -> None:
        """Ends the agent's program. An unfinished turn stays open in the ledger and resumes next time."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop may end at this very moment
                self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join(timeout_s)

    # --- in the session's thread ---

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._main = self._loop.create_task(self._driver.live())
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._main)
        except BaseException as error:
            self._listener.session_crashed(error)
        finally:
            self._loop.close()
