"""What `loop update` does, over every way that loop can have come to where it is; and when it speaks of a newer one."""

from dataclasses import replace

import pytest

from shell.update_plan import (
    QUIET_MS,
    Advice,
    Installation,
    Known,
    Run,
    Source,
    hint,
    is_due,
    lookup,
    may_hint,
    newest,
    outcome,
    plan,
)

PIP = Installation(
    python="/env/bin/python", code="/env/lib/site-packages", version="1.0", uv="/bin/uv", pipx="/bin/pipx"
)
NO_PIP = replace(PIP, has_pip=False, installer="uv")
WITH_PIP = ("/env/bin/python", "-P", "-m", "pip", "install")
WITH_UV = ("/bin/uv", "pip", "install", "--python", "/env/bin/python")
GIT = Source(kind="vcs", url="git+https://example.invalid/loop", revision="main", commit="c0ffee")
FROM_GIT = "pairloop @ git+https://example.invalid/loop@main"
PIPX = replace(NO_PIP, manager="pipx", environment="pairloop")
UV_TOOL = replace(NO_PIP, manager="uv tool", environment="pairloop")
CHECKOUT = replace(PIP, code="/src/loop", checkout=True, git=True)


@pytest.mark.parametrize(
    ("found", "commands"),
    [
        (PIP, [(*WITH_PIP, "--upgrade", "pairloop")]),
        (replace(PIP, extras=("claude", "codex")), [(*WITH_PIP, "--upgrade", "pairloop[claude,codex]")]),
        (replace(PIP, installer="uv"), [(*WITH_PIP, "--upgrade", "pairloop")]),
        (replace(PIP, managed=True), [(*WITH_PIP, "--upgrade", "pairloop")]),  # a venv of a managed Python
        (replace(PIP, place="user"), [(*WITH_PIP, "--user", "--upgrade", "pairloop")]),
        (replace(PIP, place="system"), [(*WITH_PIP, "--upgrade", "pairloop")]),
        (NO_PIP, [(*WITH_UV, "--upgrade", "pairloop")]),
        (PIPX, [("/bin/pipx", "upgrade", "pairloop")]),
        (replace(PIPX, has_pip=True, installer="pip"), [("/bin/pipx", "upgrade", "pairloop")]),
        (replace(PIPX, environment="pairloop_2"), [("/bin/pipx", "upgrade", "pairloop_2")]),
        (
            replace(PIPX, environment="ipython", injected=True),
            [("/bin/pipx", "upgrade", "--include-injected", "ipython")],
        ),
        (UV_TOOL, [("/bin/uv", "tool", "upgrade", "pairloop")]),
        (
            replace(PIP, source=GIT),
            [(*WITH_PIP, "--upgrade", FROM_GIT), (*WITH_PIP, "--force-reinstall", "--no-deps", FROM_GIT)],
        ),
        (
            replace(NO_PIP, source=GIT),
            [(*WITH_UV, "--upgrade", FROM_GIT), (*WITH_UV, "--reinstall", "--no-deps", FROM_GIT)],
        ),
    ],
)
def test_what_may_be_updated_is_updated_by_what_installed_it(found: Installation, commands: list[tuple[str, ...]]):
    assert plan(found) == Run(tuple(commands))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(PIP, version=""), ["/env/lib/site-packages", "own"]),
        (replace(PIPX, pipx=""), ["pipx, which is not on PATH", "pipx upgrade pairloop"]),
        (replace(UV_TOOL, uv=""), ["uv, which is not on PATH", "uv tool upgrade pairloop"]),
        (replace(PIP, installer="debian", place="system"), ["installed by debian"]),
        (replace(PIP, installer="poetry 2.1"), ["installed by poetry 2.1"]),
        (replace(PIP, managed=True, place="system"), ["PEP 668", "pipx install pairloop", "python3 -m venv"]),
        (replace(PIP, managed=True, place="user", extras=("acp",)), ["PEP 668", "pipx install 'pairloop[acp]'"]),
        (
            replace(NO_PIP, manager="uv project", environment="/home/me/x"),
            ["dependency of the project /home/me/x", "uv sync --project /home/me/x --upgrade-package pairloop"],
        ),
        (replace(PIP, writable=False), ["not yours to change", "/env/bin/python -P -m pip install --upgrade pairloop"]),
        (replace(PIP, writable=False, source=GIT), ["not yours to change"]),
        (replace(NO_PIP, uv=""), ["no pip", "no uv on PATH", "/env/bin/python -P -m pip install"]),
        (replace(PIP, source=replace(GIT, revision="c0ffee")), ["commit c0ffee", "stays there"]),
    ],
)
def test_what_must_not_be_touched_is_refused_with_what_to_do(found: Installation, words: list[str]):
    todo = plan(found)
    assert isinstance(todo, Advice)
    assert todo.refused
    assert "\n" not in todo.text
    assert [word for word in words if word not in todo.text] == []


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (CHECKOUT, "this is a source checkout; to update it: git -C /src/loop pull"),
        (
            replace(CHECKOUT, source=Source(kind="directory", url="file:///src/loop"), extras=("claude",)),
            (
                "this is a source checkout; to update it: git -C /src/loop pull\n"
                "and then, as its dependencies may have changed: "
                "/env/bin/python -P -m pip install --editable '/src/loop[claude]'"
            ),
        ),
        # The tree that runs is not the one that is installed.
        (
            replace(CHECKOUT, source=Source(kind="directory", url="file:///src/other")),
            "this is a source checkout; to update it: git -C /src/loop pull",
        ),
        (
            replace(CHECKOUT, git=False),
            "this is a source tree without git: replace /src/loop with the newer one",
        ),
        (replace(CHECKOUT, manager="pipx"), "this is a source checkout; to update it: git -C /src/loop pull"),
        (
            replace(PIP, source=Source(kind="directory", url="file:///src/a%20loop"), extras=("acp",)),
            (
                "loop was installed from /src/a loop; to update it: git -C '/src/a loop' pull\n"
                "and then: /env/bin/python -P -m pip install --upgrade '/src/a loop[acp]'"
            ),
        ),
        (
            replace(PIP, source=Source(kind="archive", url="https://example.invalid/pairloop-1.0-py3-none-any.whl")),
            (
                "loop was installed from https://example.invalid/pairloop-1.0-py3-none-any.whl; "
                "with the address of a newer one: /env/bin/python -P -m pip install --upgrade '…'"
            ),
        ),
    ],
)
def test_what_came_from_a_place_of_the_users_is_told_and_not_done(found: Installation, text: str):
    assert plan(found) == Advice(text, refused=False)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("1.0", "1.1", "loop 1.0 -> 1.1"),
        ("1.0", "1.0", "loop 1.0 is up to date: nothing newer was found"),
        ("1.0", "", "loop 1.0 is no longer installed: see above"),
    ],
)
def test_the_outcome_names_both_versions(before: str, after: str, text: str):
    assert outcome(before, after) == text


