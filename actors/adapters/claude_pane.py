"""Claude Code's own TUI in a tmux pane, behind the agent Protocol. The user and the run share it.

One adapter is one run of the `claude` program and one session. Prompts are typed into its input box. Its hooks report
that something happens, its transcript what. It runs in the session's asyncio loop. During a turn it reads the
transcript and the program's status file a few times per second. It never retries, resends or decides what comes next,
and submits nothing twice: without proof of arrival it ends the program, and the transcript decides.

Submodules, each claude_pane_…: process (the program in its pane), program (its arguments and environment), hook (what
it calls), watcher (hooks, transcript, status file) with signs (what they mean), typist with box (the input box) and
steps (which key is next), screen (what is read from the screen), turn (when a turn is over, and how), money (its cost).
"""

from __future__ import annotations

import asyncio
import uuid

import msgspec

from actors.access import PaneAccess
from actors.adapters.base import SIGN_OF_LIFE, AgentEvent, AgentSettings, EventSink, FoundTurn, Schema
from actors.adapters.claude_pane_process import PaneProcess, now_s
from actors.adapters.claude_pane_screen import tokens_shown
from actors.adapters.claude_pane_steps import ENTER_S, Question
from actors.adapters.claude_pane_turn import TuiTurn
from actors.adapters.claude_pane_typist import Typist
from actors.adapters.claude_pane_watcher import WATCH_S, Watcher
from actors.adapters.claude_program import asking_rules, bring_session, config_folder, shell_wait_s
from actors.adapters.claude_reading import Entry
from actors.errors import ProtocolError, SessionNotFoundError
from actors.messages import TurnOutcome, Usage

MONEY_S = 1.0  # for the status line after a turn, which comes within half a second
SCREEN_S = 30.0  # how often the screen is read for signs of life


