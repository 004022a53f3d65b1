"""`loop agents` and known agents on PATH: with programs of the test's own, and a registry on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from actors.adapters import BUILT_IN_NAMES
from actors.edges import agent_registry
from actors.edges.agent_tables import AgentConfiguration
from actors.edges.configuration import Configuration, read_configuration
from actors.errors import OperationalError, UserError
from actors.settings_layers import Settings, merge
from shell import agents
from shell.known_agents import command_of, how_to_install
from shell.options import parse
from shell.pairing import with_known
from shell.resumed import Resumed


def typed(agent: str, peer: str = "claude") -> Settings:
    return merge(parse(["--agent", agent, "--peer", peer, "x"]).layer())


def put_program(folder: Path, name: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return str(folder)


@contextmanager
def served(body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/registry.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def document(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"version": "1.0.0", "agents": entries}).encode()


def test_the_shipped_registry_knows_each_agent_by_its_id_and_by_its_program() -> None:
    registry = agent_registry.shipped()
    assert registry.find("Gemini") == registry.find("gemini")
    assert registry.find("copilot") == registry.find("github-copilot-cli")
    assert registry.find("nobody") is None
    names = [name for agent in registry.agents for name in {agent.id, *agent.programs}]
    assert len(names) == len(set(names))
    assert all(agent.programs for agent in registry.agents)


def test_a_known_agent_on_the_path_needs_no_configuration(tmp_path: Path) -> None:
    path = put_program(tmp_path / "bin", "gemini")
    complete = with_known(Configuration(), typed("Gemini", "codex"), Resumed(), tmp_path, path)
    assert complete.agents == {"gemini": AgentConfiguration(command=("gemini", "--acp"))}


def test_what_the_user_has_configured_counts_before_what_is_known(tmp_path: Path) -> None:
    own = Configuration(agents={"gemini": AgentConfiguration(command=("my-gemini",))})
    assert with_known(own, typed("gemini"), Resumed(), tmp_path, put_program(tmp_path / "bin", "gemini")) == own


def test_a_known_agent_that_is_not_installed_is_refused_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gemini is not installed: npm install -g @google/gemini-cli; or: loop agents"):
        with_known(Configuration(), typed("gemini"), Resumed(), tmp_path, str(tmp_path))
    assert with_known(Configuration(), typed("nobody"), Resumed(), tmp_path, str(tmp_path)) == Configuration()


def test_an_agent_is_started_by_its_program_else_by_npx_or_uvx(tmp_path: Path) -> None:
    registry = agent_registry.shipped()
    gemini, vibe, goose = (registry.find(name) for name in ("gemini", "vibe-acp", "goose"))
    assert gemini is not None
    assert vibe is not None
    assert goose is not None
    path = put_program(tmp_path / "bin", "npx")
    assert command_of(gemini, path) == ("npx", "-y", gemini.npx, "--acp")
    put_program(tmp_path / "bin", "uvx")
    assert command_of(vibe, path) == ("uvx", "--from", vibe.uvx, "vibe-acp")
    put_program(tmp_path / "bin", "gemini")
    assert command_of(gemini, path) == ("gemini", "--acp")
    with pytest.raises(UserError, match="have goose on your PATH"):
        command_of(goose, path)
    assert "uv tool install mistral-vibe;" in how_to_install(vibe)


def test_an_added_agent_stands_in_the_users_configuration_beside_what_was_there(tmp_path: Path) -> None:
    path = put_program(tmp_path / "bin", "gemini")
    file = tmp_path / ".loop" / "config.toml"
    file.parent.mkdir(mode=0o700)
    file.write_text('# mine\nchecks = ["make test"]')
    said = agents.add("gemini", tmp_path, {"PATH": path})
    assert "loop --agent gemini" in said
    assert file.read_text().startswith('# mine\nchecks = ["make test"]\n\n[agents.gemini]\n')
    read = read_configuration(tmp_path, None, BUILT_IN_NAMES)
    assert read.agents["gemini"].command == ("gemini", "--acp")
    assert merge(read.user).texts("checks") == ("make test",)
    with pytest.raises(UserError, match="configured already"):
        agents.add("gemini", tmp_path, {"PATH": path})


@pytest.mark.parametrize(("name", "why"), [("codex", "built in"), ("nobody", "not a known agent")])
def test_what_cannot_be_added_is_refused_in_a_line(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        agents.add(name, tmp_path, {"PATH": ""})
    assert not (tmp_path / ".loop").exists()


def test_the_public_registry_is_kept_and_used_from_then_on(tmp_path: Path) -> None:
    answer = document(
        {"id": "gemini", "name": "Gemini CLI", "version": "9.9.9",
         "distribution": {"npx": {"package": "@google/gemini-cli@9.9.9", "args": ["--acp"]}}},
        {"id": "newcomer", "name": "Newcomer", "version": "1.0.0",
         "distribution": {"binary": {"linux-x86_64": {"archive": "x", "cmd": "./new", "args": ["acp"]}}}},
        {"id": "from-the-future", "distribution": "elsewhere"},
    )  # fmt: skip
    with served(answer) as url:
        agent_registry.fetch(tmp_path, url)
    registry = agent_registry.read(tmp_path)
    assert [agent.id for agent in registry.agents] == ["gemini", "newcomer"]
    gemini, newcomer = registry.agents
    assert (gemini.version, gemini.programs, gemini.login) == ("9.9.9", ("gemini",), "gemini")
    assert (newcomer.programs, newcomer.args) == (("new", "newcomer"), ("acp",))


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"[" * 100_000, b" " * (agent_registry.MOST_BYTES + 1)])
def test_an_answer_that_is_no_registry_is_refused_and_nothing_is_kept(tmp_path: Path, answer: bytes) -> None:
    with served(answer) as url, pytest.raises(OperationalError, match=r"not a registry|larger than"):
        agent_registry.fetch(tmp_path, url)
    assert not (tmp_path / ".loop").exists()


def test_a_registry_that_does_not_answer_is_said_in_a_line(tmp_path: Path) -> None:
    with served(b"") as url:
        pass
    with pytest.raises(OperationalError, match="does not answer"):
        agent_registry.fetch(tmp_path, url)


def test_a_damaged_registry_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / ".loop").mkdir()
    (tmp_path / ".loop" / "agents.json").write_text('{"date": 7}')
    assert agent_registry.read(tmp_path) == agent_registry.shipped()
