import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from actors.adapters import find_adapter
from actors.edges import run_dir
from actors.settings import RunSettings
from supervisor.run_instance import write_end
from supervisor.run_tree import RunSpec, RunTree
from supervisor.tree_protocol import RunResult


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
    ("before", "result", "after"),
    [
        ("working", "failed", ("failed", "failed")),
        ("reviewing", "stopped", ("stopped", "stopped")),
        ("completed", "failed", ("completed", "done")),
        ("working", "lost", ("working", "running")),
    ],
)
def test_the_manifest_says_how_a_run_ended_unless_the_worker_said_it(
    tmp_path: Path, before: str, result: str, after: tuple[str, str]
):
    status = {"completed": "done"}.get(before, "running")
    run_dir.write_manifest(tmp_path, {"state": before, "status": status, "other": "kept"})
    write_end(spec(tmp_path), RunResult(result, ""))
    manifest = run_dir.read_manifest(tmp_path)
    assert manifest is not None
    assert (manifest["state"], manifest["status"]) == after
    assert manifest["other"] == "kept"


@pytest.mark.parametrize(
    ("worker", "reviewer", "workspace", "libraries"),
    [
        ("embedded", "embedded", False, ("actors.adapters.acp_session",)),
        ("embedded", "embedded", True, ("actors.adapters.acp_session",)),  # it has no TUI
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


@pytest.mark.parametrize("name", ["claude", "codex", "embedded"])
def test_the_library_of_an_agent_is_a_module_that_may_be_forked(name: str):
    library = find_adapter(name, {}).library
    program = f"import psutil, {library}; print(psutil.Process().num_threads())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "1"
