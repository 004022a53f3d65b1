"""What the root writes into a run's manifest."""

from pathlib import Path

import pytest

from actors.edges import run_dir
from actors.settings import RunSettings
from supervisor.run_manifest import write_end
from supervisor.run_tree import RunSpec
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
