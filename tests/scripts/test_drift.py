"""scripts/drift: what it says of two records. That it runs the real agents is seen when it is run."""

import json

import pytest

from actors.adapters import find_adapter, versions
from scripts.drift import RECORD, as_table, choices, differences, nearest


def test_what_is_gone_and_what_is_new_is_named_by_kind():
    before = {"version": ["1"], "tools": ["a", "b"], "events": ["e"]}
    now = {"version": ["2"], "tools": ["b", "c"], "events": ["e"], "handshake": ["h"]}
    assert differences(before, now) == ["handshake, new: h", "tools, no more: a", "tools, new: c"]
    assert differences(before, before) == []


def test_a_version_is_compared_with_the_newest_that_is_not_newer():
    recorded = {"0.163.0": {}, "0.171.0": {}, "0.99.0": {}}
    assert [nearest(recorded, each) for each in ("0.171.0", "0.170.9", "0.100", "0.1")] == [
        "0.171.0",
        "0.163.0",
        "0.99.0",
        "0.99.0",
    ]


def test_the_record_has_each_version_that_counts_as_tested_with_a_turn_that_finished():
    recorded = json.loads(RECORD.read_text("utf-8"))
    for name, known in recorded.items():
        assert sorted(known) == sorted(find_adapter(name, {}).tested)
        assert {facts["outcome"][0] for facts in known.values()} == {"finished"}
    for facts in recorded["codex"].values():
        assert "functions.exec" in facts["tools"]
        assert "mcp" not in " ".join(facts["tools"])  # why its developer instructions name the bridge's call
        assert any(each.startswith("item/tool/requestUserInput (") for each in facts["asks"])
    for facts in recorded["claude"].values():
        assert any(each.startswith("can_use_tool AskUserQuestion (") for each in facts["asks"])


def test_what_the_doctor_knows_is_what_the_record_says():
    assert versions.TABLE.read_text("utf-8") == as_table(json.loads(RECORD.read_text("utf-8")))


TRUST = """
 Do you trust this folder?

 \u276f No, exit
   Yes, I trust this folder

 Enter to confirm
"""
NUMBERED = """
\u2502  > 1. Yes, continue  \u2502
\u2502    2. No, quit        \u2502
"""
PROMPT = """
\u203a Ask Codex to do anything

  ? for shortcuts
"""


@pytest.mark.parametrize(
    ("screen", "offered", "proposed"),
    [
        (TRUST, ["No, exit", "Yes, I trust this folder"], "No, exit"),
        (NUMBERED, ["Yes, continue", "No, quit"], "Yes, continue"),
        (PROMPT, [], ""),
        ("", [], ""),
    ],
)
def test_a_dialog_is_told_from_a_prompt_by_a_second_choice(screen: str, offered: list[str], proposed: str):
    assert choices(screen) == (offered, proposed)
