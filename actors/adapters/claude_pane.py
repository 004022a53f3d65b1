"""Claude Code's own TUI in a tmux pane, behind the agent Protocol: people see and type there, the run works there.

One adapter is one run of the `claude` program and one session. Prompts are typed into its input box; its hooks tell
that something happens, its transcript what. It runs in the session's asyncio loop; while a turn runs, the transcript
and the program's own status file are looked at a few times a second. It never retries, resends or decides what comes
next, and it submits nothing a second time: what it cannot prove to have arrived ends the program, and the transcript
decides.

Rooms of its own: claude_pane_program (what is started), claude_pane_hook (what the program calls), claude_pane_screen
(what is read from the screen), claude_pane_box (the input box), claude_pane_turn (when a turn is over, and how).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.access import PaneAccess
from actors.adapters.base import AgentEvent, AgentSettings, EventSink, FoundTurn
from actors.adapters.claude_events import call_text, describe, limit_text, line
from actors.adapters.claude_pane_box import LOOK_S, SCREEN_S, InputBox
from actors.adapters.claude_pane_program import tui_arguments, tui_environment, write_hooks
from actors.adapters.claude_pane_screen import answer, input_box
from actors.adapters.claude_pane_turn import TuiTurn, first_line, identify, is_report, message_in
from actors.adapters.claude_program import asking_rules, config_folder, shell_wait_s, startable
from actors.adapters.claude_transcript import Entry, Transcript
from actors.edges import marked_processes
from actors.edges.panes import Pane
from actors.errors import AgentDiedError, AgentUnavailableError, ProtocolError, SessionNotFoundError
from actors.messages import TurnOutcome
from actors.text import ForeignJsonError, read_object

READY_S = 60.0  # of a loaded machine, and of a person who has to answer what only a person can
UNKNOWN_DIALOG_S = 8.0  # then people are told that the program asks something
WATCH_S = 0.25  # transcript and status, while the program works
ENTER_S = 2.0  # for the hook, after Enter
SUBMIT_S = 45.0  # for the hook in all: it is an interpreter's start, on a loaded machine
DIALOG_NOTE_S = 5.0
INTERRUPT_AGAIN_S = 2.0
ESCAPES = 4
FLUSH_S = 2.0  # the transcript is written every 100 ms
SWEEP_S = 0.3
IDLE = frozenset({"idle", "shell"})  # shell: a background command runs
SHOWN = frozenset({"user", "assistant", "system"})  # entries of the transcript that tell what happened
_NO_RESTRICTIONS = "unknown option '--managed-settings'"  # not a documented option: it may go, as it came
_NO_SESSION = "No conversation found with session ID"


class ClaudePaneAgent:
    """See `actors.adapters.base.Agent`."""

    can_steer = True

    def __init__(self, settings: AgentSettings, access: PaneAccess, sink: EventSink) -> None:
        self._settings = settings
        self._access = access
        self._sink = sink
        self._config = config_folder(settings.environment)
        self._session_id = ""
        self._transcript = Transcript(self._config, "", identify)
        self._model = settings.model
        self._restricted = True
        self._mark = str(uuid.uuid4())
        self._pane: Pane | None = None
        self._pid = 0
        self._socket = access.folder / f"{access.side}.hooks"
        self._plugin = access.folder / f"{access.side}.plugin"
        self._hooks: asyncio.Server | None = None
        self._ready = False
        self._lost = ""  # why this adapter is of no use any more
        self._told = False  # somebody knows of it
        self._turn: TuiTurn | None = None
        self._waiting = False  # a turn waits for its turn
        self._unseen: set[str] = set()  # submitted, and not yet in the transcript
        self._submitted: set[str] = set()  # the program says that it has these
        self._to_stop: set[str] = set()  # waited behind a prompt that was interrupted
        self._newest = ""  # the prompt that was begun last, "" when it was a person's
        self._hook_busy = False
        self._permission = ""  # the call that the program asks a person's permission for, by its hook
        self._permission_tool = ""
        self._asked_since: float | None = None  # it has waited since then for a person's answer
        self._asked = ""  # what it asks, when somebody was told
        self._idle_since: float | None = None
        self._typing = asyncio.Lock()
        self._box = InputBox(self._alive, self._wait)
        self._watcher: asyncio.Task[None] | None = None
        self._escaping: asyncio.Task[None] | None = None
        self._entering: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._limit_s = shell_wait_s(settings.environment)
        self._closed = False

    # --- the Protocol ---

    async def open(self, session_id: str | None) -> str:
        """See the Protocol. What the program asks at its start is answered; what only a person can answer is told."""
        self._session_id = session_id or str(uuid.uuid4())
        self._transcript = Transcript(self._config, self._session_id, identify)
        if session_id is not None:
            if not await asyncio.to_thread(lambda: self._transcript.exists):
                raise SessionNotFoundError(f"claude has no session {session_id} in {self._settings.cwd}")
            self._transcript.skip_to_end()
        self._socket.unlink(missing_ok=True)  # that of an actor that was killed
        self._hooks = await asyncio.start_unix_server(self._take_hook, self._socket, limit=1 << 26)
        await self._start()
        return self._session_id

    async def turn(self, turn_id: str, prompt: str, *, model: str = "") -> TurnOutcome:
        """See the Protocol. Waits while a person's turn runs, or a menu is open."""
        if self._turn is not None:
            raise ProtocolError(f"turn {turn_id} while turn {self._turn.turn_id} is running")
        self._turn = turn = TuiTurn(turn_id)
        try:
            found = await self.find_turn(turn_id)
            if found.state != "absent":
                error = f"claude did not run the message: its id {turn_id} was used before in this session"
                return found.outcome or TurnOutcome(status="failed", error=error)
            if not await self._bring(turn, prompt, model or self._settings.model):
                return TurnOutcome(status="interrupted", error="interrupted")
            outcome = await self._until_over(turn)
        finally:
            self._turn = None
            self._answered()
        if outcome.status == "interrupted":
            if not turn.interrupting:
                self._sink(AgentEvent(kind="cut", text="a person broke the turn off in claude's own TUI"))
            if self._escaping is not None:
                await asyncio.wait([self._escaping])
            await self._box.clear_ours()
        tokens = outcome.usage
        self._sink(AgentEvent(kind="usage", text=f"{tokens.input_tokens} tokens in, {tokens.output_tokens} out"))
        return outcome

    async def steer(self, message_id: str, text: str) -> bool:
        """See the Protocol. It is queued in the TUI, where it is seen; one that comes too late is answered after it."""
        turn = self._turn
        if turn is None or turn.reading is None or turn.interrupting or self._idle_s() is not None:
            return False
        turn.steered.add(message_id)
        handed_over = await self._submit(message_id, text, ENTER_S)
        if not handed_over:
            turn.steered.discard(message_id)
        return handed_over

    async def interrupt(self) -> None:
        """See the Protocol. Background commands go on: the TUI has no key that ends them."""
        turn = self._turn
        if turn is None:
            return
        turn.interrupting = True
        self._to_stop |= turn.steered
        self._news.set()
        self._changed.set()
        if turn.turn_id in self._submitted:
            await self._escape(lambda: turn is self._turn)

    async def find_turn(
        self,
        message_id: str,
        text: str = "",  # noqa: ARG002 - the line has the id
        *,
        answered: str = "",  # noqa: ARG002 - its transcript is a file, which is whole
    ) -> FoundTurn:
        """See the Protocol. Waits for what the program is known to have and not yet to have written."""
        if not self._session_id:
            raise ProtocolError(f"find_turn({message_id}) before open")
        until = _now() + FLUSH_S
        while True:
            found = await asyncio.to_thread(self._transcript.find, message_id)
            known = message_id in self._submitted and not self._lost
            if found.state != "absent" or not known or _now() > until:
                return found
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """See the Protocol. The pane stays. A turn that is running fails with `AgentDiedError`."""
        self._closed = True
        self._lose("was closed")
        server, self._hooks = self._hooks, None
        if server is not None:
            server.close()
            self._socket.unlink(missing_ok=True)
        for task in (self._entering, self._watcher, self._escaping):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await self._end_program("")
        shutil.rmtree(self._plugin, ignore_errors=True)

    # --- the program ---

    async def _start(self) -> None:
        program = startable(self._settings)
        await asyncio.to_thread(write_hooks, self._plugin, self._socket)
        known = await asyncio.to_thread(lambda: self._transcript.exists)
        command = tui_arguments(
            program,
            self._settings,
            model=self._model,
            plugin=self._plugin,
            new_session="" if known else self._session_id,
            resume=self._session_id if known else "",
            restricted=self._restricted,
        )
        self._ready, self._lost, self._told, self._hook_busy = False, "", False, False
        pane = Pane(self._access, label="claude", on_end=self._lose)
        self._pane = pane
        environment = tui_environment(self._settings, self._mark)
        self._pid = await pane.run(command, cwd=self._settings.cwd, environment=environment)
        self._sink(AgentEvent(kind="process", text=str(program), pid=self._pid))
        try:
            await self._until_ready(program)
        except AgentUnavailableError as error:
            if not (self._restricted and _NO_RESTRICTIONS in str(error)):
                raise
            self._restricted = False
            self._sink(AgentEvent(kind="note", text="this version of claude runs the user's own hooks in its pane"))
            await self._end_program("")
            await self._start()

    async def _until_ready(self, program: Path) -> None:
        """Answers the dialogs. The hook comes before the input box does, and what is typed before that is lost."""
        began = _now()
        answered, answered_at, noted, screen = "", 0.0, False, ""
        while not (self._ready and input_box(screen) is not None):
            if self._lost:
                raise await self._refusal(program)
            if _now() - began > READY_S:
                raise AgentUnavailableError(
                    f"claude asks something in its pane that loop does not know: run `{program}` in "
                    f"{self._settings.cwd} once and answer it: {line(screen)}"
                )
            await self._wait(LOOK_S)
            with suppress(AgentDiedError):
                screen = await self._alive().screen()
                keys = answer(screen) if input_box(screen) is None else ()
                # After Enter another dialog comes, on which a second one would say no.
                if keys and (screen != answered or _now() - answered_at > SCREEN_S):
                    answered, answered_at = screen, _now()
                    await self._alive().press(*keys)
            if not noted and not answer(screen) and _now() - began > UNKNOWN_DIALOG_S:
                noted = True
                self._sink(AgentEvent(kind="note", text=line(f"claude waits for an answer in its pane: {screen}")))
        self._transcript.skip_to_end()
        if "bypass permissions on" not in screen:
            raise AgentUnavailableError(
                "claude may not work unattended here: take permissions.disableBypassPermissionsMode out of its settings"
            )

    async def _refusal(self, program: Path) -> Exception:
        words = ""
        if self._pane is not None:
            with suppress(Exception):
                words = await self._pane.screen()
        if _NO_SESSION in words:
            return SessionNotFoundError(f"claude has no session {self._session_id} in {self._settings.cwd}")
        above = words.rpartition("\n[loop] ")[0] or words  # our own line about its end may be broken into several
        said = [row for row in above.splitlines() if row.strip() and not row.startswith("[loop] ")]
        how = f"{self._lost}: {line(' '.join(said[-3:]))}" if said else self._lost
        if "exit status" in self._lost:
            return AgentUnavailableError(f"{program} does not start: it {how}")
        return AgentDiedError(f"claude {how}")

    async def _restart(self, model: str) -> None:
        """Another model, for this program only: `/model` would make it the user's default."""
        await self._end_program(f"[loop] claude starts again with the model {model or 'of its settings'}")
        self._model = model
        await self._start()

    async def _end_program(self, farewell: str) -> None:
        pane, self._pane = self._pane, None
        if pane is not None:
            await pane.close(farewell)
        await asyncio.to_thread(marked_processes.sweep, (), self._mark, SWEEP_S)

    def _lose(self, why: str) -> None:
        """The program, or its session, is gone: whoever waits is told, or else the owner."""
        if self._lost:
            return
        self._lost = why
        self._news.set()
        self._changed.set()
        if self._turn is None and self._ready and not self._closed:
            self._sink(AgentEvent(kind="ended", text=f"claude {why}"))

    def _alive(self) -> Pane:
        if self._pane is None or self._lost:
            raise AgentDiedError(f"claude {self._lost or 'is not running: open a session first'}")
        return self._pane

    # --- typing ---

    async def _submit(self, message_id: str, text: str, box_s: float) -> bool:
        """Types a prompt and sends it off. False: the input box did not come free in time, and nothing was typed."""
        async with self._typing:
            if not await self._box.free(box_s):
                return False
            # What has been begun is finished, also when nobody waits for it any more: half a prompt in the box would
            # be sent by whoever presses Enter next.
            self._entering = asyncio.get_running_loop().create_task(self._enter(message_id, text))
            await asyncio.shield(self._entering)
            return True

    async def _enter(self, message_id: str, text: str) -> None:
        """Once: an Enter that does not work is pressed again, what was pasted is never pasted again."""
        words = first_line(message_id)
        self._unseen.add(message_id)
        await self._box.fill(words, text)
        until = _now() + SUBMIT_S
        await self._alive().press("Enter")
        entered = _now()
        while message_id not in self._submitted:
            self._alive()
            if _now() > until:
                self._lose("did not take a prompt: it stays in its input box")
                continue
            await self._wait(LOOK_S)
            self._look()
            if message_id in self._submitted or _now() - entered < ENTER_S:
                continue
            if await self._box.holds(words, text):
                await self._alive().press("Enter")
                entered = _now()

    async def _escape(self, wanted: Callable[[], bool]) -> None:
        """Until the program has stopped, or it is not wanted any more. While nothing runs, Escape would open a menu."""
        for _ in range(ESCAPES):
            if not wanted() or self._idle_s() is not None:
                return
            await self._alive().press("Escape")
            until = _now() + INTERRUPT_AGAIN_S
            while wanted() and self._idle_s() is None and _now() < until:
                await self._wait(LOOK_S)
        if wanted() and self._idle_s() is None:
            self._lose("does not react to Escape")

    async def _stop_late(self, message_id: str) -> None:
        """Breaks off what waited behind an interrupted prompt, and has been begun."""
        with suppress(AgentDiedError):
            await self._escape(lambda: self._newest == message_id)

    # --- waiting ---

    async def _bring(self, turn: TuiTurn, prompt: str, model: str) -> bool:
        """Submits it as soon as the pane is free. False: it was interrupted before, and nothing was typed."""
        began, noted = _now(), False
        while not turn.interrupting:
            self._alive()
            if self._idle_s() is not None:
                if model != self._model:
                    await self._restart(model)
                if await self._submit(turn.turn_id, prompt, LOOK_S):
                    return True
            if not noted and _now() - began > DIALOG_NOTE_S:
                noted = True
                self._sink(AgentEvent(kind="note", text="a prompt waits: a person uses claude's pane"))
            self._watch()
            await self._wait(WATCH_S)
        return False

    async def _until_over(self, turn: TuiTurn) -> TurnOutcome:
        shells_since: float | None = None
        if turn.interrupting:
            await self._escape(lambda: True)
        while True:
            self._alive()
            self._look()
            outcome = turn.outcome(self._idle_s())
            if outcome is not None:
                return outcome
            if turn.limited and self._status() == "waiting":
                # It asks whether it shall wait for the end of the limit: the run does.
                await self._alive().press("Escape")
                await self._wait(ENTER_S)
                continue
            reading = turn.reading
            shells = reading is not None and reading.only_shells_left and self._idle_s() is not None
            shells_since = (shells_since or _now()) if shells else None
            if shells_since and self._limit_s is not None and _now() - shells_since > self._limit_s:
                assert reading is not None
                text = f"{len(reading.tasks)} background commands go on after this turn"
                self._sink(AgentEvent(kind="note", text=text))
                reading.leave_tasks()
            await self._tell_question()
            await self._wait(WATCH_S)

    async def _tell_question(self) -> None:
        """A permission rule of the user's makes the program ask, and its turn stands still until a person answers."""
        status = self._status()
        if status != "waiting" if status else not self._permission:
            self._answered()
            return
        self._asked_since = self._asked_since or _now()
        if not self._asked and (self._permission or _now() - self._asked_since > DIALOG_NOTE_S):
            self._asked = "claude waits for a person's answer in its pane"
            if self._permission:
                rules = await asyncio.to_thread(asking_rules, self._permission_tool, self._settings)
                why = f" (rule {', '.join(rules)} in permissions.ask of its settings)" if rules else ""
                self._asked = f"claude waits for a person's permission in its pane: {self._permission}{why}"
            self._sink(AgentEvent(kind="waits", text=self._asked))

    def _answered(self) -> None:
        self._asked_since = None
        if self._asked:
            self._asked = self._permission = ""
            self._sink(AgentEvent(kind="waits"))

    async def _wait(self, patience_s: float) -> None:
        """Until something has happened, or that long."""
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), patience_s)

    def _status(self) -> str:
        """What the program says of itself; "" when this version does not."""
        try:
            state = read_object((self._config / "sessions" / f"{self._pid}.json").read_bytes())
            return str(state.get("status") or "")
        except (OSError, ValueError):
            return ""

    def _idle_s(self) -> float | None:
        """For how long the program has had nothing to do; None: it works, or a menu is open."""
        status = self._status()
        idle = status in IDLE if status else not self._hook_busy
        if not idle:
            self._idle_since = None
            return None
        if self._idle_since is None:
            self._idle_since = _now()
        return _now() - self._idle_since

    # --- what the program says ---

    async def _take_hook(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One call of our hook. No answer: everything goes its way."""
        try:
            self._hooked(read_object(await reader.read()))
        except ForeignJsonError:
            pass  # the hook was killed
        finally:
            writer.close()

    def _hooked(self, event: Mapping[str, Any]) -> None:
        name = event.get("hook_event_name")
        if event.get("session_id") != self._session_id:
            if name == "SessionStart":
                how = event.get("source")
                self._lose(f"was taken to another session by a person (/{how}): the run's own is brought back")
            return
        match name:
            case "SessionStart":
                self._ready = True
            case "UserPromptSubmit":
                self._prompted(str(event.get("prompt") or ""))
            case "PermissionRequest":
                self._permission_tool = str(event.get("tool_name") or "a tool")
                self._permission = line(call_text(self._permission_tool, event.get("tool_input")))
            case "Stop" | "StopFailure":
                self._hook_busy = False
                self._permission = ""
        self._watch()
        self._news.set()
        self._changed.set()

    def _prompted(self, text: str) -> None:
        self._hook_busy = True
        self._idle_since = None
        message_id = message_in(text)
        if message_id in self._unseen:
            self._submitted.add(message_id)
        elif not is_report(text):
            self._sink(AgentEvent(kind="typed", text=text.strip()))

    def _watch(self) -> None:
        """Follows the transcript as long as something goes on."""
        if not self._closed and (self._watcher is None or self._watcher.done()):
            self._watcher = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        quiet_since = _now()
        while not self._lost:
            self._news.clear()
            if self._look() or self._idle_s() is None or self._turn is not None:
                quiet_since = _now()
            if _now() - quiet_since > FLUSH_S:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), WATCH_S)

    def _look(self) -> bool:
        """Takes what the transcript has got since; whether it was anything."""
        entries = self._transcript.new_entries()
        for entry in entries:
            self._take(entry)
        if entries:
            self._changed.set()
        return bool(entries)

    def _take(self, entry: Entry) -> None:
        if entry.get("type") in SHOWN:
            self._sink(AgentEvent(kind="raw", raw=json.dumps(entry, ensure_ascii=False)))
            if (entry.get("message") or {}).get("model") != "<synthetic>" or entry.get("isApiErrorMessage"):
                for shown in describe(entry):
                    self._sink(shown)
            if entry.get("quotaLimits"):
                self._sink(AgentEvent(kind="limit", text=limit_text(entry["quotaLimits"])))
        if entry.get("type") == "queue-operation" and entry.get("operation") == "enqueue":
            # 2.1.197 calls the hook when it takes a message that was queued, not before.
            self._submitted |= {message_in(str(entry.get("content")))} & self._unseen
        if entry.get("toolUseResult") is not None:
            self._permission = ""
        who = identify(entry)
        if self._turn is not None:
            self._turn.take(entry)
        if entry.get("type") == "user" and entry.get("promptSource"):
            self._newest = who
        if who in self._to_stop and entry.get("type") == "user":
            self._to_stop.discard(who)
            self._escaping = asyncio.get_running_loop().create_task(self._stop_late(who))
        if who in self._unseen:
            self._unseen.discard(who)
            self._submitted.add(who)
            self._sink(AgentEvent(kind="seen", message_id=who))


def _now() -> float:
    return asyncio.get_running_loop().time()
