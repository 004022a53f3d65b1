"""The fuzzer: a short seed of it on every surface. It finds every kind of fault, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
FUZZ = [sys.executable, ROOT / "scripts" / "fuzz.py"]
HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
# Inputs of the short seed: a few seconds of CPU each; `scripts/fuzz` plays longer ones.
SURFACES = {
    "router": 1_000,
    "control": 600,
    "mcp": 800,
    "run-files": 300,
    "configuration": 2_000,
    "acp": 600,
    "acp-client": 1_000,
    "reviews": 2_000,
    "terminal": 2_000,
}


def fuzz(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*FUZZ, "--seed", "1", "--save", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, env=HERE)


@pytest.mark.parametrize("surface", SURFACES)
def test_a_surface_takes_malformed_input_in_its_stride(tmp_path: Path, surface: str):
    done = fuzz(tmp_path, "--inputs", str(SURFACES[surface]), "--seconds", "120", surface)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"| {surface} | {SURFACES[surface]:,} |" in done.stdout


@pytest.mark.parametrize(
    ("surface", "said"),
    [
        ("Raises", "1 x KeyError"),
        ("Logs", "1 x KeyError"),
        ("Thread", "1 x KeyError"),
        ("Hangs", "1 x Hung"),
        ("Dies", "1 x its process was killed by SIGKILL"),
        ("Breaks", "1 x ValueError"),
        ("Leaves", "1 x processes are left behind"),
        ("Grows", "1 x memory grows"),
    ],
)
def test_a_fault_is_found_and_its_input_is_saved(tmp_path: Path, surface: str, said: str):
    done = fuzz(tmp_path, "--inputs", "120", f"faulty_surfaces:{surface}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
    # The batch of five is all that is known of a death; what is broken shows at the end.
    number = {"Leaves": -1, "Grows": -1, "Dies": 5, "Breaks": 119}.get(surface, 7)
    assert (tmp_path / f"{surface}-1-{number}.txt").exists(), list(tmp_path.iterdir())


def test_a_saved_input_is_repeated_by_seed_and_number(tmp_path: Path):
    again = fuzz(tmp_path, "--only", "7", "faulty_surfaces:Raises")
    assert (again.returncode, "KeyError" in again.stdout) == (1, True)
    other = fuzz(tmp_path, "--only", "8", "faulty_surfaces:Raises")
    assert other.returncode == 0, other.stdout + other.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_fuzzer_that_is_ended_leaves_no_process_behind(tmp_path: Path, number: signal.Signals):
    command = [*FUZZ, "--seed", "1", "--seconds", "300", "--save", str(tmp_path), "faulty_surfaces:Endless"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=HERE) as running:
        assert running.stderr is not None
        assert "inputs" in running.stderr.readline()
        family = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(number)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "| faulty_surfaces:Endless (not finished) |" in said
    assert family
    psutil.wait_procs(family, timeout=PATIENCE_S)
    assert [process for process in family if process.is_running()] == []
