import os
import shutil
import subprocess
from pathlib import Path

import pytest

from actors.edges import git, worktree
from actors.errors import UserError


def run_git(cwd: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A repository without a commit."""
    top = tmp_path / "Tool"
    (top / "src").mkdir(parents=True)
    (top / "src" / "a.py").write_text("1\n")
    run_git(top, "init", "-q")
    return top


@pytest.fixture
def top(bare: Path) -> Path:
    run_git(bare, "add", ".")
    run_git(bare, "commit", "-q", "-m", "first")
    return bare


def test_a_worktree_stands_beside_the_repository_on_a_branch_of_its_name(top: Path):
    place = worktree.enter(top, top, "3")
    assert place.cwd == top.parent / "tool-loop-3"
    assert run_git(place.cwd, "branch", "--show-current") == "tool-loop-3"
    assert git.is_linked_worktree(place.cwd)
    assert not git.is_linked_worktree(top)
    assert git.repository_id(place.cwd) == git.repository_id(top)


def test_the_same_sub_directory_is_entered_where_the_worktree_has_it(top: Path):
    assert worktree.enter(top / "src", top, "1").cwd == top.parent / "tool-loop-1" / "src"
    (top / "new").mkdir()
    assert worktree.enter(top / "new", top, "1").cwd == top.parent / "tool-loop-1"


def test_an_existing_worktree_is_entered_again_with_what_is_in_it(top: Path):
    first = worktree.enter(top, top, "1").cwd
    (first / "unsaved").write_text("x")
    again = worktree.enter(top, top, "1")
    assert (again.cwd / "unsaved").read_text() == "x"
    assert "re-entered" in again.notes[0]


def test_a_worktree_whose_directory_is_gone_is_made_again_on_its_branch(top: Path):
    first = worktree.enter(top, top, "1").cwd
    (first / "b.py").write_text("2\n")
    run_git(first, "add", ".")
    run_git(first, "commit", "-q", "-m", "second")
    subprocess.run(["rm", "-r", str(first)], check=True)
    assert (worktree.enter(top, top, "1").cwd / "b.py").read_text() == "2\n"


def test_something_else_in_its_place_is_refused_by_name(top: Path):
    (top.parent / "tool-loop-1").mkdir()
    with pytest.raises(UserError, match=r"tool-loop-1 is in the way"):
        worktree.enter(top, top, "1")


def test_a_name_is_free_when_neither_directory_nor_branch_has_it(top: Path):
    assert worktree.is_free(top, "1")
    (top.parent / "tool-loop-1").mkdir()
    run_git(top, "branch", "tool-loop-2")
    assert [worktree.is_free(top, run_id) for run_id in "123"] == [False, False, True]


def test_a_repository_without_commits_gets_its_files_copied(bare: Path):
    (bare / ".gitignore").write_text("secret\n")
    (bare / "secret").write_text("no")
    place = worktree.enter(bare, bare, "1")
    assert (place.cwd / "src" / "a.py").read_text() == "1\n"
    assert not (place.cwd / "secret").exists()
    assert "files were copied" in place.notes[0]


def test_a_plan_that_git_does_not_know_moves_along(top: Path):
    (top / "PLAN.md").write_text("plan")
    place = worktree.enter(top, top, "1")
    assert (place.cwd / "PLAN.md").read_text() == "plan"
    assert not (top / "PLAN.md").exists()
    assert place.notes[1] == "PLAN.md went along"


def test_changes_of_a_committed_plan_are_copied_and_the_original_stays(top: Path):
    (top / "PLAN.md").write_text("old")
    run_git(top, "add", ".")
    run_git(top, "commit", "-q", "-m", "plan")
    (top / "PLAN.md").write_text("new")
    place = worktree.enter(top, top, "1")
    assert [(path / "PLAN.md").read_text() for path in (place.cwd, top)] == ["new", "new"]


def test_a_plan_that_the_worktree_has_already_is_left_alone(top: Path):
    place = worktree.enter(top, top, "1")
    (place.cwd / "PLAN.md").write_text("further")
    (top / "PLAN.md").write_text("older")
    worktree.enter(top, top, "1")
    assert (place.cwd / "PLAN.md").read_text() == "further"
    assert (top / "PLAN.md").read_text() == "older"


def test_a_plan_with_changes_does_not_replace_the_one_that_the_run_has_worked_on(top: Path):
    (top / "PLAN.md").write_text("old")
    run_git(top, "add", ".")
    run_git(top, "commit", "-q", "-m", "plan")
    place = worktree.enter(top, top, "1").cwd
    (place / "PLAN.md").write_text("further")
    (top / "PLAN.md").write_text("mine")
    worktree.enter(top, top, "1")
    assert (place / "PLAN.md").read_text() == "further"


def test_a_plan_goes_where_the_run_works_when_its_directory_is_not_in_the_worktree(top: Path):
    (top / "new").mkdir()
    (top / "new" / "PLAN.md").write_text("plan")
    place = worktree.enter(top / "new", top, "1")
    assert (place.cwd / "PLAN.md").read_text() == "plan"


def test_the_changes_that_are_not_committed_stay_where_they_are(top: Path):
    (top / "src" / "a.py").write_text("2\n")
    place = worktree.enter(top, top, "1")
    assert (place.cwd / "src" / "a.py").read_text() == "1\n"
    assert (top / "src" / "a.py").read_text() == "2\n"


def test_a_worktree_of_a_detached_head_begins_there_and_that_is_said(top: Path):
    run_git(top, "switch", "-q", "--detach")
    place = worktree.enter(top, top, "1")
    assert run_git(place.cwd, "branch", "--show-current") == "tool-loop-1"
    assert place.notes[1].startswith("it starts where the repository is: HEAD is detached at ")


def test_a_branch_that_is_checked_out_elsewhere_is_refused_with_gits_own_reason(top: Path, tmp_path: Path):
    run_git(top, "worktree", "add", "-q", "-b", "tool-loop-1", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"'tool-loop-1' is already .* at '.*elsewhere' \(git worktree add in .*Tool\)"):
        worktree.enter(top, top, "1")


def test_a_branch_that_was_there_is_used_and_that_is_said(top: Path):
    run_git(top, "branch", "tool-loop-1")
    assert worktree.enter(top, top, "1").notes == (
        f"worktree {top.parent / 'tool-loop-1'} on branch tool-loop-1, which existed already",
    )


def test_a_name_under_which_there_are_branches_is_not_free(top: Path):
    run_git(top, "branch", "tool-loop-1/part")
    assert not worktree.is_free(top, "1")


@pytest.mark.parametrize("what", ["file", "dangling link", "repository of its own", "plain directory"])
def test_whatever_else_stands_in_its_place_is_refused_and_left_alone(top: Path, what: str):
    place = top.parent / "tool-loop-1"
    if what == "file":
        place.write_text("x")
    elif what == "dangling link":
        place.symlink_to("nowhere")
    elif what == "repository of its own":
        run_git(top.parent, "clone", "-q", str(top), str(place))
    else:
        (place / "x").mkdir(parents=True)
    with pytest.raises(UserError, match=r"tool-loop-1 is in the way"):
        worktree.enter(top, top, "1")
    assert os.path.lexists(place)
    assert worktree.registered(top) == []


def test_only_the_registration_of_the_run_itself_is_pruned(top: Path):
    for run_id in "12":
        shutil.rmtree(worktree.enter(top, top, run_id).cwd)
    worktree.enter(top, top, "1")
    assert [(each.path.name, each.gone) for each in worktree.registered(top)] == [
        ("tool-loop-1", False),
        ("tool-loop-2", True),
    ]


def test_a_locked_registration_whose_directory_is_gone_is_left_alone(top: Path):
    place = worktree.enter(top, top, "1").cwd
    run_git(top, "worktree", "lock", "--reason", "on a stick", str(place))
    shutil.rmtree(place)
    with pytest.raises(UserError, match="locked working tree, lock reason: on a stick"):
        worktree.enter(top, top, "1")


def test_a_worktree_that_git_was_killed_in_the_middle_of_is_finished(top: Path):
    place = worktree.enter(top, top, "1").cwd
    shutil.rmtree(place / "src")  # as it is left by kill -9: in part, and locked with this word
    run_git(top, "worktree", "lock", "--reason", "initializing", str(place))
    assert worktree.enter(top, top, "1").notes[1] == "it was unfinished, and is complete now"
    assert (place / "src" / "a.py").read_text() == "1\n"
    assert worktree.registered(top)[0].lock is None


def test_a_copy_that_was_killed_in_the_middle_is_finished(bare: Path):
    place = worktree.enter(bare, bare, "1").cwd
    (place / "src" / "a.py").write_text("")
    run_git(bare, "worktree", "lock", "--reason", "loop copies files into it", str(place))
    assert worktree.enter(bare, bare, "1").notes[1] == "it was unfinished, and is complete now"
    assert (place / "src" / "a.py").read_text() == "1\n"
    (place / "src" / "a.py").write_text("2\n")
    worktree.enter(bare, bare, "1")
    assert (place / "src" / "a.py").read_text() == "2\n"


def test_a_beginning_that_came_no_further_than_the_branch_is_gone_on_with(bare: Path):
    worktree.enter(bare, bare, "1")
    run_git(bare, "worktree", "remove", "--force", str(bare.parent / "tool-loop-1"))
    assert (worktree.enter(bare, bare, "1").cwd / "src" / "a.py").read_text() == "1\n"


def test_links_modes_and_odd_names_of_a_repository_without_commits_are_kept(bare: Path):
    (bare / "run.sh").write_text("#!/bin/sh\n")
    (bare / "run.sh").chmod(0o755)
    (bare / "link").symlink_to("src")
    (bare / "broken").symlink_to("nowhere")
    odd = os.fsencode(bare) + b"/bad \xff \xc3\xbc\n.txt"
    with open(odd, "w") as file:  # noqa: PTH123 - its name is no text
        file.write("odd")
    place = worktree.enter(bare, bare, "1").cwd
    assert os.access(place / "run.sh", os.X_OK)
    assert [(place / name).readlink() for name in ("link", "broken")] == [Path("src"), Path("nowhere")]
    assert os.path.exists(os.fsencode(place) + b"/bad \xff \xc3\xbc\n.txt")  # noqa: PTH110


@pytest.mark.parametrize("name", ["with blanks  in it", "Grüße 你好", "-dash", "quo'te\"s", "a$b`c;d"])
def test_odd_directory_names_are_no_trouble(tmp_path: Path, name: str):
    top = tmp_path / name
    top.mkdir()
    (top / "PLAN.md").write_text("plan")
    run_git(top, "init", "-q")
    run_git(top, "commit", "-q", "--allow-empty", "-m", "first")
    place = worktree.enter(top, top, "1")
    assert place.cwd == tmp_path / f"{git.sanitise(name)}-loop-1"
    assert (place.cwd / "PLAN.md").read_text() == "plan"
    assert [each.path for each in worktree.registered(top)] == [place.cwd]
    assert worktree.enter(top, top, "1").notes == (f"worktree {place.cwd} re-entered",)


def test_a_submodules_worktree_stands_beside_all_that_it_is_a_part_of(top: Path, tmp_path: Path):
    allowed = ["-c", "protocol.file.allow=always", "submodule", "--quiet"]
    inner = top
    for name in ("middle", "outer"):
        run_git(tmp_path, "init", "-q", name)
        run_git(tmp_path / name, *allowed, "add", str(inner), "sub")
        run_git(tmp_path / name, "commit", "-q", "-m", "with sub")
        inner = tmp_path / name
    run_git(inner, *allowed, "update", "--init", "--recursive")
    for sub in (inner / "sub", inner / "sub" / "sub"):
        run_id = str(len(sub.parts))
        assert worktree.is_free(sub, run_id)
        place = worktree.enter(sub, sub, run_id)
        assert place.cwd == tmp_path / f"sub-loop-{run_id}"
        assert git.main_top_level(place.cwd) == sub
        assert not worktree.is_free(sub, run_id)
    assert run_git(inner, "status", "--porcelain") == ""
    assert "submodules are empty" in worktree.enter(inner, inner, "1").notes[-1]


def test_a_worktree_can_be_made_again_from_another_worktree(top: Path):
    first = worktree.enter(top, top, "1").cwd
    shutil.rmtree(first)
    second = worktree.enter(top, top, "2").cwd
    assert worktree.enter(second / "src", git.main_top_level(second) or second, "1").cwd == first / "src"


def put_hook(top: Path, script: str) -> None:
    hook = top / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


def untouched(top: Path) -> bool:
    """Whether there is no trace of run 1."""
    return worktree.is_free(top, "1") and worktree.registered(top) == []


@pytest.mark.parametrize(
    ("script", "said"), [("echo 'git-lfs is not installed' >&2; exit 2", ": git-lfs is not installed"), ("exit 1", "")]
)
def test_a_hook_that_fails_is_named_and_the_worktree_that_is_there_is_used(top: Path, script: str, said: str):
    put_hook(top, script)
    place = worktree.enter(top, top, "1")
    assert place.notes[1] == f"a hook of the repository failed in it{said}"
    assert (place.cwd / "src" / "a.py").read_text() == "1\n"
    assert run_git(place.cwd, "branch", "--show-current") == "tool-loop-1"


def test_a_hook_that_fails_where_there_is_no_commit_yet_is_named_too(bare: Path):
    put_hook(bare, "exit 1")
    place = worktree.enter(bare, bare, "1")
    assert place.notes[1] == "a hook of the repository failed in it"
    assert (place.cwd / "src" / "a.py").read_text() == "1\n"


@pytest.mark.parametrize("had_branch", [False, True])
def test_what_git_cannot_make_is_refused_with_its_reason_and_leaves_only_what_was_there(top: Path, *, had_branch: bool):
    (top / ".gitattributes").write_text("*.py filter=missing\n")
    run_git(top, "add", ".gitattributes")
    run_git(top, "commit", "-q", "-m", "filtered")
    run_git(top, "config", "filter.missing.smudge", "exit 3")
    run_git(top, "config", "filter.missing.required", "true")
    if had_branch:
        run_git(top, "branch", "tool-loop-1")
    with pytest.raises(UserError, match=r"^cannot create the run's worktree: .* filter .*\(git worktree add in"):
        worktree.enter(top, top, "1")
    assert bool(run_git(top, "branch", "--list", "tool-loop-1")) == had_branch
    assert worktree.registered(top) == []
    assert not (top.parent / "tool-loop-1").exists()


def test_what_was_made_for_a_start_that_is_refused_later_is_taken_back_with_the_plan(top: Path):
    (top / "PLAN.md").write_text("plan")
    put_hook(top, "echo made by a hook > made")
    place = worktree.enter(top, top, "1")
    assert not (top / "PLAN.md").exists()
    assert place.made is not None
    worktree.unmake(place.made)
    assert untouched(top)
    assert (top / "PLAN.md").read_text() == "plan"


def test_what_was_made_without_commits_is_taken_back_as_well(bare: Path):
    made = worktree.enter(bare, bare, "1").made
    assert made is not None
    worktree.unmake(made)
    assert untouched(bare)
    assert (bare / "src" / "a.py").exists()


def test_a_worktree_and_a_branch_that_were_there_before_stay_when_a_start_is_refused(top: Path):
    worktree.enter(top, top, "1")
    again = worktree.enter(top, top, "1")
    assert again.made is not None
    worktree.unmake(again.made)
    assert [each.branch for each in worktree.registered(top)] == ["tool-loop-1"]


@pytest.mark.skipif("sys.platform != 'linux'", reason="elsewhere there is no /proc, which takes no file even from root")
def test_a_plan_that_cannot_go_along_is_one_line_and_nothing_is_left(top: Path):
    (top / "PLAN.md").write_text("plan")
    put_hook(top, "rm -r src && ln -s /proc src")  # a directory that takes no file
    (top / "src" / "PLAN.md").write_text("plan")
    with pytest.raises(UserError, match=r"^cannot create the run's worktree: "):
        worktree.enter(top / "src", top, "1")
    assert untouched(top)
    assert (top / "src" / "PLAN.md").read_text() == "plan"


def test_why_there_can_be_no_worktree_is_said_with_the_next_step_or_gits_reason(top: Path, tmp_path: Path):
    assert worktree.refusal(tmp_path) == (
        f"--worktree needs a git repository, and {tmp_path} is in none: run git init, or leave it out"
    )
    run_git(tmp_path, "clone", "-q", "--bare", str(top), "bare.git")
    assert worktree.refusal(tmp_path / "bare.git").endswith("git says: this operation must be run in a work tree")
