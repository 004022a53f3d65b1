"""Any ACP agent, with a stand-in that knows nothing of our extension; the embedded agent has tests of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from actors.access import BridgeAccess
from actors.adapters import acp, acp_program
from actors.adapters.base import AgentSettings
from actors.edges.mcp_endpoint import McpEndpoint
from actors.errors import AgentBreachError, AgentDiedError, AgentUnavailableError, SessionNotFoundError
from tests.actors.adapters.acp_rig import Events, Opened, is_alive, opened, run, settings
from tests.actors.edges.test_mcp_endpoint import TOKENS, Recorder, listening

PROGRAM = Path(__file__).with_name("plain_acp_agent.py")

NO_PROTOCOL = """read line; echo '{"jsonrpc": "2.0", "id": 0, "result": {}}'; read line"""


def plain(home: Path, *flags: str) -> AgentSettings:
    return settings(home, command=(sys.executable, str(PROGRAM), *flags))


def new_id() -> str:
    return str(uuid.uuid4())


def prompts(home: Path) -> list[str]:
    lines = (home / "plain-1").read_text().splitlines()
    return [line for line in lines if line.startswith('["user"')]


def test_chunks_become_whole_messages_and_the_last_one_is_the_outcome(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            turn_id = new_id()
            outcome = await it.agent.turn(turn_id, "chunks")
            assert (outcome.status, outcome.text, outcome.usage.cost_usd) == ("finished", "all done", 0.25)
            assert it.events.texts("say") == ["let me look", "all done"]
            assert it.events.texts("tool") == ["ls -l"]
            assert it.events.texts("tool-result") == ["completed: a file"]
            assert [e.message_id for e in it.events.all if e.kind == "seen"] == [turn_id]
            assert all(e.raw.startswith("{") for e in it.events.all if e.kind == "raw")
            again = await it.agent.turn(new_id(), "chunks")
            assert again.usage.cost_usd == 0.0  # the agent reports the session's cost, not the turn's

    run(play())


def test_a_permission_is_granted_for_good_where_that_is_offered(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            outcome = await it.agent.turn(new_id(), "ask")
            assert outcome.text == "id-allow_always"
            assert "granted: rm -r build" in it.events.texts("note")

    run(play())


@pytest.mark.parametrize("order", ["hang", "hang_badly"])
def test_an_interrupted_turn_ends_as_interrupted(tmp_path: Path, order: str) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            await it.agent.interrupt()  # none runs: nothing happens
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, order))
            await it.events.wait(lambda e: e.kind == "seen")
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            assert not await it.agent.steer(new_id(), "hurry up")
            await it.agent.interrupt()
            outcome = await turn
            assert (outcome.status, outcome.text) == ("interrupted", "working")
            assert (await it.agent.find_turn(turn_id)).outcome == outcome

    run(play())


def test_a_turn_that_the_agent_gives_up_says_why(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            for order, status, error in (
                (
                    "invent",
                    "failed",
                    "its answer does not follow the protocol: PromptResponse.stopReason: Input should",
                ),
                ("refuse", "failed", "the agent refused to continue"),
                ("talk_on", "failed", "the agent's answer reached the model's limit of tokens"),
                ("limit", "limited", "Rate limit exceeded. Try again later."),
                ("no_such_order", "failed", "Internal error: 'PlainAgent' object has no attribute 'no_such_order'"),
            ):
                outcome = await it.agent.turn(new_id(), order)
                assert outcome.status == status
                assert outcome.error.startswith(error)

    run(play())


def test_a_model_is_chosen_for_a_turn_and_kept_for_the_next(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(acp.factory, replace(plain(tmp_path), model="small")) as it:
            assert (await it.agent.turn(new_id(), "which_model", model="large")).text == "large"
            assert (await it.agent.turn(new_id(), "which_model")).text == "small"

    run(play())


def test_an_agent_that_is_killed_in_a_turn_is_reported_with_its_last_words(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            with pytest.raises(AgentDiedError, match=r"killed by SIGKILL \(its last words: the disk is full\)"):
                await it.agent.turn(new_id(), "die")
            with pytest.raises(AgentDiedError):
                await it.agent.turn(new_id(), "chunks")

    run(play())


def test_an_answer_to_an_agent_that_is_gone_is_no_error(tmp_path: Path) -> None:
    """Nobody waits for it, and the package would log a traceback; a request of ours is another matter."""

    async def play() -> None:
        program = await acp_program.AgentProgram.start(["true"], {"PATH": os.environ["PATH"]}, tmp_path)
        assert await program.receive() is None
        await program.exit_text(20)
        await program.send({"jsonrpc": "2.0", "id": 1, "result": {}})
        with pytest.raises(ConnectionError):
            await program.send({"jsonrpc": "2.0", "id": 2, "method": "session/prompt"})
        await program.end()

    run(play())


async def stray_of(it: Opened) -> psutil.Process:
    said = await it.events.wait(lambda e: e.kind == "raw" and "agent_message_chunk" in e.raw)
    stray = psutil.Process(int(json.loads(said.raw)["content"]["text"]))
    assert is_alive(stray)
    return stray


@pytest.mark.parametrize("order", ["leave_child", "leave_daemon"])
def test_a_death_is_noticed_and_tidied_up_though_a_stray_child_holds_the_pipe(tmp_path: Path, order: str) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), order))
            stray = await stray_of(it)
            os.kill(it.events.pid, signal.SIGKILL)
            with pytest.raises(AgentDiedError, match="SIGKILL"):
                await turn
            await it.agent.close()
            assert not is_alive(stray)
            await it.agent.close()  # once more is nothing

    run(play())


@pytest.mark.parametrize("order", ["leave_child", "leave_daemon"])
def test_closing_in_the_middle_of_a_turn_ends_it_and_all_processes(tmp_path: Path, order: str) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), order))
            stray = await stray_of(it)
            await asyncio.gather(it.agent.close(), it.agent.close())
            with pytest.raises(AgentDiedError, match="closed"):
                await turn
            assert not is_alive(stray)

    run(play())


def test_an_agent_that_heeds_neither_the_end_of_its_input_nor_sigterm_is_killed(tmp_path: Path) -> None:
    async def play() -> None:
        stubborn = plain(tmp_path, "--stubborn")
        async with opened(acp.factory, stubborn) as it:  # which is closed, with nothing left of it
            await it.agent.turn(new_id(), "chunks")

    run(play())


def test_after_a_crash_the_marker_in_the_replay_tells_which_prompts_the_agent_has(tmp_path: Path) -> None:
    async def play() -> None:
        done, cut = new_id(), new_id()
        async with opened(acp.factory, plain(tmp_path)) as it:
            outcome = await it.agent.turn(done, "chunks")
            assert (await it.agent.find_turn(done)).outcome == outcome
            with pytest.raises(AgentDiedError):
                await it.agent.turn(cut, "die")
        async with opened(acp.factory, plain(tmp_path), it.session_id) as again:
            assert again.session_id == it.session_id
            # A replay looks the same for an answer and for half of one.
            assert (await again.agent.find_turn(done)).state == "unfinished"
            assert (await again.agent.find_turn(cut)).state == "unfinished"
            assert (await again.agent.find_turn(new_id())).state == "absent"
            assert again.events.texts("say") == []  # history is no news
            assert (await again.agent.turn(new_id(), "chunks")).status == "finished"
        assert len(prompts(tmp_path)) == 3

    run(play())


def test_an_agent_that_replays_only_its_own_messages_may_have_the_prompt(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            assert (await it.agent.find_turn(new_id())).state == "absent"
            await it.agent.turn(new_id(), "chunks")
        async with opened(acp.factory, plain(tmp_path, "--silent"), it.session_id) as again:
            assert (await again.agent.find_turn(new_id())).state == "unfinished"

    run(play())


class Pauses:
    """The while after each piece of a replay, which lasts until the test ends it."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def __call__(self) -> None:
        over = asyncio.Event()
        self._begun.put_nowait(over)
        await over.wait()

    async def piece(self, it: Opened) -> None:
        """The next piece comes while the agent is waited for; returns when it was taken."""
        await self._begun.get()
        os.kill(it.events.pid, signal.SIGUSR1)

    async def quiet(self, times: int = 1) -> None:
        for _ in range(times):
            (await self._begun.get()).set()


