"""A session of an ACP agent, from the start of its program to its end. Owned by the adapter, acp.AcpAgent.

Uses the official `acp` package, in the session's asyncio thread. The agent works unattended: every permission that it
requests is granted. Our file system and terminals (optional in the protocol) are not offered, so it uses its own.

acp_opening.py opens the session, acp_choices.py chooses the settings' values and the mode that asks least, and
acp_updates.py takes what the agent says. This module sends: prompts, steering for agents that announce support, and
the end of the session.

After a crash it loads the session again, and the agent's replay shows which prompts it has: by their ids, for an agent
with our extension (acp_extension.py), else by the marker line of every prompt. The rule is in acp_history.History.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn, TypeVar, cast

import msgspec
from acp import Client, RequestError, connect_to_agent, text_block
from acp.client.connection import ClientSideConnection
from acp.schema import InitializeResponse, ToolCallUpdate
from pydantic import ValidationError

from actors.adapters.acp_client import AcpClient
from actors.adapters.acp_history import AUTHENTICATION_REQUIRED, failed, one_line, stopped, with_marker
from actors.adapters.acp_opening import AcpOpening
from actors.adapters.acp_program import AgentProgram
from actors.adapters.acp_replay import Pause, quiet
from actors.adapters.acp_setup import SessionSetup
from actors.adapters.acp_updates import AcpUpdates
from actors.adapters.base import AgentEvent, AgentSettings, EventSink, FoundTurn
from actors.adapters.own_commands import as_message
from actors.errors import AgentBreachError, AgentDiedError, AgentUnavailableError
from actors.messages import TurnOutcome
from actors.wire.acp_extension import TURN_ID

# An agent behind `npx` may have to be downloaded first.
OPEN_PATIENCE_S = 60.0
EXIT_PATIENCE_S = 1.0

_Answer = TypeVar("_Answer")


class AcpSession:
    """Implements `base.Agent`. `open` once, then any number of turns, one at a time."""

    def __init__(self, settings: AgentSettings, sink: EventSink, pause: Pause = quiet) -> None:
        self._settings = settings
        self._sink = sink
        self._program: AgentProgram | None = None
        self._connection: ClientSideConnection | None = None
        self._opening: AcpOpening | None = None
        self._closing = asyncio.Lock()
        self._setup: SessionSetup | None = None
        self._updates = AcpUpdates(sink, pause)
        self._interrupted = False
        self.can_steer = False

    async def open(self, session_id: str | None) -> str:
        """Starts the program, opens a new session or loads the old one. After any error, call `close`."""
        return await self._start(OPEN_PATIENCE_S, lambda opening: self._open(opening, session_id))

    async def greet(self, patience_s: float) -> InitializeResponse:
        """Starts the program and gets its introduction, without a session. Otherwise as `open`."""
        return await self._start(patience_s, lambda opening: opening.introduce())

    async def _start(self, patience_s: float, then: Callable[[AcpOpening], Awaitable[_Answer]]) -> _Answer:
        try:
            self._program = await AgentProgram.start(
                self._settings.command, self._settings.environment, self._settings.cwd
            )
        except OSError as error:
            raise AgentUnavailableError(f"agent {self._settings.name!r} cannot be started: {error}") from error
        self._sink(AgentEvent(kind="process", text=" ".join(self._settings.command), pid=self._program.pid))
        # Unstable: elicitation, which needs an answer even if it was not offered.
        client = cast("Client", AcpClient(self._updates.take, self._asked, self._note))
        self._connection = connect_to_agent(client, self._program, use_unstable_protocol=True)
        self._opening = AcpOpening(self._settings, self._connection, self._note)
        try:
            async with asyncio.timeout(patience_s):
                return await then(self._opening)
        except TimeoutError:
            said = self._program.greeting
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} did not answer within {patience_s:g} s: "
                f"does {' '.join(self._settings.command)!r} speak the Agent Client Protocol?"
                + (f" it printed {said}" if said else "")
            ) from None
        except ConnectionError:
            await self._raise_died(opening=True)
        except RequestError as error:
            if error.code == AUTHENTICATION_REQUIRED:
                raise AgentUnavailableError(self._opening.not_logged_in()) from error
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} cannot be used: {failed(error.code, str(error), error.data, '').error}"
            ) from error
        except ValidationError as error:
            raise AgentUnavailableError(f"agent {self._settings.name!r} cannot be used: {_breach(error)}") from error

    async def _open(self, opening: AcpOpening, session_id: str | None) -> str:
        await opening.introduce()
        self.can_steer = opening.can_steer
        updates = self._updates
        await opening.open(session_id, updates)
        assert self._program is not None
        self._setup = SessionSetup(
            self._settings, self._open_connection(), self._program, updates.session_id, self._note
        )
        updates.setup = self._setup
        await self._setup.choose_all()
        return updates.session_id

    async def turn(self, turn_id: str, prompt: str, *, model: str = "") -> TurnOutcome:
        """Sends the prompt and returns when the agent has answered it."""
        connection, updates = self._open_connection(), self._updates
        self._interrupted = False
        text = self._as_sent(turn_id, prompt)
        updates.begin(turn_id, text)
        try:
            await updates.replay.over()
            updates.ready()
            if self._setup is not None:
                await self._setup.choose("model", model or self._settings.model)
            if self._interrupted:  # before there was a prompt to cancel
                return stopped("cancelled", "")
            updates.history.begin(turn_id)
            response = await connection.prompt(updates.session_id, [text_block(text)], **{TURN_ID: turn_id})
        except ConnectionError:
            await self._raise_died(opening=False)
        except RequestError as error:
            outcome = await self._refused(error)
        except ValidationError as error:
            updates.end_message()
            usage = updates.usage(None, is_exact=self._gives_ids_back)
            outcome = TurnOutcome(status="failed", text=updates.last_said, error=_breach(error), usage=usage)
        else:
            updates.end_message()
            updates.saw_turn()
            usage = updates.usage(response, is_exact=self._gives_ids_back)
            outcome = stopped(response.stop_reason, updates.last_said, usage)
        finally:
            updates.turn_id = None
        updates.history.finish(turn_id, outcome)
        return outcome

    async def _refused(self, error: RequestError) -> TurnOutcome:
        """The outcome of a turn whose prompt was answered with an error."""
        updates = self._updates
        updates.end_message()
        outcome = failed(error.code, str(error), error.data, updates.last_said)
        if self._interrupted:  # some agents answer a cancelled prompt with an error
            outcome = stopped("cancelled", updates.last_said)
        elif error.code == AUTHENTICATION_REQUIRED and self._opening is not None:
            outcome = await self._opening.logged_in_late(outcome)
        return msgspec.structs.replace(outcome, usage=updates.usage(None, is_exact=self._gives_ids_back))

    async def interrupt(self) -> None:
        """Cancels the running turn, if there is one."""
        if self._updates.turn_id is None:
            return
        self._interrupted = True
        try:
            await self._open_connection().cancel(self._updates.session_id)
        except ConnectionError:
            await self._raise_died(opening=False)

    async def steer(self, message_id: str, text: str) -> bool:
        """Steers the running turn of an agent that has announced support. Returns whether the agent accepted it."""
        if self._updates.turn_id is None or not self.can_steer:
            return False
        sent = self._as_sent(message_id, text)
        request = {
            "sessionId": self._updates.session_id,
            "prompt": [{"type": "text", "text": sent}],
            # Without it, an agent whose turn has just ended starts a turn of its own, which is not awaited.
            "_meta": {"steering": {"idleBehavior": "promptRequired"}, TURN_ID: message_id},
        }
        try:
            answer = await self._open_connection().ext_method("session/steering", request)
        except RequestError:
            return False
        except ConnectionError:
            await self._raise_died(opening=False)
        taken = isinstance(answer, dict) and answer.get("outcome") in ("injected", "startedNewTurn")
        if taken:
            self._updates.steered(message_id, sent)
        return taken

    async def find_turn(self, message_id: str, answered: str) -> FoundTurn:
        """What is known of the prompt with this id, as soon as it is known or the replay is over."""
        history = self._updates.history
        await self._updates.replay.over(lambda: history.knows(message_id))
        return history.find(message_id, answered)

    async def close(self) -> None:
        """Ends the connection, then the program. May be called at any time, even twice concurrently."""
        async with self._closing:
            await self._updates.replay.close()
            if self._setup is not None:
                await self._setup.close()
            connection, self._connection = self._connection, None
            program, self._program = self._program, None
            if connection is not None:
                await self._close_session(program)
                await connection.close()
            if program is not None:
                await program.end()

    async def _close_session(self, program: AgentProgram | None) -> None:
        """Closes the session, if the agent supports it. Does not wait: the agent reads the request before the end of
        its input.

        Never during a turn, which must be resumable: the agent would record that it was cancelled.
        """
        of_sessions = self._opening.of_sessions if self._opening is not None else None
        session_id = self._updates.session_id
        can = of_sessions is not None and of_sessions.close is not None and bool(session_id)
        if program is None or self._updates.turn_id is not None or not can:
            return
        request = {"jsonrpc": "2.0", "id": "close", "method": "session/close", "params": {"sessionId": session_id}}
        with suppress(ConnectionError):
            await program.send(request)

    def _open_connection(self) -> ClientSideConnection:
        if self._connection is None:
            raise AgentDiedError(f"agent {self._settings.name!r} is not open")
        return self._connection

    @property
    def _gives_ids_back(self) -> bool:
        return self._opening is not None and self._opening.gives_ids_back

    def _as_sent(self, message_id: str, text: str) -> str:
        return text if self._gives_ids_back else with_marker(message_id, as_message(text))

    def _asked(self, tool_call: ToolCallUpdate) -> bool:
        """Notes a request for permission; False: its turn is cancelled."""
        self._updates.take_permission(tool_call)
        return not self._interrupted

    async def _raise_died(self, *, opening: bool) -> NoReturn:
        program = self._program
        if program is None:
            raise AgentDiedError(f"agent {self._settings.name!r} was closed")
        breach, program.breach = program.breach, None
        if breach is not None and opening:
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} {breach} (command: {' '.join(self._settings.command)})"
            )
        if breach is not None:  # later calls find the connection closed, and a new program starts
            raise AgentBreachError(f"agent {self._settings.name!r} {breach}")
        how = await program.exit_text(EXIT_PATIENCE_S)
        text = f"agent {self._settings.name!r}: {how}"
        if opening and program.failed_by_itself:
            raise AgentUnavailableError(f"{text} (command: {' '.join(self._settings.command)})")
        raise AgentDiedError(text)

    def _note(self, text: str) -> None:
        self._sink(AgentEvent(kind="note", text=text))


def _breach(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return one_line(f"its answer does not follow the protocol: {error.title}.{place}: {first['msg']}")
