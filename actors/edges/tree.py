"""The tree of a run: its commit and everything that is not ignored, under one id. Blocks its thread while git works.

Two trees have the same id when the same files have the same content, mode and name, whether committed, staged or
untracked: committing everything does not change the id. It changes nothing in the repository. Git works on a copy of
the index, which is fast: it reads only what changed. It writes new objects to `store`, a folder of the run.

`capture` writes the objects to the repository instead, for a checkpoint (edges/checkpoints) or another host. Its tree
has every file, those `apart` too. Of a submodule or a nested repository it has the commit alone.

What counts: every file that git does not ignore. PLAN.md and `.loop.toml` are included: a check can read them, and a
pull request can deliver them. Files of submodules and nested repositories count by their own ignore rules. Untracked
caches of tools (`CACHES`) do not count: each check or reviewer that runs the tests would change the tree. `apart`:
files that the caller excludes.

Outside a repository it reads the content of all files, up to a limit. Above the limit, or when git fails, the tree is
unknown: its id is "", with the reason.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from actors.edges import environments, files
from actors.edges.git import NO_REPOSITORY, Answer, ask, git
from actors.edges.scratch import scratch
from actors.errors import LoopError
from actors.machines.run import Tree

CACHES = (
    *("__pycache__", "*.pyc", "*.pyo", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox"),
    *(".coverage", ".coverage.*", ".gradle", ".DS_Store"),
)
FOLDER = "trees"  # in the run's directory: the store of its trees
TIMEOUT_S = 300.0  # of one git command; a disk that hangs must not hold the run for ever
NOT_WORK = "loop verify"  # the lock of a worktree in which nobody works
MOST_FILES = 20_000  # without git: all of them are read each time
MOST_BYTES = 512 * 1024 * 1024
MOST_NAMES = 200  # of changed files that are reported
DEEPEST = 8  # repositories within repositories
_LINK_TO_A_REPOSITORY = "160000"

# Runs no hook or monitor of the user; skips unreadable files, as git does everywhere.
_QUIET = (
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.untrackedCache=false"),
    *("-c", "core.safecrlf=false", "-c", "advice.addEmbeddedRepo=false"),
)
_FAST = ("-c", "core.looseCompression=0")  # for objects of the store, which goes with the run


# `git add --ignore-errors` leaves out files that it cannot read: exit status 1. With any other one it has changed
# nothing, and the index is the one of before.
_SOME_UNREADABLE = 1
_ATTEMPTS = 3  # a file that goes at that moment ends it, too
_NOT_STORED = "failed to insert into database"


class UnknownTreeError(LoopError):
    """The tree cannot be read; the text is the reason."""


@dataclass(frozen=True, kw_only=True)
class Captured:
    """A tree, and git's id of it with every file. `whole` is "" outside a repository, or when it is unknown."""

    tree: Tree
    whole: str = ""
    top: Path | None = None  # of the working tree


def take(cwd: Path, store: Path, *, apart: Sequence[str] = (), most_files: int = MOST_FILES) -> Tree:
    """The tree of the repository that contains `cwd`, or of `cwd` itself. Its id is "" when it is unknown."""
    return _look(cwd, store, apart, most_files, keep=False).tree


def capture(cwd: Path, store: Path, *, apart: Sequence[str] = ()) -> Captured:
    """As `take`; its objects are in the repository."""
    return _look(cwd, store, apart, MOST_FILES, keep=True)


def _look(cwd: Path, store: Path, apart: Sequence[str], most_files: int, *, keep: bool) -> Captured:
    try:
        files.make_private(store)
        where = ask(cwd, "rev-parse", "--show-toplevel")
        if where.output is None and where.reason.startswith(NO_REPOSITORY):
            return Captured(tree=Tree(id=_of_files(cwd, store, apart, most_files)))
        top = Path(_must(where))
        identity, whole = _of_repository(top, store, apart, depth=0, keep=keep)
        found = Tree(
            id=identity,
            commit=git(top, "rev-parse", "--verify", "--quiet", "HEAD") or "",
            branch=git(top, "symbolic-ref", "--quiet", "--short", "HEAD") or "",
            worktrees=tuple(_other_worktrees(top)),
        )
        return Captured(tree=found, whole=whole if keep else "", top=top)
    except (LoopError, OSError) as error:
        return Captured(tree=Tree(reason=_printable(str(error))))


