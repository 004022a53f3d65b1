"""The Codex adapter with the real program's own TUI in a pane of a real tmux, on a private socket, offline."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types
import pytest

from actors.access import BridgeAccess, PaneAccess
from actors.adapters.base import AgentEvent, AgentSettings
from actors.errors import AgentDiedError
from tests.actors.adapters.acp_rig import Opened, is_alive, run
from tests.actors.adapters.codex_rig import Bench, benched, itself, new_id, until_asked, user_messages
from tests.drawn import Drawn
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.real_agents

READY = "· loop run 7"  # at the foot of a TUI that has resumed the run's thread


def asked(prompt: str) -> str:
    """How the TUI shows what the agent was asked."""
    return f"\u203a {prompt}"


class Screen:
    """The workspace: a console pane, and Codex's pane to its right."""

    def __init__(self, folder: Path, root: subprocess.Popen[bytes]) -> None:
        self.access = PaneAccess(
            server=str(folder / "tmux"), session="place", side="right", folder=folder, root_pid=root.pid, run_id="7"
        )
        self("-f", "/dev/null", "new-session", "-d", "-s", "place", "-x", "160", "-y", "40", "cat")
        self("set-option", "-w", "-t", "place", "remain-on-exit", "on")
        self("set-option", "-p", "-t", "place", "@loop_pane", "console")
        self.drawn = Drawn(["tmux", "-S", self.access.server], "place")

    def __call__(self, *arguments: str) -> str:
        command = ["tmux", "-S", self.access.server, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @property
    def pane(self) -> str:
        rows = self("list-panes", "-s", "-t", "place", "-F", "#{@loop_pane} #{pane_id}").splitlines()
        return next((row.split()[1] for row in rows if row.startswith("right ")), "")

    def look(self) -> str:
        with suppress(subprocess.CalledProcessError):  # the pane is gone at this moment
            return self("capture-pane", "-p", "-t", self.pane) if self.pane else ""
        return ""

    async def shows(self, *texts: str) -> str:
        """Waits until all the texts are there."""
        seen = [""]

        def fits() -> bool:
            seen[0] = self.look()
            return all(text in seen[0] for text in texts)

        await asyncio.to_thread(self.drawn.until, fits, PATIENCE_S, lambda: seen[0])
        return seen[0]

    async def is_titled(self, text: str) -> None:
        def title() -> str:
            return self("display-message", "-p", "-t", self.pane, "#{pane_title}")

        await asyncio.to_thread(self.drawn.until, lambda: text in title(), PATIENCE_S, title)

    async def types(self, text: str) -> None:
        """As a person does: the text, and Enter when it can be seen. Enter at once would be part of a paste."""
        self("send-keys", "-t", self.pane, "-l", text)
        await self.shows(text)
        await asyncio.sleep(0.2)  # Codex takes keys that come at once for a paste; nothing shows when that is over
        self.press("Enter")

    def press(self, *keys: str) -> None:
        self("send-keys", "-t", self.pane, *keys)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with benched(tmp_path / "home") as bench:
        yield bench
        left = [process for process in psutil.process_iter() if is_of(bench, process) and is_alive(process)]
        assert left == []


def is_of(bench: Bench, process: psutil.Process) -> bool:
    with suppress(psutil.Error, OSError):
        return bool(process.environ().get("HOME") == str(bench.home))
    return False


@pytest.fixture
def screen() -> Iterator[Screen]:
    root = subprocess.Popen(["cat"], stdin=subprocess.PIPE)  # in the place of the run's root
    with tempfile.TemporaryDirectory(prefix="codex-", dir="/tmp") as folder:  # sockets need a short path
        screen = Screen(Path(folder), root)
        yield screen
        screen("kill-server")
        screen.drawn.close()
        root.kill()
        root.communicate()
        assert [path.name for path in Path(folder).iterdir() if path.name != "tmux"] == []


@pytest.fixture
def settings(bench: Bench, screen: Screen) -> AgentSettings:
    return replace(bench.settings, pane=screen.access)


def tui_pid(it: Opened) -> int:
    """Of the newest TUI; the first process is the app-server."""
    return [event.pid for event in it.events.all if event.kind == "process"][1:][-1]


async def next_tui(it: Opened, known: int) -> int:
    await it.events.wait(lambda event: event.kind == "process" and event.pid > 0 and len(tuis(it)) > known)
    return tuis(it)[-1]


def tuis(it: Opened) -> list[int]:
    return [event.pid for event in it.events.all if event.kind == "process"][1:]


def kinds(it: Opened, *wanted: str) -> list[tuple[str, str]]:
    return [(event.kind, event.text) for event in it.events.all if event.kind in wanted]


def is_(kind: str, text: str = "") -> Callable[[AgentEvent], bool]:
    return lambda event: event.kind == kind and text in event.text


# --- our turns ----------------------------------------------------------------------------------------------


def test_a_turn_is_seen_live_on_the_screen_and_told_as_without_it(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY, "YOLO mode")
            turn_id = new_id()
            outcome = await it.agent.turn(turn_id, "use a tool")
            assert (outcome.status, outcome.text, outcome.error) == ("finished", "all done", "")
            assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (20, 10)
            assert kinds(it, "typed", "cut", "ended", "note", "say", "tool", "tool-result") == [
                ("say", "let me look"),
                ("tool", "shell echo one; echo two; exit 3"),
                ("tool-result", "exit 3: two"),
                ("say", "all done"),
            ]
            assert [event.message_id for event in it.events.all if event.kind == "seen"] == [turn_id]
            await screen.shows(asked("use a tool"), "let me look", "all done")
            assert (await it.agent.find_turn(turn_id)).state == "finished"
        left = await screen.shows(asked("use a tool"), "all done", "[loop] codex was ended")  # it stays to be read
        assert "loop run 7" not in left.partition("[loop] codex")[2]

    run(play())


def test_a_session_without_a_turn_is_resumed_and_one_with_a_history_shows_it(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as first:
            pass
        async with bench.open(first.session_id, pane=screen.access) as it:
            assert it.session_id == first.session_id
            await it.agent.turn(new_id(), "hello, remember me")
        async with bench.open(first.session_id, pane=screen.access) as it:
            await screen.shows(asked("hello, remember me"), READY)
        async with bench.open(first.session_id) as it:  # and without a pane as well
            assert len(await user_messages(it)) == 1

    run(play())


def test_a_steered_message_and_an_interrupt_of_ours_are_as_without_a_screen(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            steered, hanging = new_id(), new_id()
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await it.events.wait(is_("tool"))
            assert await it.agent.steer(steered, "by the way")
            await asyncio.to_thread((bench.work / "word").write_text, "go on")
            assert (await turn).status == "finished"
            assert (await it.agent.find_turn(steered)).state == "finished"
            await screen.shows(asked("by the way"), "waited")
            turn = asyncio.create_task(it.agent.turn(hanging, "hang"))
            await until_asked(bench, "hang")
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            assert kinds(it, "typed", "cut") == []
            await screen.shows("interrupted")

    run(play())


def test_a_used_up_limit_is_the_outcome_and_stands_on_the_screen(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            asked_s = int(time.time())
            outcome = await it.agent.turn(new_id(), "reach the limit")
            assert outcome.status == "limited"
            assert asked_s <= outcome.resets_at_ms // 1000 - 3600 <= time.time()
            await screen.shows("usage limit")

    run(play())


def test_a_session_that_is_too_long_is_said_to_be(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            outcome = await it.agent.turn(new_id(), "be too long")
            assert (outcome.status, outcome.cause) == ("failed", "context")

    run(play())


# --- a person at the keys -----------------------------------------------------------------------------------


def test_what_a_person_types_is_told_and_answered_on_the_screen(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            await screen.types("hello by hand")
            await it.events.wait(is_("say"))
            assert kinds(it, "typed", "seen", "say") == [("typed", "hello by hand"), ("say", "hello")]
            await screen.shows(asked("hello by hand"), "• hello")
            assert (await it.agent.turn(new_id(), "use a tool")).text == "all done"

    run(play())


def test_our_turn_waits_until_a_persons_is_over(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            await screen.types("wait for a word, I say")
            await it.events.wait(is_("tool"))
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, "hello"))
            await asyncio.sleep(0)  # no waiting: the task has its first step, so the turn is on its way
            assert not await it.agent.steer(new_id(), "by the way")
            assert (await it.agent.find_turn(turn_id)).state == "absent"
            await asyncio.to_thread((bench.work / "word").write_text, "go on")
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "hello")
            assert kinds(it, "typed", "say", "seen") == [
                ("typed", "wait for a word, I say"),
                ("say", "waited"),
                ("seen", ""),
                ("say", "hello"),
            ]

    run(play())


def test_a_turn_that_waits_for_a_persons_can_be_interrupted(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            await screen.types("hang, I say")
            await it.events.wait(is_("typed"))
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, "hello"))
            await asyncio.sleep(0)  # no waiting: the task has its first step, so the turn is on its way
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            assert (await it.agent.find_turn(turn_id)).state == "absent"
            await screen.shows("esc to interrupt")
            screen.press("Escape")  # the person's own turn: no turn of ours is cut
            await screen.shows("interrupted")
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"
            assert kinds(it, "cut") == []

    run(play())


def test_what_a_person_types_into_our_turn_is_told_and_the_turn_stays_ours(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, "wait for a word"))
            await screen.shows("esc to interrupt")
            await it.events.wait(is_("tool"))
            await screen.types("by the way, I say")
            await screen.shows("submitted after next tool call")
            await asyncio.to_thread((bench.work / "word").write_text, "go on")
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "waited")
            assert kinds(it, "typed") == [("typed", "by the way, I say")]
            assert (await it.agent.find_turn(turn_id)).state == "finished"

    run(play())


def test_a_persons_escape_cuts_our_turn(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, "hang"))
            await until_asked(bench, "hang")
            await screen.shows("esc to interrupt")
            screen.press("Escape")
            assert (await turn).status == "interrupted"
            assert len(kinds(it, "cut")) == 1
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"

    run(play())


