"""A test run ends what it has started, however it ends itself.

Tests that drive a real tmux are left out, and say so, where there is none: scripts/programs installs it.
"""

import os
import shutil
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

from tests.lab import reaper

# A run of tests that is killed leaves nothing behind.
reaper.watch()

# An installed program is compiled. Where this is set, as in many containers, each of some thousand processes would
# compile our modules again: 0.1 to 0.3 s each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Under nohup this signal is ignored, by us and by all that the tests start; several of them send it.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples in each run, whatever the clock says: a change is not red for what it has not touched. New ones are
# looked for with `pytest --hypothesis-profile=search`.
settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("tests"), derandomize=False, print_blob=True)
settings.load_profile("tests")

NEED_TMUX = {
    "test_claude_pane.py",
    "test_codex_tui.py",
    "test_dashboard.py",
    "test_panes.py",
    "test_prompt_on_screen.py",
    "test_tmux.py",
    "test_workspace.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("tmux") is None:
        for item in items:
            if item.path.name in NEED_TMUX:
                item.add_marker(pytest.mark.skip(reason="no tmux (Debian: apt-get install tmux)"))
