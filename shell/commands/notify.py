"""`notify`: sends a notification for a trial."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Invocation, Subcommand


def _notify(invocation: Invocation) -> int:
    from shell.notify_trial import send

    return send(invocation)


NOTIFY = Command(
    name="notify",
    row=Subcommand(
        "notify",
        "send a notification, to try what [notify] says",
        ("action",),
        ("--json",),
        "loop notify test sends one notification every way that [notify] in ~/.loop/config.toml has: command, "
        "webhook, desktop; those of a repository's .loop.toml if you trust it. Exit status 0: each arrived.",
        ("test",),
        shown="test",
    ),
    once=_notify,
)
