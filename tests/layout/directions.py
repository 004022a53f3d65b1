"""Who may name whom: shell -> supervisor -> actors -> adapters -> embedded, edges -> machines, wire; and how much a
module may hold.
"""

import ast

from tests.layout.house import (
    MODULES,
    PACKAGES,
    TESTS,
    at,
    calls,
    claims_purity,
    cycles,
    imports,
    nodes,
    source,
    strings,
)

# A module belongs to the longest of these that its dotted name begins with. It may name its own rank and lower ones.
RANKS = {
    "actors.access": 0,
    "actors.censor": 0,
    "actors.errors": 0,
    "actors.messages": 0,
    "actors.setting_values": 0,
    "actors.run_states": 0,
    "actors.setting_rows": 0,
    "actors.settings": 0,
    "actors.settings_layers": 0,
    "actors.settings_table": 0,
    "actors.text": 0,
    "actors.values": 0,
    "actors.hosts": 1,
    "actors.machines": 1,
    "actors.wire": 1,
    "actors.starts": 1,
    "actors.clock": 2,
    "actors.edges": 2,
    "actors.embedded": 3,
    "actors.adapters": 4,
    "actors.remote": 5,
    "actors.runners": 5,
    "actors.session": 5,
    "actors.stream": 5,
    "actors": 6,
    "supervisor": 7,
    "shell": 8,
}


def rank(name: str) -> int:
    return next(
        number
        for prefix, number in sorted(RANKS.items(), reverse=True)
        if name == prefix or name.startswith(f"{prefix}.")
    )


def test_every_rank_is_of_a_module():
    assert [prefix for prefix in RANKS if not any(f"{name}.".startswith(f"{prefix}.") for name in MODULES)] == []


def test_imports_go_one_way():
    upward = [
        f"{name} -> {other}"
        for name in MODULES
        for other in imports(name)
        if other.partition(".")[0] in PACKAGES and rank(other) > rank(name)
    ]
    assert upward == []


def test_no_modules_reach_each_other():
    """Late imports, imports for types, and modules that a string names, count as well."""
    assert cycles() == []


def test_what_a_string_names_is_there():
    assert [f"{name} -> {other}" for name in MODULES for other in strings(name) if other not in MODULES] == []


def test_what_is_installed_needs_no_test_equipment():
    needs = [f"{name} -> {other}" for name in MODULES for other in imports(name) if other.startswith("tests")]
    assert needs == []


# --- peers are names --------------------------------------------------------------------------------------------

CONCRETE = {"actors.run", "actors.agent", "actors.bridge", "actors.persistence"}


def test_only_the_run_tree_names_concrete_actors():
    importers = [f"{name} -> {other}" for name in MODULES for other in imports(name) if other in CONCRETE]
    naming = {
        name
        for name in MODULES
        if name.startswith(("supervisor", "shell")) and any(f"{actor}:" in source(name) for actor in CONCRETE)
    }
    assert importers == []
    assert naming == {"supervisor.run_tree"}


# Names of actors as text. Those of the two session owners are also the names of their roles (settings.Role), which all
# may know: so they count in the supervisor alone. The lists shrink; nothing is added.
NAME_ACTORS = {
    "supervisor.run_tree",
    "actors.agent",
    "actors.bridge",
    "actors.run",
    "shell.render",  # colours of their names
    "shell.run_files",  # shows the actors of a run that is not running
}


def test_only_the_run_tree_names_actors():
    anywhere, in_supervisor = {"bridge", "persistence"}, {"worker", "reviewer"}
    naming = {
        name
        for name in MODULES
        if not name.startswith("actors.embedded")  # "bridge" is a word of scenario files
        for text in texts(name)
        if text in anywhere or (text in in_supervisor and name.startswith("supervisor"))
    }
    assert naming == NAME_ACTORS  # what names none any more leaves the list