async def crashed(home: Path) -> tuple[str, str]:
    """A session with an answered prompt, and with one at which the agent was killed."""
    done, cut = new_id(), new_id()
    async with opened(acp.factory, plain(home)) as it:
        await it.agent.turn(done, "refuse")
        with pytest.raises(AgentDiedError):
            await it.agent.turn(cut, "die")
    return done, cut


def test_a_prompt_that_the_replay_brings_after_its_answer_is_not_absent(tmp_path: Path) -> None:
    async def play() -> None:
        done, cut = await crashed(tmp_path)
        pauses = Pauses()
        late = plain(tmp_path, "--late")
        async with opened(lambda s, sink: acp.AcpAgent(s, sink, pauses), late, "plain-1") as it:
            finding = asyncio.create_task(it.agent.find_turn(cut, answered=done))
            for _ in range(4):  # two prompts, each in two pieces
                assert not finding.done()
                await pauses.piece(it)
            assert (await finding).state == "unfinished"
            finding = asyncio.create_task(it.agent.find_turn(new_id(), answered=done))
            await pauses.quiet()
            assert (await finding).state == "absent"  # the answered one is there, and nothing comes any more

    run(play())


def test_a_replay_that_never_brings_the_answered_prompt_leaves_open_what_else_is_missing(tmp_path: Path) -> None:
    async def play() -> None:
        done, cut = await crashed(tmp_path)
        pauses = Pauses()
        late = plain(tmp_path, "--late")
        async with opened(lambda s, sink: acp.AcpAgent(s, sink, pauses), late, "plain-1") as it:
            finding = asyncio.create_task(it.agent.find_turn(cut, answered=done))
            await pauses.quiet(times=3)
            assert (await finding).state == "unfinished"

    run(play())


