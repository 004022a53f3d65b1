"""`findings` and `waive` at the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.errors import UserError
from actors.messages import Finding
from shell.at_prompt import execute
from shell.commands.findings import waived
from shell.subcommands import parse_subcommand
from supervisor.control.protocol import AnyAnswer, Done, GetReport, Request, WaiveFinding
from tests.shell.test_tables import report, status


class FakePrompt:
    """A prompt of a run with these findings."""

    own = False

    def __init__(self, *findings: Finding, directory: Path = Path("/nowhere")) -> None:
        self.directory = directory
        self.asked: list[Request] = []
        self._findings = findings

    def ask(self, request: Request) -> AnyAnswer:
        if isinstance(request, GetReport):
            return report(status=status(findings=self._findings))
        self.asked.append(request)
        return Done(text="iteration 2 of 20: waits for codex")

    def start(self, name: str, command: Sequence[str]) -> str:
        return f"{name}: {' '.join(command[-2:])}"

    def leave(self) -> None:
        raise AssertionError("nobody leaves")


ZERO = Finding(id="f1", place="app.py:12", description="it fails", by="reviewer", review_round=1, last_round=1)


def test_findings_are_listed_and_a_run_without_any_says_so() -> None:
    assert execute(FakePrompt(ZERO), "findings") == "f1  raised  reviewer  round 1  [blocking] app.py:12: it fails"
    assert execute(FakePrompt(), "findings") == "the reviews have raised no findings"


def test_a_finding_is_waived_with_a_reason_or_without() -> None:
    prompt = FakePrompt(ZERO)
    assert execute(prompt, "waive F1 not in this release") == "f1 is waived"
    assert execute(prompt, "waive f1") == "f1 is waived"
    assert prompt.asked == [
        WaiveFinding(finding_id="f1", reason="not in this release"),
        WaiveFinding(finding_id="f1"),
    ]


def test_a_finding_that_is_not_there_is_named_and_nothing_is_asked() -> None:
    prompt = FakePrompt(ZERO)
    assert execute(prompt, "waive f7") == "error: run 3 has no finding 'f7': it has f1"
    assert execute(prompt, "waive") == "error: waive needs an argument: waive ID [REASON]"
    assert prompt.asked == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("f1", ("", "f1", "")),
        ("F1 next week", ("", "F1", "next week")),
        ("7 f1 next week", ("7", "f1", "next week")),
        ("f7 f1", ("f7", "f1", "")),
    ],
)
def test_the_run_of_a_waived_finding_need_not_be_named(typed: str, meant: tuple[str, str, str]) -> None:
    assert waived(parse_subcommand("waive", typed.split())) == meant


def test_what_waive_lacks_is_said_in_one_line() -> None:
    with pytest.raises(UserError, match="loop waive needs the id of a FINDING: loop waive"):
        waived(parse_subcommand("waive", ["7"]))
    with pytest.raises(UserError, match="FINDING takes the id of a finding such as f2, not 'x'"):
        waived(parse_subcommand("waive", ["7", "x"]))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("restore 2", "loop stop nowhere, then loop restore nowhere 2, and loop --run-id nowhere resumes it"),
        ("restore x", "NUMBER takes the number of a checkpoint, not 'x'"),
        ("verify", "verify: shell.verify /nowhere"),
        (
            "verify --here",
            "verify takes no words at the prompt, but got '--here'; in a shell, loop verify nowhere --here",
        ),
        ("diff 1 x", "UNTIL takes the number of a checkpoint, not 'x'"),
        ("diff 1 2 3", "diff has the wrong number of arguments"),
        ("diff", "/nowhere is gone"),
    ],
)
def test_what_a_prompt_does_not_do_names_what_does(typed: str, said: str) -> None:
    assert said in execute(FakePrompt(), typed)
