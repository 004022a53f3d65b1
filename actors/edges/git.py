"""Runs plain `git` for queries, and for changes that the caller names. Any process; blocks while git works.

The directory alone selects the repository (edges/environments.py). Queries take no locks: a lock of `git status` would
make an agent's concurrent commit fail.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from actors.edges.environments import handed_on
from actors.errors import OperationalError

_NOT_PLAIN = re.compile(r"[^a-z0-9-]+")

NO_REPOSITORY = "not a git repository"


class Answer(NamedTuple):
    """`output` is without the final newline, None when git failed; `reason` is then its cause in one line.

    `status`: the exit status of a git that failed; None: it did not run, or not to its end. `complaint`: all that it
    said then.
    """

    output: str | None
    reason: str = ""
    status: int | None = None
    complaint: str = ""


class Piped(NamedTuple):
    """As `Answer`; the output is as git has written it."""

    output: bytes | None
    reason: str = ""
    status: int | None = None
    complaint: str = ""


def ask(
    cwd: Path,
    *arguments: str,
    given: str = "",
    variables: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    private: bool = False,
) -> Answer:
    """Runs git and returns its answer. Path bytes that are not UTF-8 survive as surrogateescape.

    `given`: its input. `variables`: added to its environment. `timeout_s`: then it is killed. `private`: files that it
    writes are private to the user.
    """
    answer = piped(
        cwd,
        *arguments,
        given=given.encode(errors="surrogateescape"),
        variables=variables,
        timeout_s=timeout_s,
        private=private,
    )
    if answer.output is None:
        return Answer(None, answer.reason, answer.status, answer.complaint)
    text = answer.output.decode(errors="surrogateescape")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Answer(text.rstrip("\n"))


def piped(
    cwd: Path,
    *arguments: str,
    given: bytes = b"",
    variables: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    private: bool = False,
) -> Piped:
    """As `ask`, for input and output that are no text."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            # C: its messages are recognised, and shown
            env=handed_on() | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"} | dict(variables or {}),
            capture_output=True,
            input=given,
            check=False,
            timeout=timeout_s,
            umask=0o077 if private else -1,
        )
    except subprocess.TimeoutExpired:
        return Piped(None, f"git {_name(arguments)} did not end within {timeout_s:.0f} s")
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError) and cwd.is_dir()
        return Piped(None, "git is not installed" if is_missing else f"{cwd}: {error.strerror}")
    if done.returncode == 0:
        return Piped(done.stdout)
    complaint = done.stderr.decode(errors="surrogateescape")
    reason = _reason(complaint) or f"git {_name(arguments)} ended with exit status {done.returncode}"
    return Piped(None, reason, done.returncode, complaint)


def _name(arguments: Sequence[str]) -> str:
    """The subcommand, which follows the configuration options."""
    words = iter(arguments)
    return next((word for word in words if not (word == "-c" and next(words, ""))), "")


def _reason(complaint: str) -> str:
    """Git's last line, with the remedy command if it names one."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    words = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines
    if not words:
        return ""
    help_ = next((f" ({line})" for line in lines if line.startswith("git config ")), "")
    return words[-1].removeprefix("fatal: ").removeprefix("error: ") + help_


def show(cwd: Path, *arguments: str, paged: bool) -> int:
    """Lets git print to our own output, with the user's pager where `paged`. Returns its exit status."""
    pager = () if paged else ("--no-pager",)
    try:
        return subprocess.run(["git", *pager, *arguments], cwd=cwd, env=handed_on(), check=False).returncode
    except OSError as error:
        raise OperationalError(f"git cannot be run in {cwd}: {error.strerror}") from error


def git(cwd: Path, *arguments: str) -> str | None:
    """Output of a git command without the final newline, or None when git is missing or fails."""
    return ask(cwd, *arguments).output


def sanitise(name: str) -> str:
    """A name that is safe in paths and branches: lower-case a-z, 0-9 and single runs of '-'; empty becomes "loop"."""
    return _NOT_PLAIN.sub("-", name.lower()).strip("-") or "loop"


def top_level(cwd: Path) -> Path | None:
    """The working tree that contains `cwd`. None outside one."""
    found = git(cwd, "rev-parse", "--show-toplevel")
    return Path(found) if found else None


def why_no_top_level(cwd: Path) -> str:
    """Git's own reason, where `top_level` is None."""
    return ask(cwd, "rev-parse", "--show-toplevel").reason


def main_top_level(cwd: Path) -> Path | None:
    """The main working tree of the repository, the same from all its worktrees. None outside a repository.

    For a bare repository, which has none, its parent directory.
    """
    common = common_directory(cwd)
    if common is None or common.name == ".git":
        return common.parent if common is not None else None
    if not is_linked_worktree(cwd) and (top := top_level(cwd)) is not None:
        return top  # of a submodule, or of a repository whose .git is elsewhere
    own = git(common, "config", "--file", str(common / "config"), "core.worktree")
    return (common / own).resolve() if own else common.parent


def outermost(top: Path) -> Path:
    """The outermost superproject of this working tree; the tree itself when it is not a submodule."""
    while above := git(top, "rev-parse", "--show-superproject-working-tree"):
        top = Path(above)
    return top


def common_directory(cwd: Path) -> Path | None:
    """Git's common dir: the same for all worktrees of one repository. None outside a repository."""
    return _absolute(cwd, "--git-common-dir")


def is_linked_worktree(cwd: Path) -> bool:
    """Whether `cwd` is in a worktree that was added to a repository, not in the repository's own."""
    own = _absolute(cwd, "--git-dir")
    return own is not None and own != common_directory(cwd)


def linked_worktree(cwd: Path) -> Path | None:
    """The top of the added worktree that `cwd` is in; None anywhere else."""
    return top_level(cwd) if is_linked_worktree(cwd) else None


def _absolute(cwd: Path, which: str) -> Path | None:
    """Makes git's path absolute without `--path-format=absolute`, which git before 2.31 echoes."""
    found = git(cwd, "rev-parse", which)
    return (cwd / found).resolve() if found else None


def repository_id(cwd: Path) -> str:
    """`<sanitised base name>-<12 hex digits>`, as in the original loop; shared by all worktrees of a repository."""
    common = common_directory(cwd)
    base, identity = (common.parent, common) if common is not None else (cwd, cwd)
    digest = hashlib.sha256(str(identity).encode(errors="surrogateescape")).hexdigest()[:12]
    return f"{sanitise(base.name)}-{digest}"


def branch_note(cwd: Path) -> str | None:
    """A note on the branch for the user before a long run; None when there is nothing to note.

    How far it is behind comes from the last fetch: no network access.
    """
    branch = git(cwd, "symbolic-ref", "--quiet", "--short", "HEAD")
    if branch is None:
        return _note_without_branch(cwd)
    notes = [] if branch in ("main", "master") else [f"on branch {branch}"]
    behind = git(cwd, "rev-list", "--count", "HEAD..@{upstream}")
    if behind is not None and behind != "0":
        notes.append(f"{branch} is {behind} commit{'' if behind == '1' else 's'} behind its upstream")
    return ", ".join(notes) or None


def _note_without_branch(cwd: Path) -> str | None:
    """HEAD is detached, or git refuses to work here; outside a repository there is nothing to note."""
    head = git(cwd, "rev-parse", "--short", "HEAD")
    if head is not None:
        return f"HEAD is detached at {head}: on no branch"
    reason = why_no_top_level(cwd)
    if not reason or reason.startswith(NO_REPOSITORY):
        return None
    return f"git says: {reason}"
