"""A short seed of the chaos; `scripts/chaos` plays longer ones."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "chaos.py"


@pytest.mark.skipif("sys.platform != 'linux'", reason="the chaos needs prlimit and /proc")
@pytest.mark.timeout(300)  # half a minute on an idle machine
def test_a_run_that_is_hit_again_and_again_loses_nothing_and_does_nothing_twice():
    done = subprocess.run([sys.executable, SCRIPT, "--kills", "10", "--seed", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 hits, 10 recovered; 0 lost, 0 repeated, 0 orphans" in done.stdout
