"""What the root writes into a run's manifest."""

from pathlib import Path

import pytest

from actors.edges import run_dir
from supervisor.run_manifest import write_end
from supervisor.tree_protocol import RunResult


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
    write_end(tmp_path, RunResult(result, ""))
    manifest = run_dir.read_manifest(tmp_path)
    assert manifest is not None
    assert (manifest["state"], manifest["status"]) == after
    assert manifest["other"] == "kept"
