"""A hook of the user: a shell command at a moment of the run. Pure data."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from actors.machines.run.jobs.base import Command, Event, Facts, Job, Where
from actors.machines.run.jobs.checks import CheckResult

# What runs for a hook that the settings have no more: a held hook outlives its configuration.
_NOTHING = ":"


class HookFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a hook is told of its moment; "" = it does not apply. `prompt_sha256`: of the prompt's text."""

    role: str = ""
    agent: str = ""
    purpose: str = ""
    model: str = ""
    turn: str = ""  # its id
    prompt_sha256: str = ""
    outcome: str = ""  # of a turn: its status; of checks: passed or failed; of a round: approved or changes
    error: str = ""
    checks: tuple[CheckResult, ...] = ()
    verdicts: tuple[tuple[str, str, str], ...] = ()  # agent, verdict, reason
    detail: str = ""


class RunHook(Command, frozen=True, kw_only=True):
    """Run this shell command, with these facts as JSON on its standard input. Answer: `HookEnded`."""

    hook_id: str
    moment: str
    command: str
    timeout_s: int  # 0 = the usual one
    iteration: int
    tree: str  # the id of the tree that checks and verdicts apply to; "" = none is known
    facts: HookFacts

    @property
    def where(self) -> Where:
        """In the working tree, with the environment of the checks."""
        return "worker"


class InterruptHook(Command, frozen=True, kw_only=True):
    """End this hook; its result is not awaited any more. Not repeated: the driver reports which jobs it keeps."""

    hook_id: str

    @property
    def where(self) -> Where:
        """Where it runs."""
        return "worker"


class HookEnded(Event, frozen=True, kw_only=True):
    """The hook has ended. `words`: the end of what it wrote to standard error.

    `error`: why it has no exit status of its own; `exit_code` is not 0 then.
    """

    hook_id: str
    exit_code: int
    words: str = ""
    error: str = ""


class HookJob(Job, frozen=True, kw_only=True):
    """A hook, and what follows it: a job (`then`), or an answer that waits, with its job (`waiting`, `answered`).
    Without either, the step of its moment follows.
    """

    asks: ClassVar[type[Command]] = RunHook
    answer: ClassVar[type[Event]] = HookEnded
    named_by: ClassVar[str] = "hook_id"
    withdrawable: ClassVar[bool] = True
    idle: ClassVar[bool] = False
    quiet: ClassVar[bool] = False

    moment: str
    facts: HookFacts
    then: Job | None = None
    waiting: Event | None = None
    answered: Job | None = None
    detail: str = ""

    def command(self, run: Facts, _now_ms: int) -> RunHook:
        """The command that the settings have for this moment."""
        return RunHook(
            hook_id=self.id,
            moment=self.moment,
            command=run.run.hooks.get(self.moment, _NOTHING),
            timeout_s=run.run.hook_timeout_s,
            iteration=run.iteration,
            tree=run.known_tree,
            facts=self.facts,
        )

    def words(self, _run: Facts) -> str:
        """The hook."""
        return f"the hook {self.moment}"

    def withdrawal(self) -> InterruptHook:
        """Ends the command."""
        return InterruptHook(hook_id=self.id)
