"""`status`: the state of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shell import output
from shell.commands.asking import ask, builtins, report_of
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand

if TYPE_CHECKING:
    from shell.run_files import RunFiles
    from supervisor.control.protocol import Report


def report_of_run(found: RunFiles) -> Report:
    """The root's report; from the files when the run is not running, or ends meanwhile."""
    from actors.clock import wall_ms
    from shell import run_files
    from supervisor.control.protocol import GetReport, Report

    if found.pid:
        from shell.control_client import RunEndedError

        try:
            answer = ask(found, GetReport())
        except RunEndedError:
            pass
        else:
            assert isinstance(answer, Report)
            return answer
    return run_files.report(found, wall_ms())


def _status(invocation: Invocation) -> int:
    from actors.clock import wall_ms
    from shell import run_files, tables

    found = run_files.choose(invocation.run, running=False)
    report = report_of_run(found)
    if invocation.json:
        output.say_json({"running": bool(report.root_pid), "state": found.state, **builtins(report)})
    else:
        output.say_lines(tables.report_lines(report, now_ms=wall_ms(), state=found.state))
        if not report.root_pid and found.state != "completed":
            output.say(f"  {run_files.resume_hint(found)}")
    return 0


def _type_status(prompt: Prompt, _rest: str) -> str:
    """Shows the run: state, iteration, task, actors, tokens and cost."""
    from actors.clock import wall_ms
    from shell import tables

    report = report_of(prompt)
    return "\n".join(tables.report_lines(report, now_ms=wall_ms(), state=""))


STATUS = Command(
    name="status",
    typed=_type_status,
    row=Subcommand("status", "show state, iteration, actors, tokens and cost"),
    once=_status,
)
