"""`loop acp`: a run as the agent of an editor, driven by the official library's client."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from acp import RequestError

from tests.end_to_end.conftest import TASK, World
from tests.lab import third_party
from tests.lab.acp_client import WAIT, editor
from tests.lab.world import CHECK, LOOP, PATIENCE_S, SCENARIOS

EMBEDDED = ("--agent", "embedded", "--review-plan", "none", "--check", "true")

# Work that waits until somebody makes the file `go`.
SCENARIO = """
[[turn]]
when = "^Plan"
[[turn.step]]
run = "printf '# Plan %s\\n\\n- [x] look\\n- [ ] greet\\n' $$ > PLAN.md"
[[turn.step]]
say = "PLAN.md is written."

[[turn]]
role = "worker"
when = "^Iteration"
[[turn.step]]
run = "{work}"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Review"
[[turn.step]]
say = "<review>{verdict}</review>"

[[turn]]
when = "^Draft pull request"
[[turn.step]]
say = "There is nothing to publish."

[[turn]]
when = ""
aside = true
[[turn.step]]
say = "Understood."
"""


def play(world: World, *, work: str = "echo done > done", verdict: str = "PASS") -> None:
    scenario = world.base / "acp.toml"
    scenario.write_text(SCENARIO.replace("{work}", work).replace("{verdict}", verdict))
    world.play_embedded(scenario)


def test_a_prompt_is_a_run_and_the_next_prompt_its_next_task(world: World):
    play(world)

    async def drive() -> None:
        async with editor(world, *EMBEDDED) as zed:
            session = (await zed.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            first = await zed.prompt(session, "Greet politely")
            assert first.stop_reason == "end_turn"
            assert first.field_meta == {"loop": {"run": session, "state": "completed"}}
            assert zed.client.kinds() == {
                *("session_info_update", "agent_message_chunk", "agent_thought_chunk"),
                *("tool_call", "tool_call_update", "plan"),
            }
            assert "true" in zed.client.titles  # the check
            begun = [each["toolCallId"] for each in zed.client.updates if each["sessionUpdate"] == "tool_call"]
            ended = [
                each["toolCallId"]
                for each in zed.client.updates
                if each["sessionUpdate"] == "tool_call_update" and each["status"] == "completed"
            ]
            assert sorted(begun) == sorted(ended)
            plans = [each["entries"] for each in zed.client.updates if each["sessionUpdate"] == "plan"]
            assert [entry["content"] for entry in plans[-1]][:3] == ["Plan", "look", "greet"]
            assert {entry["status"] for entry in plans[-1]} == {"completed"}
            assert "**run 1 completed" in zed.client.said

            second = await zed.prompt(session, "Greet politely")  # the same words again are a task, too
            assert second.stop_reason == "end_turn"
            assert zed.client.said.count("run 1 completed") == 2
            found = (await zed.agent.list_sessions(cwd=str(world.project))).sessions
            assert [each.session_id for each in found] == [session]
            assert await zed.gone() == 0
            assert zed.client.breaches == []

    asyncio.run(drive())
    assert world.manifest()["state"] == "completed"
    world.wait_until_empty()


def test_a_question_of_the_run_is_a_permission_request_and_its_answer_a_verdict(world: World):
    play(world, verdict="FAIL")
    words = (*EMBEDDED, "--max-iterations", "1")

    async def drive() -> None:
        async with editor(world, *words, answers=["say", "", "approve"]) as zed:
            session = (await zed.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            first = await zed.prompt(session, "Greet politely")
            assert (first.stop_reason, first.field_meta["loop"]["state"]) == ("end_turn", "input-required")
            assert zed.client.offered == [["approve", "say", "stop"]]
            assert "iteration 1 of 1 is over, and the task is not proved done" in zed.client.questions[0]
            second = await zed.prompt(session, "Use a comma")  # is the answer
            assert second.stop_reason == "end_turn"  # the dialog was closed
            third = await zed.prompt(session, "And an exclamation mark")
            assert third.field_meta["loop"]["state"] == "completed"
            assert zed.client.breaches == []
            assert await zed.gone() == 0

    asyncio.run(drive())
    assert [line["status"] for line in world.transcript() if line.get("reviewer") == "human"] == ["pass"]
    world.wait_until_empty()


def test_a_headless_session_asks_nothing_and_says_that_it_is_out_of_iterations(world: World):
    play(world, verdict="FAIL")

    async def drive() -> None:
        async with editor(world, *EMBEDDED, "--headless", "--max-iterations", "1") as harness:
            session = (await harness.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            ended = await harness.prompt(session, "Greet politely")
            assert ended.stop_reason == "max_turn_requests"
            assert harness.client.questions == []
            assert "the task is not proved done" in harness.client.said
            assert await harness.gone() == 0

    asyncio.run(drive())


def test_a_cancelled_run_stops_in_order_and_the_next_prompt_resumes_it(world: World):
    play(world, work="while [ ! -e go ]; do sleep 0.05; done; echo done > done")

    async def drive() -> None:
        async with editor(world, *EMBEDDED) as zed:
            session = (await zed.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            turn = asyncio.create_task(zed.prompt(session, "Greet politely"))
            await zed.client.wait_for(lambda: any("while" in title for title in zed.client.titles))
            await zed.agent.cancel(session_id=session)
            assert (await turn).stop_reason == "cancelled"
            assert world.manifest()["state"] == "stopped"
            assert [each.pid for each in world.survivors()] == [zed.process.pid]
            (world.project / "go").touch()
            again = await zed.prompt(session, "Use a comma")
            assert (again.stop_reason, again.field_meta["loop"]["state"]) == ("end_turn", "completed")
            assert "Understood." in zed.client.said
            assert zed.client.breaches == []
            assert await zed.gone() == 0

    asyncio.run(drive())
    world.wait_until_empty()


def test_a_question_that_is_open_at_a_cancel_is_no_answer(world: World):
    play(world, verdict="FAIL")

    async def drive() -> None:
        async with editor(world, *EMBEDDED, "--max-iterations", "1", answers=[WAIT]) as zed:
            session = (await zed.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            turn = asyncio.create_task(zed.prompt(session, "Greet politely"))
            await zed.client.wait_for(lambda: zed.client.questions != [])
            await zed.agent.cancel(session_id=session)
            zed.client.closing.set()
            assert (await turn).stop_reason == "cancelled"
            assert world.manifest()["state"] == "stopped"
            assert await zed.gone() == 0

    asyncio.run(drive())


@pytest.mark.parametrize("how", ["kill", "end of input"])
def test_a_client_that_is_gone_leaves_a_stopped_run_that_another_client_loads(world: World, how: str):
    play(world, work="while [ ! -e go ]; do sleep 0.05; done; echo done > done")

    async def drive() -> None:
        async with editor(world, *EMBEDDED) as zed:
            session = (await zed.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            turn = asyncio.create_task(zed.prompt(session, "Greet politely"))
            await zed.client.wait_for(lambda: any("while" in title for title in zed.client.titles))
            if how == "kill":
                zed.process.kill()
                await zed.process.wait()
            else:
                assert await zed.gone() == 0
            with pytest.raises((ConnectionError, RequestError)):
                await turn
        world.wait_until_empty()
        assert world.manifest()["state"] == "stopped"
        (world.project / "go").touch()
        async with editor(world, *EMBEDDED) as zed:
            await zed.agent.load_session(cwd=str(world.project), session_id="1", mcp_servers=[])
            kinds = zed.client.kinds()
            assert {"user_message_chunk", "agent_message_chunk", "tool_call", "tool_call_update"} <= kinds
            assert "PLAN.md is written." in zed.client.said
            again = await zed.prompt(session, "Go on")
            assert again.field_meta["loop"]["state"] == "completed"
            assert zed.client.breaches == []
            assert await zed.gone() == 0

    asyncio.run(drive())
    world.wait_until_empty()


def test_a_run_of_a_terminal_is_attached_to_and_continues_without_the_client(world: World):
    play(world, work="while [ ! -e go ]; do sleep 0.05; done; echo done > done")
    loop = world.start(*EMBEDDED, "Greet politely")
    loop.wait_for(r"\$ shell while")

    async def drive() -> None:
        async with editor(world, *EMBEDDED) as zed:
            await zed.agent.load_session(cwd=str(world.project), session_id="1", mcp_servers=[])
            turn = asyncio.create_task(zed.prompt("1", "Use a comma"))
            await zed.client.wait_for(lambda: "Use a comma" in zed.client.thought)
            assert not turn.done()
            assert await zed.gone() == 0
            with pytest.raises((ConnectionError, RequestError)):
                await turn
            assert zed.client.breaches == []

    asyncio.run(drive())
    (world.project / "go").touch()
    assert loop.wait() == 0, loop.output
    assert "you -> embedded: Use a comma" in loop.output
    assert "Understood." in loop.output


def test_what_cannot_start_is_an_error_with_its_cause_and_leaves_nothing(world: World):
    play(world)

    async def drive() -> None:
        async with editor(world, "--agent", "no-such-agent") as zed:
            with pytest.raises(RequestError, match="no-such-agent") as refused:
                await zed.agent.new_session(cwd=str(world.project), mcp_servers=[])
            assert refused.value.code == -32602
            with pytest.raises(RequestError, match="absolute path"):
                await zed.agent.new_session(cwd="here", mcp_servers=[])
            with pytest.raises(RequestError, match="no run '7'"):
                await zed.agent.load_session(cwd=str(world.project), session_id="7", mcp_servers=[])
            with pytest.raises(RequestError, match="no session 'x' is open"):
                await zed.prompt("x", "Greet")
            assert await zed.gone() == 0
        async with editor(world, *EMBEDDED) as zed:
            session = (await zed.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            with pytest.raises(RequestError, match="the prompt is empty"):
                await zed.prompt(session, "  ")
            assert await zed.gone() == 0

    asyncio.run(drive())
    assert list((world.home / ".loop" / "runs").glob("*/*")) == []
    world.wait_until_empty()


def test_a_run_that_cannot_continue_is_an_error_with_its_cause(world: World):
    scenario = world.base / "no-credit.toml"
    scenario.write_text('[[turn]]\nwhen = ""\n[[turn.step]]\nfault = {refuses = "billing", times = 99}\n')
    world.play_embedded(scenario)

    async def drive() -> None:
        async with editor(world, *EMBEDDED, "--headless") as harness:
            session = (await harness.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            with pytest.raises(RequestError, match=r"run 1 failed: planning: .*insufficient_quota") as failed:
                await harness.prompt(session, "Greet politely")
            assert failed.value.data["run"] == session
            assert harness.client.breaches == []
            assert await harness.gone() == 0

    asyncio.run(drive())
    world.wait_until_empty()


MALFORMED = [b"no json", b"{}", b'{"id": 1}', b"[1]", b"\xff", b'{"method": 1, "id": 2}', b"[" * 100_000]


def test_malformed_input_costs_a_line_each_and_is_survived(world: World):
    known = {"jsonrpc": "2.0", "id": 9, "method": "initialize", "params": {"protocolVersion": 1}}
    lines = [*MALFORMED, json.dumps(known).encode()]
    done = subprocess.run(
        [*LOOP, "acp", *EMBEDDED],
        input=b"\n".join(lines) + b"\n",
        capture_output=True,
        env=world.environment,
        cwd=world.project,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= len(MALFORMED)
    answers = [json.loads(each) for each in done.stdout.splitlines()]
    assert [each["result"]["agentInfo"]["name"] for each in answers if each["id"] == 9] == ["loop"]
    assert world.survivors() == []


def test_a_terminal_is_no_client(world: World):
    done = subprocess.run(
        [*LOOP, "acp"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=world.environment,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("[loop] error: stdin is no pipe: an editor")
    assert done.stderr.count("\n") == 1


ACPX = third_party.client_in(os.environ)


@pytest.mark.skipif(not ACPX.exists(), reason="acpx is not installed: scripts/third-party says why")
def test_a_client_of_others_runs_a_pair(world: World):
    play(world)
    agent = " ".join([sys.executable, "-P", *LOOP[1:], "acp", *EMBEDDED])
    words = ["--agent", agent, "--cwd", str(world.project), "--format", "json", "--json-strict"]
    done = subprocess.run(
        [ACPX, *words, "exec", "Greet politely"],
        stdin=subprocess.DEVNULL, capture_output=True, env=world.environment, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["result"]["stopReason"] == "end_turn"
    assert last["result"]["_meta"]["loop"]["state"] == "completed"
    world.wait_until_empty()


@pytest.mark.real_agents
def test_the_real_codex_and_claude_are_one_agent_of_an_editor(world: World):
    async def drive() -> None:
        async with editor(world, "--check", CHECK) as zed:
            session = (await zed.agent.new_session(cwd=str(world.project), mcp_servers=[])).session_id
            ended = await zed.prompt(session, TASK)
            assert (ended.stop_reason, ended.field_meta["loop"]["state"]) == ("end_turn", "completed")
            assert ended.usage is not None
            assert ended.usage.total_tokens > 0
            assert "**codex:**" in zed.client.said
            assert "**claude:**" in zed.client.said
            assert CHECK in zed.client.titles
            assert zed.client.breaches == []
            assert await zed.gone() == 0

    with world.play_real(SCENARIOS / "bench.toml"):
        asyncio.run(drive())
        world.wait_until_empty()
