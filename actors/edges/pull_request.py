"""Looks for the pull request of the branch that a run is on: in git whether there can be one, at `gh` whether there is.

It only reads, and believes nobody: an agent that says it has opened one may be wrong. An agent may also have gone back
from the branch that it has published. So the branches that were pushed from here are looked at, too: those with a
commit that this working tree was on since the run began, as git's own logs say. Blocks its thread, for `TIMEOUT_S` a
branch at most; `break_off` from another thread ends that at once.
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

# One answer of a provider's API takes a second or two. A network that swallows packets answers never, and the run,
# which is done, waits for this alone.
TIMEOUT_S = 30.0

MOST_BRANCHES = 3  # that were pushed: an agent that has published its work in more places has lost its way

_QUIET = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1", "CLICOLOR_FORCE": "0"}

# How gh 2 says it, in lower case; the first that fits. The one about hosts also names `gh auth login`.
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
    """One look. `ahead` or `now` once, in one thread; `break_off` any number of times, from any thread.

    `since` is when the run began, as its manifest has it; without that only the branch that is checked out counts.
    """

    def __init__(
        self, cwd: Path, environment: Mapping[str, str], timeout_s: float = TIMEOUT_S, *, since: str = ""
    ) -> None:
        self._cwd = cwd
        self._since_s = _unix_s(since)
        self._environment = {**environment, **_QUIET}
        self._timeout_s = timeout_s
        self._gh = shutil.which("gh", path=environment.get("PATH"))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._broken_off = False

    def ahead(self) -> PullRequestStatus:
        """Whether there can be one, as far as this machine knows; nobody is asked over the network."""
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
        sight = self._ask(self._gh)
        if sight.lacks != "pull-request":
            return sight
        pushed = pushed_from(self._cwd, self._since_s)[:MOST_BRANCHES]
        for branch in pushed:
            found = self._ask(self._gh, branch).found
            if found is not None and found.branch == branch:
                return PullRequestStatus(found=found)
        if pushed:
            others = ", ".join(pushed)
            return PullRequestStatus(lacks=sight.lacks, reason=f"{sight.reason}, nor for {others}, pushed in this run")
        return sight

    def break_off(self) -> None:
        """Ends the program that is asked, with everything that it started. What the look answers then is void."""
        with self._lock:
            self._broken_off = True
            if self._process is not None and self._process.poll() is None:
                kill_tree(self._process.pid)

    def _ask(self, gh: str, branch: str = "") -> PullRequestStatus:
        """Of the branch that is checked out, or of this one."""
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


def pushed_from(cwd: Path, since_s: float) -> list[str]:
    """The branches that were pushed from this repository since then, with a commit that was checked out here since
    then; not the one that is checked out now. The last one first.

    Another working tree of the repository has a log of its own, so what is done there does not count here. Nor does the
    commit that the run began on: git's log knows whole seconds, and that one may just have been pushed.
    """
    here = dict(_log(cwd, "HEAD", since_s))
    here.pop(_at(cwd, since_s), None)
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
    """The commit that was checked out then; "" when that is not written down."""
    return next((commit for commit, at in _log(cwd, "HEAD", 0) if at < since_s), "")


def _log(cwd: Path, ref: str, since_s: float, form: str = "%H") -> Iterator[tuple[str, float]]:
    """What git has written down of the ref since then, and when."""
    said = git(cwd, "log", "--walk-reflogs", "--date=unix", f"--format=%gd %x00{form}", ref, "--") or ""
    for line in said.splitlines():
        at, _, what = line.partition(" \0")
        stamp = at.rpartition("@{")[2].removesuffix("}")
        if stamp.isdecimal() and int(stamp) + 1 > since_s:
            yield what, int(stamp)


def _unix_s(text: str) -> float:
    """Of a manifest's time. Never, when it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return math.inf


def _unknown(reason: str) -> PullRequestStatus:
    return PullRequestStatus(lacks="answer", reason=reason)
