"""What the doctor's findings mean, and how they are shown."""

import pytest

from shell.findings import Finding, Level, as_object, lines, verdict

PEERS = {"codex": "claude", "claude": "codex", "goose": "goose", "gemini": "claude"}


def agents(*usable: str) -> list[Finding]:
    return [Finding("agents", name, "ok" if name in usable else "problem", "") for name in PEERS]


@pytest.mark.parametrize(
    ("usable", "starts"),
    [
        (["codex", "claude"], ["loop TASK", "loop --agent claude TASK", "claude-loop TASK", "codex-loop TASK"]),
        (["claude"], ["claude-loop TASK"]),
        (["codex"], ["codex-loop TASK"]),
        (["goose"], ["loop --agent goose TASK"]),
        (["gemini"], []),  # its peer is not
        (["gemini", "claude"], ["loop --agent gemini TASK", "claude-loop TASK"]),
        ([], []),
    ],
)
def test_a_run_can_start_when_an_agent_and_its_peer_are_ready(usable: list[str], starts: list[str]):
    judged = verdict(agents(*usable), PEERS)
    assert (judged.can_start, list(judged.starts)) == (bool(starts), starts)


@pytest.mark.parametrize(
    ("usable", "text"),
    [
        (["codex", "claude"], "a run can start here: loop TASK"),
        (["claude"], "a run can start here, but not with codex and claude: claude-loop TASK"),
        ([], "no run can start here: no agent is ready, here or on a host"),
    ],
)
def test_the_last_line_says_how_to_start_one(usable: list[str], text: str):
    assert verdict(agents(*usable), PEERS).text == text


def host(name: str, level: Level = "ok", **agents: bool) -> Finding:
    return Finding("hosts", name, level, "", facts={"reachable": True, "agents": agents})


@pytest.mark.parametrize(
    ("usable", "hosts", "starts"),
    [
        ([], [host("big", codex=True, claude=True)], ["loop --place worker=big --place reviewer=big TASK"]),
        ([], [host("a", codex=True), host("b", claude=True)], ["loop --place worker=a --place reviewer=b TASK"]),
        (["codex"], [host("big", claude=True)], ["loop --place reviewer=big TASK"]),
        (["claude"], [host("big", claude=True)], ["claude-loop TASK"]),
        ([], [host("big", codex=True)], ["codex-loop --place worker=big TASK"]),
        (["codex", "claude"], [host("big", codex=True)], ["loop TASK"]),
        ([], [host("big", codex=False, claude=False)], []),  # no login is seen there
        ([], [host("big", "problem", codex=True)], []),
    ],
)
def test_agents_that_are_ready_on_hosts_count_too(usable: list[str], hosts: list[Finding], starts: list[str]):
    judged = verdict([*agents(*usable), *hosts], PEERS)
    assert (judged.can_start, list(judged.starts[:1])) == (bool(starts), starts)


def test_agents_on_hosts_do_not_help_where_no_tree_can_travel():
    judged = verdict([*agents(), host("big", codex=True, claude=True)], PEERS, can_travel=False)
    assert (judged.can_start, "run git init" in judged.text) == (False, True)


def test_what_blocks_is_named_however_many_agents_are_ready():
    bad = [Finding("places", name, "problem", "", blocks=True) for name in ("files", "sockets")]
    judged = verdict([*agents(*PEERS), *bad], PEERS)
    assert (judged.can_start, judged.text) == (False, "no run can start here: see files, sockets")


def test_problems_and_notes_alone_block_nothing():
    others = [Finding("tools", "git", "problem", ""), Finding("tools", "gh", "note", "")]
    assert verdict([*agents(*PEERS), *others], PEERS).can_start


LONG = Finding("tools", "gh", "note", "is not on PATH: no draft pull request", "Debian: apt-get install gh")


def test_a_finding_is_one_line_for_a_pipe():
    assert lines(LONG, width=None, colour=False) == [
        "  note     gh             is not on PATH: no draft pull request; Debian: apt-get install gh"
    ]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_finding_is_wrapped_below_its_text_on_a_terminal(width: int):
    shown = lines(LONG, width=width, colour=False)
    assert all(len(line) <= width for line in shown)
    assert all(line.startswith(" " * 26) for line in shown[1:])
    assert " ".join(" ".join(shown).split()) == " ".join(lines(LONG, width=None, colour=False)[0].split())


def test_a_long_path_is_not_broken_and_a_long_name_has_a_line_of_its_own():
    path = "/" + "x" * 90
    shown = lines(
        Finding("leftovers", "run project-0123456789ab/12", "note", f"sockets in {path}"), width=80, colour=False
    )
    assert shown[0] == "  note     run project-0123456789ab/12"
    assert [line.strip() for line in shown[1:]] == ["sockets in", path]


def test_colour_is_only_an_addition():
    coloured = lines(LONG._replace(level="problem"), width=None, colour=True)[0]
    assert coloured.startswith("  \x1b[31mPROBLEM \x1b[0m gh ")
    plain = lines(LONG._replace(level="problem"), width=None, colour=False)[0]
    assert coloured.replace("\x1b[31m", "").replace("\x1b[0m", "") == plain


def test_programs_get_everything_as_one_object():
    found = [LONG, *agents("claude")]
    value = as_object(found, verdict(found, PEERS), [{"subject": "x", "cleaned": True, "text": "removed"}])
    assert value["can_start"] is True
    assert value["starts"] == ["claude-loop TASK"]
    assert value["findings"][0] == {**LONG._asdict(), "facts": {}}
    assert value["cleaned"] == [{"subject": "x", "cleaned": True, "text": "removed"}]
