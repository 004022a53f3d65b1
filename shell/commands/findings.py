"""`findings` and `waive`: what the reviewers want changed, and what of it the user does not want."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from actors.errors import OperationalError, UserError
from shell import output
from shell.commands.asking import ask, done, print_text, report_of
from shell.commands.base import Command, Prompt, needed
from shell.commands.grammar import MORE, Invocation, Subcommand
from shell.commands.status import report_of_run

if TYPE_CHECKING:
    from supervisor.control.protocol import Report

_FINDING_ID = re.compile(r"[fF]\d{1,9}")
NONE = "the reviews have raised no findings"


def _findings(invocation: Invocation) -> int:
    import msgspec

    from shell import run_files, tables

    found = run_files.choose(invocation.run, running=False)
    report = report_of_run(found)
    if invocation.json:
        known = report.status.findings if report.status is not None else ()
        output.say_json({"runId": found.run_id, "findings": msgspec.to_builtins(known)})
    else:
        output.say_lines(tables.finding_lines(report) or [NONE])
    return 0


def _type_findings(prompt: Prompt, _rest: str) -> str:
    """What the reviewers want changed, and what became of it: raised, fixed, refused, waived."""
    from shell import tables

    return "\n".join(tables.finding_lines(report_of(prompt))) or NONE


def _known(report: Report, finding_id: str) -> str:
    """The finding's id. Raises `UserError` when there is none."""
    known = [each.id for each in report.status.findings] if report.status is not None else []
    if finding_id.lower() not in known:
        raise UserError(f"run {report.run_id} has no finding {finding_id!r}: it has {', '.join(known) or 'none'}")
    return finding_id.lower()


def waived(invocation: Invocation) -> tuple[str, str, str]:
    """The run, the finding and the reason. RUN may be left out: a finding's id comes first then."""
    run, finding_id, text = invocation.run, invocation.finding, invocation.text
    if _FINDING_ID.fullmatch(run) and not _FINDING_ID.fullmatch(finding_id):
        return "", run, " ".join(filter(None, (finding_id, text)))
    usage = WAIVE.row.usage if WAIVE.row else ""
    if not finding_id:
        raise UserError(f"loop waive needs the id of a FINDING: {usage}")
    if not _FINDING_ID.fullmatch(finding_id):
        raise UserError(f"FINDING takes the id of a finding such as f2, not {finding_id!r}: {usage}")
    return run, finding_id, text


def _waive(invocation: Invocation) -> int:
    from shell import run_files
    from supervisor.control.protocol import Done, WaiveFinding

    wanted, finding_id, reason = waived(invocation)
    found = run_files.choose(wanted, running=False)
    known = _known(report_of_run(found), finding_id)
    if not found.pid:
        raise OperationalError(_why_not(found.run_id, found.state, known, run_files.resume_hint(found)))
    answer = ask(found, WaiveFinding(finding_id=known, reason=reason))
    assert isinstance(answer, Done)
    print_text(invocation, found, f"{known} is waived")
    return 0


def _why_not(run_id: str, state: str, finding_id: str, hint: str) -> str:
    """Why a finding of a run that is not running is not waived: the actors alone write its journal."""
    if state == "completed":
        return f"run {run_id} is completed: there is no review to come that raises {finding_id} again"
    again = f"loop waive {run_id} {finding_id}"
    return f"run {run_id} is not running ({state}), and only a run that is can keep it; {hint}, then {again}"


def _type_waive(prompt: Prompt, rest: str) -> str:
    """Waives a finding: its reviewer is not to raise it again until that code changes."""
    from supervisor.control.protocol import WaiveFinding

    finding_id, _, reason = needed(rest, WAIVE.usage).partition(" ")
    known = _known(report_of(prompt), finding_id)
    done(prompt, WaiveFinding(finding_id=known, reason=reason.strip()))
    return f"{known} is waived"


FINDINGS = Command(
    name="findings",
    typed=_type_findings,
    row=Subcommand(
        "findings",
        "show the findings of the reviews",
        more="What reviewers want changed, and what became of it: raised, fixed, refused by the worker, waived by you.",
    ),
    once=_findings,
)
WAIVE = Command(
    name="waive",
    arguments="ID [REASON]",
    typed=_type_waive,
    row=Subcommand(
        "waive",
        "waive a finding of a running run",
        ("run", "finding", MORE),
        ("--json",),
        "Without RUN it is the one that is running here: loop waive f2 next week. A reviewer is not to raise it again "
        "until that code changes. loop findings shows the ids.",
        shown="[RUN] FINDING [REASON]",
    ),
    once=_waive,
)
