"""scripts/drift: what it says of two records. That it runs the real agents is seen when it is run."""

import json

from scripts.drift import RECORD, differences


def test_what_is_gone_and_what_is_new_is_named_by_kind():
    before = {"version": ["1"], "tools": ["a", "b"], "events": ["e"]}
    now = {"version": ["2"], "tools": ["b", "c"], "events": ["e"], "handshake": ["h"]}
    assert differences(before, now) == ["handshake, new: h", "tools, no more: a", "tools, new: c"]
    assert differences(before, before) == []


def test_the_record_has_both_agents_with_a_turn_that_finished():
    recorded = json.loads(RECORD.read_text("utf-8"))
    assert {name: facts["outcome"] for name, facts in recorded.items()} == {
        "claude": ["finished"],
        "codex": ["finished"],
    }
    assert "functions.exec" in recorded["codex"]["tools"]
    assert "mcp" not in " ".join(recorded["codex"]["tools"])  # why its developer instructions name the bridge's call
