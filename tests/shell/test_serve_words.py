import pytest

from actors.errors import UserError
from actors.messages import Progress
from shell import render
from shell.commands.grammar import Invocation
from shell.options import Options, help_text, parse


def test_submit_takes_what_a_run_takes():
    words = ["--agent", "claude", "-m", "3", "--check", "true", "fix", "it"]
    submitted, run = parse(["submit", *words]), parse(words)
    assert submitted.command == "submit"
    assert submitted.task == "fix it"
    assert submitted.typed == run.typed == {"agent": "claude", "max_iterations": 3, "checks": ("true",)}


def test_submit_without_a_prompt_means_the_plan():
    assert parse(["submit"]) == Options(command="submit")


@pytest.mark.parametrize(
    "words", [["--tmux"], ["--exit"], ["--headless"], ["--log-format", "json"], ["--format", "raw"]]
)
def test_what_concerns_a_terminal_is_refused_by_submit(words: list[str]):
    with pytest.raises(UserError, match=f"loop submit takes no {words[0]}"):
        parse(["submit", *words, "x"])


def test_serve_has_a_number_of_runs_and_a_format():
    assert parse(["serve"]).invocation == Invocation(name="serve", max_runs=2, log_format="text")
    given = parse(["serve", "--max-runs", "5", "--log-format=json"]).invocation
    assert given == Invocation(name="serve", max_runs=5, log_format="json")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--max-runs", "0"], "--max-runs must be a whole number of at least 1, not '0'"),
        (["--max-runs", "two"], "--max-runs must be a whole number of at least 1, not 'two'"),
        (["--max-runs"], "--max-runs needs a value"),
        (["--log-format", "xml"], "--log-format takes one of text, json, not 'xml'"),
        (["--json"], "loop serve has no option '--json'"),
        (["now"], "loop serve takes no further words"),
    ],
)
def test_bad_words_of_serve_are_one_clear_line(words: list[str], line: str):
    with pytest.raises(UserError) as refusal:
        parse(["serve", *words])
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_typing_error_is_no_task():
    with pytest.raises(UserError, match="did you mean loop submit"):
        parse(["submti"])


@pytest.mark.parametrize("name", ["submit", "serve"])
def test_their_help_says_more_than_one_line_and_fits(name: str):
    options = parse([name, "--help"])
    text = help_text(options.invocation)
    assert len(text.splitlines()) > 4
    assert max(map(len, text.splitlines())) <= 80


def test_whose_environment_the_agents_have_is_said_in_the_help():
    text = " ".join(help_text(parse(["submit", "-h"]).invocation).split())
    assert "because it holds secrets: the agents get the environment of loop serve" in text


def test_an_event_of_one_of_many_runs_is_one_line_that_names_the_run():
    said = Progress(at_ms=0, source="worker", agent="codex", kind="say", text="first\n\n  second\n")
    line = render.record(said, "repo/7", zone=None)
    assert line.split(" ", 1)[1] == "repo/7 codex      first | second"


def test_acp_takes_what_a_run_takes_and_no_task():
    words = ["--agent", "claude", "-m", "3", "--check", "true", "--headless"]
    driven = parse(["acp", *words])
    assert driven.command == "acp"
    assert driven.typed == parse(words).typed


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--tmux"], "loop acp takes no --tmux"),
        (["--run-id", "7"], "loop acp takes no --run-id"),
        (["--format", "raw"], "loop acp takes no --format"),
        (["fix", "it"], "loop acp takes no task, but got 'fix it'"),
        (["--prompt", "x.md"], "loop acp takes no task, but got 'x.md'"),
    ],
)
def test_what_the_client_says_is_refused_by_acp(words: list[str], line: str):
    with pytest.raises(UserError, match=line):
        parse(["acp", *words])
