"""`hosts`: the hosts of a run."""

from __future__ import annotations

from shell import output
from shell.commands.asking import builtins, report_of
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand


def _hosts(invocation: Invocation) -> int:
    from actors.clock import wall_ms
    from shell import host_lines, run_files
    from shell.commands.status import report_of_run

    found = run_files.choose(invocation.run, running=False)
    report = report_of_run(found)
    if invocation.json:
        hosts = [builtins(host) for host in report.hosts]
        output.say_json({"runId": found.run_id, "running": bool(report.root_pid), "hosts": hosts})
    else:
        output.say_lines(host_lines.of_report(report, now_ms=wall_ms()))
    return 0


def _type_hosts(prompt: Prompt, _rest: str) -> str:
    """Each host: how its link is and since when, what runs there, its last failure."""
    from actors.clock import wall_ms
    from shell import host_lines

    return "\n".join(host_lines.of_report(report_of(prompt), now_ms=wall_ms()))


HOSTS = Command(
    name="hosts",
    typed=_type_hosts,
    row=Subcommand("hosts", "show the hosts of a run: links, what runs there, last failures"),
    once=_hosts,
)
