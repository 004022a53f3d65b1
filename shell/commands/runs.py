"""`runs`: the runs of this repository."""

from __future__ import annotations

from shell import output
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand


def _runs(invocation: Invocation) -> int:
    from shell import run_files

    runs = run_files.all_runs(run_files.runs_here())
    if invocation.json:
        output.say_json(
            [
                {"runId": each.run_id, "running": bool(each.pid), "rootPid": each.pid}
                | each.manifest
                | ({"state": each.state, "damage": each.damage} if each.damage else {})
                for each in runs
            ]
        )
        return 0
    output.say_lines(run_files.run_lines(runs) or ["no run of this repository yet"])
    return 0


def _type_runs(prompt: Prompt, _rest: str) -> str:
    """The runs of this repository, newest first."""
    from shell import run_files

    return "\n".join(run_files.run_lines(run_files.all_runs(prompt.directory.parent)))


RUNS = Command(
    name="runs", typed=_type_runs, row=Subcommand("runs", "list the runs of this repository", takes=()), once=_runs
)
