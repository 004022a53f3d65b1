import pytest

from actors.errors import UserError
from actors.settings_table import TABLE
from shell.commands.grammar import Invocation
from shell.options import Options, help_text, parse


def test_no_words_mean_the_workspace():
    assert parse([]).command == "workspace"


@pytest.mark.parametrize("word", ["UPDATE", "upgrade", "Update"])
def test_an_update_has_two_names_in_any_case(word: str):
    assert parse([word]).invocation == Invocation(name="update")
    assert parse([word, "--help"]) == Options(command="help", invocation=Invocation(name="update"))
    assert parse([word, "the", "readme"]).task == f"{word} the readme"
    with pytest.raises(UserError, match="loop update has no option '--headless'"):
        parse([word, "--headless"])


def test_several_words_are_one_prompt():
    assert parse(["fix", "the", "test"]).task == "fix the test"


def test_a_prompt_may_be_given_by_option():
    assert parse(["-p", "TASK.md"]).task == "TASK.md"


def test_two_dashes_end_the_options():
    assert parse(["--proof", "x", "--", "--tmux", "-m"]).task == "--tmux -m"


def test_only_what_was_typed_is_returned():
    assert parse(["x"]).typed == {}
    words = ["-m", "20", "--done=<promise>DONE</promise>", "--tmux", "--max-wait", "2h", "x"]
    assert parse(words).typed == {
        "max_iterations": 20,
        "done": "<promise>DONE</promise>",
        "tmux": True,
        "max_wait": 7_200_000,
    }


VALUES = [
    ("--agent", "claude", "agent"),
    ("--prompt", "text", "prompt"),
    ("--proof", "text", "proof"),
    ("--codex-model", "m", "codex_model"),
    ("--claude-model", "m", "claude_model"),
    ("--codex-reviewer-model", "m", "codex_reviewer_model"),
    ("--claude-reviewer-model", "m", "claude_reviewer_model"),
    ("--done", "OK", "done"),
    ("--format", "raw", "format"),
    ("--review", "claude", "review"),
    ("--review-plan", "none", "review_plan"),
    ("--run-id", "7", "run_id"),
    ("--session", "abc", "session"),
]


@pytest.mark.parametrize(("flag", "value", "name"), VALUES)
def test_a_value_may_follow_or_be_joined(flag: str, value: str, name: str):
    assert parse([flag, value]).typed == {name: value}
    assert parse([f"{flag}={value}"]).typed == {name: value}


@pytest.mark.parametrize(("short", "long"), [("-a", "--agent"), ("-p", "--prompt"), ("-d", "--done")])
def test_short_flags_mean_the_long_ones(short: str, long: str):
    assert parse([short, "x"]) == parse([long, "x"])


@pytest.mark.parametrize(
    ("words", "review", "task"),
    [
        (["--review", "x"], "claudex", "x"),
        (["--review", "codex", "x"], "codex", "x"),
        (["--review"], "claudex", None),
        (["--review", "--tmux"], "claudex", None),
    ],
)
def test_review_takes_the_next_word_only_when_it_is_one_of_the_three(words: list[str], review: str, task: str | None):
    options = parse(words)
    assert (options.value("review"), options.task) == (review, task)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--review", "cladue", "x"], "not 'cladue' (did you mean claude?); to use it as the task: --review claudex"),
        (["--review-plan", "nonne"], "--review-plan takes one of other, claude, codex, none, or nothing, not 'nonne'"),
    ],
)
def test_a_word_that_resembles_a_reviewer_is_questioned(words: list[str], said: str):
    with pytest.raises(UserError) as error:
        parse(words)
    assert said in str(error.value)


def test_bare_review_plan_means_other():
    found = parse(["--review-plan", "some", "task"])
    assert found == Options(words=("some", "task"), typed={"review_plan": "other"})


def test_values_are_trimmed():
    assert parse(["--proof", "  run the tests "]).value("proof") == "run the tests"


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("2H", 7200)])
def test_the_time_of_a_check_is_a_number_with_a_unit(text: str, seconds: int):
    assert parse(["--check-timeout", text, "x y"]).value("check_timeout") == seconds


def test_checks_add_up():
    assert parse(["--check", "make a", "--check=make b"]).value("checks") == ("make a", "make b")


def test_the_last_of_two_single_agents_does_not_win():
    with pytest.raises(UserError, match="exclude each other"):
        parse(["--claude-only", "--codex-only"])
    assert parse(["--claude-only", "--claude-only"]).value("only") == "claude"


