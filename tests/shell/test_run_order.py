"""From options to an order: who works and reviews, with which models and sessions, and how the run is paced."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from actors.edges.configuration import AgentConfiguration, Configuration
from actors.errors import UserError
from actors.machines.run import people
from shell import run_order
from shell.options import OPTIONS, parse

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


WORKSPACE = run_order.TmuxPlace("repo-loop-1", workspace=True)
SESSION = run_order.TmuxPlace("repo-loop-1", workspace=False)
TASK = run_order._Task("x", needs_plan=True)
TO_COME = run_order._Task("", needs_plan=False, to_come=True)
ITS_OWN = run_order._Task("", needs_plan=False)  # of a run that goes on


@pytest.mark.parametrize(
    ("place", "task", "waits_for_the_next"),
    [
        (WORKSPACE, TASK, True),
        (WORKSPACE, TO_COME, True),
        (WORKSPACE, ITS_OWN, False),
        (SESSION, TASK, False),
        (None, TASK, False),
        (None, TO_COME, True),
    ],
)
def test_a_workspace_waits_for_the_next_task_unless_it_is_to_exit(
    place: run_order.TmuxPlace | None, task: run_order._Task, *, waits_for_the_next: bool
):
    options = parse(["--tmux", "x"])
    assert run_order._is_open_ended(options, task, place, has_prompt=True) == waits_for_the_next
    assert not run_order._is_open_ended(parse(["--tmux", "--exit", "x"]), task, place, has_prompt=True)


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


def test_any_agent_reviews_for_any_other(tmp_path: Path):
    configured = Configuration(agents={"gemini": AgentConfiguration(command=("gemini",))})
    fresh = run_order._Resumed()
    reviewed_by = run_order._agents(parse(["--peer", "Gemini", "x"]), configured, fresh)
    assert reviewed_by == run_order._Agents("codex", "gemini", paired=True)
    claude_by_gemini = Configuration(agents=configured.agents | {"claude": AgentConfiguration(peer="gemini")})
    assert run_order._agents(parse(["--agent", "claude", "x"]), claude_by_gemini, fresh).reviewer == "gemini"
    with pytest.raises(UserError, match="--peer gemini: --claude-only has no peer"):
        run_order._agents(parse(["--claude-only", "--peer", "gemini", "x"]), configured, fresh)


def test_a_run_that_goes_on_keeps_its_peer(tmp_path: Path):
    run = tmp_path / "7"
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps({"runId": "7", "agents": {"worker": "claude", "reviewer": "codex"}}))
    with closing(sqlite3.connect(run / "journal.sqlite")) as database, database:
        database.execute("create table events (stream text)")
        database.execute("insert into events values ('run')")
    resumed = run_order._Resumed(run)
    assert run_order._agents(parse(["--peer", "codex"]), NOBODY, resumed) == SWAPPED
    with pytest.raises(UserError, match="--peer claude: run 7 is one of claude and codex"):
        run_order._agents(parse(["--peer", "claude"]), NOBODY, resumed)


def test_any_agent_of_the_run_can_be_given_a_model():
    agents = run_order._Agents("gemini", "claude", paired=True)
    models = run_order._models(parse(["--model", "Gemini=flash", "--model=claude=opus", "x"]), agents, {})
    assert (models.worker, models.reviewer) == ("flash", "opus")
    with pytest.raises(UserError, match="--model codex=x: the run's agents are gemini and claude"):
        run_order._models(parse(["--model", "codex=x", "x"]), agents, {})


@pytest.mark.parametrize("value", ["flash", "=flash", "gemini=", " "])
def test_a_model_of_nobody_is_refused(value: str):
    with pytest.raises(UserError, match="--model"):
        parse([f"--model={value}", "x"])


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


@pytest.mark.parametrize("text", ["1" + "0" * 18, "9" * 5_000])
def test_a_cooldown_of_years_is_refused(text: str):
    with pytest.raises(UserError, match=r"LOOP_COOLDOWN_MS takes a whole number from 0 to 86400000, not '[19]"):
        run_order._cooldown_ms({"LOOP_COOLDOWN_MS": text})


def task(words: list[str], cwd: Path) -> tuple[str, bool]:
    found = run_order._task(parse(words), cwd, cwd / "home", run_order._Resumed())
    return found.text, found.needs_plan


@pytest.mark.parametrize("name", ["TASK.md", "My Task.md", "TASK.txt", "notes.RST", "a.markdown", "sub/t.md"])
def test_a_prompt_that_names_a_text_file_is_that_file(tmp_path: Path, name: str):
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_bytes(b"\xef\xbb\xbfMake x.")
    assert task(["--prompt", name], tmp_path) == ("Make x.", False)
    assert task(name.split(" "), tmp_path) == ("Make x.", False)
    assert task([str(tmp_path / name)], tmp_path) == ("Make x.", False)


def test_a_prompt_that_begins_at_home_is_found_there(tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "x.md").write_text("Make x.")
    assert task(["--prompt", "~/x.md"], tmp_path) == ("Make x.", False)


@pytest.mark.parametrize("name", ["MISSING.md", "TASK.txt", "~/x.rst", "sub/t.md"])
def test_the_name_of_a_text_file_that_is_not_there_is_no_task(tmp_path: Path, name: str):
    with pytest.raises(UserError, match=f"cannot read the task from .*{Path(name).name}: it is not there"):
        task(["--prompt", name], tmp_path)


@pytest.mark.parametrize("words", ["fix the typo in README.md", "TASK.py", "Makefile", "two\nlines.md", "x" * 50_000])
def test_a_sentence_is_the_task_itself(tmp_path: Path, words: str):
    (tmp_path / "README.md").write_text("Read me.")
    (tmp_path / "Makefile").write_text("all:")
    assert task(["--prompt", words], tmp_path) == (words, True)


def test_a_file_whose_name_says_nothing_is_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "TODO").write_text("Make x.")
    task(["--prompt", "TODO"], tmp_path)
    assert "'TODO' is taken as the task itself, though a file has that name" in capsys.readouterr().err


def test_a_plan_or_task_that_is_no_file_of_a_bounded_size_is_refused(tmp_path: Path):
    (tmp_path / "PLAN.md").mkdir()
    with pytest.raises(UserError, match=r"PLAN\.md: it is a directory"):
        task(["--proof", "x"], tmp_path)
    os.mkfifo(tmp_path / "fifo.md")
    with pytest.raises(UserError, match=r"fifo\.md: it is a fifo"):
        task(["fifo.md"], tmp_path)
    (tmp_path / "large.md").write_bytes(b"x" * 70_000_000)
    with pytest.raises(UserError, match=r"large\.md: it is larger than 1,000,000 bytes"):
        task(["large.md"], tmp_path)


def test_what_was_typed_counts_also_when_it_is_the_default():
    words = ["-m", "20", "--done", "<promise>DONE</promise>", "--review", "claudex", "--review-plan", "other", "x"]
    assert run_order._given(parse(["x"]), {}) == ()
    assert run_order._given(parse(["x"]), {"LOOP_COOLDOWN_MS": "soon"}) == ()
    assert run_order._given(parse(words), {"LOOP_COOLDOWN_MS": "30000"}) == (
        *("cooldown_ms", "done_signal", "max_iterations", "plan_reviewer", "reviewers"),
    )


def test_every_setting_that_a_resumed_run_can_be_told_knows_whether_it_was_typed():
    """Models and waits have no value for their default, and some settings are never typed."""
    never_a_default = {
        "worker_model",
        "worker_review_model",
        "reviewer_model",
        "raw_output",
        "looks_for_pull_request",
    } | {"max_wait_ms", "binds_to_tree", "asks_again"}
    assert {*run_order.SETTING_OF.values(), "cooldown_ms", "retry_ms"} == set(people.SAID_ANEW) - never_a_default
    assert set(run_order.SETTING_OF) <= {option.name for option in OPTIONS}


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


@pytest.mark.parametrize(("text", "ms"), [("", 5_000), ("1", 1), ("soon", 5_000)])
def test_a_bad_first_wait_for_a_provider_falls_back(text: str, ms: int):
    assert run_order._retry_ms({"LOOP_RETRY_MS": text}) == ms
