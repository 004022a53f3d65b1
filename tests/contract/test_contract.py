"""The contract of `actors.adapters.base.Agent`: one suite for every adapter, with a row per adapter (rigs.py)."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types
import pytest

from actors.edges import processes
from actors.errors import AgentBreachError, AgentDiedError, AgentUnavailableError, SessionNotFoundError
from actors.machines.review_answer import SCHEMA, read_answer
from tests.actors.adapters.acp_rig import Opened, is_alive
from tests.contract.rigs import LONG, PATIENCE_S, RIGS, ClaudeTui, Rig, new_id

ROOT = Path(__file__).with_name("root.py")


@pytest.fixture(scope="module")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    kind: type[Rig] = request.param
    with kind(tmp_path_factory.mktemp(kind.name) / "home") as rig:
        yield rig


def every_adapter(case: str = "") -> pytest.MarkDecorator:
    """Parametrises the test over the rows. Where a row cannot do the case, the id says so, and the row says why."""

    def row(kind: type[Rig]) -> object:
        marks = []
        if kind.is_real_agent:
            marks.append(pytest.mark.real_agents)
        if kind.needs_tmux:
            marks.append(pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux: apt-get install tmux"))
        cannot = f"-cannot-{case}" if case in kind.cannot else ""
        return pytest.param(kind, id=f"{kind.name}{cannot}", marks=marks)

    return pytest.mark.parametrize("rig", [row(kind) for kind in RIGS], indirect=True, scope="module")


async def until_seen(it: Opened, message_id: str) -> None:
    await it.events.wait(lambda event: event.kind == "seen" and event.message_id == message_id)


async def killed(rig: Rig, it: Opened, turn: asyncio.Task[object]) -> None:
    os.kill(rig.agent_of(it), signal.SIGKILL)
    with pytest.raises(AgentDiedError, match=rig.killed_is):
        await turn


# --- an open session ------------------------------------------------------------------------------------------


@every_adapter()
def test_an_opened_agent_says_its_session_and_its_process(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            assert it.session_id
            assert is_alive(psutil.Process(it.events.pid))
            assert os.getsid(it.events.pid) != os.getsid(0)  # a Ctrl-C in our terminal is not for it

    rig.run(play())


@every_adapter()
def test_a_turn_tells_what_the_agent_says_and_does_and_how_it_ended(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            turn_id = new_id()
            assert (await it.agent.find_turn(turn_id)).state == "absent"
            outcome = await it.agent.turn(turn_id, "use a tool")
            assert (outcome.status, outcome.text, outcome.error) == ("finished", "all done", "")
            told = [(e.kind, e.text) for e in it.events.all if e.kind in {"say", "tool", "tool-result", "typed", "cut"}]
            assert told == rig.told
            await until_seen(it, turn_id)
            order = [(e.kind, e.message_id) for e in it.events.all if e.kind == "say" or e.message_id == turn_id]
            assert order.count(("seen", turn_id)) == 1
            assert not rig.is_seen_first or order[0] == ("seen", turn_id)
            raws = [json.loads(event.raw) for event in it.events.all if event.raw]
            assert raws
            assert all(isinstance(raw, dict) for raw in raws)
            found = await it.agent.find_turn(turn_id)
            assert found.state == "finished"
            assert found.outcome is not None
            assert (found.outcome.status, found.outcome.text) == ("finished", "all done")
            assert (await rig.record(it)).count(turn_id) == 1
            assert (await it.agent.find_turn(new_id())).state == "absent"

    rig.run(play())


@every_adapter()
def test_every_tool_that_begins_ends_under_the_same_id(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            await it.agent.turn(new_id(), "use a tool")
            await it.events.wait(lambda event: bool(event.ends))
            begun = [event.begins for event in it.events.all if event.kind == "tool"]
            assert len(begun) == 1
            assert begun == [event.ends for event in it.events.all if event.ends]

    rig.run(play())


@every_adapter()
def test_each_turn_has_the_usage_of_its_own(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            for _ in range(2):
                usage = (await it.agent.turn(new_id(), "use a tool")).usage
                assert usage.tokens_known == (rig.tokens is not None)
                assert (usage.input_tokens, usage.output_tokens) == (rig.tokens or (0, 0))

    rig.run(play())


@every_adapter("pieces")
def test_the_pieces_of_an_answer_become_whole_messages(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            assert (await it.agent.turn(new_id(), "use a tool")).text == "all done"
            assert it.events.texts("say") == ["let me look", "all done"]

    rig.run(play())


@every_adapter()
@pytest.mark.parametrize("words", ["/compact", "/clear now", " /context", "!touch spoken", "#remember it", "$HOME"])
def test_a_message_that_begins_like_an_agents_own_command_is_a_message(rig: Rig, words: str) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            turn_id = new_id()
            outcome = await it.agent.turn(turn_id, words)
            assert (outcome.status, outcome.text) == ("finished", "hello")
            assert (await it.agent.find_turn(turn_id, words)).state == "finished"
            assert (await rig.record(it)).count(turn_id) == 1
            assert not (rig.work / "spoken").exists()

    rig.run(play())


@every_adapter("form")
def test_an_answer_has_the_form_of_its_own_turn_and_of_no_other(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            already = len(rig.bound())
            for prompt, schema in (("hello", None), ("give your verdict", SCHEMA), ("hello", None)):
                turn_id = new_id()
                outcome = await it.agent.turn(turn_id, prompt, schema=schema)
                assert outcome.status == "finished"
                assert (read_answer(outcome.text).verdict.kind == "pass") is (schema is not None)
                assert read_answer(it.events.texts("say")[-1]) == read_answer(outcome.text)
                found = await it.agent.find_turn(turn_id)
                assert found.state == "finished"
                assert found.outcome is not None
                assert found.outcome.text == outcome.text
                assert (await rig.record(it)).count(turn_id) == 1
            assert "form" in rig.cannot or rig.bound()[already:] == [False, True, False]

    rig.run(play())


# --- into a running turn --------------------------------------------------------------------------------------


@every_adapter("steer")
def test_a_steered_message_is_seen_in_the_running_turn(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            turn_id, steered = new_id(), new_id()
            can = "steer" not in rig.cannot
            assert it.agent.can_steer is can
            assert not await it.agent.steer(new_id(), "by the way, no turn runs")
            turn = asyncio.create_task(it.agent.turn(turn_id, "wait for a word"))
            await it.events.wait(lambda event: event.kind == "tool")
            assert await it.agent.steer(steered, "by the way") is can
            if can:
                await rig.has_queued(it, steered)
            if rig.waits_unseen:  # delivered, and not yet read
                assert (await it.agent.find_turn(steered)).state == "absent"
            await asyncio.to_thread((rig.work / "word").write_text, "go on")
            outcome = await turn
            assert outcome.status == "finished"
            assert "waited" in outcome.text
            if can:
                await until_seen(it, steered)
            found = await it.agent.find_turn(steered)
            assert found.state == ("finished" if can else "absent")
            assert found.outcome is None or found.outcome.text == outcome.text
            assert (await rig.record(it)).count(steered) == can
            assert not await it.agent.steer(new_id(), "by the way, it is over")

    rig.run(play())


@every_adapter()
def test_an_interrupt_ends_the_running_turn_and_nothing_else(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            await it.agent.interrupt()  # none runs: nothing happens
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, "hang"))
            await until_seen(it, turn_id)
            await rig.works_on("hang")
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            assert it.events.texts("cut") == []
            found = await it.agent.find_turn(turn_id)
            assert found.state == rig.interrupted_is
            assert found.outcome is None or found.outcome.status == "interrupted"
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    rig.run(play())


@every_adapter()
def test_an_interrupt_at_the_very_beginning_of_a_turn_is_not_lost(rig: Rig) -> None:
    async def play() -> None:
        async with rig.lend() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "hang"))
            await asyncio.sleep(0)  # no waiting: the task has its first step, so the turn is on its way
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"

    rig.run(play())


@every_adapter("late_record")
def test_a_prompt_whose_record_comes_late_is_not_absent(rig: Rig) -> None:
    async def play() -> None:
        state = await rig.late_record()
        assert (state == "absent") is ("late_record" in rig.cannot)

    rig.run(play())


# --- another process, the same session ------------------------------------------------------------------------


@every_adapter()
def test_a_session_is_resumed_in_a_new_process_after_a_kill_between_turns(rig: Rig) -> None:
    async def play() -> None:
        first, second = new_id(), new_id()
        async with rig.open() as it:
            await it.agent.turn(first, "hello")
            assert (await it.agent.find_turn(first)).state == "finished"  # it is written by now
            os.kill(rig.agent_of(it), signal.SIGKILL)
            with pytest.raises(AgentDiedError, match=rig.killed_is):
                await it.agent.turn(new_id(), "hello")
        async with rig.open(it.session_id) as again:
            assert again.session_id == it.session_id
            assert again.events.pid != it.events.pid
            found = await again.agent.find_turn(first, answered=first)
            assert found.state == rig.finished_is
            assert found.outcome is None or (found.outcome.status, found.outcome.text) == ("finished", "hello")
            assert [e for e in again.events.all if e.kind in {"say", "seen", "tool"}] == []  # a replay is no event
            assert (await again.agent.turn(second, "use a tool")).text == "all done"
            assert (await again.agent.find_turn(second)).state == "finished"  # it is written by now
            assert await rig.record(again) == [first, second]

    rig.run(play())


@every_adapter()
def test_a_turn_that_a_kill_of_the_agent_cut_off_is_open_and_the_session_works_on(rig: Rig) -> None:
    async def play() -> None:
        ran, cut, continued = new_id(), new_id(), new_id()
        async with rig.open() as it:
            await it.agent.turn(ran, "hello")
            turn = asyncio.create_task(it.agent.turn(cut, "hang"))
            await until_seen(it, cut)
            await killed(rig, it, turn)
        async with rig.open(it.session_id) as it:
            await knows_what_became_of(rig, it, ran, cut)
            assert (await it.agent.turn(continued, "hello")).text == "hello"
            assert (await it.agent.find_turn(continued)).state == "finished"
            assert (await it.agent.find_turn(cut, answered=continued)).state == "unfinished"
            assert await rig.record(it) == [ran, cut, continued]

    rig.run(play())


@every_adapter()
def test_a_turn_that_a_kill_of_the_root_cut_off_is_open_and_the_session_works_on(rig: Rig) -> None:
    ran, cut, continued = new_id(), new_id(), new_id()
    session_id = ""
    started: list[tuple[int, str]] = []
    given = pickle.dumps((type(rig).factory, rig.settings, ran, cut))
    with subprocess.Popen([sys.executable, str(ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as root:
        assert root.stdin is not None
        assert root.stdout is not None
        with root.stdin:
            root.stdin.write(given)
        for line in root.stdout:
            match json.loads(line):
                case ["session", told]:
                    session_id = told
                case ["process", int(pid), str(begun)]:
                    started.append((pid, begun))
                case ["seen"]:
                    root.kill()
    assert session_id
    for pid, begun in started:  # as the next root does, from its records
        processes.end_stale(pid, begun)

    async def play() -> None:
        async with rig.open(session_id) as it:
            assert it.session_id == session_id
            await knows_what_became_of(rig, it, ran, cut)
            assert (await it.agent.turn(continued, "hello")).text == "hello"
            assert (await it.agent.find_turn(continued)).state == "finished"  # it is written by now
            assert await rig.record(it) == [ran, cut, continued]

    rig.run(play())


async def knows_what_became_of(rig: Rig, it: Opened, ran: str, cut: str) -> None:
    found = await it.agent.find_turn(ran, "hello", answered=ran)
    assert found.state == rig.finished_is
    assert found.outcome is None or (found.outcome.status, found.outcome.text) == ("finished", "hello")
    assert (await it.agent.find_turn(cut, "hang", answered=ran)).state == "unfinished"
    assert (await it.agent.find_turn(new_id(), "never said", answered=ran)).state == "absent"


@every_adapter()
def test_a_session_that_the_agent_does_not_have_is_reported_as_such(rig: Rig) -> None:
    async def play() -> None:
        with pytest.raises(SessionNotFoundError, match=rig.not_there):
            async with rig.open(rig.not_there):
                pass

    rig.run(play())


# --- the end --------------------------------------------------------------------------------------------------


@every_adapter()
@pytest.mark.parametrize("killed_before", [False, True], ids=["running", "killed"])
def test_closing_ends_every_process_also_those_that_left_the_tree(rig: Rig, *, killed_before: bool) -> None:
    async def play() -> None:
        async with rig.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "leave processes"))
            left = [psutil.Process(pid) for pid in await rig.left_behind(it)]
            assert [is_alive(process) for process in left] == [True] * len(left)
            if killed_before:
                await killed(rig, it, turn)
                assert is_alive(left[0])
            await asyncio.gather(it.agent.close(), it.agent.close())
            assert [process for process in left if is_alive(process)] == []
            with pytest.raises(AgentDiedError):
                await turn
            await it.agent.close()  # a second call does nothing

    rig.run(play())


# --- programs that misbehave ---------------------------------------------------------------------------------


@every_adapter()
def test_a_line_of_ten_megabytes_is_taken(rig: Rig) -> None:
    async def play() -> None:
        async with rig.open(settings=rig.that_says()) as it:
            if isinstance(rig, ClaudeTui):  # the adapter reads its transcript
                await it.agent.turn(new_id(), "hello")
                with rig.transcript(it).open("a") as transcript:
                    entry = {"type": "user", "message": {"content": "x" * LONG}, "isMeta": True}
                    transcript.write(json.dumps(entry) + "\n")
                await it.events.wait(lambda event: len(event.raw) > LONG)
            outcome = await it.agent.turn(new_id(), "pour ten megabytes")
            assert outcome.status == "finished"
            assert max(len(event.raw) for event in it.events.all) > LONG

    rig.run(play())


@every_adapter()
def test_garbage_on_its_output_is_passed_over_or_one_breach_and_then_its_end(rig: Rig) -> None:
    async def play() -> None:
        async with rig.open(settings=rig.that_says()) as it:
            if isinstance(rig, ClaudeTui):
                await it.agent.turn(new_id(), "hello")
                with rig.transcript(it).open("ab") as transcript:
                    transcript.write(b"{broken \x1b]0;owned\x07 \xff\n" + b"[" * 100_000 + b"\n")
            turn = it.agent.turn(new_id(), "babble")
            if rig.garbage_is:
                with pytest.raises(AgentBreachError, match=f"^{rig.garbage_is}") as caught:
                    await turn
                assert str(caught.value).isprintable()
                async with asyncio.timeout(PATIENCE_S):  # at once: the session's owner starts another program
                    with pytest.raises(AgentDiedError):
                        await it.agent.turn(new_id(), "hello")
            else:
                assert (await turn).text == "printed"
                for event in it.events.all:  # text becomes valid where it enters, printable where it leaves
                    (event.text + event.raw).encode()

    rig.run(play())


@every_adapter()
def test_a_program_that_exits_at_once_is_unavailable_with_its_own_words(rig: Rig) -> None:
    async def play() -> None:
        with pytest.raises(AgentUnavailableError, match=rig.last_words) as caught:
            async with rig.open(settings=rig.that_exits()):
                pass
        assert str(caught.value).isprintable()

    rig.run(play())


@every_adapter("log_in")
def test_an_agent_that_is_not_logged_in_is_unavailable_and_says_what_to_do(rig: Rig) -> None:
    settings = rig.logged_out()

    def start() -> None:
        type(rig).preflight(settings)
        rig.run(play())  # some can be asked only while they are open

    async def play() -> None:
        async with rig.open(settings=settings):
            pass

    if "log_in" in rig.cannot:
        start()
        return
    with pytest.raises(AgentUnavailableError, match=f"^{rig.login}") as caught:
        start()
    assert str(caught.value).isprintable()