class ClaudePaneAgent:
    """See `actors.adapters.base.Agent`."""

    can_steer = True

    def __init__(self, settings: AgentSettings, access: PaneAccess, sink: EventSink) -> None:
        self._settings = settings
        self._sink = sink
        self._session_id = ""
        self._process = PaneProcess(settings, access, sink, self._on_lost)
        self._watcher = self._watch("")
        self._typist = Typist(self._process, self._watcher, sink)
        self._turn: TuiTurn | None = None
        self._question = Question()
        self._limit_s = shell_wait_s(settings.environment)
        self._tokens_shown: tuple[str, ...] = ()
        self._screen_read_s = 0.0
        self._closed = False

    # --- the Protocol ---

    async def open(self, session_id: str | None) -> str:
        """See the Protocol. Answers the program's start-up dialogs; reports those that only the user can answer."""
        self._session_id = session_id or str(uuid.uuid4())
        self._watcher = self._watch(self._session_id)
        self._typist = Typist(self._process, self._watcher, self._sink)
        transcript = self._watcher.transcript
        if session_id is not None:
            await asyncio.to_thread(bring_session, self._settings, session_id)
            if not await asyncio.to_thread(lambda: transcript.exists):
                raise SessionNotFoundError(f"claude has no session {session_id} in {self._settings.cwd}")
            transcript.skip_to_end()
        await self._watcher.listen()
        await self._start()
        return self._session_id

    async def turn(
        self,
        turn_id: str,
        prompt: str,
        *,
        model: str = "",
        schema: Schema | None = None,  # noqa: ARG002 - the TUI has none
    ) -> TurnOutcome:
        """See the Protocol. Waits while the user's own turn runs, or a menu is open."""
        if self._turn is not None:
            raise ProtocolError(f"turn {turn_id} while turn {self._turn.turn_id} is running")
        self._turn = turn = TuiTurn(turn_id)
        try:
            found = await self.find_turn(turn_id)
            if found.state != "absent":
                error = f"claude did not run the message: its id {turn_id} was used before in this session"
                return found.outcome or TurnOutcome(status="failed", error=error)
            if not await self._typist.bring(turn, prompt, model or self._settings.model, self._restart):
                return TurnOutcome(status="interrupted", error="interrupted")
            outcome = await self._until_over(turn)
        finally:
            self._turn = None
            if self._question.over() == "answered":
                self._answered()
        if outcome.status == "interrupted":
            if not turn.interrupting:
                self._sink(AgentEvent(kind="cut", text="the user interrupted the turn in claude's own TUI"))
            await self._typist.escaped()
            await self._typist.box.clear_ours()
        outcome = msgspec.structs.replace(outcome, usage=await self._counted(outcome.usage))
        tokens = outcome.usage
        self._sink(AgentEvent(kind="usage", text=f"{tokens.input_tokens} tokens in, {tokens.output_tokens} out"))
        return outcome

    async def steer(self, message_id: str, text: str) -> bool:
        """See the Protocol. The TUI queues and shows the message; a late one is answered after the turn."""
        turn = self._turn
        if turn is None or turn.reading is None or turn.interrupting or self._watcher.idle_s() is not None:
            return False
        turn.steered.add(message_id)
        handed_over = await self._typist.submit(message_id, text, ENTER_S)
        if not handed_over:
            turn.steered.discard(message_id)
        return handed_over

    async def interrupt(self) -> None:
        """See the Protocol. Background commands continue: the TUI has no key that ends them."""
        turn = self._turn
        if turn is None:
            return
        turn.interrupting = True
        self._watcher.signs.stop_when_begun(turn.steered)
        self._watcher.stir()
        if self._watcher.signs.has(turn.turn_id):
            await self._typist.escape(lambda: turn is self._turn)

    async def find_turn(
        self,
        message_id: str,
        text: str = "",  # noqa: ARG002 - the line has the id
        *,
        answered: str = "",  # noqa: ARG002 - its transcript is a file, which is whole
    ) -> FoundTurn:
        """See the Protocol. Waits for messages that the program has, but has not written yet."""
        if not self._session_id:
            raise ProtocolError(f"find_turn({message_id}) before open")
        return await self._watcher.find(message_id)

    async def close(self) -> None:
        """See the Protocol. The pane stays. A running turn fails with `AgentDiedError`."""
        self._closed = True
        self._process.lose("was closed")
        self._watcher.mute()
        await self._watcher.stop()
        await self._typist.stop()
        await self._process.end("")
        self._process.clean()

    # --- the program ---

    def _watch(self, session_id: str) -> Watcher:
        return Watcher(
            self._process,
            config_folder(self._settings.environment),
            session_id,
            self._sink,
            on_entry=self._take,
            on_late=self._stop_late,
            is_turn_open=lambda: self._turn is not None,
        )

    async def _start(self) -> None:
        watcher = self._watcher
        watcher.signs.restarted()
        known = await asyncio.to_thread(lambda: watcher.transcript.exists)
        watcher.signs.money.restarted(await asyncio.to_thread(watcher.transcript.cost_usd) if known else 0.0)
        await self._process.start(self._session_id, known=known, is_ready=lambda: watcher.signs.ready)
        watcher.transcript.skip_to_end()

    async def _restart(self, model: str) -> None:
        await self._process.end(f"[loop] claude starts again with the model {model or 'of its settings'}")
        self._process.model = model
        await self._start()

    def _on_lost(self, why: str) -> None:
        """Reports a lost program to the waiting turn, or else to the owner."""
        self._watcher.stir()
        if self._turn is None and self._watcher.signs.ready and not self._closed:
            self._sink(AgentEvent(kind="ended", text=f"claude {why}"))

    def background(self) -> tuple[str, ...]:
        """See `WaitsForBackground`. The transcript has only the ids of the tasks."""
        reading = self._turn.reading if self._turn is not None else None
        return tuple(sorted(reading.tasks)) if reading is not None and reading.waits_for_tasks else ()

    async def stop_background(self) -> None:
        """See `WaitsForBackground`. They continue: the TUI has no key that ends them."""
        if self._turn is not None and self._turn.reading is not None:
            self._turn.reading.leave_tasks()

    # --- a turn ---

    def _take(self, entry: Entry) -> None:
        if self._turn is not None:
            self._turn.take(entry)
            reading = self._turn.reading
            if reading is not None and entry.get("type") == "assistant":
                message_id = self._turn.turn_id
                self._sink(AgentEvent(kind="spent", message_id=message_id, text=reading.model, usage=reading.usage))

    async def _counted(self, usage: Usage) -> Usage:
        """The usage of a turn that has just ended, with its cost. Its status line may need a moment."""
        money, until_s = self._watcher.signs.money, now_s() + MONEY_S
        while money.is_due and not self._process.lost and now_s() < until_s:
            await self._process.wait(WATCH_S)
        return money.counted(usage)

    def _stop_late(self, message_id: str) -> None:
        self._typist.stop_late(message_id)

    async def _until_over(self, turn: TuiTurn) -> TurnOutcome:
        process, watcher = self._process, self._watcher
        shells_since: float | None = None
        if turn.interrupting:
            await self._typist.escape(lambda: True)
        while True:
            process.alive()
            watcher.look()
            outcome = turn.outcome(watcher.idle_s())
            if outcome is not None:
                return outcome
            if turn.limited and watcher.status() == "waiting":
                await self._typist.box.leave_limit_menu()
                await process.wait(ENTER_S)
                continue
            reading = turn.reading
            shells = reading is not None and reading.only_shells_left and watcher.idle_s() is not None
            shells_since = (shells_since or now_s()) if shells else None
            if shells_since and self._limit_s is not None and now_s() - shells_since > self._limit_s:
                assert reading is not None
                text = f"{len(reading.tasks)} background commands continue after this turn"
                self._sink(AgentEvent(kind="note", text=text))
                reading.leave_tasks()
            await self._tell_question()
            await self._look_for_life()
            await process.wait(WATCH_S)

    async def _look_for_life(self) -> None:
        """Tells that the model writes a long answer, which is in the transcript only when it is whole."""
        if now_s() - self._screen_read_s < SCREEN_S:
            return
        self._screen_read_s = now_s()
        shown = tokens_shown(await self._process.alive().screen())
        if shown != self._tokens_shown:
            self._tokens_shown = shown
            self._sink(SIGN_OF_LIFE)

    async def _tell_question(self) -> None:
        """Reports a question of the program, caused by a user's permission rule; its turn waits for the answer."""
        signs = self._watcher.signs
        match self._question.next(now_s(), status=self._watcher.status(), permission=signs.permission):
            case "answered":
                self._answered()
            case "tell" if signs.permission:
                rules = await asyncio.to_thread(asking_rules, signs.permission_tool, self._settings)
                why = f" (rule {', '.join(rules)} in permissions.ask of its settings)" if rules else ""
                asked = f"claude waits for your permission in its pane: {signs.permission}{why}"
                self._sink(AgentEvent(kind="waits", text=asked))
            case "tell":
                self._sink(AgentEvent(kind="waits", text="claude waits for your answer in its pane"))
            case _:
                pass

    def _answered(self) -> None:
        self._watcher.signs.permission = ""
        self._sink(AgentEvent(kind="waits"))
