"""The commands beside a run, `loop NAME`: each asks a run one question and prints the answer."""

from __future__ import annotations

from shell.commands.acp import ACP
from shell.commands.agents import AGENTS
from shell.commands.config import CONFIG
from shell.commands.cost import COST
from shell.commands.dashboard import DASHBOARD
from shell.commands.diff import DIFF
from shell.commands.doctor import DOCTOR
from shell.commands.findings import FINDINGS, WAIVE
from shell.commands.grammar import Invocation
from shell.commands.hosts import HOSTS
from shell.commands.join import JOIN
from shell.commands.keys import KEYS
from shell.commands.log import LOGS
from shell.commands.mail import MAIL
from shell.commands.mailbox import MAILBOX
from shell.commands.notify import NOTIFY
from shell.commands.pause import PAUSE
from shell.commands.place import PLACE
from shell.commands.prompts import PROMPTS
from shell.commands.restore import RESTORE
from shell.commands.resume import RESUME
from shell.commands.runs import RUNS
from shell.commands.say import SAY
from shell.commands.serve import SERVE
from shell.commands.shell import SHELL
from shell.commands.status import STATUS
from shell.commands.stop import STOP
from shell.commands.submit import SUBMIT
from shell.commands.trust import TRUST
from shell.commands.update import UPDATE
from shell.commands.verify import VERIFY
from shell.commands.worktree import WORKTREE

# In the order of `loop --help`.
ONE_SHOT = (
    *(STATUS, RUNS, SHELL, SAY, PAUSE, RESUME, STOP, SUBMIT, SERVE, ACP, DASHBOARD, DOCTOR, CONFIG, TRUST, AGENTS),
    *(HOSTS, PLACE, JOIN, KEYS, COST, NOTIFY, PROMPTS),
    *(LOGS, MAILBOX, MAIL, FINDINGS, WAIVE, DIFF, RESTORE, VERIFY, WORKTREE, UPDATE),
)


def run_subcommand(invocation: Invocation) -> int:
    """Runs the command and prints its answer; returns an exit status. Raises `LoopError` when it cannot."""
    once = next(each.once for each in ONE_SHOT if each.name == invocation.name)
    assert once is not None
    return once(invocation)
