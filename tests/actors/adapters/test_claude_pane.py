"""The adapter of Claude Code's own TUI: the real bundled `claude` in a real tmux, against the scripted model."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket as unix_socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil
import pytest

from actors.access import BridgeAccess, PaneAccess
from actors.adapters import claude, claude_pane_hook
from actors.adapters.base import AgentSettings
from actors.adapters.claude_pane_screen import input_box, squeeze
from actors.adapters.claude_pane_turn import identify
from actors.embedded.scenario_file import parse_scenario
from actors.errors import AgentDiedError, AgentUnavailableError, SessionNotFoundError
from actors.messages.values import TurnOutcome
from tests.actors.adapters.acp_rig import Opened, opened, rows
from tests.actors.adapters.stand_in_bridge import mcp_server
from tests.actors.adapters.test_claude import SCENARIO, ask_before_echo, new_id, write_what_a_user_has
from tests.drawn import Drawn
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.patience import PATIENCE_S, STORY_S

pytestmark = pytest.mark.real_agents


Kind = TypeVar("Kind", bound="Bench")


def run(story: Any) -> None:
    """Runs it with a time limit; afterwards no task may be left."""

    async def alone() -> None:
        await limited(story)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(alone())


async def limited(story: Any) -> None:
    async with asyncio.timeout(STORY_S):
        await story


class Bench:
    """A model that plays SCENARIO, a home that knows it, and a tmux session with a console in it."""

    def __init__(self, model: ModelServer, home: Path, folder: Path) -> None:
        self.model = model
        self.home = home
        self.socket = folder / "tmux"
        prepare_home(home, model.url)
        self.work = home / "work"
        self.work.mkdir()
        os.mkfifo(self.work / "word")  # before anybody reads it or writes to it
        self.tmux("-f", "/dev/null", "new-session", "-d", "-s", "place", "-x", "120", "-y", "40", "cat")
        self.tmux("split-window", "-d", "-v", "-b", "-l", "75%", "-t", "place", "cat")
        self.tmux("set-option", "-w", "-t", "place", "remain-on-exit", "on")
        for number, name in enumerate(("right", "console")):  # the peer's pane: ours gets half of the width
            self.tmux("set-option", "-p", "-t", f"place:.{number}", "@loop_pane", name)
        self.drawn = Drawn(["tmux", "-S", str(self.socket)], "place")
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "IS_SANDBOX": "1"}
        pane = PaneAccess(
            server=str(self.socket), session="place", side="left", folder=folder, root_pid=os.getpid(), run_id="7"
        )
        environment = agent_environment(home, model.url, "reviewer", base)
        self.settings = AgentSettings(name="claude", cwd=self.work, environment=environment, pane=pane)

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.socket), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @asynccontextmanager
    async def open(self, session_id: str | None = None, **changes: Any) -> AsyncIterator[Opened]:
        async with opened(claude.factory, replace(self.settings, **changes), session_id) as it:
            yield it

    def screen(self) -> str:
        pane = self.pane()
        return self.tmux("capture-pane", "-p", "-t", pane) if pane else ""

    def pane(self) -> str:
        rows = self.tmux("list-panes", "-s", "-t", "place", "-F", "#{@loop_pane} #{pane_id}").splitlines()
        return next((row.split()[1] for row in rows if row.startswith("left")), "")

    async def shows(self, wanted: str | Callable[[str], bool]) -> str:
        seen = [""]

        def fits() -> bool:
            seen[0] = self.screen()
            return wanted in seen[0] if isinstance(wanted, str) else wanted(seen[0])

        def never() -> str:
            return f"never on the screen: {wanted}\n{seen[0]}"

        await asyncio.to_thread(self.drawn.until, fits, PATIENCE_S, never)
        return seen[0]

    async def person(self, *keys: str) -> None:
        """Somebody at the keyboard."""
        await asyncio.to_thread(self.tmux, "send-keys", "-t", self.pane(), *keys)

    async def person_types(self, text: str) -> None:
        await self.person("-l", text)
        await self.shows(text)

    async def person_sends(self, text: str) -> None:
        await self.person_types(text)
        await self.person("Enter")

    async def asked(self, prompt: str, count: int = 1) -> None:
        await asyncio.to_thread(self.model.wait_for, lambda request: request.prompt == prompt, PATIENCE_S, count)

    def prompts(self) -> list[str]:
        """What the model was asked for the first time."""
        return [request.prompt for request in self.model.requests if request.results == 0]

    def say_the_word(self) -> None:
        (self.work / "word").write_text("go on")

    def transcript(self, it: Opened) -> list[dict[str, Any]]:
        [path] = (self.home / ".claude" / "projects").glob(f"*/{it.session_id}.jsonl")
        return rows(path)

    def submissions(self, it: Opened) -> list[str]:
        """The ids of our messages, as they stand in the transcript."""
        return [found for row in self.transcript(it) if (found := identify(row))]

    async def queued(self, it: Opened, message_id: str) -> None:
        """The program queues a message when its hooks have ended. Nothing tells but its transcript, a file of its own:
        there is no event to wait for.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not any(  # noqa: ASYNC110 - see above
                row.get("operation") == "enqueue" and message_id in row["content"] for row in self.transcript(it)
            ):
                await asyncio.sleep(0.05)


