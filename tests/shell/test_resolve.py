"""From what was typed to the order of a run: who works and reviews, with which models and sessions, and its limits."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from actors.edges.agent_tables import AgentConfiguration
from actors.edges.configuration import Configuration
from actors.errors import UserError
from actors.settings import RunSettings
from actors.settings_layers import Settings, Sourced, from_environment, merge
from actors.settings_table import TABLE
from shell import pairing, resolve, resumed, run_settings, task_text
from shell.options import parse
from shell.resumed import Resumed
from shell.run_settings import Agents
from shell.task_text import Task

NOBODY = Configuration()
PAIR = Agents("codex", "claude", paired=True)
SWAPPED = Agents("claude", "codex", paired=True)
ALONE = Agents("claude", "claude", paired=False)


def typed(words: list[str], environment: dict[str, str] | None = None) -> Settings:
    return merge(from_environment(environment or {}), parse(words).layer())


def of_run(
    settings: Settings, agents: Agents = PAIR, reviewer_models: dict[str, str] | None = None, **more: bool
) -> RunSettings:
    plain = {"needs_plan": True, "interactive": False, "open_ended": False, "keeps_its_wait": False, **more}
    return run_settings.settings_of(settings, agents, reviewer_models or {}, run_uid="u", task="x", **plain)


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
    assert pairing.agents_of(typed(words), NOBODY, Resumed()) == agents


WORKSPACE = resolve.TmuxPlace("repo-loop-1", workspace=True)
SESSION = resolve.TmuxPlace("repo-loop-1", workspace=False)
TASK = Task("x", needs_plan=True)
TO_COME = Task("", needs_plan=False, to_come=True)
ITS_OWN = Task("", needs_plan=False)  # of a run that is resumed


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
    place: resolve.TmuxPlace | None, task: Task, *, waits_for_the_next: bool
):
    options = parse(["--tmux", "x"])
    assert resolve._is_open_ended(options, task, place, has_prompt=True) == waits_for_the_next
    assert not resolve._is_open_ended(parse(["--tmux", "--exit", "x"]), task, place, has_prompt=True)


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
def test_who_reviews(words: list[str], agents: Agents, reviewers: object, plan_reviewer: object):
    found = of_run(typed(words), agents)
    assert (found.reviewers, found.plan_reviewer) == (reviewers, plan_reviewer)


def test_any_agent_reviews_for_any_other(tmp_path: Path):
    configured = Configuration(agents={"gemini": AgentConfiguration(command=("gemini",))})
    fresh = Resumed()
    reviewed_by = pairing.agents_of(typed(["--peer", "Gemini", "x"]), configured, fresh)
    assert reviewed_by == Agents("codex", "gemini", paired=True)
    claude_by_gemini = Configuration(agents=configured.agents | {"claude": AgentConfiguration(peer="gemini")})
    assert pairing.agents_of(typed(["--agent", "claude", "x"]), claude_by_gemini, fresh).reviewer == "gemini"
    with pytest.raises(UserError, match="--peer gemini: --claude-only has no peer"):
        pairing.agents_of(typed(["--claude-only", "--peer", "gemini", "x"]), configured, fresh)


def test_a_run_that_goes_on_keeps_its_peer(tmp_path: Path):
    run = tmp_path / "7"
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps({"runId": "7", "agents": {"worker": "claude", "reviewer": "codex"}}))
    with closing(sqlite3.connect(run / "journal.sqlite")) as database, database:
        database.execute("create table events (stream text)")
        database.execute("insert into events values ('run')")
    begun = Resumed(run)
    assert pairing.agents_of(typed(["--peer", "codex"]), NOBODY, begun) == SWAPPED
    in_file = merge([Sourced("agent", "gemini", "user configuration", "f", 1)])
    assert pairing.agents_of(in_file, NOBODY, begun) == SWAPPED
    with pytest.raises(UserError, match="--peer claude: run 7 is one of claude and codex"):
        pairing.agents_of(typed(["--peer", "claude"]), NOBODY, begun)


def models(settings: Settings, agents: Agents = PAIR, reviewer_models: dict[str, str] | None = None) -> tuple[str, ...]:
    found = of_run(settings, agents, reviewer_models)
    return found.worker_model, found.worker_review_model, found.reviewer_model


def test_any_agent_of_the_run_can_be_given_a_model():
    agents = Agents("gemini", "claude", paired=True)
    assert models(typed(["--model", "Gemini=flash", "--model=claude=opus", "x"]), agents) == ("flash", "", "opus")
    with pytest.raises(UserError, match="--model codex=x: the run's agents are gemini and claude"):
        models(typed(["--model", "codex=x", "x"]), agents)


@pytest.mark.parametrize("value", ["flash", "=flash", "gemini=", " "])
def test_a_model_of_nobody_is_refused(value: str):
    with pytest.raises(UserError, match="--model"):
        parse([f"--model={value}", "x"])


def test_models_of_reviews_fall_back_to_those_of_the_work():
    settings = typed(["--codex-model=a", "--claude-model=b", "--codex-reviewer-model=c", "x"])
    assert models(settings) == ("a", "c", "b")
    assert models(settings, SWAPPED) == ("b", "", "c")
    assert models(settings, ALONE)[2] == "b"


def test_the_environment_names_a_model_for_codex_that_the_option_overrules():
    environment = {"LOOP_CODEX_MODEL": "m"}
    assert models(typed(["x"], environment))[0] == "m"
    assert models(typed(["--codex-model=n", "x"], environment))[0] == "n"
    assert models(typed(["x"], environment), ALONE)[0] == ""


def test_a_file_names_models_for_reviews_that_a_typed_one_overrules():
    in_file = {"codex": "f", "claude": "g"}
    assert models(typed(["x"]), PAIR, in_file) == ("", "f", "g")
    assert models(typed(["--claude-model=b", "x"]), PAIR, in_file) == ("", "f", "g")
    assert models(typed(["--claude-reviewer-model=b", "x"]), PAIR, in_file) == ("", "f", "b")


def test_an_agent_that_reviews_and_is_not_of_the_run_is_named_with_its_place():
    with pytest.raises(UserError, match=r"^--review claude: this run has only codex and gemini; leave it out"):
        of_run(typed(["--review", "claude"]), Agents("codex", "gemini", paired=True))
    in_file = merge([Sourced("review_plan", "claude", "user configuration", "/h/config.toml", 3)])
    with pytest.raises(UserError, match=r"^review_plan = claude in /h/config\.toml:3: this run has only"):
        of_run(in_file, Agents("codex", "gemini", paired=True))


@pytest.mark.parametrize(("text", "ms"), [("0", 0), ("17", 17), ("", 30_000), ("-1", 30_000), ("soon", 30_000)])
def test_a_bad_cooldown_falls_back(text: str, ms: int):
    assert of_run(typed(["x"], {"LOOP_COOLDOWN_MS": text})).cooldown_ms == ms


@pytest.mark.parametrize("text", ["1" + "0" * 18, "9" * 5_000])
def test_a_cooldown_of_years_is_refused(text: str):
    with pytest.raises(UserError, match=r"LOOP_COOLDOWN_MS must be a whole number from 0 to 86400000, not '[19]"):
        typed(["x"], {"LOOP_COOLDOWN_MS": text})


@pytest.mark.parametrize(("text", "ms"), [("", 5_000), ("1", 1), ("soon", 5_000)])
def test_a_bad_first_wait_for_a_provider_falls_back(text: str, ms: int):
    assert of_run(typed(["x"], {"LOOP_RETRY_MS": text})).retry_ms == ms


def task(words: list[str], cwd: Path) -> tuple[str, bool]:
    found = task_text.read_task(parse(words), cwd, cwd / "home", Resumed())
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
    with pytest.raises(UserError, match=f"cannot read the task from .*{Path(name).name}: it does not exist"):
        task(["--prompt", name], tmp_path)


@pytest.mark.parametrize("name", ["/", "./sub", "~/sub"])
def test_the_path_of_a_directory_is_no_task(tmp_path: Path, name: str):
    (tmp_path / "sub").mkdir()
    (tmp_path / "home" / "sub").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot read the task from .*: it is a directory"):
        task(["--prompt", name], tmp_path)


def test_a_session_of_no_run_without_a_task_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"no task for session 'z z', which no run here has.*--session 'z z' \"fix"):
        task_text.read_task(parse(["--session", "z z"]), tmp_path, tmp_path, Resumed(session_id="z z"))
    with pytest.raises(UserError, match=r"no task for session 'z': give one"):
        task_text.read_task(parse(["--codex-only", "--session", "z"]), tmp_path, tmp_path, Resumed(session_id="z"))


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


ALWAYS_SAID = (
    *(
        "asks_again",
        "binds_to_tree",
        "counts_at_start",
        "counts_verdicts",
        "keeps_checkpoints",
        "keeps_findings",
        "grants_turns",
        "looks_for_pull_request",
        "looks_at_limits",
        "trusts_resets",
    ),
    *(row.field for row in TABLE if row.fresh),
)


def said(settings: Settings, **more: bool) -> set[str]:
    return {*of_run(settings, **more).given} - {*ALWAYS_SAID}


def test_what_was_typed_counts_also_when_it_is_the_default():
    words = ["-m", "20", "--done", "<promise>DONE</promise>", "--review", "claudex", "--review-plan", "other", "x"]
    assert said(typed(["x"])) == set()
    assert said(typed(["x"], {"LOOP_COOLDOWN_MS": "soon"})) == set()
    assert said(typed(words, {"LOOP_COOLDOWN_MS": "30000"})) == {
        *("cooldown_ms", "done_signal", "max_iterations", "plan_reviewer", "reviewers"),
    }
    assert said(typed(["--exit", "--codex-model", "m"])) == {"open_ended", "worker_model"}
    assert said(typed(["x"]), open_ended=True) == {"open_ended"}


def test_what_a_file_says_is_not_typed():
    in_file = merge([Sourced("max_iterations", 50, "user configuration", "f", 1)])
    assert of_run(in_file, PAIR, {"claude": "m"}).max_iterations == 50
    assert said(in_file) == set()


def test_a_run_that_has_begun_keeps_how_long_it_waits_unless_that_is_typed():
    assert of_run(typed(["x"])).max_wait_ms == 12 * 3_600_000
    assert of_run(typed(["x"]), keeps_its_wait=True).max_wait_ms is None
    assert of_run(typed(["--max-wait", "2h"]), keeps_its_wait=True).max_wait_ms == 7_200_000


def test_the_sessions_of_a_run_of_the_original_go_to_those_who_have_that_role_now():
    run = Resumed(Path("77"))
    assert resolve._session_ids(PAIR, OF_THE_ORIGINAL, run) == {"worker": "thread", "reviewer": "session"}
    assert resolve._session_ids(SWAPPED, OF_THE_ORIGINAL, run) == {"worker": "session", "reviewer": "thread"}


def test_a_session_is_a_run_or_else_the_raw_id_of_the_worker(tmp_path: Path):
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "manifest.json").write_text(json.dumps(OF_THE_ORIGINAL))

    def found(*words: str) -> Resumed:
        return resumed.find_resumed(parse([*words, "x"]), tmp_path, None)

    for known in ("77", "thread", "session"):
        assert found("--session", known) == Resumed(tmp_path / "77")
    unknown = found("--session", "other")
    assert resolve._session_ids(PAIR, {}, unknown) == {"worker": "other"}
    assert found("--claude-only", "--session", "session") == Resumed(session_id="session")


def test_the_environment_names_a_run_that_goes_on_when_there_is_one(tmp_path: Path):
    (tmp_path / "77").mkdir()
    assert resumed.find_resumed(parse(["x"]), tmp_path, "77") == Resumed()
    (tmp_path / "77" / "manifest.json").write_text("{}")
    assert resumed.find_resumed(parse(["x"]), tmp_path, "77") == Resumed(tmp_path / "77")


def test_an_unknown_run_is_refused_by_name(tmp_path: Path):
    with pytest.raises(UserError, match="no run '8'"):
        resumed.find_resumed(parse(["--run-id", "8", "x"]), tmp_path, None)


def test_no_wait_is_to_stop_at_a_limit_and_does_not_go_with_another_choice():
    assert of_run(typed(["x"])).at_limit == "wait"
    assert of_run(typed(["--at-limit", "swap", "x"])).at_limit == "swap"
    assert of_run(typed(["--no-wait", "x"])).at_limit == "stop"
    assert said(typed(["--no-wait", "x"])) == {"at_limit"}
    with pytest.raises(UserError, match="--no-wait and --at-limit swap exclude each other"):
        of_run(typed(["--no-wait", "--at-limit", "swap", "x"]))
