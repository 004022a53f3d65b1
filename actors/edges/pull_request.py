"""Probes for the pull request of a run's branch: git shows whether there can be one, `gh` whether there is.

It only reads, and trusts no agent's report. An agent may also have left the branch that it published. So the branches
pushed from here are probed too: those with a commit that this working tree had checked out since the run began, by
git's own logs. Blocks its thread, at most `TIMEOUT_S` per branch; `cancel` from another thread interrupts it.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from actors.edges.git import git, top_level, why_no_top_level
from actors.edges.processes import kill_tree
from actors.machines.run import Missing, PullRequest, PullRequestStatus

# An answer of a provider's API takes a second or two. A network that drops packets never answers, and the finished run
# waits only for this.
TIMEOUT_S = 30.0

MOST_BRANCHES = 3  # pushed branches that are probed: no sensible agent publishes its work in more places

_QUIET = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1", "CLICOLOR_FORCE": "0"}

# Messages of gh 2, in lower case; the first match counts. The one about hosts also names `gh auth login`.
_SAYINGS: tuple[tuple[str, Missing, str], ...] = (
    ("no pull requests found", "pull-request", "there is none for {branch}"),
    ("known github host", "remote", "no remote of this repository is on GitHub"),
    ("no git remotes found", "remote", "this repository has no remote"),
    ("gh auth login", "login", "gh is not logged in: run gh auth login"),
    ("not on any branch", "pull-request", "there is none for {branch}"),
    ("could not determine current branch", "pull-request", "there is none for {branch}"),
)


class _Answer(msgspec.Struct, rename="camel"):
    """Of `gh pr view --json`."""

    url: str
    is_draft: bool
    state: str
    head_ref_name: str


class PullRequestProbe:
    """One probe. `ahead` or `now` once, in one thread; `cancel` any number of times, from any thread.

    `since`: when the run began, from its manifest; without it only the checked-out branch counts. `begun_on`: the
    commit of that moment; "" = not known.
    """

    def __init__(
        self,
        cwd: Path,
        environment: Mapping[str, str],
        timeout_s: float = TIMEOUT_S,
        *,
        since: str = "",
        begun_on: str = "",
    ) -> None:
        self._cwd = cwd
        self._since_s = _unix_s(since)
        self._begun_on = begun_on
        self._environment = {**environment, **_QUIET}
        self._timeout_s = timeout_s
        self._gh = shutil.which("gh", path=environment.get("PATH"))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._broken_off = False

    def ahead(self) -> PullRequestStatus:
        """Whether there can be one, by local state alone; no network access."""
        if top_level(self._cwd) is None:
            return PullRequestStatus(lacks="repository", reason=why_no_top_level(self._cwd))
        if not git(self._cwd, "remote"):
            return PullRequestStatus(lacks="remote", reason="this repository has no remote")
        if self._gh is None:
            return PullRequestStatus(lacks="gh", reason="gh, GitHub's CLI, is not installed")
        return PullRequestStatus()

    def now(self) -> PullRequestStatus:
        """Whether there is one."""
        ahead = self.ahead()
        if ahead.lacks or self._gh is None:
            return ahead
        status = self._ask(self._gh)
        if status.lacks != "pull-request":
            return status
        pushed = pushed_from(self._cwd, self._since_s, self._begun_on)[:MOST_BRANCHES]
        for branch in pushed:
            found = self._ask(self._gh, branch).found
            if found is not None and found.branch == branch:
                return PullRequestStatus(found=found)
        if pushed:
            others = ", ".join(pushed)
            return PullRequestStatus(
                lacks=status.lacks, reason=f"{status.reason}, nor for {others}, pushed in this run"
            )
        return status

    def cancel(self) -> None:
        """Ends the running program and everything that it started. The probe's result is then void."""
        with self._lock:
            self._broken_off = True
            if self._process is not None and self._process.poll() is None:
                kill_tree(self._process.pid)

    def _ask(self, gh: str, branch: str = "") -> PullRequestStatus:
        """Asks `gh` about the checked-out branch, or this one."""
        which = [branch] if branch else []
        with self._lock:
            if self._broken_off:
                return _unknown("the check was interrupted")
            try:
                process = self._process = subprocess.Popen(
                    [gh, "pr", "view", *which, "--json", "url,isDraft,state,headRefName"],
                    cwd=self._cwd,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,  # a terminal's Ctrl-C is for the root, which decides what it means
                )
            except OSError as error:
                return _unknown(f"{gh} cannot be started: {error.strerror}")
        with process:
            try:
                output, complaint = process.communicate(timeout=self._timeout_s)
            except subprocess.TimeoutExpired:
                kill_tree(process.pid)
                return _unknown(f"gh pr view did not answer within {self._timeout_s:.0f} s")
        return self._read(output) if process.returncode == 0 else self._refused(complaint, process.returncode)

    def _read(self, output: str) -> PullRequestStatus:
        try:
            answer = msgspec.json.decode(output, type=_Answer)
        except (ValueError, RecursionError) as error:
            return _unknown(f"gh pr view returned something other than a pull request ({error})")
        return PullRequestStatus(
            found=PullRequest(url=answer.url, state=answer.state, is_draft=answer.is_draft, branch=answer.head_ref_name)
        )

    def _refused(self, complaint: str, code: int) -> PullRequestStatus:
        said = complaint.lower()
        for words, lacks, reason in _SAYINGS:
            if words in said:
                branch = git(self._cwd, "symbolic-ref", "--quiet", "--short", "HEAD")
                where = f"branch {branch}" if branch else "this commit"
                return PullRequestStatus(lacks=lacks, reason=reason.format(branch=where))
        lines = [line.strip() for line in complaint.splitlines() if line.strip()]
        return _unknown(f"gh pr view says: {lines[0]}" if lines else f"gh pr view ended with exit status {code}")


