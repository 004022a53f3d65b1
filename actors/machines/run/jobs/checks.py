"""The check commands, which prove the work or do not. Pure data."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from actors.machines.run.jobs.base import Command, Event, Facts, Job, Where


class RunChecks(Command, frozen=True, kw_only=True):
    """Run these shell commands in order. Answer: `ChecksEnded`. `timeout_s`: of each; 0 = the usual one."""

    checks_id: str
    iteration: int
    commands: tuple[str, ...]
    timeout_s: int = 0

    @property
    def where(self) -> Where:
        """In the working tree that they check."""
        return "worker"


class InterruptChecks(Command, frozen=True, kw_only=True):
    """End these checks; their result is not awaited any more. Not repeated: the driver reports which jobs it keeps."""

    checks_id: str

    @property
    def where(self) -> Where:
        """Where they run."""
        return "worker"


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one check command ended. `output_tail` is the end of what it printed, both streams; `output` is the file of
    all of it, "" = there is none.

    `error`: why it has no exit status of its own; `exit_code` is not 0 then.
    """

    command: str
    exit_code: int
    output_tail: str = ""
    error: str = ""
    output: str = ""


class ChecksEnded(Event, frozen=True, kw_only=True):
    """All check commands have ended, or one has failed and the rest is skipped. Not sent for interrupted checks.

    `at_ms`: when; 0 in older journals.
    """

    checks_id: str
    results: tuple[CheckResult, ...]
    at_ms: int = 0


class ChecksJob(Job, frozen=True, kw_only=True):
    """The check commands of the settings."""

    asks: ClassVar[type[Command]] = RunChecks
    answer: ClassVar[type[Event]] = ChecksEnded
    named_by: ClassVar[str] = "checks_id"
    withdrawable: ClassVar[bool] = True
    idle: ClassVar[bool] = False
    quiet: ClassVar[bool] = False

    def command(self, run: Facts, _now_ms: int) -> RunChecks:
        """All of them."""
        settings = run.run
        return RunChecks(
            checks_id=self.id,
            iteration=run.iteration,
            commands=settings.checks,
            timeout_s=settings.check_timeout_s,
        )

    def words(self, _run: Facts) -> str:
        """The checks."""
        return "the checks"

    def withdrawal(self) -> InterruptChecks:
        """Ends the commands, which may take hours."""
        return InterruptChecks(checks_id=self.id)
