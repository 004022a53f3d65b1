import json
import tomllib
from pathlib import Path

import pytest

from actors.settings import Role
from tests.lab.offline_home import agent_environment, prepare_home

URL = "http://127.0.0.1:4711"


@pytest.mark.parametrize(
    ("role", "address"),
    [("worker", f"{URL}/worker/v1"), ("reviewer", f"{URL}/reviewer/v1"), (None, f"{URL}/v1")],
)
def test_codex_is_sent_to_the_server_in_its_role_and_never_tries_again(
    tmp_path: Path, role: Role | None, address: str
) -> None:
    prepare_home(tmp_path / "home", URL, role)
    config = tomllib.loads((tmp_path / "home/.codex/config.toml").read_text())
    provider = config["model_providers"][config["model_provider"]]
    assert provider["base_url"] == address
    assert (provider["request_max_retries"], provider["stream_max_retries"]) == (0, 0)


def test_a_home_may_be_prepared_again_for_another_server(tmp_path: Path) -> None:
    prepare_home(tmp_path, "http://127.0.0.1:1")
    prepare_home(tmp_path, URL)
    assert URL in (tmp_path / ".codex/config.toml").read_text()


def test_no_first_run_question_is_left_open(tmp_path: Path) -> None:
    prepare_home(tmp_path, URL)
    state = json.loads((tmp_path / ".claude.json").read_text())
    assert state["hasCompletedOnboarding"]
    assert state["projects"]["/"]["hasTrustDialogAccepted"]


@pytest.mark.parametrize(
    ("role", "address"), [("worker", f"{URL}/worker"), ("reviewer", f"{URL}/reviewer"), (None, URL)]
)
def test_claude_is_sent_to_the_server_in_its_role_and_never_tries_again(role: Role | None, address: str) -> None:
    environment = agent_environment(Path("/h"), URL, role, {})
    assert environment["ANTHROPIC_BASE_URL"] == address
    assert environment["CLAUDE_CODE_MAX_RETRIES"] == "0"
    assert environment["HOME"] == "/h"


def test_nobodys_login_is_passed_on() -> None:
    base = {
        "PATH": "/bin",
        "ANTHROPIC_API_KEY": "secret",
        "OPENAI_API_KEY": "secret",
        "CODEX_HOME": "/home/me/.codex",
        "CLAUDECODE": "1",
        "CLAUDE_CODE_USE_BEDROCK": "1",
    }
    environment = agent_environment(Path("/h"), URL, "reviewer", base)
    assert environment["PATH"] == "/bin"
    assert not {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "CODEX_HOME", "CLAUDECODE"} & environment.keys()
    assert "CLAUDE_CODE_USE_BEDROCK" not in environment


def test_the_users_proxy_is_not_asked_for_the_server() -> None:
    environment = agent_environment(Path("/h"), URL, "reviewer", {"HTTP_PROXY": "http://p", "NO_PROXY": "x"})
    assert (environment["NO_PROXY"], environment["no_proxy"]) == ("127.0.0.1", "127.0.0.1")