def test_a_person_who_breaks_our_turn_off_to_be_heard_at_once_is_heard(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await it.events.wait(is_("tool"))
            await screen.shows("esc to interrupt")
            await screen.types("hello, now please")
            await screen.shows("press esc to interrupt and send immediately")
            screen.press("Escape")
            assert (await turn).status == "interrupted"
            await it.events.wait(is_("say"))
            assert (await it.agent.turn(new_id(), "use a tool")).text == "all done"
            assert kinds(it, "typed", "cut", "say")[:3] == [
                ("cut", "the turn was interrupted in codex's own TUI"),
                ("typed", "hello, now please"),
                ("say", "hello"),
            ]

    run(play())


def test_a_compaction_that_a_person_asks_for_is_waited_for(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            await it.agent.turn(new_id(), "hello")
            await screen.types("/compact")
            await it.events.wait(is_("note", "compacted"))
            assert (await it.agent.turn(new_id(), "use a tool")).text == "all done"
            await screen.shows("Context compacted", "all done")

    run(play())


def test_what_a_person_wants_to_be_asked_is_theirs_to_answer(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            # What /permissions does in the TUI.
            asking = {"approvalPolicy": "untrusted", "sandboxPolicy": {"type": "readOnly"}}
            await it.agent._opened().request("thread/settings/update", {"threadId": it.session_id} | asking)
            turn = asyncio.create_task(it.agent.turn(new_id(), "use a tool"))
            await screen.shows("Would you like to run the following command?")
            await screen.is_titled("[ . ]")  # blinks after a second; a key in the dialog's first moment is lost
            screen.press("y")
            assert (await turn).text == "all done"
            await screen.shows("You approved codex to run")

    run(play())


@pytest.mark.parametrize("command", ["/new", "/fork"])
def test_a_tui_that_goes_to_another_conversation_is_brought_back(bench: Bench, screen: Screen, command: str) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            await it.agent.turn(new_id(), "hello, remember me")
            first = await next_tui(it, 0)
            await screen.types(command)
            await it.events.wait(is_("note", "went to another conversation"))
            assert await next_tui(it, 1) != first
            await screen.shows(asked("hello, remember me"), READY)
            await it.agent.turn(new_id(), "use a tool")
            await screen.shows("all done")
            assert len(tuis(it)) == 2

    run(play())


def test_a_tui_that_resumes_another_conversation_is_brought_back(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open() as other:
            await other.agent.turn(new_id(), "hello from long ago")
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            await it.agent.turn(new_id(), "hello, remember me")
            await go_to("long ago")
            await it.events.wait(is_("note", "went to another conversation"))
            await next_tui(it, 1)
            await screen.shows(asked("hello, remember me"), READY)
            # The second time it is loaded, and Codex tells nobody until something is said there.
            await go_to("long ago")
            await screen.shows(asked("hello from long ago"), "Ask Codex to do anything")
            await screen.types("hello, anybody here?")
            await next_tui(it, 2)
            await screen.shows(asked("hello, remember me"), READY)
            assert kinds(it, "typed") == []

    async def go_to(conversation: str) -> None:
        await screen.types("/resume")
        await screen.shows("Resume a previous session", f"hello from {conversation}")
        screen("send-keys", "-t", screen.pane, "-l", conversation)
        await screen.shows("1 / 1")  # the list is narrowed down
        screen.press("Enter")

    run(play())


# --- the end of one of the two ------------------------------------------------------------------------------


def test_our_turn_goes_on_when_the_tui_is_killed_and_the_tui_comes_back_to_it(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await it.events.wait(is_("tool"))
            os.kill(itself(await next_tui(it, 0)), signal.SIGKILL)
            await it.events.wait(is_("note", "was killed by SIGKILL; restarting it"))
            await next_tui(it, 1)
            await screen.shows(asked("wait for a word"), "esc to interrupt")
            await asyncio.to_thread((bench.work / "word").write_text, "go on")
            assert (await turn).text == "waited"
            await screen.shows("• waited")
            assert kinds(it, "cut", "typed", "ended") == []

    run(play())


def test_a_tui_that_is_left_or_killed_with_its_pane_comes_back(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            await screen.types("/quit")
            await it.events.wait(is_("note", "ended with exit status 0"))
            await next_tui(it, 1)
            await screen.shows(READY)
            screen("kill-pane", "-t", screen.pane)
            await it.events.wait(is_("note", "was killed with its pane"))
            await next_tui(it, 2)
            await screen.shows(READY)
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"
            await screen.shows("• hello")

    run(play())


def test_without_its_session_the_run_goes_on(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            screen("new-session", "-d", "-s", "other", "cat")  # keeps the server
            screen("kill-session", "-t", "=place")
            await it.events.wait(is_("note", "cannot be shown"))
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"

    run(play())


def test_a_turn_that_the_end_of_the_app_server_cut_off_is_found_and_continued(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        turn_id = new_id()
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            turn = asyncio.create_task(it.agent.turn(turn_id, "hang"))
            await until_asked(bench, "hang")
            os.kill(itself(it.events.pid), signal.SIGKILL)
            with pytest.raises(AgentDiedError, match="SIGKILL"):
                await turn
            assert kinds(it, "ended") == []
            await screen.shows("codex app-server was killed by SIGKILL", "the run restarts it")
            with pytest.raises(AgentDiedError):
                await it.agent.turn(new_id(), "hello")
        async with bench.open(it.session_id, pane=screen.access) as it:
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            assert (await it.agent.turn(new_id(), "hang, continued")).text == "went on"
            await screen.shows(asked("hang, continued"), "went on")

    run(play())


def test_the_end_of_an_idle_app_server_is_told(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            await screen.shows(READY)
            os.kill(itself(it.events.pid), signal.SIGKILL)
            ended = await it.events.wait(is_("ended"))
            assert "SIGKILL" in ended.text
            await screen.shows("codex app-server was killed by SIGKILL", "the run restarts it")

    run(play())


def test_a_socket_that_a_killed_incarnation_left_is_no_obstacle(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            os.kill(itself(it.events.pid), signal.SIGKILL)
            await it.events.wait(is_("ended"))
            left = screen.access.folder / "right.codex"
            assert left.is_socket()
            async with bench.open(it.session_id, pane=screen.access) as again:
                assert (await again.agent.turn(new_id(), "hello")).status == "finished"

    run(play())


# --- what is started, and what is left ----------------------------------------------------------------------


def test_the_tui_has_neither_the_bridges_token_nor_a_second_set_of_mcp_servers(bench: Bench, screen: Screen) -> None:
    with (bench.home / ".codex" / "config.toml").open("a", encoding="utf-8") as file:
        file.write('\n[mcp_servers.still]\ncommand = "sleep"\nargs = ["4321"]\n')

    async def play() -> None:
        bridge = BridgeAccess(url="http://127.0.0.1:9/mcp", token="secret-token")
        async with bench.open(pane=screen.access, bridge=bridge) as it:
            await screen.shows(READY)
            tui = psutil.Process(await next_tui(it, 0))
            assert "secret-token" not in str([tui.cmdline(), tui.environ()])
            assert "secret-token" not in str(psutil.Process(it.events.pid).cmdline())
            started = [process for process in tui.children(recursive=True) if process.pid != itself(tui.pid)]
            assert started == []

    run(play())


def test_closing_leaves_no_process_and_says_so_in_the_pane(bench: Bench, screen: Screen) -> None:
    async def play() -> None:
        async with bench.open(pane=screen.access) as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "leave processes"))
            for name in ("daemon", "shell"):
                await asyncio.to_thread((bench.work / name).read_text)
            await screen.shows("leave processes")
            await it.agent.close()
            assert [process for process in psutil.process_iter() if is_of(bench, process) and is_alive(process)] == []
            with pytest.raises(AgentDiedError):
                await turn
            await screen.shows("[loop] codex was ended")

    run(play())


def test_a_fresh_home_asks_nothing_neither_for_a_login_nor_for_trust(bench: Bench, screen: Screen) -> None:
    config = bench.home / ".codex" / "config.toml"
    config.write_text(config.read_text().replace("check_for_update_on_startup = false", ""), encoding="utf-8")
    bench.configure("requires_openai_auth = true")
    subprocess.run(["git", "init", "-q", str(bench.work)], check=True)
    environment = bench.with_variables(CODEX_API_KEY="sk-test").environment

    async def play() -> None:
        async with bench.open(pane=screen.access, environment=environment) as it:
            await screen.shows(READY)
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"
            await screen.shows("• hello")
            assert not (bench.home / ".codex" / "auth.json").exists()

    run(play())
