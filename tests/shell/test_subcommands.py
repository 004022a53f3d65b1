import pytest

from actors.errors import UserError
from shell.at_prompt import COMMANDS
from shell.cli import main
from shell.commands.grammar import AT_PROMPT_ALONE, Invocation
from shell.options import help_text, parse
from shell.subcommands import SUBCOMMANDS


def invocation(*words: str) -> Invocation:
    options = parse(words)
    assert options.command == "subcommand"
    assert options.invocation is not None
    return options.invocation


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("status", Invocation(name="status")),
        ("STATUS 3 --json", Invocation(name="status", run="3", json=True)),
        ("stop --run 3 --now", Invocation(name="stop", run="3", now=True)),
        ("pause --run=3", Invocation(name="pause", run="3")),
        ("logs -f", Invocation(name="logs", follow=True)),
        ("logs 3 --follow --json", Invocation(name="logs", run="3", follow=True, json=True)),
        ("say codex use tabs --run 3", Invocation(name="say", agent="codex", text="use tabs", run="3")),
        ("say codex -- --json is a flag", Invocation(name="say", agent="codex", text="--json is a flag")),
        ("mailbox worker --json", Invocation(name="mailbox", actor="worker", json=True)),
        ("shell repo-1/7", Invocation(name="shell", run="repo-1/7")),
        ("worktree list --json", Invocation(name="worktree", action="list", json=True)),
        ("worktree clean 1 2 --dry-run", Invocation(name="worktree", action="clean", text="1 2", dry_run=True)),
        ("worktree --ignored clean", Invocation(name="worktree", action="clean", ignored=True)),
        ("Dashboard", Invocation(name="dashboard")),
        ("dashboard --once --json", Invocation(name="dashboard", once=True, json=True)),
        ("dashboard --web --port=8080", Invocation(name="dashboard", web=True, port=8080)),
    ],
)
def test_options_come_after_the_word_in_any_order(words: str, meant: Invocation):
    assert invocation(*words.split(" ")) == meant


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["status", "--jsno"], "loop status has no option '--jsno': loop status"),
        (["stop", "-f"], "loop stop has no option '-f'"),
        (["runs", "--run", "3"], "loop runs has no option '--run'"),
        (["stop", "the", "memory leak"], 'in quotes: loop "stop ..."'),
        (["stop", "--run"], "--run needs a value"),
        (["status", "--json=yes"], "--json takes no value, but got 'yes'"),
        (["say"], "loop say needs AGENT: loop say AGENT TEXT..."),
        (["say", "codex"], "loop say needs TEXT..."),
        (["say", "codex", "  "], "loop say needs TEXT..."),
        (["mailbox"], "loop mailbox needs ACTOR"),
        (["diff", "1", "x"], "SINCE takes the number of a checkpoint, not 'x': loop diff"),
        (["diff", "1", "0", "-1"], "loop diff has no option '-1'"),
        (["diff", "1", "0", "1.5"], "UNTIL takes the number of a checkpoint, not '1.5'"),
        (["restore", "1", "two"], "NUMBER takes the number of a checkpoint, not 'two': loop restore RUN NUMBER"),
        (["keys"], "loop keys needs ACTION, one of new, list, revoke: loop keys new NAME | list | revoke NAME"),
        (["worktree", "claen"], "loop worktree has no 'claen' (did you mean clean?), only list, clean; a task"),
        (["mail", "the", "report"], "loop mail has no 'the', only list, show"),
        (["config", "foo"], "loop config takes no further words, but got 'foo': loop config [OPTIONS]"),
        (["acp", "x"], "got 'x': the client's prompt is the task, so leave it out"),
        (["dashboard", "--onse"], "loop dashboard has no option '--onse': loop dashboard [--once]"),
        (["dashboard", "of", "sales"], 'in quotes: loop "dashboard ..."'),
        (["dashboard", "--web", "--once"], "--web and --once exclude each other"),
        (["dashboard", "--json", "--web"], "--web and --json exclude each other"),
        (["dashboard", "--port", "80"], "--port 80 is for --web"),
        (["dashboard", "--web", "--port", "0"], "--port must be a whole number from 1 to 65535, not '0'"),
        (["dashboard", "--web", "--port", "65536"], "--port must be a whole number from 1 to 65535, not '65536'"),
        (["dashboard", "--web", "--port"], "--port needs a value"),
    ],
)
def test_what_is_wrong_is_named_with_the_usage(words: list[str], why: str):
    with pytest.raises(UserError) as error:
        parse(words)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "meant"), [("statsu", "status"), ("Staus", "status"), ("log", "logs"), ("dashbord", "dashboard")]
)
def test_a_task_of_one_word_that_looks_like_a_command_is_asked_about(word: str, meant: str):
    with pytest.raises(UserError, match=rf"did you mean loop {meant}\?.*loop -- {word}"):
        parse([word])
    assert parse(["--", word]).task == word


@pytest.mark.parametrize(("word", "meant"), [("help", "--help"), ("version", "--version"), ("Help", "--help")])
def test_a_task_of_one_word_that_looks_like_an_option_is_asked_about(word: str, meant: str):
    with pytest.raises(UserError, match=rf"did you mean loop {meant}\?.*loop -- {word}"):
        parse([word])


def test_a_task_of_one_word_that_is_a_command_of_the_prompt_is_asked_about():
    assert set(AT_PROMPT_ALONE) == COMMANDS.keys() - SUBCOMMANDS.keys() - {"help"}
    for word in AT_PROMPT_ALONE:
        with pytest.raises(UserError, match=rf"'{word}' is a command of the loop> prompt|did you mean loop"):
            parse([word])
        assert parse([word, "the", "code"]).task == f"{word} the code"


@pytest.mark.parametrize("name", AT_PROMPT_ALONE)
def test_a_command_of_the_prompt_has_its_own_help_after_loop_as_well(name: str, capsys: pytest.CaptureFixture[str]):
    assert main([name, "--help"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(name)
    assert "loop> prompt" in last


@pytest.mark.parametrize("words", [["x"], ["stop the leak"], ["logs.md"], ["fix", "status"], ["say.md"]])
def test_other_tasks_are_tasks(words: list[str]):
    assert parse(words).task == " ".join(words)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_each_subcommand_has_help_of_its_own_and_stands_in_the_general_one(name: str):
    options = parse([name, "--help"])
    assert options.command == "help"
    assert help_text(options.invocation).splitlines()[0].startswith(f"loop {name}")
    assert SUBCOMMANDS[name].words in help_text()
