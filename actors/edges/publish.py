"""Pushes the checked-out branch and opens a draft pull request for it, with the git and `gh` of this machine.

For work that an agent has done on another host, where nothing of the user's logins is. The branch comes from there. So
only a branch of its own is pushed, never the remote's default one, nothing is forced, and no hook of the repository
runs. The last commit's message is title and body. Blocks its thread, at most `TIMEOUT_S` a command.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from actors.edges.git import git
from actors.edges.programs import Answer, ask

TIMEOUT_S = 120.0
DEFAULTS = frozenset({"main", "master"})  # also where the remote names another one
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}


def push(cwd: Path, environment: Mapping[str, str]) -> str:
    """Pushes the checked-out branch. Returns why not; "" = it is pushed."""
    branch = git(cwd, "symbolic-ref", "--quiet", "--short", "HEAD")
    if not branch:
        return "no branch is checked out"
    remotes = (git(cwd, "remote") or "").split()
    own = git(cwd, "config", f"branch.{branch}.remote")
    remote = next((each for each in (own, "origin", *remotes) if each in remotes), "")
    if not remote:
        return "this repository has no remote"
    there = _ask(cwd, environment, "git", "ls-remote", "--symref", remote, "HEAD")
    if there.code != 0:
        return _why("git ls-remote", there)
    default = next((line.split()[1] for line in there.out.splitlines() if line.startswith("ref: ")), "")
    if branch in DEFAULTS or default == f"refs/heads/{branch}":
        return f"the work is on {branch}, and only a branch of its own is pushed"
    pushed = _ask(
        *(cwd, environment, "git", "-c", f"core.hooksPath={os.devnull}"),
        *("push", "--quiet", "--set-upstream", remote, f"HEAD:refs/heads/{branch}"),
    )
    return "" if pushed.code == 0 else _why("git push", pushed)


def open_draft(cwd: Path, environment: Mapping[str, str]) -> str:
    """Opens a draft pull request for the branch. Returns why not; "" = it is open."""
    title, body = (git(cwd, "log", "-1", f"--format={form}") or "" for form in ("%s", "%b"))
    opened = _ask(cwd, environment, "gh", "pr", "create", "--draft", "--title", title, "--body", body.strip())
    return "" if opened.code == 0 else _why("gh pr create", opened)


def _ask(cwd: Path, environment: Mapping[str, str], *command: str) -> Answer:
    return ask(command, environment={**environment, **_QUIET}, cwd=cwd, timeout_s=TIMEOUT_S)


def _why(what: str, answer: Answer) -> str:
    lines = [line.strip() for line in (answer.err + answer.out).splitlines() if line.strip()]
    return f"{what} says: {lines[0]}" if lines else f"{what} ended with exit status {answer.code}"