@pytest.mark.parametrize(
    ("found", "program"),
    [
        (PIP, ("/env/bin/python", "-P", "-m", "pip")),
        (replace(PIPX, has_pip=True), ("/env/bin/python", "-P", "-m", "pip")),
        (NO_PIP, ("/bin/uv", "pip", "install", "--dry-run")),
        (replace(PIPX, uv=""), ("/bin/pipx", "runpip", "pairloop", "index")),
        (replace(NO_PIP, uv=""), None),
        (replace(PIPX, uv="", pipx=""), None),
        (CHECKOUT, None),
        (replace(PIP, source=GIT), None),
        (replace(PIP, version=""), None),
        (replace(PIP, installer="debian"), None),
    ],
)
def test_the_newest_version_is_asked_of_what_is_there(found: Installation, program: tuple[str, ...] | None):
    question = lookup(found)
    assert (None if question is None else question[: len(program or ())]) == program


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("pairloop (0.2.0)\nAvailable versions: 0.2.0, 0.1.0\n  INSTALLED: 0.1.0\n  LATEST:    0.2.0\n", "0.2.0"),
        ("WARNING: pip index is currently an experimental command.\npairloop (1.0)\n", "1.0"),
        ("Resolved 1 package in 4ms\nWould install 1 package\n - pairloop==0.1.0\n + pairloop==0.2.0\n", "0.2.0"),
        ("Audited 1 package in 1ms\nWould make no changes\n", ""),
        ("ERROR: No matching distribution found for pairloop\n", ""),
        ("", ""),
    ],
)
def test_the_version_is_read_from_what_pip_and_uv_say(output: str, version: str):
    assert newest(output) == version


NOW = 1_800_000_000_000
KNOWN = Known(looked_at_ms=NOW, newest="0.2.0", than="0.1.0")


@pytest.mark.parametrize(
    ("known", "installed", "said"),
    [
        (KNOWN, "0.1.0", True),
        (KNOWN._replace(said_at_ms=NOW - QUIET_MS), "0.1.0", True),
        (KNOWN._replace(said_at_ms=NOW - QUIET_MS + 1), "0.1.0", False),
        (KNOWN, "0.2.0", False),  # it was updated meanwhile
        (KNOWN._replace(newest=""), "0.1.0", False),
        (Known(), "0.1.0", False),
    ],
)
def test_the_hint_comes_once_in_six_hours_and_only_for_the_version_that_runs(known: Known, installed: str, said: bool):
    text = "loop 0.2.0 is available, this is 0.1.0: run loop update"
    assert hint(known, installed, NOW) == (text if said else "")


@pytest.mark.parametrize(
    ("at_ms", "due"), [(0, True), (NOW, False), (NOW - QUIET_MS + 1, False), (NOW - QUIET_MS, True), (NOW + 1, True)]
)
def test_a_look_up_is_due_after_six_hours_or_when_the_clock_went_back(at_ms: int, due: bool):
    assert is_due(at_ms, NOW) is due


@pytest.mark.parametrize(
    ("environment", "may"),
    [
        ({}, True),
        ({"CI": "true"}, False),
        ({"CI": "1"}, False),
        ({"CI": "false"}, True),
        ({"JENKINS_URL": "http://x"}, False),
        ({"LOOP_UPDATE_HINT": "0"}, False),
        ({"LOOP_UPDATE_HINT": "Off"}, False),
        ({"LOOP_UPDATE_HINT": "1"}, True),
        ({"LOOP_UPDATE_HINT": "1", "CI": "1"}, False),
    ],
)
def test_the_hint_is_off_in_ci_and_when_it_is_switched_off(environment: dict[str, str], may: bool):
    assert may_hint(environment) is may