# Where an agent's name may be text: its adapters, and these. The list shrinks; nothing is added.
NAME_AGENTS = {
    "actors.edges.run_dir": "keys of the manifest, a contract with other tools",
    "actors.embedded.agent": "is one",
    "actors.machines.mail_report": "an example in a text",
    "shell.checkups": "checks their versions",
    "shell.dashboard.agent_files": "reads their transcripts",
    "shell.dashboard.agent_words": "reads their transcripts",
    "shell.dashboard.machine": "knows their processes",
    "shell.findings": "their order in a report",
    "actors.setting_rows.agents": "options that are named after them",
    "actors.setting_rows.proof": "options that are named after them",
    "shell.run_settings": "options that are named after them",
}
AGENTS = {"claude", "codex", "claudex", "gemini", "copilot", "embedded"}


def test_only_adapters_name_agents():
    naming = {
        name for name in MODULES if not name.startswith("actors.adapters") for text in texts(name) if text in AGENTS
    }
    assert naming == NAME_AGENTS.keys()  # what names none any more leaves the list


def texts(name: str) -> set[str]:
    """The string constants of a module, without its docstrings and the values of a `Literal`."""
    left_out = set()
    for node in nodes(name, ast.Expr):
        left_out.add(id(node.value))
    for node in nodes(name, ast.Subscript):
        if ast.unparse(node.value) == "Literal":
            left_out |= {id(each) for each in ast.walk(node)}
    return {
        node.value for node in nodes(name, ast.Constant) if isinstance(node.value, str) and id(node) not in left_out
    }


# --- pure modules -----------------------------------------------------------------------------------------------

OUTSIDE_WORLD = {
    "asyncio", "multiprocessing", "os", "psutil", "queue", "random", "secrets", "shutil", "signal", "socket", "sqlite3",
    "subprocess", "tempfile", "threading", "time", "zmq", "pykka", "loguru",
}  # fmt: skip
OUTER_CALLS = {
    *("open", "input", "print", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4", "Path.cwd", "Path.home"),
}
OUTER_METHODS = {
    *(
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "iterdir",
        "glob",
        "rglob",
        "exists",
        "is_file",
        "is_dir",
    ),
    *("stat", "lstat", "mkdir", "unlink", "touch", "rmdir", "resolve"),
}
PURE_FOLDERS = ("actors.machines", "actors.wire")
# What a pure module may use of one that does more. The list shrinks; nothing is added.
PARTLY_PURE = {
    "shell.one_shot",  # rows of the grammar; what the commands do is beside them, with late imports
}

PURE = [name for name in MODULES | TESTS if claims_purity(name)]


def test_pure_modules_do_not_know_the_outside_world():
    knowing = [
        f"{name} -> {other}" for name in PURE for other in imports(name) if other.partition(".")[0] in OUTSIDE_WORLD
    ]
    calling = [
        f"{at(name, call)} {ast.unparse(call.func)}"
        for name in PURE
        for call in calls(name)
        if ast.unparse(call.func) in OUTER_CALLS
        or (isinstance(call.func, ast.Attribute) and call.func.attr in OUTER_METHODS)
    ]
    assert knowing == []
    assert calling == []


def test_pure_modules_import_only_pure_ones():
    """So it holds for all that they import in turn."""
    impure = {other: name for name in PURE for other in imports(name) if other in MODULES and not claims_purity(other)}
    assert impure.keys() == PARTLY_PURE  # what no pure module uses leaves the list


def test_modules_of_pure_folders_say_that_they_are_pure():
    assert [name for name in MODULES if name.startswith(PURE_FOLDERS) and not claims_purity(name)] == []


# --- size -------------------------------------------------------------------------------------------------------

MOST_LINES = 400


def test_a_module_is_read_in_one_go():
    """What is longer has two things in it: the wall goes between them, not at a line."""
    long = {name: lines for name in MODULES if (lines := source(name).count("\n")) > MOST_LINES}
    assert long == {}
