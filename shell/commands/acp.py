"""`acp`: a run as an agent of an editor. `shell.acp` does it, with the options of a run."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Subcommand

ACP = Command(
    name="acp",
    row=Subcommand(
        "acp",
        "be an ACP agent on stdin and stdout, for an editor",
        ("[options]",),
        (),
        "An editor or a harness that speaks the Agent Client Protocol starts it. A session is a run, and a prompt is "
        "its task. Takes the options of loop. Plan, work, checks and reviews come as session updates; an open question "
        "of the run comes as a permission request. With --headless the run asks nothing. When the client goes, its "
        "runs stop and can be resumed.",
    ),
)
