"""What coding agents print: lines of the Agent Client Protocol, of Claude Code's stream, of Codex's JSON-RPC.

The adapters are the real ones, from the bytes of the pipe on; this process plays the program behind the pipe. A line
may end the session with a clear error (`LoopError`); the next input begins another. A turn must end, and each event
that the adapter passes on must be text that can be sent. Good work: a turn of each agent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from actors.adapters import acp_session
from actors.adapters.acp_program import AgentProgram
from actors.adapters.acp_session import AcpSession
from actors.adapters.base import AgentEvent, AgentSettings
from actors.adapters.claude import ClaudeAgent
from actors.adapters.claude_process import ClaudeProcess
from actors.adapters.codex import CodexAgent
from actors.adapters.codex_link import CodexLink
from actors.adapters.codex_turn import OpenTurn
from actors.adapters.shapes import decides
from actors.edges.marked_processes import MARK_VARIABLE
from actors.errors import AgentError, LoopError
from fuzz_surfaces import inputs as make
from fuzz_surfaces import lines as examples
from fuzz_surfaces.oracle import Failed
from fuzz_surfaces.surface import ANSWER_S, Surface


class AcpSurface(Surface):
    """See the module."""

    name = "acp"
    settle_each = 500

    def open(self) -> None:
        acp_session.AgentProgram = PlayedProgram  # type: ignore[attr-defined, misc, unused-ignore]
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._unhandled)
        settings = AgentSettings(name="played", cwd=self.folder, environment={"PATH": ""}, command=("played",))
        self.settings = settings
        self.acp: AcpSession | None = None
        self.turns = 0
        self.settle()

    def _unhandled(self, _loop: object, context: dict[str, Any]) -> None:
        self.watch.note(context.get("exception"), f"unhandled in the loop: {context.get('message')}"[:200])

    def make(self, rng: Random) -> tuple[str, list[bytes]]:
        """Which agent prints what lines."""
        voice = rng.choice(tuple(examples.LINES))
        lines = []
        for _ in range(rng.choice((1, 1, 2, 4))):
            line = make.encoded(rng, rng.choice(examples.LINES[voice]), lambda each: make.as_json(rng, each))
            lines.append(line.replace(b"\n", b" ") + rng.choice((b"\n", b"\n", b"\n", b"\r\n")))
        return voice, lines

    def feed(self, inputs: Sequence[tuple[str, list[bytes]]]) -> None:
        for voice, lines in inputs:
            self.loop.run_until_complete(getattr(self, f"_{voice}")(lines))

    def _sink(self, event: AgentEvent) -> None:
        """Passes events on, as the session's owner does."""
        (event.text + event.raw + event.message_id).encode()
        if not isinstance(event.text, str) or not isinstance(event.message_id, str):
            raise Failed(f"an event of {type(event.text).__name__}, {type(event.message_id).__name__}")

    # --- the agents ---

    async def _acp(self, lines: list[bytes], good: bool = False) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                if self.acp is None:
                    self.acp = AcpSession(self.settings, self._sink)
                    await self.acp.open(None)
                self.turns += 1
                PlayedProgram.script = lines
                outcome = await self.acp.turn(f"turn-{self.turns}", "go on")
                json.dumps(outcome.text + outcome.error).encode()
                if good and (outcome.status, outcome.text) != ("finished", "all is well"):
                    raise Failed(f"a good turn ends as {outcome}")
        except TimeoutError:
            await self._end_acp()
            raise Failed(f"a turn of the ACP agent has no end within {ANSWER_S:g} s") from None
        except LoopError as error:
            check_words(error)
            await self._end_acp()
            if good:
                raise Failed(f"a good turn fails: {error}") from error
        if self.turns % 1_000 == 0:  # a session keeps what it knows of its turns
            await self._end_acp()

    async def _end_acp(self) -> None:
        session, self.acp = self.acp, None
        if session is not None:
            await session.close()

    async def _claude(self, lines: list[bytes], good: bool = False) -> None:
        agent = ClaudeAgent(self.settings, self._sink)
        turn = agent._conversation.begin(examples.TURN)
        process = ClaudeProcess(
            ["played"], cwd=self.folder, environment={MARK_VARIABLE: "m"}, on_start=lambda _pid: None,
            on_event=agent._take, on_end=agent._news.set,
        )  # fmt: skip
        process.heard(b"".join(lines))
        process._over()
        if process.failure is not None:
            if not isinstance(process.failure, AgentError):
                raise process.failure
            check_words(process.failure)
        if turn.result is not None:
            try:
                with decides("result", "claude"):  # as the adapter does
                    outcome = turn.outcome()
            except AgentError as error:
                check_words(error)
                return
            json.dumps(outcome.text + outcome.error).encode()
            _count(outcome.usage.input_tokens, outcome.usage.output_tokens, outcome.resets_at_ms or 0)
        await agent._tasks.end()
        if good and not (agent._conversation.over and turn.outcome().text == "all is well"):
            raise Failed(f"a good turn ends as {turn.result}")

    async def _codex(self, lines: list[bytes], good: bool = False) -> None:
        agent = CodexAgent(self.settings, self._sink)
        agent._thread.id = examples.THREAD
        agent._turn = turn = OpenTurn("message", "model")
        turn.sent, turn.progress.turn_id = True, examples.TURN
        failures: list[Exception] = []

        def heard(message: Any) -> None:
            try:
                agent._heard(message)
            except Exception as error:
                failures.append(error)

        link = CodexLink(
            command=["played"], cwd=self.folder, environment={MARK_VARIABLE: "m"},
            on_notification=heard, on_lost=lambda _error: None,
        )  # fmt: skip
        link.child.on_output(b"".join(lines))
        await asyncio.sleep(0)  # the link tells them in order, one call of the loop each
        if failures:
            raise failures[0]
        if turn.over.done():
            outcome = turn.over.result()
            if isinstance(outcome, AgentError):
                check_words(outcome)
            else:
                json.dumps(outcome.text + outcome.error).encode()
                _count(outcome.usage.input_tokens, outcome.usage.output_tokens, outcome.resets_at_ms or 0)
        if good and not (turn.over.done() and turn.over.result().text == "all is well"):  # type: ignore[union-attr]
            raise Failed(f"a good turn ends as {turn.over}")
        turn.over.cancel()

    def settle(self) -> None:
        for voice, lines in examples.GOOD.items():
            written = [json.dumps(line).encode() + b"\n" for line in lines]
            self.loop.run_until_complete(getattr(self, f"_{voice}")(written, good=True))

    def reopen(self) -> None:
        self.acp = None

    def close(self) -> None:
        self.loop.run_until_complete(self._end_acp())
        self.loop.close()