def test_the_late_rest_of_a_replay_is_no_part_of_the_turn_that_runs(tmp_path: Path) -> None:
    async def play() -> None:
        await crashed(tmp_path)
        pauses = Pauses()
        late = plain(tmp_path, "--late")
        async with opened(lambda s, sink: acp.AcpAgent(s, sink, pauses), late, "plain-1") as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "hang"))
            await pauses.quiet(times=3)
            await it.events.wait(lambda e: e.kind == "seen")
            os.kill(it.events.pid, signal.SIGUSR1)
            for _ in range(4):  # the second halves, and "farewell"
                await pauses.piece(it)
            await pauses.quiet()
            await it.agent.interrupt()
            outcome = await turn
            assert (outcome.status, outcome.text) == ("interrupted", "working")
            assert it.events.texts("say") == ["working"]

    run(play())


@pytest.mark.parametrize(("flag", "reason"), [("--no-load", "no loadSession"), ("", "Resource not found")])
def test_a_session_that_cannot_be_loaded_is_reported_as_such(tmp_path: Path, flag: str, reason: str) -> None:
    async def play() -> None:
        with pytest.raises(SessionNotFoundError, match=reason):
            async with opened(acp.factory, plain(tmp_path, flag), "plain-7"):
                pass

    run(play())