def pushed_from(cwd: Path, since_s: float, begun_on: str = "") -> list[str]:
    """The branches pushed from this repository since then, with a commit checked out here since then; newest first,
    without the current branch.

    Another working tree has a log of its own, so its commits do not count. Nor does the commit that the run began on:
    git's log has whole seconds, and that commit may just have been pushed. `begun_on`: that commit, if it is known.
    """
    here = dict(_log(cwd, "HEAD", since_s))
    here.pop(begun_on or _at(cwd, since_s), None)
    current = git(cwd, "symbolic-ref", "--quiet", "--short", "HEAD")
    form = "%(objectname) %(refname) %(refname:lstrip=3)"
    found: dict[str, float] = {}
    for line in (git(cwd, "for-each-ref", f"--format={form}", "refs/remotes") or "").splitlines():
        commit, ref, branch = line.split(" ", 2)
        # gh takes digits for a pull request's number, and a dash for an option.
        if commit not in here or branch in ("HEAD", current) or branch.isdecimal() or branch.startswith("-"):
            continue
        pushes = [at for what, at in _log(cwd, ref, since_s, "%gs") if what == "update by push"]
        if pushes:
            found[branch] = max(pushes)
    return sorted(found, key=lambda name: found[name], reverse=True)


def _at(cwd: Path, since_s: float) -> str:
    """The commit that was checked out then; "" when the log does not have it."""
    return next((commit for commit, at in _log(cwd, "HEAD", 0) if at < since_s), "")


def _log(cwd: Path, ref: str, since_s: float, form: str = "%H") -> Iterator[tuple[str, float]]:
    """The ref's log entries since then, with their times."""
    said = git(cwd, "log", "--walk-reflogs", "--date=unix", f"--format=%gd %x00{form}", ref, "--") or ""
    for line in said.splitlines():
        at, _, what = line.partition(" \0")
        stamp = at.rpartition("@{")[2].removesuffix("}")
        if stamp.isdecimal() and int(stamp) + 1 > since_s:
            yield what, int(stamp)


def _unix_s(text: str) -> float:
    """A manifest's time as Unix seconds; infinity for an invalid one."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return math.inf


def _unknown(reason: str) -> PullRequestStatus:
    return PullRequestStatus(lacks="answer", reason=reason)
