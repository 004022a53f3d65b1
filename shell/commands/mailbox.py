"""`mailbox`: what waits for an actor."""

from __future__ import annotations

from shell import output
from shell.commands.asking import ask, builtins
from shell.commands.base import Command, Prompt, words_of
from shell.commands.grammar import Invocation, Subcommand


def _mailbox(invocation: Invocation) -> int:
    from actors.clock import wall_ms
    from shell import run_files, tables
    from supervisor.control.protocol import MailboxReport, PeekMailbox

    run_files.check_actor(invocation.actor)
    found = run_files.choose(invocation.run, running=False)
    if found.pid:
        answer = ask(found, PeekMailbox(actor=invocation.actor))
        assert isinstance(answer, MailboxReport)
    else:
        answer = run_files.mailbox(found, invocation.actor, wall_ms())
    if invocation.json:
        output.say_json({"running": bool(found.pid), **builtins(answer)})
        return 0
    output.say_lines(tables.mailbox_lines(answer, now_ms=wall_ms()))
    if not found.pid:
        output.say("  (from the files: the run is not running; loop logs has its dead letters)")
    return 0


def _type_mailbox(prompt: Prompt, rest: str) -> str:
    """What waits for the actor, what it handles and for how long, what it handled last, and dead letters.

    With `stacks` also where each of its threads is. Answered by the actor's process even when its handler is stuck.
    """
    from actors.clock import wall_ms
    from shell import tables
    from supervisor.control.protocol import MailboxReport, PeekMailbox

    actor, stacks = words_of(rest, MAILBOX.usage, 1, 2)
    report = prompt.ask(PeekMailbox(actor=actor))
    assert isinstance(report, MailboxReport)
    return "\n".join(tables.mailbox_lines(report, now_ms=wall_ms(), stacks=stacks == "stacks"))


MAILBOX = Command(
    name="mailbox",
    arguments="ACTOR [stacks]",
    typed=_type_mailbox,
    completes=("actor", "stacks"),
    row=Subcommand(
        "mailbox",
        "show an actor's mailbox and dead letters",
        ("actor",),
        ("--run", "--json"),
        "ACTOR is one of persistence, bridge, run, worker, reviewer.",
    ),
    once=_mailbox,
)