class Shared(Bench):
    """For tests that leave the program as they found it: one TUI is lent to one after another. One in which a test
    failed is not lent again. What was asked and written before is not told.
    """

    def __init__(self, model: ModelServer, home: Path, folder: Path) -> None:
        super().__init__(model, home, folder)
        self._runner = asyncio.Runner()
        self._lending = AsyncExitStack()
        self._lent: Opened | None = None
        self._asked: list[str] = []
        self._written = 0

    def run(self, story: Any) -> None:
        self._runner.run(limited(story))

    @asynccontextmanager
    async def open(self, session_id: str | None = None, **changes: Any) -> AsyncIterator[Opened]:
        assert not session_id
        assert not changes
        if self._lent is None:
            self._lent = await self._lending.enter_async_context(super().open())
        else:
            self._written = len(super().submissions(self._lent))
        self._asked = super().prompts()
        heard = self._lent.events.all
        heard[:] = [event for event in heard if event.kind == "process"]
        try:
            yield self._lent
        except BaseException:
            await self._take_back()
            raise

    async def _take_back(self) -> None:
        self._lent, self._written = None, 0
        await self._lending.aclose()

    async def asked(self, prompt: str, count: int = 1) -> None:
        await super().asked(prompt, self._asked.count(prompt) + count)

    def prompts(self) -> list[str]:
        return super().prompts()[len(self._asked) :]

    def submissions(self, it: Opened) -> list[str]:
        return super().submissions(it)[self._written :]

    def close(self) -> None:
        self._runner.run(self._take_back())
        assert asyncio.all_tasks(self._runner.get_loop()) == set()
        self._runner.close()


@contextmanager
def benched(kind: type[Kind], home: Path) -> Iterator[Kind]:
    with (
        tempfile.TemporaryDirectory(prefix="pane-", dir="/tmp") as folder,  # sockets need a short path
        ModelServer(parse_scenario(SCENARIO.replace("hang = true", "hang = true, times = 99"), "pane")) as model,
    ):
        bench = kind(model, home, Path(folder))
        try:
            yield bench
        finally:
            bench.tmux("kill-server")
            bench.drawn.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with benched(Bench, tmp_path / "home") as bench:
        yield bench


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with benched(Shared, tmp_path_factory.mktemp("shared") / "home") as shared, closing(shared):
        yield shared


async def until_seen(it: Opened, message_id: str) -> None:
    await it.events.wait(lambda event: event.kind == "seen" and event.message_id == message_id)


async def said(it: Opened, kind: str, text: str) -> None:
    await it.events.wait(lambda event: event.kind == kind and text in event.text)


def in_transcript(outcome: TurnOutcome) -> TurnOutcome:
    """What the transcript has of it: all but the money, which the program tells only when the turn ends."""
    usage = msgspec.structs.replace(outcome.usage, cost_usd=0.0, cost_known=False)
    return msgspec.structs.replace(outcome, usage=usage)


# --- turns --------------------------------------------------------------------------------------------------


