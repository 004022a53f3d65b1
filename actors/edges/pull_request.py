"""Looks for the pull request of the branch that a run is on: in git whether there can be one, at `gh` whether there is.

It only reads, and believes nobody: an agent that says it has opened one may be wrong. Blocks its thread, for
`TIMEOUT_S` at most; `break_off` from another thread ends that at once.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from actors.edges.git import git, top_level, why_no_top_level
from actors.edges.processes import kill_tree
from actors.machines.run import Lack, PullRequest, Sight

# One answer of a provider's API takes a second or two. A network that swallows packets answers never, and the run,
# which is done, waits for this alone.
TIMEOUT_S = 30.0

_QUIET = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1", "CLICOLOR_FORCE": "0"}

# How gh 2 says it, in lower case; the first that fits. The one about hosts also names `gh auth login`.
_SAYINGS: tuple[tuple[str, Lack, str], ...] = (
    ("no pull requests found", "pull-request", "there is none for {branch}"),
    ("known github host", "remote", "no remote of this repository is on GitHub"),
    ("no git remotes found", "remote", "this repository has no remote"),
    ("gh auth login", "login", "gh is not logged in: run gh auth login"),
)


class _Answer(msgspec.Struct, rename="camel"):
    """Of `gh pr view --json`."""

    url: str
    is_draft: bool
    state: str
    head_ref_name: str


class PullRequestLook:
    """One look. `ahead` or `now` once, in one thread; `break_off` any number of times, from any thread."""

    def __init__(self, cwd: Path, environment: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> None:
        self._cwd = cwd
        self._environment = {**environment, **_QUIET}
        self._timeout_s = timeout_s
        self._gh = shutil.which("gh", path=environment.get("PATH"))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._broken_off = False

    def ahead(self) -> Sight:
        """Whether there can be one, as far as this machine knows; nobody is asked over the network."""
        if top_level(self._cwd) is None:
            return Sight(lacks="repository", reason=why_no_top_level(self._cwd))
        if not git(self._cwd, "remote"):
            return Sight(lacks="remote", reason="this repository has no remote")
        if self._gh is None:
            return Sight(lacks="gh", reason="gh, GitHub's CLI, is not installed")
        return Sight()

    def now(self) -> Sight:
        """Whether there is one."""
        ahead = self.ahead()
        return ahead if ahead.lacks or self._gh is None else self._ask(self._gh)

    def break_off(self) -> None:
        """Ends the program that is asked, with everything that it started. What the look answers then is void."""
        with self._lock:
            self._broken_off = True
            if self._process is not None and self._process.poll() is None:
                kill_tree(self._process.pid)

    def _ask(self, gh: str) -> Sight:
        with self._lock:
            if self._broken_off:
                return _unknown("the look was broken off")
            try:
                process = self._process = subprocess.Popen(
                    [gh, "pr", "view", "--json", "url,isDraft,state,headRefName"],
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
                return _unknown(f"gh pr view has not answered for {self._timeout_s:.0f} s")
        return self._read(output) if process.returncode == 0 else self._refused(complaint, process.returncode)

    def _read(self, output: str) -> Sight:
        try:
            answer = msgspec.json.decode(output, type=_Answer)
        except msgspec.MsgspecError as error:
            return _unknown(f"gh pr view has answered something else than a pull request ({error})")
        return Sight(
            found=PullRequest(url=answer.url, state=answer.state, is_draft=answer.is_draft, branch=answer.head_ref_name)
        )

    def _refused(self, complaint: str, code: int) -> Sight:
        said = complaint.lower()
        for words, lacks, reason in _SAYINGS:
            if words in said:
                branch = git(self._cwd, "symbolic-ref", "--quiet", "--short", "HEAD")
                return Sight(lacks=lacks, reason=reason.format(branch=f"branch {branch}" if branch else "this commit"))
        lines = [line.strip() for line in complaint.splitlines() if line.strip()]
        return _unknown(f"gh pr view says: {lines[0]}" if lines else f"gh pr view ended with exit status {code}")


def _unknown(reason: str) -> Sight:
    return Sight(lacks="answer", reason=reason)
