"""From options to an order: who works and reviews, with which models and sessions, and how the run is paced."""

import json
from pathlib import Path

import pytest

from actors.edges.configuration import Configuration
from actors.errors import UserError
from shell import run_order
from shell.options import parse

NOBODY = Configuration()
PAIR = run_order._Agents("codex", "claude", paired=True)
SWAPPED = run_order._Agents("claude", "codex", paired=True)
ALONE = run_order._Agents("claude", "claude", paired=False)
OF_THE_ORIGINAL = {"codexThreadId": "thread", "claudeSessionId": "session"}


@pytest.mark.parametrize(
    ("words", "agents"),
    [
        (["x"], PAIR),
        (["--agent", "Claude", "x"], SWAPPED),
        (["--claude-only", "x"], ALONE),
        (["--claude-only", "--agent", "codex", "x"], ALONE),
    ],
)
def test_who_works_and_who_is_the_peer(words: list[str], agents: object):
    assert run_order._agents(parse(words), NOBODY, run_order._Resumed()) == agents


@pytest.mark.parametrize(
    ("words", "agents", "reviewers", "plan_reviewer"),
    [
        (["x"], PAIR, ("worker", "reviewer"), "reviewer"),
        (["--review", "codex", "--review-plan=codex", "x"], PAIR, ("worker",), "worker"),
        (["--review", "codex", "--review-plan=codex", "x"], SWAPPED, ("reviewer",), "reviewer"),
        (["--review-plan", "none", "x"], PAIR, ("worker", "reviewer"), None),
        (["--review=codex", "--review-plan=codex", "x"], ALONE, ("reviewer",), "reviewer"),
        (["--review-plan=none", "x"], ALONE, ("reviewer",), None),
    ],
)
def test_who_reviews(words: list[str], agents: run_order._Agents, reviewers: object, plan_reviewer: object):
    options = parse(words)
    assert run_order._reviewers(options, agents) == reviewers
    assert run_order._plan_reviewer(options, agents) == plan_reviewer


def test_models_of_reviews_fall_back_to_those_of_the_work():
    options = parse(["--codex-model=a", "--claude-model=b", "--codex-reviewer-model=c", "x"])
    assert run_order._models(options, PAIR, {}) == run_order._Models(worker="a", worker_review="c", reviewer="b")
    assert run_order._models(options, SWAPPED, {}) == run_order._Models(worker="b", worker_review="", reviewer="c")
    assert run_order._models(options, ALONE, {}).reviewer == "b"


def test_the_environment_names_a_model_for_codex_that_the_option_overrules():
    environment = {"LOOP_CODEX_MODEL": "m"}
    assert run_order._models(parse(["x"]), PAIR, environment).worker == "m"
    assert run_order._models(parse(["--codex-model=n", "x"]), PAIR, environment).worker == "n"
    assert run_order._models(parse(["x"]), ALONE, environment).worker == ""


@pytest.mark.parametrize(("text", "ms"), [("0", 0), ("17", 17), ("", 30_000), ("-1", 30_000), ("soon", 30_000)])
def test_a_bad_cooldown_falls_back(text: str, ms: int):
    assert run_order._cooldown_ms({"LOOP_COOLDOWN_MS": text}) == ms


def test_the_sessions_of_a_run_of_the_original_go_to_those_who_have_that_role_now():
    resumed = run_order._Resumed(Path("77"))
    assert run_order._session_ids(PAIR, OF_THE_ORIGINAL, resumed) == {"worker": "thread", "reviewer": "session"}
    assert run_order._session_ids(SWAPPED, OF_THE_ORIGINAL, resumed) == {"worker": "session", "reviewer": "thread"}


def test_a_session_is_a_run_or_else_the_raw_id_of_the_worker(tmp_path: Path):
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "manifest.json").write_text(json.dumps(OF_THE_ORIGINAL))

    def resumed(*words: str) -> run_order._Resumed:
        return run_order._resumed(parse([*words, "x"]), tmp_path, None)

    for known in ("77", "thread", "session"):
        assert resumed("--session", known) == run_order._Resumed(tmp_path / "77")
    unknown = resumed("--session", "other")
    assert run_order._session_ids(PAIR, {}, unknown) == {"worker": "other"}
    assert resumed("--claude-only", "--session", "session") == run_order._Resumed(session_id="session")


def test_the_environment_names_a_run_that_goes_on_when_there_is_one(tmp_path: Path):
    (tmp_path / "77").mkdir()
    assert run_order._resumed(parse(["x"]), tmp_path, "77") == run_order._Resumed()
    (tmp_path / "77" / "manifest.json").write_text("{}")
    assert run_order._resumed(parse(["x"]), tmp_path, "77") == run_order._Resumed(tmp_path / "77")


def test_an_unknown_run_is_refused_by_name(tmp_path: Path):
    with pytest.raises(UserError, match="no run '8'"):
        run_order._resumed(parse(["--run-id", "8", "x"]), tmp_path, None)
