"""Tests that drive a real tmux are left out, and say so, where there is none: scripts/programs installs it."""

import shutil
import signal

import pytest

# Under nohup this signal is ignored, by us and by all that the tests start; several of them send it.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

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
