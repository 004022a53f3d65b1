"""Foreign text at the adapters' edges: half an emoji in what an agent says, and lines that are no messages."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.adapters import claude
from actors.adapters.base import AgentSettings
from actors.adapters.claude_process import ClaudeProcess
from actors.adapters.claude_transcript import Transcript
from actors.adapters.codex_events import events
from actors.adapters.codex_link import CodexLink
from actors.adapters.codex_protocol import Json
from actors.edges.marked_processes import MARK_VARIABLE
from actors.embedded.scenario import Rule, Say, Step
from actors.embedded.scenario_file import parse_scenario
from actors.errors import AgentBreachError, AgentDiedError, AgentError
from actors.messages import TurnOutcome
from actors.wire.lines import LONGEST_LINE
from shell.dashboard.agent_files import AgentFiles
from tests.actors.adapters.acp_rig import opened, run
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home

CUT = "cut \ud83d off\nIt is done."
MENDED = CUT.replace("\ud83d", "\ufffd")
SIMPLE = """
[[turn]]
when = ""
step = [{say = "hello"}]
"""


@pytest.mark.real_agents
def test_half_an_emoji_of_the_model_costs_claude_no_turn_no_transcript_and_no_dashboard(tmp_path: Path) -> None:
    simple = parse_scenario(SIMPLE, "test_foreign_text")
    cutting = Rule(when=re.compile("^cut"), steps=(Step(Say(CUT)),))
    with ModelServer(msgspec.structs.replace(simple, rules=(cutting, *simple.rules))) as model:
        home = tmp_path / "home"
        prepare_home(home, model.url)
        work = home / "work"
        work.mkdir()
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "IS_SANDBOX": "1"}
        environment = agent_environment(home, model.url, "reviewer", base)
        settings = AgentSettings(name="claude", cwd=work, environment=environment)

        async def play() -> None:
            async with opened(claude.factory, settings) as it:
                turn_id = str(uuid.uuid4())
                outcome = await it.agent.turn(turn_id, "cut an emoji")
                assert (outcome.status, outcome.text) == ("finished", MENDED)
                assert it.events.texts("say") == [MENDED]
                found = await it.agent.find_turn(turn_id)
                assert found.outcome is not None
                assert found.outcome.text == MENDED
                assert "\\ud83d" in next(home.glob(f".claude/projects/*/{it.session_id}.jsonl")).read_text()
                [file] = AgentFiles(home, {}).look([it.session_id])
                msgspec.json.encode(file)
                assert "cut \ufffd off" in file.last_event

        run(play())


# --- Claude's process -----------------------------------------------------------------------------------------


class Heard:
    """One run of a stand-in for claude that prints `script`'s output."""

    def __init__(self, tmp_path: Path, script: str) -> None:
        self.events: list[tuple[dict[str, Any], str]] = []
        self.ended = asyncio.Event()
        self.process = ClaudeProcess(
            [sys.executable, "-c", f"import sys; write = sys.stdout.buffer.write\n{script}\nsys.stdout.flush()"],
            cwd=tmp_path,
            environment={MARK_VARIABLE: uuid.uuid4().hex},
            on_start=lambda _pid: None,
            on_event=lambda event, raw: self.events.append((event, raw)),
            on_end=self.ended.set,
        )

    async def play(self) -> None:
        await self.process.connect()
        await self.ended.wait()
        await self.process.close()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (f"write(b'{{' + b'1' * {LONGEST_LINE})", "claude sent a line of over 50 MB"),
        ("write(b'{\"a\": ' + b'[' * 100_000 + b'\\n')", "claude sent JSON nested deeper than 200 levels"),
        ("write(b'{broken \\x1b]0;x\\x07\\n')", "claude sent invalid JSON"),
        (
            'for _ in range(3): write(b\'{"type": "control_request", "x": "\' + b\'x\' * 40_000_000 + b\'"}\\n\')',
            "claude sent over 100 MB of control frames at once",
        ),
    ],
)
def test_a_line_of_claude_that_is_no_message_is_its_failure_in_one_printable_line(
    tmp_path: Path, script: str, why: str
) -> None:
    async def play() -> None:
        heard = Heard(tmp_path, script)
        await heard.play()
        assert isinstance(heard.process.failure, AgentBreachError)
        assert str(heard.process.failure).startswith(why)
        assert str(heard.process.failure).isprintable()

    run(play())