def test_a_turn_is_seen_on_the_screen_and_told(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            turn_id = new_id()
            assert (await it.agent.find_turn(turn_id)).state == "absent"
            outcome = await it.agent.turn(turn_id, "use a tool")
            assert (outcome.status, outcome.text, outcome.error) == ("finished", "all done", "")
            assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (20, 10)
            assert outcome.usage.cost_known
            assert 0 < outcome.usage.cost_usd < 0.01
            told = [(e.kind, e.text) for e in it.events.all if e.kind in {"say", "tool", "tool-result", "typed"}]
            assert told == [
                ("say", "let me look"),
                ("tool", "Bash: echo one; echo two; exit 3"),
                ("tool-result", "error: Exit code 3 one two"),
                ("say", "all done"),
            ]
            await until_seen(it, turn_id)
            screen = squeeze(await shared.shows("all done"))
            assert squeeze(f"[loop {turn_id}]") in screen
            assert "useatool" in screen
            found = await it.agent.find_turn(turn_id)
            assert (found.state, found.outcome) == ("finished", in_transcript(outcome))
            assert shared.submissions(it) == [turn_id]
            assert await it.agent.turn(turn_id, "use a tool") == found.outcome
            assert shared.prompts() == ["use a tool"]

    shared.run(play())


def test_the_users_own_status_line_stays_and_the_cost_is_counted_all_the_same(bench: Bench) -> None:
    folder = bench.home / ".claude"
    folder.mkdir(exist_ok=True)
    own = {"type": "command", "command": "grep -c total_cost_usd | sed 's/^/lines with a cost: /'  # mine"}
    (folder / "settings.json").write_text(json.dumps({"statusLine": own}))

    async def play() -> None:
        async with bench.open() as it:
            outcome = await it.agent.turn(new_id(), "hello")
            assert outcome.usage.cost_usd > 0
            await bench.shows("lines with a cost: 1")

    run(play())


def test_any_text_arrives_as_it_is(shared: Shared) -> None:
    texts = [
        "/clear\nuse a tool",
        "!touch bash",
        "# remember this",
        "@work ?",
        "zwei Zeilen: ä ü 漢字 🎉\n\n\tand a tab, 'quotes' \"and\" $HOME `x` \\",
        "\n".join(f"line {n}: {'word ' * 12}" for n in range(160)),  # 10 KB
    ]
    ids = [new_id() for _ in texts]

    async def play() -> None:
        async with shared.open() as it:
            for turn_id, text in zip(ids, texts, strict=True):
                assert (await it.agent.turn(turn_id, text)).status == "finished"
            assert shared.prompts() == [text.replace("\t", "    ").strip() for text in texts]
            assert shared.submissions(it) == ids
            assert not (shared.work / "bash").exists()

    shared.run(play())


def test_another_model_is_for_its_turn_only_and_not_for_the_users_settings(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open(model="claude-opus-5-5") as it:
            for model in ("", "claude-sonnet-5-5", ""):
                assert (await it.agent.turn(new_id(), "hello", model=model)).status == "finished"
            used = [row["message"]["model"] for row in bench.transcript(it) if row["type"] == "assistant"]
            assert used == ["claude-opus-5-5", "claude-sonnet-5-5", "claude-opus-5-5"]
            settings = bench.home / ".claude" / "settings.json"
            assert not settings.exists() or "model" not in json.loads(settings.read_text())

    run(play())


# --- the start ----------------------------------------------------------------------------------------------


def test_what_the_program_asks_in_a_fresh_home_is_answered_and_what_is_not_known_a_person_can_answer(
    bench: Bench,
) -> None:
    (bench.home / ".claude.json").write_text('{"hasCompletedOnboarding": true}')
    (bench.work / "claude").write_text(
        '#!/bin/sh\nprintf "Which colour is best?"; read answer\nPATH=${PATH#*:} exec "$REAL" "$@"\n'
    )
    (bench.work / "claude").chmod(0o755)
    environment = {n: v for n, v in bench.settings.environment.items() if n != "CLAUDE_CODE_OAUTH_TOKEN"} | {
        "ANTHROPIC_API_KEY": "sk-ant-api03-scripted-model-needs-none",
        "REAL": str(claude.locate(bench.settings.environment)),
        "PATH": f"{bench.work}:{bench.settings.environment['PATH']}",
    }

    async def play() -> None:
        async def answer() -> None:
            await bench.shows("Which colour is best?")
            await bench.person("-l", "blue")
            await bench.person("Enter")

        person = asyncio.create_task(answer())
        async with bench.open(environment=environment) as it:
            await person
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"
            known = json.loads((bench.home / ".claude.json").read_text())
            assert known["projects"][str(bench.work)]["hasTrustDialogAccepted"]
            assert known["customApiKeyResponses"]["approved"] == ["pted-model-needs-none"[-20:]]

    run(play())


def test_what_is_no_session_id_is_said_to_be_unknown(bench: Bench) -> None:
    async def play() -> None:
        with pytest.raises(SessionNotFoundError, match="nonsense"):
            async with bench.open("nonsense"):
                pass

    run(play())


def test_a_version_that_cannot_keep_the_users_hooks_out_is_used_all_the_same(bench: Bench, tmp_path: Path) -> None:
    own = tmp_path / "claude"
    real = claude.locate(bench.settings.environment)
    refuse = "echo \"error: unknown option '--managed-settings'\" >&2; exit 1"
    own.write_text(f'#!/bin/sh\ncase "$*" in *--managed-settings*) {refuse};; esac\nexec {real} "$@"\n')
    own.chmod(0o755)
    environment = bench.settings.environment | {"PATH": f"{tmp_path}:{bench.settings.environment['PATH']}"}

    async def play() -> None:
        async with bench.open(environment=environment) as it:
            await said(it, "note", "runs the user's own hooks")
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    run(play())


def test_settings_that_forbid_unattended_work_are_named(bench: Bench) -> None:
    (bench.home / ".claude").mkdir()
    forbidden = {"permissions": {"disableBypassPermissionsMode": "disable"}}
    (bench.home / ".claude" / "settings.json").write_text(json.dumps(forbidden))

    async def play() -> None:
        with pytest.raises(AgentUnavailableError, match=r"remove permissions\.disableBypassPermissionsMode from"):
            async with bench.open():
                pass

    run(play())


def test_settings_and_memory_of_the_user_are_loaded_but_no_hook_and_no_mcp_server(bench: Bench) -> None:
    write_what_a_user_has(bench.home, bench.work)

    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(new_id(), "tell the variables")
            assert it.events.texts("tool-result") == ["[] [yes]"]
            assert any("Remember the project." in json.dumps(entry) for entry in bench.transcript(it))

    run(play())
    assert not (bench.home / "hooked").exists()
    assert not (bench.home / "served").exists()


def test_a_tool_of_the_bridge_is_called_with_the_token(bench: Bench) -> None:
    async def play() -> None:
        with mcp_server() as (url, calls):
            async with bench.open(bridge=BridgeAccess(url=url, token="secret-token")) as it:
                outcome = await it.agent.turn(new_id(), "write to codex")
                assert (outcome.status, outcome.text) == ("finished", "sent")
                assert it.events.texts("tool") == ["loop-bridge.send_message: hello"]
                assert {token for _, token, _ in calls} == {"Bearer secret-token"}
                assert "secret-token" not in " ".join(psutil.Process(it.events.pid).cmdline())

    run(play())


# --- a person at the keyboard -------------------------------------------------------------------------------


def test_what_a_person_types_is_told_with_its_answer(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            await shared.person_sends("use a tool")
            await said(it, "typed", "use a tool")
            await said(it, "say", "all done")
            assert it.events.texts("tool") == ["Bash: echo one; echo two; exit 3"]

    shared.run(play())


def test_a_prompt_waits_for_the_end_of_a_persons_turn(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            await shared.person_sends("wait for a word")
            await said(it, "tool", "cat word")
            assert not await it.agent.steer(new_id(), "by the way")  # it is nobody's turn but the person's
            turn = asyncio.create_task(it.agent.turn(new_id(), "hello"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(turn), 1)
            assert shared.prompts() == ["wait for a word"]
            await asyncio.to_thread(shared.say_the_word)
            assert (await turn).text == "hello"
            assert shared.prompts() == ["wait for a word", "hello"]

    shared.run(play())


def test_what_a_person_has_half_typed_is_neither_lost_nor_sent(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            for count in range(2):
                await shared.person_types("half a though")
                assert (await it.agent.turn(new_id(), "hello")).text == "hello"
                await shared.shows(lambda screen: input_box(screen) == "half a though")
                await shared.person("t", "Enter")
                await shared.asked("half a thought", count + 1)
                await shared.shows(lambda screen: not input_box(screen))
            assert shared.prompts() == ["hello", "half a thought"] * 2

    shared.run(play())


def test_a_person_who_scrolls_does_not_keep_a_prompt_back(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            await asyncio.to_thread(shared.tmux, "copy-mode", "-t", shared.pane())
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    shared.run(play())


def test_a_prompt_waits_while_a_person_looks_at_a_menu(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            await shared.person_types("/model")
            await shared.person("Enter")
            await shared.shows("Select model")
            turn = asyncio.create_task(it.agent.turn(new_id(), "hang"))
            await said(it, "note", "a prompt waits: the user is typing in claude's pane")
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            turn = asyncio.create_task(it.agent.turn(new_id(), "hello"))
            await shared.shows("Select model")
            await shared.person("Escape")
            assert (await turn).text == "hello"
            assert shared.prompts() == ["hello"]

    shared.run(play())


def test_a_permission_that_a_rule_asks_for_is_told_until_a_person_answers(bench: Bench) -> None:
    ask_before_echo(bench.work)

    async def answered(it: Opened, key: str) -> TurnOutcome:
        told = len(it.events.texts("waits"))
        turn = asyncio.create_task(it.agent.turn(new_id(), "use a tool"))
        asked = await it.events.wait(
            lambda event: event.kind == "waits" and bool(event.text) and len(it.events.texts("waits")) > told
        )
        assert asked.text.startswith("claude waits for your permission in its pane: Bash: echo one")
        assert "(rule Bash(echo:*) in permissions.ask of its settings)" in asked.text
        assert it.events.texts("waits")[told:] == [asked.text]
        await bench.shows("Do you want to proceed?")
        over = asyncio.create_task(it.events.wait(lambda _event: it.events.texts("waits")[told + 1 :] == [""]))
        while not over.done():
            await bench.person(key)
            await asyncio.wait([over], timeout=3)  # a dialog that has just come up does not take a key yet
        outcome = await turn
        assert it.events.texts("waits")[told:] == [asked.text, ""]
        return outcome

    async def play() -> None:
        async with bench.open() as it:
            for key, status, text in (("Enter", "finished", "all done"), ("Escape", "interrupted", "let me look")):
                outcome = await answered(it, key)
                assert (outcome.status, outcome.text) == (status, text)

    run(play())


def test_a_turn_that_a_person_breaks_off_is_cut(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            for prompt in ("wait for a word", "hang"):
                turn_id = new_id()
                turn = asyncio.create_task(it.agent.turn(turn_id, prompt))
                await shared.asked(prompt)
                await until_seen(it, turn_id)
                if prompt != "hang":
                    await said(it, "tool", "cat word")
                await shared.person("Escape")
                assert (await turn).status == "interrupted"
                assert (await it.agent.find_turn(turn_id)).state == "unfinished"
                assert shared.submissions(it).count(turn_id) == 1
            assert len(it.events.texts("cut")) == 2
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    shared.run(play())


def test_a_session_that_a_person_has_left_is_resumed_in_the_same_pane_and_also_in_another_account(
    bench: Bench,
) -> None:
    here = bench.settings.environment
    account = bench.home / "work-account"
    account.mkdir()
    shutil.copy(bench.home / ".claude.json", account)

    async def play() -> None:
        first, second, third = new_id(), new_id(), new_id()
        async with bench.open() as it:
            await it.agent.turn(first, "hello")
            pane = bench.pane()
            await bench.person_types("/exit")
            await bench.person("Enter")
            await said(it, "ended", "claude ended with exit status 0")
            await bench.shows(lambda screen: "therunrestartsitinitssession" in squeeze(screen))
        async with bench.open(it.session_id) as again:
            assert again.session_id == it.session_id
            assert bench.pane() == pane
            await bench.shows(lambda screen: f"[loop{first}]" in squeeze(screen))  # the TUI shows what was
            assert (await again.agent.find_turn(first)).state == "finished"
            assert [event for event in again.events.all if event.kind in {"say", "seen"}] == []
            assert (await again.agent.turn(second, "use a tool")).text == "all done"
            assert bench.submissions(again) == [first, second]
            await bench.person_types("/clear")
            await bench.person("Enter")
            await said(again, "ended", "was moved to another session by the user (/clear)")
            with pytest.raises(AgentDiedError, match="another session"):
                await again.agent.turn(new_id(), "hello")
        async with bench.open(it.session_id) as again:
            assert (await again.agent.turn(third, "use a tool")).text == "all done"
        work = here | {"CLAUDE_CONFIG_DIR": str(account)}
        async with bench.open(it.session_id, environment=work, elsewhere=(here,)) as again:
            assert (await again.agent.find_turn(third)).state == "finished"
            assert (await again.agent.turn(new_id(), "hello")).text == "hello"

    run(play())


def test_a_person_who_compacts_the_conversation_stays_in_the_session(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(new_id(), "hello")
            await bench.person_types("/compact")
            await bench.person("Enter")
            await said(it, "note", "the conversation was compacted")
            assert (await it.agent.turn(new_id(), "use a tool")).text == "all done"
            assert it.events.texts("ended") == []

    run(play())


# --- turns that do not finish -------------------------------------------------------------------------------


def test_an_interrupt_in_a_tool_ends_the_turn_and_leaves_the_input_box_empty(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, "wait for a word"))
            await until_seen(it, turn_id)
            await said(it, "tool", "cat word")
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            assert it.events.texts("cut") == []
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            await shared.shows(lambda screen: input_box(screen) == "")
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"
            assert shared.prompts() == ["wait for a word", "hello"]

    shared.run(play())


# In a program of its own: one that has met a limit is not as it was.
def test_a_used_up_limit_says_when_it_ends_and_the_program_does_not_go_on_by_itself(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn_id = new_id()
            asked_s = int(time.time())
            outcome = await it.agent.turn(turn_id, "reach the limit")
            assert outcome.status == "limited"
            assert "limit" in outcome.error
            assert asked_s <= outcome.resets_at_ms // 1000 - 3600 <= time.time()
            assert it.events.texts("limit")[-1].startswith("five-hour limit: rejected, resets at ")
            found = await it.agent.find_turn(turn_id)
            assert found.state == "finished"
            assert found.outcome is not None
            assert in_transcript(found.outcome) == in_transcript(outcome)
            # Its menu, whose first choice is to continue automatically, may open only now.
            assert (await it.agent.turn(new_id(), "reach the limit")).text == "within the limit"
            await bench.shows(lambda screen: "automatically" not in screen and input_box(screen) == "")
            assert bench.prompts() == ["reach the limit"] * 2

    run(play())


def test_a_prompt_after_a_used_up_limit_does_not_go_into_the_menu_that_opens_late(bench: Bench) -> None:
    """After an interrupted turn the program opens it when the turn that met the limit is over."""

    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await said(it, "tool", "cat word")
            await it.agent.interrupt()
            await turn
            assert (await it.agent.turn(new_id(), "reach the limit")).status == "limited"
            assert (await it.agent.turn(new_id(), "reach the limit")).text == "within the limit"
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"
            assert bench.prompts() == ["wait for a word", "reach the limit", "reach the limit", "hello"]

    run(play())


def test_a_session_that_is_too_long_is_said_to_be(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(new_id(), "hello")
            outcome = await it.agent.turn(new_id(), "be too long")
            assert (outcome.status, outcome.cause) == ("failed", "context")

    run(play())


def test_an_error_of_the_provider_is_the_outcome(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            outcome = await it.agent.turn(new_id(), "overload")
            assert outcome.status == "failed"
            assert "529" in outcome.error
            assert outcome.cause == "transient"
            assert it.events.texts("say") == []
            assert (await it.agent.turn(new_id(), "ask too often")).status == "limited"
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    shared.run(play())


# --- steering -----------------------------------------------------------------------------------------------


def test_a_steered_message_is_seen_in_the_running_turn(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            turn_id, steered = new_id(), new_id()
            assert not await it.agent.steer(steered, "by the way, no turn runs")
            turn = asyncio.create_task(it.agent.turn(turn_id, "wait for a word"))
            await said(it, "tool", "cat word")
            assert await it.agent.steer(steered, "by the way")
            await shared.shows(lambda screen: f"[loop{steered}]" in squeeze(screen))
            await shared.queued(it, steered)
            await asyncio.to_thread(shared.say_the_word)
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "noted\nheard")
            await until_seen(it, steered)
            assert (await it.agent.find_turn(steered)).state == "finished"
            assert not await it.agent.steer(new_id(), "by the way, it is over")
            assert shared.prompts() == ["wait for a word", "by the way"]
            assert sorted(shared.submissions(it)) == sorted([turn_id, steered])
            assert it.events.texts("typed") == []

    shared.run(play())


def test_what_waits_when_the_turn_is_interrupted_is_taken_in_and_not_answered(shared: Shared) -> None:
    async def play() -> None:
        async with shared.open() as it:
            steered = new_id()
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await said(it, "tool", "cat word")
            assert await it.agent.steer(steered, "hang")
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"
            assert (await it.agent.find_turn(steered)).state == "unfinished"

    shared.run(play())


# --- background tasks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["start a background command", "start a background agent"])
def test_a_turn_lasts_until_its_background_task_has_ended_and_was_reported(shared: Shared, prompt: str) -> None:
    async def play() -> None:
        async with shared.open() as it:
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, prompt))
            await said(it, "say", "waiting for it")
            await shared.shows("waiting for it")
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            assert not turn.done()
            await asyncio.to_thread(shared.say_the_word)
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "(end of the rule)")
            assert (await it.agent.find_turn(turn_id)).outcome == in_transcript(outcome)
            assert it.events.texts("typed") == []

    shared.run(play())


def test_a_background_command_that_does_not_end_is_left_alone_after_the_programs_own_limit(bench: Bench) -> None:
    async def play() -> None:
        environment = bench.settings.environment | {"CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS": "300"}
        async with bench.open(environment=environment) as it:
            outcome = await it.agent.turn(new_id(), "start a background command")
            assert (outcome.status, outcome.text) == ("finished", "waiting for it")
            assert "1 background commands continue after this turn" in it.events.texts("note")
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    run(play())


# --- death and resumption -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["program", "pane"])
def test_a_turn_that_a_kill_cut_off_is_unfinished_and_can_be_continued_and_one_of_an_idle_program_is_told(
    bench: Bench, what: str
) -> None:
    def kill(it: Opened) -> None:
        if what == "program":
            os.kill(it.events.pid, signal.SIGKILL)
        else:
            bench.tmux("kill-pane", "-t", bench.pane())

    async def play() -> None:
        turn_id, steered = new_id(), new_id()
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(turn_id, "wait for a word"))
            await said(it, "tool", "cat word")
            await until_seen(it, turn_id)
            assert await it.agent.steer(steered, "by the way")
            kill(it)
            with pytest.raises(AgentDiedError, match="was killed"):
                await turn
        async with bench.open(it.session_id) as it:
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            assert (await it.agent.find_turn(steered)).state == "absent"
            continued = new_id()
            assert (await it.agent.turn(continued, "hello")).text == "hello"
            assert (await it.agent.find_turn(continued)).state == "finished"
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            assert bench.submissions(it) == [turn_id, continued]
            assert bench.prompts() == ["wait for a word", "hello"]
            kill(it)
            await said(it, "ended", "claude was killed")
            with pytest.raises(AgentDiedError, match="was killed"):
                await it.agent.turn(new_id(), "hello")

    run(play())


def test_the_hook_is_silent_and_quick_when_nobody_listens(tmp_path: Path) -> None:
    for socket in (tmp_path / "never", tmp_path / "left"):
        if socket.name == "left":
            with closing(unix_socket.socket(unix_socket.AF_UNIX)) as listening:
                listening.bind(str(socket))
        command = [sys.executable, "-I", "-S", claude_pane_hook.__file__, str(socket)]
        done = subprocess.run(command, input="{}", capture_output=True, text=True, check=True, timeout=PATIENCE_S)
        assert (done.stdout, done.stderr) == ("", "")
