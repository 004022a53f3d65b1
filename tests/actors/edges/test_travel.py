"""A tree on its way between two repositories, with real git."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.edges import travel
from actors.edges.travel import Snapshot, Synced
from actors.errors import OperationalError


def git(cwd: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, errors="replace", check=True)
    return done.stdout.strip()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    cwd = tmp_path / "home"
    cwd.mkdir()
    git(cwd, "init", "-q", "-b", "main")
    git(cwd, "config", "user.name", "Ada")
    git(cwd, "config", "user.email", "ada@example.org")
    (cwd / "a.txt").write_text("one\n")
    (cwd / ".gitignore").write_text("ignored\n")
    git(cwd, "add", "-A")
    git(cwd, "commit", "-qm", "first")
    return cwd


def bring(home: Path, away: Path, have: tuple[str, ...] = ()) -> Snapshot:
    """As the two couriers do it."""
    now = travel.snapshot(home, home.parent / "home-store", "x")
    travel.begin(away)
    travel.unpack(away, travel.pack(home, "x", have))
    travel.put(away, home.parent / "away-store", now)
    return now


def content(cwd: Path) -> dict[str, str]:
    return {
        str(path.relative_to(cwd)): path.read_text()
        for path in sorted(cwd.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


def test_all_that_is_not_ignored_arrives_committed_or_not(home: Path, tmp_path: Path):
    (home / "a.txt").write_text("changed\n")
    (home / "new.txt").write_text("untracked\n")
    (home / "ignored").write_text("stays\n")
    (home / "run.sh").write_text("#!/bin/sh\n")
    (home / "run.sh").chmod(0o755)
    (home / "link").symlink_to("a.txt")
    away = tmp_path / "away"
    sent = bring(home, away)
    assert content(away) == {name: text for name, text in content(home).items() if name != "ignored"}
    assert (away / "run.sh").stat().st_mode & 0o111
    assert (away / "link").is_symlink()
    assert git(away, "status", "--short") == git(home, "status", "--short")
    assert git(away, "rev-parse", "HEAD", "--abbrev-ref", "HEAD") == git(
        home, "rev-parse", "HEAD", "--abbrev-ref", "HEAD"
    )
    assert travel.snapshot(away, tmp_path / "away-store", "y").same(sent)


def test_a_snapshot_changes_neither_branch_nor_index_nor_files(home: Path, tmp_path: Path):
    (home / "a.txt").write_text("changed\n")
    before = git(home, "status", "--porcelain=v2", "--branch")
    travel.snapshot(home, tmp_path / "store", "x")
    assert git(home, "status", "--porcelain=v2", "--branch") == before


def test_what_is_gone_at_home_goes_away_and_what_is_ignored_stays(home: Path, tmp_path: Path):
    away = tmp_path / "away"
    first = bring(home, away)
    (away / "ignored").write_text("of the host\n")
    (home / "a.txt").unlink()
    bring(home, away, (first.commit,))
    assert content(away) == {".gitignore": "ignored\n", "ignored": "of the host\n"}


def test_a_second_journey_takes_only_what_is_new(home: Path, tmp_path: Path):
    (home / "large.txt").write_text("\n".join(str(number**5) for number in range(20_000)))
    away = tmp_path / "away"
    first = bring(home, away)
    whole = len(travel.pack(home, "x", ()))
    (home / "a.txt").write_text("changed\n")
    travel.snapshot(home, tmp_path / "home-store", "x")
    assert len(travel.pack(home, "x", (first.commit, first.head))) * 20 < whole


def test_commits_and_a_branch_that_were_made_away_come_home(home: Path, tmp_path: Path):
    away = tmp_path / "away"
    sent = bring(home, away)
    travel.sign(away, travel.author(home))
    git(away, "checkout", "-qb", "polite")
    (away / "a.txt").write_text("two\n")
    git(away, "commit", "-qam", "second")
    (away / "b.txt").write_text("not committed\n")
    now = travel.snapshot(away, tmp_path / "away-store", "y")
    travel.unpack(home, travel.pack(away, "y", (sent.commit, sent.head)))
    assert travel.follow(home, tmp_path / "home-store", sent, now) == ""
    assert git(home, "log", "--format=%s %an", "polite") == "second Ada\nfirst Ada"
    assert git(home, "rev-parse", "main") == sent.head
    assert git(home, "status", "--short") == "?? b.txt"


def test_home_does_not_follow_a_branch_backwards(home: Path, tmp_path: Path):
    away = tmp_path / "away"
    first = bring(home, away)
    (home / "a.txt").write_text("two\n")
    git(home, "commit", "-qam", "second")
    now = travel.snapshot(home, tmp_path / "home-store", "x")
    assert "would not move forward" in travel.follow(home, tmp_path / "home-store", now, first)
    assert (home / "a.txt").read_text() == "two\n"


PACKS = """import sys, pathlib
from actors.edges import travel
travel.pack(pathlib.Path(sys.argv[1]), "x", ())"""
# It says that it packs, and never ends.
GIT_THAT_HANGS = """#!/bin/sh
case "$*" in *pack-objects*|*bundle*) echo packs > {words}; exec sleep 600;; esac
exec {git} "$@"
"""


def test_a_process_that_is_killed_in_the_middle_of_a_journey_leaves_no_folder(home: Path, tmp_path: Path):
    travel.snapshot(home, tmp_path / "home-store", "x")
    git_there, words, temporary = tmp_path / "bin" / "git", tmp_path / "words", tmp_path / "temporary"
    git_there.parent.mkdir()
    temporary.mkdir()
    os.mkfifo(words)
    git_there.write_text(GIT_THAT_HANGS.format(git=shutil.which("git"), words=words))
    git_there.chmod(0o755)
    variables = {"PATH": f"{git_there.parent}:{os.environ['PATH']}", "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", PACKS, str(home)]
    with subprocess.Popen(command, env=os.environ | variables, start_new_session=True) as process:
        assert words.read_text() == "packs\n"
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    assert list(temporary.iterdir()) == []


def test_a_pack_that_builds_on_what_is_not_here_is_refused(home: Path, tmp_path: Path):
    (home / "large.txt").write_text("\n".join(str(number**5) for number in range(2_000)))
    first = travel.snapshot(home, tmp_path / "home-store", "x")
    with (home / "large.txt").open("a") as file:
        file.write("one more\n")
    travel.snapshot(home, tmp_path / "home-store", "x")
    travel.begin(tmp_path / "away")
    with pytest.raises(OperationalError):
        travel.unpack(tmp_path / "away", travel.pack(home, "x", (first.commit, first.head)))


def test_a_directory_without_git_does_not_travel(tmp_path: Path):
    (tmp_path / "plain").mkdir()
    with pytest.raises(OperationalError, match="only such a tree can travel"):
        travel.snapshot(tmp_path / "plain", tmp_path / "store", "x")


def test_a_repository_without_a_commit_travels(tmp_path: Path):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    git(home, "init", "-q", "-b", "main")
    (home / "a.txt").write_text("one\n")
    bring(home, away)
    assert content(away) == {"a.txt": "one\n"}


def test_what_was_synced_is_known_after_a_restart_and_a_damaged_note_is_said_to_be(tmp_path: Path):
    synced = Synced(tmp_path / "synced")
    assert synced.read() is None
    snapshot = Snapshot(commit="c", tree="t", head="h", branch="b")
    synced.write(snapshot)
    assert Synced(tmp_path / "synced").read() == snapshot
    (tmp_path / "synced").write_text("{")
    with pytest.raises(OperationalError, match="synced is damaged: remove it"):
        synced.read()


NAMES = st.sampled_from(["a", "b/c", "b/d", "ü", "with space"])
CHANGES = st.dictionaries(NAMES, st.none() | st.text("xyz\n", max_size=5), max_size=4)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=CHANGES, second=CHANGES)
def test_any_change_travels_there_and_back(home: Path, tmp_path: Path, first, second):
    away = tmp_path / "away"
    for changes, source, target in ((first, home, away), (second, away, home)):
        for name, text in changes.items():
            path = source / name
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
        now = travel.snapshot(source, tmp_path / f"{source.name}-store", "x")
        travel.begin(target)
        travel.unpack(target, travel.pack(source, "x", ()))
        travel.put(target, tmp_path / f"{target.name}-store", now)
        assert content(target) == content(source)