def test_an_agent_without_mcp_over_http_reaches_its_peer_over_stdio_also_after_a_restart(tmp_path: Path) -> None:
    desk = Recorder()

    async def play(url: str) -> None:
        alone = plain(tmp_path)
        paired = replace(alone, bridge=BridgeAccess(url=url, token=TOKENS["reviewer"]))
        session_id = None
        for _ in range(2):
            async with opened(acp.factory, paired, session_id) as it:
                session_id = it.session_id
                assert (await it.agent.turn(new_id(), "write_to_peer")).text == "queued, id 1, from the reviewer"

    with listening() as sock:
        endpoint = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), print)
        endpoint.start()
        run(play(endpoint.url))
        endpoint.stop()
    assert desk.calls == [("reviewer", "claude", "hello")] * 2


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("no-such-program",), "program 'no-such-program' was not found"),
        (("./missing.sh", "--acp"), "program './missing.sh' was not found"),
        ((), "has no command"),
        (("sh", "-c", "echo wrong option >&2; exit 3"), "exited with status 3: wrong option"),
        ((sys.executable, str(PROGRAM), "--old"), "speaks version 0"),
        ((sys.executable, str(PROGRAM), "--login"), "is not logged in"),
        (("sh", "-c", NO_PROTOCOL), "does not follow the protocol: InitializeResponse.protocolVersion: Field required"),
    ],
)
def test_an_agent_that_cannot_be_used_is_one_clear_line(tmp_path: Path, command: tuple[str, ...], problem: str) -> None:
    async def play() -> None:
        agent = acp.factory(settings(tmp_path, command=command), Events())  # never fails
        with pytest.raises(AgentUnavailableError) as caught:
            await agent.open(None)
        await agent.close()
        assert problem in str(caught.value)
        assert "\n" not in str(caught.value)

    run(play())


def test_lines_on_stdout_that_are_no_messages_do_no_harm(tmp_path: Path) -> None:
    async def play() -> None:
        noisy = ("sh", "-c", f"echo Welcome!; exec {sys.executable} {PROGRAM}")
        async with opened(acp.factory, settings(tmp_path, command=noisy)) as it:
            assert (await it.agent.turn(new_id(), "chunks")).text == "all done"

    run(play())


def test_an_emoji_that_the_agent_has_cut_in_two_costs_no_turn(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            outcome = await it.agent.turn(new_id(), "half")
            assert outcome.text == "cut \ufffd off, and whole \N{GRINNING FACE}\nAll done."
            assert outcome.status == "finished"
            for event in it.events.all:
                (event.text + event.raw).encode()

    run(play())


@pytest.mark.parametrize(
    ("order", "why"), [("long", "sent a line of over 50 MB"), ("deep", "sent JSON nested deeper than 200 levels")]
)
def test_what_is_beyond_all_bounds_fails_the_turn_and_the_next_begins_with_another_program(
    tmp_path: Path, order: str, why: str
) -> None:
    async def play() -> None:
        async with opened(acp.factory, plain(tmp_path)) as it:
            with pytest.raises(AgentBreachError, match=f"^agent 'tester' {why}$"):
                await it.agent.turn(new_id(), order)
            with pytest.raises(AgentDiedError):
                await it.agent.turn(new_id(), "chunks")

    run(play())


GARBAGE = "printf 'Welcome to \\033]0;owned\\007Agent 1.0\\n%.0s' $(seq 40); exec sleep 60"


def test_an_agent_that_prints_garbage_is_quoted_at_once_and_printably(tmp_path: Path) -> None:
    async def play() -> None:
        agent = acp.factory(settings(tmp_path, command=("sh", "-c", GARBAGE)), Events())
        with pytest.raises(AgentUnavailableError) as caught:
            await agent.open(None)
        await agent.close()
        assert "does not speak the Agent Client Protocol: it printed 'Welcome to ␛]0;owned␇Agent 1.0" in str(
            caught.value
        )
        assert str(caught.value).isprintable()

    run(play(), limit_s=acp_program.GREETING_PATIENCE_S)


def test_an_agent_that_greets_and_then_says_nothing_is_not_waited_for_like_one_that_is_installed_first(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        program = acp_program.AgentProgram(greeting_patience_s=0.01)
        program.heard(b"Welcome!\n")
        assert await program.receive() is None
        assert str(program.breach) == "does not speak the Agent Client Protocol: it printed 'Welcome!'"

    run(play())