def check_words(error: LoopError) -> None:
    """Checks that the refusal of an agent's output is short, whatever the output is."""
    if not 0 < len(str(error)) < 5_000:
        raise Failed(f"an error of {len(str(error))} characters")
    str(error).encode()


def _count(*numbers: object) -> None:
    """Checks that counts are whole numbers of 64 bits, since they are journalled and sent."""
    for number in numbers:
        if not isinstance(number, int) or not -(2**63) <= number < 2**63:
            raise Failed(f"counted as {number!r:.80}")


class PlayedProgram(AgentProgram):
    """An agent's program without a process: answers each request in order, each prompt with the script before it."""

    script: ClassVar[list[bytes]] = []

    @classmethod
    async def start(cls, command: Sequence[str], environment: dict[str, str], cwd: Path) -> PlayedProgram:  # noqa: ARG003
        return cls()

    @property
    def pid(self) -> int:
        return 0

    @property
    def failed_by_itself(self) -> bool:
        return False

    async def exit_text(self, patience_s: float) -> str:  # noqa: ARG002
        return "it exited with status 0"

    async def send(self, message: dict[str, Any]) -> None:
        result: dict[str, Any]
        match message.get("method"):
            case "initialize":
                result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
            case "session/new":
                result = {"sessionId": examples.SESSION}
            case "session/prompt":
                result = {"stopReason": "end_turn"}
                for line in self.script:
                    self.heard(line.replace(b"@prompt@", str(message["id"]).encode()))
            case _:
                return
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        self.heard(json.dumps(answer).encode() + b"\n")

    async def end(self) -> None:
        if self._greeting_over is not None:
            self._greeting_over.cancel()