def changed(cwd: Path, store: Path, before: str, after: str) -> tuple[str, ...]:
    """The files in which two trees of this store differ, sorted; the first ones, when there are many.

    Also empty when the difference is unknown: it informs the user, and decides nothing.
    """
    try:
        return _changed(cwd, store, before, after)
    except (LoopError, OSError):
        return ()


def _changed(cwd: Path, store: Path, before: str, after: str) -> tuple[str, ...]:
    if before == after or not before or not after:
        return ()
    if before.startswith("files-") or after.startswith("files-"):
        one, other = (_read_listing(store / each) for each in (before, after))
        names = sorted({name for _, name in one ^ other})
    else:
        top = git(cwd, "rev-parse", "--show-toplevel")
        trees = [each.partition(".")[0] for each in (before, after)]
        answer = top and ask(
            Path(top), "diff-tree", "-r", "-z", "--name-only", *trees, variables=_variables(Path(top), store, None)
        )
        names = [name for name in ((answer and answer.output) or "").split("\0") if name]
        if before.partition(".")[2] != after.partition(".")[2]:
            names.append("(a submodule)")
    return tuple(_printable(name) for name in names[:MOST_NAMES])


def uncommitted(cwd: Path, store: Path, tree: Tree) -> tuple[str, ...]:
    """The files of the tree that its commit lacks, or has with another content."""
    head = git(cwd, "rev-parse", "--verify", "--quiet", f"{tree.commit}^{{tree}}") if tree.commit else None
    if not head or not tree.id:
        return ()
    return changed(cwd, store, head, tree.id.partition(".")[0])


# --- of a repository ----------------------------------------------------------------------------------------


def _of_repository(top: Path, store: Path, apart: Sequence[str], *, depth: int, keep: bool = False) -> tuple[str, str]:
    """The tree's id, and git's id of it with every file."""
    index_path = top / _must(ask(top, "rev-parse", "--git-path", "index"))
    with scratch(store) as folder:
        index = folder / "index"
        variables = {"GIT_INDEX_FILE": str(index.resolve())} if keep else _variables(top, store, index)
        options = (*(() if keep else _FAST), *settings(top, folder))
        for left in reversed(range(_ATTEMPTS)):
            if index_path.is_file():
                shutil.copy2(index_path, index)  # with its mtime: git compares that with the files' to detect changes
            added = ask(
                top,
                *(*options, "add", "-A", "--ignore-errors"),
                variables=variables,
                timeout_s=TIMEOUT_S,
                private=not keep,
            )
            if added.output is not None or (added.status == _SOME_UNREADABLE and _NOT_STORED not in added.complaint):
                break
            if not left or added.status is None:
                raise UnknownTreeError(_why_unknown(added))

        def write_tree() -> str:
            return _must(ask(top, *options, "write-tree", variables=variables, timeout_s=TIMEOUT_S, private=not keep))

        whole = write_tree() if keep else ""
        parts = []
        for name in _links(top, variables) if depth < DEEPEST else ():
            within = top / name
            if (within / ".git").exists():
                parts.append(f"{name}\0{_of_repository(within, store, (), depth=depth + 1)[0]}")
        leave_out = [*(part.partition("\0")[0] for part in parts), *apart]
        if leave_out:
            _must(
                ask(
                    top,
                    *(*options, "update-index", "--force-remove", "-z", "--stdin"),
                    given="".join(f"{name}\0" for name in leave_out),
                    variables=variables,
                    timeout_s=TIMEOUT_S,
                )
            )
        tree = whole if keep and not leave_out else write_tree()
    if not parts:
        return tree, whole
    digest = hashlib.sha256("\0".join(sorted(parts)).encode(errors="surrogateescape")).hexdigest()
    return f"{tree}.{digest[: len(tree)]}", whole


