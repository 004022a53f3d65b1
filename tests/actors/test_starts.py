from __future__ import annotations

import json
import pickletools
from pathlib import Path

import pytest

from actors import starts
from actors.access import BridgeAccess, PaneAccess
from actors.errors import ProtocolError
from actors.messages import StartTurnRequest
from actors.settings import RunSettings

SETTINGS = RunSettings(run_uid="u", task="Grüße", needs_plan=True, worker="codex", reviewer="claude")
STARTS = [
    starts.StartPersistence(directory=Path("/r"), generation=3, manifest={"pid": 1, "agents": {"worker": "codex"}}),
    starts.StartBridge(agents={"worker": "a", "reviewer": "b"}, tokens={"worker": "1", "reviewer": "2"}, run_id="1"),
    starts.StartRun(
        settings=SETTINGS, generation=1, peer="claude", resume="loop", tree=Path("/t"), tree_sha256="",
    ),
    starts.StartRun(settings=None, generation=1, peer="claude", resume="loop", tree=Path("/t"), tree_sha256="s"),
    starts.StartAgent(
        role="worker",
        agent="codex",
        label="codex",
        cwd=Path("/no \udcff UTF-8"),
        environment={"ODD": "\udcfe"},
        run_id="1",
        directory=Path("/r"),
        records=Path("/r/records"),
        repository=Path("/t"),
        bridge=BridgeAccess(url="http://127.0.0.1:1/mcp", token="t"),
        pane=PaneAccess(server="/s", session="s", side="left", folder=Path("/f"), root_pid=1, run_id="1"),
        program=starts.AgentProgram(command=("a", "b"), env={"C": "d"}),
        first_session_id="s",
        retry_ms=1,
        max_wait_ms=None,
        role_prompt=StartTurnRequest(turn_id="t", purpose="brief", prompt="You review."),
    ),
]  # fmt: skip


@pytest.mark.parametrize("start", STARTS, ids=lambda start: type(start).__name__)
def test_what_an_actor_is_told_arrives_as_bytes_that_are_no_code(start) -> None:
    sent = starts.ProcessStart(run="r/1", name="x", incarnation=2, endpoint="ipc://e", actor="a:B", start=start)
    data = starts.encode(sent)
    assert data.isascii()
    assert json.loads(data)["actor"] == "a:B"
    with pytest.raises(ValueError, match=r"opcode|pickle"):
        list(pickletools.genops(data))
    arrived = starts.decode(data)
    assert (arrived.run, arrived.name, arrived.incarnation, arrived.log) == ("r/1", "x", 2, sent.log)
    assert starts.typed(arrived.start, type(start)) == start


def test_what_does_not_fit_is_refused_with_its_place() -> None:
    with pytest.raises(ProtocolError, match=r"bad StartBridge .*\$\.run_id"):
        starts.typed({"agents": {}, "tokens": {}, "run_id": 1}, starts.StartBridge)
