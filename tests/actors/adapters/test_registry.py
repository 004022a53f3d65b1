"""Name → agent."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from actors.adapters import BUILT_IN_NAMES, find_adapter
from actors.adapters.base import AgentSettings
from actors.edges.agent_tables import AgentConfiguration
from actors.errors import AgentUnavailableError, UserError
from tests.actors.adapters.acp_rig import opened, run, settings
from tests.patience import PATIENCE_S

PROGRAM = Path(__file__).with_name("plain_acp_agent.py")


def table(*command: str, peer: str = "", env: dict[str, str] | None = None) -> dict[str, AgentConfiguration]:
    return {"plain": AgentConfiguration(command=command, peer=peer, env=env or {})}


def test_an_agent_is_found_in_any_case_and_has_a_peer() -> None:
    peers = {name: find_adapter(name.upper(), {}).peer for name in BUILT_IN_NAMES}
    assert peers == {"claude": "codex", "codex": "claude", "embedded": "embedded"}
    assert find_adapter("Codex", {}).name == "codex"
    assert find_adapter("Plain", table("x", peer="codex")).peer == "codex"
    assert find_adapter("plain", table("x")).peer == "plain"


def test_what_is_configured_of_a_built_in_agent_reaches_its_program() -> None:
    from actors.adapters import claude_program, codex_program

    given = AgentSettings(name="x", cwd=Path("/"), environment={"A": "1"}, effort="high")
    assert 'model_reasoning_effort="high"' in codex_program.command(Path("codex"), given)
    line = claude_program.arguments(Path("claude"), model="", effort="high", bridge=None, new_session="s")
    assert line[line.index("--effort") + 1] == "high"


def test_an_unknown_agent_is_refused_with_the_known_ones_and_how_to_add_another() -> None:
    with pytest.raises(UserError) as caught:
        find_adapter("Gemini", table("x"))
    text = str(caught.value)
    assert text.startswith("unknown agent 'Gemini': the known agents are claude, codex, embedded, plain;")
    assert '[agents.gemini] command = ["program", "argument"]' in text
    assert "\n" not in text


def test_a_configured_agent_runs_its_command_with_its_environment(tmp_path: Path) -> None:
    async def play() -> None:
        other_home = tmp_path / "other"
        other_home.mkdir()
        configured = table(sys.executable, str(PROGRAM), env={"HOME": str(other_home)})
        entry = find_adapter("plain", configured)
        entry.preflight(settings(tmp_path))
        async with opened(entry.factory, settings(tmp_path)) as it:
            assert (await it.agent.turn(str(uuid.uuid4()), "chunks")).status == "finished"
        assert (other_home / "plain-1").exists()

    run(play())


def test_preflight_of_a_missing_program_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AgentUnavailableError, match=r"program 'nowhere' was not found: .*\[agents\.tester\]"):
        find_adapter("plain", table("nowhere")).preflight(settings(tmp_path))


def test_preflight_of_the_embedded_agent_reads_its_scenario(tmp_path: Path) -> None:
    given: AgentSettings = settings(tmp_path)
    given.environment["LOOP_EMBEDDED_SCENARIO"] = "plays/none.toml"
    with pytest.raises(AgentUnavailableError, match=r"work/plays/none\.toml"):
        find_adapter("embedded", {}).preflight(given)


def test_listing_the_agents_imports_none_of_them() -> None:
    look = (
        "import sys, actors.adapters; print({'acp', 'claude_agent_sdk', 'openai_codex', 'msgspec'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert answer.stdout.strip() == "set()"
