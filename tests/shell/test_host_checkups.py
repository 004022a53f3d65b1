"""What the answer of a host means for the user."""

import pytest

from actors.hosts import Host
from shell.host_checkups import judged
from supervisor.hosts import code
from supervisor.hosts.probe import Probed

OURS = code.digest()


@pytest.mark.parametrize(
    ("python", "found", "level", "words"),
    [
        ("", {}, "ok", "reachable, this version of loop is there; Python 3.12.1, claude, codex (no login seen)"),
        ("", {"code": ""}, "ok", "loop will be installed there"),
        ("", {"agents": {}}, "note", "no codex and no claude on its PATH"),
        ("", {"git": False}, "problem", "git is not installed there"),
        ("", {"python": "3.9.2"}, "problem", "loop needs 3.11"),
        ("~/v/bin/python", {"python": "3.9.2"}, "ok", "this version of loop is there"),
        ("~/v/bin/python", {"code": ""}, "problem", "~/v/bin/python there has no loop"),
        ("~/v/bin/python", {"code": "other"}, "problem", "~/v/bin/python there has another version of loop"),
    ],
)
def test_a_host_is_judged_by_what_a_run_needs_there(python: str, found: dict[str, object], level: str, words: str):
    usual = {"python": "3.12.1", "git": True, "code": OURS, "agents": {"claude": True, "codex": False}}
    finding = judged(Host(name="big", python=python), Probed(**usual | found))  # type: ignore[arg-type]
    assert finding.level == level
    assert words in finding.text
    assert bool(finding.next) == (level == "problem")
    assert not finding.blocks
