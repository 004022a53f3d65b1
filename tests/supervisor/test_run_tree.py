import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from actors.adapters import find_adapter
from actors.settings import RunSettings
from actors.starts import StartBridge
from supervisor.run_tree import RunSpec, RunTree


def spec(directory: Path) -> RunSpec:
    return RunSpec(
        key="r/1",
        run_id="1",
        repo_id="r",
        directory=directory,
        cwd=directory,
        environment={},
        asked=RunSettings(run_uid="u", task="", needs_plan=False, worker="embedded", reviewer="embedded", paired=True),
    )


@pytest.mark.parametrize(
    ("worker", "reviewer", "workspace", "libraries"),
    [
        ("embedded", "embedded", False, ("actors.adapters.acp_library",)),
        ("embedded", "embedded", True, ("actors.adapters.acp_library",)),  # it has no TUI
        ("claude", "claude", False, ("actors.adapters.claude_process",)),
        ("claude", "claude", True, ()),  # its TUI needs no library
        ("codex", "claude", False, ()),  # each imports its own, at the same time
    ],
)
def test_a_library_that_both_actors_need_is_imported_once_for_both(
    tmp_path: Path, worker: str, reviewer: str, workspace: bool, libraries: tuple[str, ...]
):
    made = spec(tmp_path)
    made = replace(made, asked=structs.replace(made.asked, worker=worker, reviewer=reviewer), workspace=workspace)
    tree = RunTree(made, 1, {}, lambda child: 0, tmp_path)
    imports = {child.id: child.imports for child in tree.spec().children}
    assert imports == {**dict.fromkeys(imports, ()), "worker": libraries, "reviewer": libraries}


@pytest.mark.parametrize(
    ("worker", "reviewer", "waits"),
    [
        ("embedded", "embedded", True),
        ("codex", "claude", False),
        ("embedded", "claude", False),
        ("mine", "mine", False),
    ],
)
def test_the_bridge_of_agents_that_play_a_scenario_waits_for_their_first_call(
    tmp_path: Path, worker: str, reviewer: str, *, waits: bool
):
    made = spec(tmp_path)
    made = replace(made, asked=structs.replace(made.asked, worker=worker, reviewer=reviewer))
    start = RunTree(made, 1, {}, lambda child: 0, tmp_path).start("bridge")
    assert isinstance(start, StartBridge)
    assert start.waits is waits


@pytest.mark.parametrize("name", ["claude", "codex", "embedded"])
def test_the_library_of_an_agent_is_a_module_that_may_be_forked(name: str):
    library = find_adapter(name, {}).library
    program = f"import psutil, {library}; print(psutil.Process().num_threads())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "1"
