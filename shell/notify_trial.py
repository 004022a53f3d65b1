"""`loop notify test`: sends a notification every configured way, and says what became of it. Starts no run."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from actors.adapters import BUILT_IN_NAMES
from actors.clock import wall_ms
from actors.edges import environments, notify, run_dir, trust
from actors.errors import UserError
from actors.machines.notifications import Notification
from actors.settings_layers import merge
from shell import output
from shell.commands.grammar import Invocation

_HOW = "add e.g. desktop = true below [notify] in ~/.loop/config.toml"


def send(invocation: Invocation) -> int:
    """Runs `loop notify test`, and returns an exit status. Raises `UserError` when there is no way to send one."""
    cwd = Path.cwd()
    configuration = trust.read_trusted(environments.home(), cwd, BUILT_IN_NAMES)
    ways = notify.ways_of(merge(configuration.user, configuration.repository))
    if not ways.names():
        raise UserError(f"no notifications are configured: {_HOW}")
    trial = Notification(
        id=f"test/{uuid.uuid4()}",
        event="completed",
        run="test",
        directory=str(cwd),
        detail="this is a trial: loop notify test",
        at=run_dir.iso(wall_ms()),
    )
    results = notify.deliver(ways, trial, environments.handed_on(), cwd)
    if invocation.json:
        output.say_json({way: {"arrived": not why, "reason": why} for way, why in results.items()})
    else:
        output.say_lines([f"{way}: {f'did not arrive: {why}' if why else 'sent'}" for way, why in results.items()])
    return 1 if any(results.values()) else os.EX_OK
