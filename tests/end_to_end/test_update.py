"""`loop update` and the hint, with a real pip: a throw-away environment, and an index on loopback with two versions."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from actors.edges import run_lock
from tests.lab.world import PATIENCE_S

ROOT = Path(__file__).parents[2]
OLD, NEW = "0.1.0", "0.2.0"
ENTRY_POINTS = "[console_scripts]\nloop = shell.cli:main\n"


def make_wheel(folder: Path, version: str) -> Path:
    """The code of this tree as a wheel. What it needs is not asked for: it is seen through a .pth file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pairloop-{version}-py3-none-any.whl"
    info = f"pairloop-{version}.dist-info"
    record = []
    with zipfile.ZipFile(path, "w") as wheel:
        for package in ("actors", "supervisor", "shell"):
            for file in sorted((ROOT / package).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    wheel.write(file, str(file.relative_to(ROOT)))
        for name, text in (
            ("METADATA", f"Metadata-Version: 2.1\nName: pairloop\nVersion: {version}\n"),
            ("WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("entry_points.txt", ENTRY_POINTS),
        ):
            wheel.writestr(f"{info}/{name}", text)
        record = [f"{name},,\n" for name in wheel.namelist()]
        wheel.writestr(f"{info}/RECORD", "".join([*record, f"{info}/RECORD,,\n"]))
    return path


class Index:
    """A simple index, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class' name
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/simple"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("index")
    for version in (OLD, NEW):
        make_wheel(base / "simple" / "pairloop", version)
    return base


@pytest.fixture
def index(wheels: Path) -> Iterator[Index]:
    made = Index(wheels)
    yield made
    made.close()


class Place:
    """A venv with the old version, a home, and the environment that all is started with."""

    def __init__(self, home: Path, prefix: Path, index_url: str) -> None:
        self.home = home
        self.home.mkdir()
        self.prefix = prefix
        self.python = prefix / "bin" / "python"
        foreign = ("PIP_", "UV_", "CI", "GITHUB_", "LOOP_", "PYTHONPATH", "VIRTUAL_ENV")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "HOME": str(self.home),
            "PATH": f"{self.prefix / 'bin'}{os.pathsep}{os.defpath}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index_url,
            "TMPDIR": "/tmp",
        }

    def install_old(self, wheels: Path) -> None:
        # By its name and from a folder: from a path it would be remembered as what came from that path.
        found = ("--no-index", "--find-links", wheels / "simple" / "pairloop", f"pairloop=={OLD}")
        self.run(self.python, "-m", "pip", "install", "-q", "--force-reinstall", *found).check_returncode()

    def make(self, wheels: Path) -> None:
        venv.create(self.prefix, with_pip=True, symlinks=True)
        self.install_old(wheels)
        # What loop needs, from our own environment: all that is there but loop and what installs.
        needed = self.prefix / "needed"
        needed.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if not entry.name.startswith(("pairloop", "__editable__", "pip", "setuptools")):
                (needed / entry.name).symlink_to(entry)
        (next(self.prefix.rglob("pairloop-*.dist-info")).parent / "needed.pth").write_text(f"{needed}\n")

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, command)),
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def loop(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.prefix / "bin" / "loop", *words)

    def start_on_terminal(self, *words: str, **changes: str) -> tuple[str, int]:
        """All that is on the screen of a loop that is refused for its agent: the hint comes before that."""
        child = pexpect.spawn(
            str(self.prefix / "bin" / "loop"),
            ["--agent", "nobody", *words, "task"],
            env=self.environment | changes,
            cwd=str(self.home),
            encoding="utf-8",
            timeout=PATIENCE_S,
            dimensions=(24, 200),
        )
        child.expect(pexpect.EOF)
        text = str(child.before)
        child.close()
        assert "unknown agent 'nobody'" in text
        return text, child.exitstatus

    @property
    def known(self) -> dict[str, object]:
        path = self.home / ".loop" / "newer.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    base = tmp_path_factory.mktemp("environment")
    Place(base / "home", base / "venv", "").make(wheels)
    return base / "venv"


@pytest.fixture
def place(tmp_path: Path, prefix: Path, wheels: Path, index: Index) -> Iterator[Place]:
    made = Place(tmp_path / "home", prefix, index.url)
    yield made
    for foreign in prefix.rglob("direct_url.json"):
        foreign.unlink()
    if made.loop("--version").stdout != f"{OLD}\n":
        made.install_old(wheels)


@pytest.fixture
def offline(tmp_path: Path, prefix: Path, wheels: Path) -> Place:
    closed = Index(wheels)
    closed.close()
    return Place(tmp_path / "home", prefix, closed.url)


def test_a_venv_is_updated_by_its_pip_with_command_output_and_versions_shown(place: Place):
    assert place.loop("--version").stdout == f"{OLD}\n"
    done = place.loop("update")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"[loop] $ {place.python} -P -m pip install --upgrade pairloop"
    assert any(line.startswith("Successfully installed pairloop") for line in lines)
    assert lines[-1] == f"[loop] loop {OLD} -> {NEW}"
    assert place.loop("--version").stdout == f"{NEW}\n"
    again = place.loop("UPGRADE")
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == f"[loop] loop {NEW} is up to date: nothing newer was found"


def test_a_run_that_is_live_is_named_as_going_on_with_the_old_version(place: Place):
    directory = place.home / ".loop" / "runs" / "project-1" / "7"
    directory.mkdir(parents=True)
    lock = run_lock.lock_run(directory, lambda _generation: "")
    try:
        done = place.loop("update")
    finally:
        lock.release()
    assert done.stdout.splitlines()[0] == f"[loop] run project-1/7 keeps loop {OLD} until it is resumed"
    assert done.returncode == 0


def test_an_update_that_fails_says_with_what_status_and_changes_nothing(offline: Place):
    offline.environment["PIP_TIMEOUT"] = "soon"  # pip refuses it
    done = offline.loop("update")
    assert done.returncode == 1
    command = f"{offline.python} -P -m pip install --upgrade pairloop"
    assert re.fullmatch(
        rf"\[loop\] error: {re.escape(command)} ended with status [23]: see above", done.stderr.splitlines()[-1]
    )
    assert "timeout" in done.stdout + done.stderr  # its own words
    assert offline.loop("--version").stdout == f"{OLD}\n"


def test_what_was_installed_from_a_directory_is_told_the_way_back_to_it(place: Place):
    info = next(place.prefix.rglob("pairloop-*.dist-info"))
    (info / "direct_url.json").write_text(json.dumps({"url": "file:///src/loop", "dir_info": {}}))
    done = place.loop("update")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "[loop] loop was installed from /src/loop; to update it: git -C /src/loop pull",
        f"[loop] and then: {place.python} -P -m pip install --upgrade /src/loop",
    ]


def wait_for_lookup(place: Place) -> None:
    """It is a process of nobody's: there is nothing to wait for but its file."""
    deadline = time.monotonic() + PATIENCE_S
    while not place.known.get("newest"):
        if time.monotonic() > deadline:
            raise TimeoutError(place.known)
        threading.Event().wait(0.05)


def test_a_newer_version_is_looked_up_beside_a_start_and_told_at_the_next_ones_but_not_twice(
    place: Place, index: Index
):
    (place.home / ".loop").mkdir()
    text, status = place.start_on_terminal()
    assert status == 2
    assert "loop update" not in text
    wait_for_lookup(place)
    assert place.known["newest"] == NEW
    assert any(path.startswith("/simple/pairloop") for path in index.asked)
    text, _ = place.start_on_terminal()
    assert f"[loop] loop {NEW} is available, this is {OLD}: run loop update\r\n" in text
    text, _ = place.start_on_terminal()
    assert "loop update" not in text


KNOWN = {"looked_at_ms": 0, "newest": NEW, "than": OLD, "said_at_ms": 0}


@pytest.fixture
def knowing(offline: Place) -> Place:
    """It has heard of the newer version, and looks up nothing for the next six hours."""
    (offline.home / ".loop").mkdir()
    known = KNOWN | {"looked_at_ms": time.time_ns() // 1_000_000}
    (offline.home / ".loop" / "newer.json").write_text(json.dumps(known))
    return offline


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ([], {"LOOP_UPDATE_HINT": "0"}),
        ([], {"CI": "true"}),
        (["--headless"], {}),
        (["--format", "raw"], {}),
        (["--log-format", "json"], {}),
    ],
)
def test_the_hint_is_silent_where_it_is_not_wanted(knowing: Place, words: list[str], changes: dict[str, str]):
    text, _ = knowing.start_on_terminal(*words, **changes)
    assert "loop update" not in text
    assert knowing.known["said_at_ms"] == 0


def test_the_hint_is_switched_off_in_the_configuration_and_is_said_without_that(knowing: Place):
    configuration = knowing.home / ".loop" / "config.toml"
    configuration.write_text("update_hint = false\n")
    assert "loop update" not in knowing.start_on_terminal()[0]
    configuration.unlink()
    assert "loop update" in knowing.start_on_terminal()[0]


def test_help_version_one_shot_commands_and_pipes_say_nothing_of_it(knowing: Place):
    for words in (["--help"], ["--version"], ["runs"], ["--agent", "nobody", "task"]):
        done = knowing.loop(*words)
        assert f"{NEW} is there" not in done.stdout + done.stderr
    child = pexpect.spawn(
        str(knowing.prefix / "bin" / "loop"), ["runs"], env=knowing.environment, cwd=str(knowing.home), encoding="utf-8"
    )
    child.expect(pexpect.EOF)
    assert "is there" not in str(child.before)
    child.close()
    assert knowing.known["said_at_ms"] == 0


def test_offline_a_look_up_is_silent_and_ends_soon(offline: Place):
    (offline.home / ".loop").mkdir()
    done = offline.run(offline.python, "-P", "-m", "shell.newer", offline.home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert offline.known == {}


def test_a_home_that_has_never_seen_a_run_is_left_alone(place: Place):
    place.start_on_terminal()
    assert list(place.home.iterdir()) == []


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not there")
def test_a_venv_without_pip_is_looked_up_and_updated_by_uv(tmp_path: Path, wheels: Path, index: Index):
    place = Place(tmp_path / "home", tmp_path / "venv", index.url)
    place.make(wheels)
    for pip in place.prefix.rglob("pip"):
        if pip.is_dir():
            shutil.rmtree(pip)
    place.environment |= {
        "PATH": f"{place.environment['PATH']}{os.pathsep}{Path(str(shutil.which('uv'))).parent}",
        "UV_DEFAULT_INDEX": place.environment["PIP_INDEX_URL"],
        "UV_NO_CONFIG": "1",
    }
    (place.home / ".loop").mkdir()
    place.run(place.python, "-P", "-m", "shell.newer", place.home)
    assert place.known["newest"] == NEW
    done = place.loop("update")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"[loop] loop {OLD} -> {NEW}"


def test_the_same_is_found_from_the_source_tree_itself():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "shell.cli", "update"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
    )
    assert done.stdout.splitlines()[0] == f"[loop] this is a source checkout; to update it: git -C {ROOT} pull"