REFUSED = [
    (["--nonsense"], "unknown option '--nonsense'"),
    (["--agnet", "x"], "did you mean --agent"),
    (["-x"], "unknown option '-x'"),
    (["--proof"], "--proof needs a value"),
    (["--proof", "--tmux"], "--proof needs a value"),
    (["--proof="], "--proof must not be empty"),
    (["--proof", "  "], "--proof must not be empty"),
    (["--done", " "], "--done must not be empty"),
    (["--check", ""], "--check must not be empty"),
    (["--max-iterations", "0"], "whole number of at least 1, not '0'"),
    (["--check-timeout", "0"], "--check-timeout must be a time from 1s to 168h, such as 90s, 30m or 2h, not '0'"),
    (["--check-timeout", "1.5h"], "not '1.5h'"),
    (["--check-timeout", "9" * 5000], "--check-timeout must be a time"),
    (["--check-timeout", "5ms"], "not '5ms'"),
    (["-m", "1.5"], "not '1.5'"),
    (["-m", "-1"], "not '-1'"),
    (["-m", "1" + "0" * 30], "from 1 to 1000000, not '1000000"),
    (["-m", "9" * 5_000], "(5,000 characters)"),
    (["--done", "one\ntwo"], "--done must be one line, not 'one\\ntwo'"),
    (["--done", "x" * 1_001], "--done has 1,001 characters, and at most 1,000 are taken"),
    (["--run-id=1\n2"], "--run-id must be one line"),
    (["--codex-model", "a\u2028b"], "--codex-model must be one line"),
    (["--check", "x" * 100_001], "--check has 100,001 bytes, and at most 100,000 are taken"),
    (["--prompt", "\udcff"], "--prompt has bytes that are not UTF-8 text: '\\udcff'"),
    (["--check", "make \udcff"], "--check has bytes that are not UTF-8 text"),
    (["--proof=\udcff"], "a word of the command line has bytes that are not UTF-8 text"),
    (["--headless", "\ud83d"], "a word of the command line has bytes that are not UTF-8 text"),
    (["fix", "\ud83d"], "a word of the command line has bytes that are not UTF-8 text"),
    (["--agent", "\udcff", "x"], "--agent has bytes that are not UTF-8 text"),
    (["submit", "--done", "\udcff", "x"], "--done has bytes that are not UTF-8 text"),
    (["say", "codex", "\udcff"], "a word of the command line has bytes that are not UTF-8 text"),
    (["serve", "--max-runs", "9" * 5_000], "--max-runs must be a whole number from 1 to 1000"),
    (["-m", "²"], "not '²'"),
    (["--format", "xml"], "pretty, raw, not 'xml'"),
    (["--review=gemini"], "claude, codex, claudex, not 'gemini'"),
    (["--review-plan=both"], "other, claude, codex, none, not 'both'"),
    (["--tmux=yes"], "--tmux takes no value, but got 'yes'"),
    (["--run-id", "7", "--session=x"], "two runs: --run-id '7' and --session 'x'"),
    (["-p", "a", "b"], "two prompts: --prompt 'a' and 'b'"),
    (["", " "], "the prompt is empty"),
]


@pytest.mark.parametrize(("words", "line"), REFUSED)
def test_bad_input_is_refused_in_one_line_with_the_value(words: list[str], line: str):
    with pytest.raises(UserError) as refusal:
        parse(words)
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_help_wins_over_what_follows():
    assert parse(["--help", "--nonsense"]).command == "help"
    assert parse(["-v"]).command == "version"


def test_help_has_an_option_below_each_heading():
    lines = help_text().splitlines()
    headings = [at for at, line in enumerate(lines) if line.endswith(":") and not line.startswith(" ")]
    assert len(headings) > 5
    assert [lines[at] for at in headings if not lines[at + 1].startswith("  -")] == []


def test_help_says_what_a_command_does_in_one_column():
    lines = help_text().splitlines()
    commands = lines[2 : lines.index("", 2)]
    beside = [line for line in commands if line[:30].endswith(" ")]
    alone = [line for line in commands if line not in beside]  # what they do is on the line below
    assert all(commands[commands.index(line) + 1].startswith(" " * 30) for line in alone)
    assert len(beside) > 5 * len(alone) > 0


def test_help_fits_eighty_columns():
    assert max(map(len, help_text().splitlines())) <= 80


def test_every_flag_is_listed_once():
    flags = [flag for row in TABLE for flag in row.flags]
    assert len(flags) == len(set(flags))


@pytest.mark.parametrize("typed", ["2", "soon", "-1h", "400d", "10000000000000000000s"])
def test_what_is_no_time_to_wait_is_refused_in_one_line(typed: str):
    with pytest.raises(UserError, match=f"--max-wait takes a time .* not '{typed}'"):
        parse([f"--max-wait={typed}", "x"])