def test_bytes_of_claude_that_are_no_text_are_replaced_and_a_long_word_on_its_stderr_blocks_nothing(
    tmp_path: Path,
) -> None:
    script = (
        "sys.stderr.write('x' * 60_000_000); sys.stderr.flush()\n"
        'write(b\'{"type": "x", "text": "\\\\ud83d \\xff"}\\n\')'
    )

    async def play() -> None:
        heard = Heard(tmp_path, script)
        await heard.play()
        assert [event["text"] for event, _ in heard.events] == ["\ufffd \ufffd"]
        heard.events[0][1].encode()

    run(play())


def test_a_transcript_with_half_an_emoji_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "projects" / "x"
    folder.mkdir(parents=True)
    entry = {"type": "assistant", "message": {"id": "m", "stop_reason": "end_turn", "content": CUT}}
    lines = [json.dumps({"type": "user", "uuid": "u"}), json.dumps(entry), "[" * 100_000]
    (folder / "s.jsonl").write_text("".join(f"{line}\n" for line in lines))
    found = Transcript(tmp_path, "s").find("u")
    assert found.outcome == TurnOutcome(status="finished", text=MENDED)


# --- Codex's links --------------------------------------------------------------------------------------------

APP_SERVER = """
import sys
for line in sys.stdin:
    {answer}
    sys.stdout.flush()
"""


def link_to(tmp_path: Path, answer: str, heard: list[Json], lost: list[AgentError]) -> CodexLink:
    return CodexLink(
        command=[sys.executable, "-c", APP_SERVER.format(answer=answer)],
        cwd=tmp_path,
        environment={MARK_VARIABLE: uuid.uuid4().hex},
        on_notification=heard.append,
        on_lost=lost.append,
    )


def test_half_an_emoji_from_codex_is_replaced(tmp_path: Path) -> None:
    async def play() -> None:
        heard: list[Json] = []
        answer = (
            r"""print('{"method": "x", "params": {"text": "\\ud83d"}}\n{"id": %s, "result": {"text": "\\ude00"}}' """
            """% __import__('json').dumps(__import__('json').loads(line)["id"]))"""
        )
        link = link_to(tmp_path, answer, heard, [])
        await link.start()
        try:
            assert await link.request("ask", {}) == {"text": "\ufffd"}
            assert heard == [{"method": "x", "params": {"text": "\ufffd"}}]
            for event in events(heard[0], ""):
                event.raw.encode()
        finally:
            await link.stop()

    run(play())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("print('[' * 100_000)", "codex app-server sent JSON nested deeper than 200 levels"),
        ("print('Welcome \\x1b[2J')", "codex app-server sent invalid JSON"),
        ("print('[]')", "codex app-server sent JSON that is not an object: '[]'"),
    ],
)
def test_a_line_of_codex_that_is_no_message_is_its_failure_once_and_then_its_end(
    tmp_path: Path, answer: str, why: str
) -> None:
    async def play() -> None:
        lost: list[AgentError] = []
        link = link_to(tmp_path, answer, [], lost)
        await link.start()
        try:
            with pytest.raises(AgentError) as caught:
                await link.request("ask", {})
            with pytest.raises(AgentDiedError):
                await link.request("ask", {})
            told = [str(error) for error in [caught.value, *lost] if isinstance(error, AgentBreachError)]
            assert len(told) == 1
            assert told[0].startswith(why)
            assert told[0].isprintable()
        finally:
            await link.stop()

    run(play())
