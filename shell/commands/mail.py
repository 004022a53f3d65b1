"""`mail`: the mail between the agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shell import output
from shell.commands.asking import ask, builtins
from shell.commands.base import Command, Prompt
from shell.commands.grammar import MAIL_USAGE, MORE, Invocation, Subcommand

if TYPE_CHECKING:
    from shell.run_files import RunFiles
    from supervisor.control.protocol import ChangeMail, MailReport, ShowMail


def _mail_report(found: RunFiles, request: ShowMail | ChangeMail) -> MailReport:
    """The bridge's answer; from the journal when the run is not running, or ends meanwhile."""
    from shell import mails
    from supervisor.control.protocol import ChangeMail, MailReport

    if found.pid:
        from shell.control_client import RunEndedError

        try:
            answer = ask(found, request)
        except RunEndedError:
            if isinstance(request, ChangeMail):
                raise
        else:
            assert isinstance(answer, MailReport)
            return answer
    return mails.from_files(found, request)


def _mail(invocation: Invocation) -> int:
    from actors.clock import wall_ms
    from shell import mails, run_files
    from supervisor.control.protocol import ShowMail

    request = mails.parse(f"{invocation.action} {invocation.text}")
    found = run_files.choose(invocation.run, running=False)
    answer = _mail_report(found, request)
    if not invocation.json:
        output.say_lines(mails.lines(request, answer, now_ms=wall_ms()))
        if not found.pid and request == ShowMail():
            output.say("(from the files: the run is not running)")
    elif request == ShowMail():
        output.say_json({"runId": found.run_id, "running": bool(found.pid), **builtins(answer)})
    else:
        output.say_json({"runId": found.run_id, "running": bool(found.pid), **builtins(answer.mails[0])})
    return 0


def _type_mail(prompt: Prompt, rest: str) -> str:
    """The mail between the agents: what waits and what became of it; and changes to one, by the beginning of its ID.

    list: all that is not finished, dead letters, and what was finished last.
    show: one mail in full, and all that happened to it.
    hold: keeps a queued mail back; later mail is still delivered.
    release: a held mail takes its old place again.
    edit: another text, until the mail is on its way to the agent.
    requeue: delivers a dead, suppressed, dropped or held mail as if it were sent now.
    drop: ends a mail that is queued, held or dead.
    """
    from actors.clock import wall_ms
    from shell import mails
    from supervisor.control.protocol import MailReport

    request = mails.parse(rest)
    report = prompt.ask(request)
    assert isinstance(report, MailReport)
    return "\n".join(mails.lines(request, report, now_ms=wall_ms()))


MAIL = Command(
    name="mail",
    arguments=MAIL_USAGE,
    typed=_type_mail,
    completes=("|".join(each.split()[0] for each in MAIL_USAGE.split(" | ")), "mail"),
    row=Subcommand(
        "mail",
        "list, show, hold, edit or drop the agents' mail",
        ("action", MORE),
        ("--run", "--json"),
        "Actions: list; show ID; hold ID, to keep a mail back; release ID; edit ID TEXT; requeue ID, to send "
        "a dead, suppressed, dropped or held mail now; drop ID [REASON]. The beginning of an id is enough. "
        "The mail of a run that is not running can only be read.",
        tuple(each.split()[0] for each in MAIL_USAGE.split(" | ")),
        shown=MAIL_USAGE,
    ),
    once=_mail,
)
