"""Text that comes in and goes out, programs and environments: each kind of it has one boundary."""

import ast

from tests.layout.house import MODULES, at, called, calls, nodes

# Who may look at os.environ: the boundary itself, what becomes another program, and what strikes secrets out of logs.
ENVIRONMENT_READERS = {
    "actors.edges.environments",
    "actors.edges.check_keeper",  # is the check's process; it was given the check's environment
    "actors.edges.bridge_shim",  # is the agent's MCP server; address and token of the bridge come in it
    "actors.logs",
    "shell.output",  # to strike out its secrets
    "supervisor.hosts.agents_there",  # is a part of the first program on a host, or of loop join there
    "shell.in_tmux",  # becomes the loop that was asked for
}


def test_only_listed_modules_read_the_environment():
    readers = {
        name
        for name in MODULES
        for node in nodes(name, ast.Attribute)
        if ast.unparse(node) in ("os.environ", "os.getenv", "os.environb")
    }
    assert readers == ENVIRONMENT_READERS


STARTERS = {
    *("run", "call", "check_call", "check_output", "Popen", "create_subprocess_exec", "subprocess_exec"),
    *("execvp", "execv", "execl", "execlp", "posix_spawnp", "system", "popen", "spawnv", "create_subprocess_shell"),
}
STARTING_MODULES = {"subprocess", "asyncio", "os"}
# An agent's commands have the environment that it was given; the first program on a host has its login's.
INHERIT = {"actors.embedded.actions", "supervisor.hosts.stage1"}


def test_whatever_starts_a_program_says_with_which_environment():
    unsaid = [
        at(name, call)
        for name in MODULES
        if name not in INHERIT
        for call in calls(name)
        if isinstance(call.func, ast.Attribute) and call.func.attr in STARTERS
        and (
            (isinstance(call.func.value, ast.Name) and call.func.value.id in STARTING_MODULES)
            or call.func.attr == "subprocess_exec"
        )
        and not any(keyword.arg == "env" for keyword in call.keywords)
        and called(call) != "asyncio.run"
    ]  # fmt: skip
    assert unsaid == []


# Files and lines that another process of ours has written; all other JSON is foreign.
READ_THEIR_OWN_JSON = {
    "actors.edges.pane_program",
    "actors.edges.panes",
    "actors.embedded.actions",
    "actors.embedded.agent",
    "actors.embedded.session_file",
    "actors.starts",
    "actors.text",
    "shell.in_tmux",
    "shell.installation",
}


def test_foreign_text_is_made_valid_where_it_enters():
    """The rule of `actors.text`: foreign JSON is read by it, and no program's output can fail to be decoded."""
    undecodable, foreign = [], set()
    for name in MODULES:
        for call in calls(name):
            words = {keyword.arg for keyword in call.keywords}
            if words & {"text", "universal_newlines"} and "errors" not in words and "subprocess" in ast.unparse(call):
                undecodable.append(at(name, call))
            if called(call) == "json.loads":
                foreign.add(name)
    assert undecodable == []
    assert foreign == READ_THEIR_OWN_JSON


# The user is asked with words of ours.
ASK_THE_USER = {"shell.doctor", "shell.dashboard.app"}
# Frames between our own programs.
WRITE_FRAMES = {"supervisor.forkserver", "supervisor.hosts.shim", "supervisor.hosts.stage1"}
WRITES = {"print", "os.write"}
STREAMS = tuple(f"sys.{stream}.write" for stream in ("stdout", "stderr", "__stdout__", "__stderr__"))


def test_everything_that_is_printed_goes_through_the_one_way_out():
    """The rule of `shell.output`: it makes it printable, strikes out secrets, and minds the stream's encoding."""
    around = [
        f"{at(name, call)} {called(call)}"
        for name in MODULES
        if name.startswith(("shell", "supervisor")) and name != "shell.output"
        for call in calls(name)
        if (called(call) in WRITES and name not in WRITE_FRAMES)
        or called(call).startswith(STREAMS)
        or (called(call) == "input" and name not in ASK_THE_USER)
    ]
    assert around == []