def _variables(top: Path, store: Path, index: Path | None) -> dict[str, str]:
    """New objects go to the store. Git reads a path with a colon in quotes."""
    objects = top / _must(ask(top, "rev-parse", "--git-path", "objects"))
    quoted = str(objects.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    files.make_private(store / "objects")
    found = {
        "GIT_OBJECT_DIRECTORY": str((store / "objects").resolve()),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"',
    }
    return found if index is None else found | {"GIT_INDEX_FILE": str(index.resolve())}


def settings(top: Path, folder: Path) -> tuple[str, ...]:
    """Git's options by which the files that do not count stay out of an index. Writes a file to `folder`."""
    return (*_QUIET, "-c", f"core.excludesFile={_excludes(top, folder)}")


def _excludes(top: Path, folder: Path) -> Path:
    """The user's global ignore rules, and the caches."""
    own = git(top, "config", "--type=path", "core.excludesFile")
    base = environments.handed_on().get("XDG_CONFIG_HOME")
    settings = Path(base) if base else environments.home() / ".config"
    path = Path(own) if own else settings / "git" / "ignore"
    users = path.read_bytes() if path.is_file() else b""
    (folder / "exclude").write_bytes(users + b"\n" + "\n".join(CACHES).encode() + b"\n")
    return (folder / "exclude").resolve()


def _links(top: Path, variables: dict[str, str]) -> Iterator[str]:
    """The paths of submodules and of nested repositories."""
    listed = _must(ask(top, "ls-files", "--stage", "-z", variables=variables, timeout_s=TIMEOUT_S))
    for entry in listed.split("\0"):
        if entry.startswith(_LINK_TO_A_REPOSITORY):
            yield entry.partition("\t")[2]


def _other_worktrees(top: Path) -> Iterator[str]:
    """`<path> <commit>` of each other working tree of the repository, but for those of `loop verify`."""
    for block in (git(top, "worktree", "list", "--porcelain") or "").split("\n\n"):
        facts = dict(line.partition(" ")[::2] for line in block.splitlines())
        path, head = facts.get("worktree", ""), facts.get("HEAD", "")
        if path and head and Path(path) != top and facts.get("locked") != NOT_WORK:
            yield _printable(f"{path} {head}")


def _why_unknown(added: Answer) -> str:
    """A full disk is the cause of the other words."""
    full = next((line.strip() for line in added.complaint.splitlines() if files.says_full(line)), "")
    return full.removeprefix("fatal: ").removeprefix("error: ") or added.reason


def _must(answer: Answer) -> str:
    if answer.output is None:
        raise UnknownTreeError(answer.reason)
    return answer.output


def _printable(text: str) -> str:
    """The name as text for the journal: names of files are bytes."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


# --- of a directory without git -----------------------------------------------------------------------------


def _of_files(top: Path, store: Path, apart: Sequence[str], most_files: int) -> str:
    """The id `files-<digest>`; the listing of that name in the store later shows what has changed."""
    rows: list[bytes] = []
    size = 0
    for path in _files(top):
        facts = path.lstat()
        size += facts.st_size
        if len(rows) >= most_files or size > MOST_BYTES:
            raise UnknownTreeError(f"{top} is not a git repository, and too large to read as a whole: run git init")
        name = str(path.relative_to(top))
        if name not in apart:
            rows.append(f"{_digest(path, facts)} {name}".encode(errors="surrogateescape"))
    listing = b"\0".join(sorted(rows))
    identity = f"files-{hashlib.sha256(listing).hexdigest()[:40]}"
    files.replace(store / identity, listing)
    return identity


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name == ".git" or any(fnmatch(entry.name, pattern) for pattern in CACHES):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                yield Path(entry.path)


def _digest(path: Path, facts: os.stat_result) -> str:
    if stat.S_ISLNK(facts.st_mode):
        return "link-" + hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
    kind = "program" if facts.st_mode & stat.S_IXUSR else "file"
    try:
        with path.open("rb") as file:
            return f"{kind}-{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except FileNotFoundError:
        return "gone"
    except PermissionError:
        return f"{kind}-unreadable"


def _read_listing(path: Path) -> set[tuple[str, str]]:
    rows = path.read_bytes().split(b"\0") if path.is_file() else []
    texts = [row.decode(errors="surrogateescape").partition(" ") for row in rows if row]
    return {(digest, name) for digest, _, name in texts}
