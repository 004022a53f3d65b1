"""Tests that drive a real tmux are left out, and say so, where there is none: scripts/programs installs it.

A test with whole programs (end to end, or with the real agents) that fails is run once more, and the summary says so
with an R line: a machine that stands still for a while breaks their patience, and there are hundreds of them. What
fails twice has failed.
"""

import shutil

import pytest

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
    for item in items:
        if "end_to_end" in item.path.parts or item.get_closest_marker("real_agents"):
            item.add_marker(pytest.mark.flaky(reruns=1))
    if shutil.which("tmux") is None:
        for item in items:
            if item.path.name in NEED_TMUX:
                item.add_marker(pytest.mark.skip(reason="no tmux (Debian: apt-get install tmux)"))
