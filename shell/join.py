"""`loop join`: checks what this machine needs, then dials home until a signal. See supervisor/hosts/joiner.py."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from actors import setting_values
from actors.edges import environments, join_keys
from actors.errors import MissingFileError, UserError
from shell import output
from shell.commands.grammar import Invocation
from shell.exits import EXIT_COMPLETED, EXIT_INTERRUPTED


def run_join(invocation: Invocation) -> int:
    """Blocks; returns an exit status. Raises `LoopError` when home does not let this machine in."""
    endpoint = setting_values.dialled("ENDPOINT", invocation.endpoint)
    if not invocation.key:
        raise UserError("loop join needs --key FILE: make the file at home with loop keys new NAME, and bring it here")
    try:
        key = join_keys.read_key(Path(invocation.key))
    except MissingFileError as error:
        raise UserError(f"--key {error}: make the file at home with loop keys new NAME, and bring it here") from error
    if shutil.which("git") is None:
        raise UserError("git is not installed here, and trees travel with it: install it")
    environments.check_open_files(environments.FILES_OF_A_ROOT)
    from supervisor.hosts.joiner import Joiner

    output.note(f"dials {endpoint} as {key.name}")
    number = Joiner(endpoint, key, invocation.key, output.note).run()
    return EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_COMPLETED
