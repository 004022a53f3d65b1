"""The import direction: shell -> supervisor -> actors -> (adapters, edges) -> (machines, wire, messages)."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.layout.directions import test_no_modules_reach_each_other as test_no_modules_reach_each_other

ROOT = Path(__file__).parents[1]
PACKAGES = ("actors", "supervisor", "shell")

# A module belongs to the first entry that its dotted name begins with. It may import from its own layer and below.
LAYERS = [
    ("actors.access", 0),
    ("actors.errors", 0),
    ("actors.messages", 0),
    ("actors.settings", 0),
    ("actors.settings_layers", 0),
    ("actors.settings_table", 0),
    ("actors.setting_values", 0),
    ("actors.values", 0),
    ("actors.text", 0),
    ("actors.censor", 0),
    ("actors.machines", 1),
    ("actors.wire", 1),
    ("actors.adapters.base", 1),
    ("actors.starts", 1),
    ("actors.adapters", 2),
    ("actors.edges", 2),
    ("actors.embedded", 2),
    ("actors", 3),
    ("supervisor", 4),
    ("shell", 5),
]

PURE = (
    "actors.errors",
    "actors.messages",
    "actors.settings",
    "actors.setting_values",
    "actors.values",
    "actors.text",
    "actors.censor",
    "actors.machines",
    "actors.wire",
    "actors.adapters.base",
    "actors.starts",
)
PURE_FILES = (
    "actors.adapters.claude_pane_signs",
    "actors.adapters.claude_pane_steps",
    "actors.session.choices",
    "actors.session.keeping",
    "actors.session.listener",
    "supervisor.spec",
    "supervisor.policy",
    "supervisor.children",
    "supervisor.tree",
    "supervisor.tree_protocol",
    "supervisor.orders",
    "supervisor.console_wire",
    "shell.options",
    "shell.subcommands",
    "shell.update_plan",
    "actors.adapters.shapes",
    "actors.adapters.acp_messages",
    "shell.findings",
    "shell.render",
    "shell.tables",
    "shell.log_lines",
    "shell.dashboard.view",
    "shell.dashboard.panel",
    "shell.dashboard.agent_words",
)
OUTSIDE_WORLD = {
    "asyncio", "multiprocessing", "os", "psutil", "queue", "random", "secrets", "shutil", "signal", "socket", "sqlite3",
    "subprocess", "tempfile", "threading", "time", "zmq", "pykka", "loguru",
}  # fmt: skip


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


MODULES = dict(modules())


def layer(name: str) -> int:
    return next(number for prefix, number in LAYERS if name == prefix or name.startswith(f"{prefix}."))


def imports(name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name: str):
    own = layer(name)
    upward = [other for other in imports(name) if other.partition(".")[0] in PACKAGES and layer(other) > own]
    assert upward == []


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(PURE) or name in PURE_FILES])
def test_pure_modules_do_not_know_the_outside_world(name: str):
    assert {other.partition(".")[0] for other in imports(name)} & OUTSIDE_WORLD == set()


def test_only_the_run_tree_names_concrete_actors():
    concrete = {"actors.run", "actors.agent", "actors.bridge", "actors.persistence"}
    importers = {name for name in MODULES if name not in concrete for other in imports(name) if other in concrete}
    naming = {
        name
        for name, path in MODULES.items()
        if name.startswith(("supervisor", "shell")) and any(f"{actor}:" in path.read_text() for actor in concrete)
    }
    assert importers == set()
    assert naming == {"supervisor.run_tree"}


def test_one_module_makes_the_zeromq_context():
    making = ("zmq.Context", "zmq.Poller", "import Context")
    assert [name for name, path in MODULES.items() if any(word in path.read_text() for word in making)] == [
        "actors.edges.socket_loop"
    ]


def test_msgpack_of_others_is_decoded_in_one_place():
    decoding = ("msgpack.Decoder", "msgpack.decode")
    assert [name for name, path in MODULES.items() if any(word in path.read_text() for word in decoding)] == [
        "actors.wire.unpack"
    ]


# Who may look at os.environ: the boundary itself, what becomes another program, and what strikes secrets out of logs.
ENVIRONMENT_READERS = {
    "actors.edges.environments",
    "actors.edges.check_keeper",  # is the check's process; it was given the check's environment
    "actors.edges.bridge_shim",  # is the agent's MCP server; address and token of the bridge come in it
    "actors.logs",
    "shell.output",  # to strike out its secrets
    "shell.in_tmux",  # becomes the loop that was asked for
}
STARTERS = {
    *("run", "call", "check_call", "check_output", "Popen", "create_subprocess_exec", "subprocess_exec"),
    *("execvp", "execv", "execl", "execlp", "posix_spawnp", "system", "popen", "spawnv", "create_subprocess_shell"),
}
STARTING_MODULES = {"subprocess", "asyncio", "os"}
INHERITS = "actors.embedded.agent"  # an agent itself: its commands have the environment that it was given


def nodes(name: str, kind: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(node, kind))


def test_only_listed_modules_read_the_environment():
    readers = {
        name for name in MODULES for node in nodes(name, ast.Attribute) if node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name) and node.value.id == "os"
    }  # fmt: skip
    assert readers == ENVIRONMENT_READERS


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {INHERITS}))
def test_whoever_starts_a_program_says_with_which_environment(name: str):
    unsaid = [
        f"{name}:{call.lineno}"
        for call in nodes(name, ast.Call)
        if isinstance(call.func, ast.Attribute) and call.func.attr in STARTERS
        and (
            (isinstance(call.func.value, ast.Name) and call.func.value.id in STARTING_MODULES)
            or call.func.attr == "subprocess_exec"
        )
        and not any(keyword.arg == "env" for keyword in call.keywords)
        and ast.unparse(call.func) != "asyncio.run"
    ]  # fmt: skip
    assert unsaid == []


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_and_version_import_no_agent_sdk_and_no_zeromq(words: list[str]):
    heavy = [
        "zmq",
        "claude_agent_sdk",
        "openai_codex",
        "acp",
        "mcp",
        "pykka",
        "msgspec",
        "loguru",
        "prompt_toolkit",
        "textual",
    ]
    program = (
        "import sys; from shell.cli import main; "
        f"code = main({words!r}); print(code, [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("words", [["--once"], ["--json"], ["--once", "--json"]])
def test_a_dashboard_that_is_printed_imports_no_widget(words: list[str], tmp_path: Path):
    program = (
        f"import sys; from shell.cli import main; code = main(['dashboard', *{words!r}]); "
        "print(code, {'textual', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 set()"


def test_help_names_every_option_with_its_default():
    done = subprocess.run([sys.executable, "-m", "shell.cli", "--help"], capture_output=True, text=True, cwd=ROOT)
    from actors.settings_table import TABLE

    flat = " ".join(done.stdout.split())
    for row in TABLE:
        assert all(flag in flat for flag in row.flags)
        assert not row.flags or row.shown_default in flat


def calls(name: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(node, ast.Call))


# Files and lines that another process of ours has written; all other JSON is foreign.
READ_THEIR_OWN_JSON = {
    "actors.edges.files", "actors.edges.pane_program", "actors.edges.panes", "actors.edges.run_dir", "actors.starts",
    "actors.embedded.agent", "shell.in_tmux", "shell.installation",
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_foreign_text_is_made_valid_where_it_enters(name: str):
    """The rule of `actors.text`: foreign JSON is read by it, and no program's output can fail to be decoded."""
    for call in calls(name):
        words = {keyword.arg for keyword in call.keywords}
        assert not (words & {"text", "universal_newlines"}) or "errors" in words or not is_of_subprocess(call)
        if ast.unparse(call.func) == "json.loads":
            assert name in READ_THEIR_OWN_JSON | {"actors.text"}


def is_of_subprocess(call: ast.Call) -> bool:
    return "subprocess" in ast.unparse(call)


# The user is asked with words of ours.
ASK_THE_USER = {"shell.doctor", "shell.dashboard.app"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(("shell", "supervisor"))])
def test_everything_that_is_printed_goes_through_the_one_way_out(name: str):
    """The rule of `shell.output`: it makes it printable, strikes out secrets, and minds the stream's encoding."""
    if name == "shell.output":
        return
    for call in calls(name):
        called = ast.unparse(call.func)
        assert called not in {"print", "os.write"} or name == "supervisor.forkserver"
        assert not called.startswith(("sys.stdout.write", "sys.stderr.write", "sys.__stdout__", "sys.__stderr__"))
        assert called != "input" or name in ASK_THE_USER
