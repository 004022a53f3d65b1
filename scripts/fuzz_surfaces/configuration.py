"""What a user or a repository says: configuration files, words of the command line, variables of the environment.

Most inputs go to the functions that the command uses, in this process; a few start the real program. A `LoopError` is a
refusal. Accepted input must be fit to start: text that can be encoded, numbers that fit into 64 bits, arguments and
variables that the system takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from actors.adapters import BUILT_IN_NAMES
from actors.edges import run_dir
from actors.edges.config_file import REPOSITORY_FILE, USER_FILE
from actors.edges.configuration import Configuration, read_configuration
from actors.errors import LoopError
from actors.settings_layers import merge
from actors.settings_table import BY_FLAG
from fuzz_surfaces import inputs as make
from fuzz_surfaces.oracle import Failed
from fuzz_surfaces.surface import Surface
from shell.options import help_text, parse
from shell.resolve import resolve_run
from supervisor.run_manifest import first_manifest

EXAMPLES: tuple[dict[str, Any], ...] = (
    {"checks": ["make test", "ruff check ."]},
    {"checks": [], "update_hint": False},
    {"max_iterations": 5, "max_wait": "2h", "check_timeout": "90s", "cooldown": "0", "review": "codex", "done": "OK"},
    {"agents": {"gemini": {"command": ["gemini", "--acp"], "env": {"MODEL": "flash"}, "peer": "claude"}}},
    {"agents": {"a": {"command": ["a"]}, "b-2": {"command": ["b", "x"], "peer": "a", "env": {}}}, "checks": ["true"]},
)
FLAGS = tuple(BY_FLAG)
# Words that parse; none of them would wait for a terminal, listen on a port or reach the network.
NAMES = ("status", "runs", "mail", "mailbox", "worktree", "logs", "say", "pause", "resume", "stop")
WORDS = (
    *FLAGS, *NAMES, "codex", "claude", "claudex", "none", "other", "embedded", "raw", "pretty", "json", "20", "7",
    "list", "show", "clean", "TASK.md", "fix it", "--agent=embedded", "-m", "--json", "--run", "-f", "--port", "--",
)  # fmt: skip
VARIABLES = ("LOOP_RUN_ID", "LOOP_COOLDOWN_MS", "LOOP_CODEX_MODEL", "XDG_RUNTIME_DIR", "NO_COLOR", "GIT_DIR")
PROGRAM_S = 30.0
GOOD = b'checks = ["true"]\n\n[agents.good]\ncommand = ["good"]\n'


class ConfigurationSurface(Surface):
    """See the module."""

    name = "configuration"
    settle_each = 1_000
    limit_s = PROGRAM_S

    def open(self) -> None:
        self.home, self.repository = self.folder / "home", self.folder / "repository"
        (self.home / ".loop").mkdir(mode=0o700, exist_ok=True)
        self.repository.mkdir()
        (self.repository / "TASK.md").write_text("Make x.")
        os.chdir(self.repository)

    def make(self, rng: Random) -> tuple[str, Any]:
        """A kind of input, and the input."""
        how = rng.random()
        if how < 0.0003:
            return "program", [rng.choice(NAMES), *make.words(rng, WORDS, 4)]
        if how < 0.006:
            return "order", _order(rng)
        if how < 0.4:
            return "words", make.words(rng, WORDS, 8)
        if how < 0.41:
            return "special", (rng.choice(("user", "repository")), rng.choice(_SPECIAL))
        return "file", (rng.choice(("user", "repository")), _toml_input(rng))

    def feed(self, inputs: Sequence[tuple[str, Any]]) -> None:
        for kind, each in inputs:
            getattr(self, f"_feed_{kind}")(each)

    # --- kinds of input ---

    def _feed_file(self, given: tuple[str, bytes]) -> None:
        path = self._path(given[0])
        path.write_bytes(given[1])
        self._read()
        path.unlink()

    def _feed_special(self, given: tuple[str, str]) -> None:
        path = self._path(given[0])
        _put_special(path, given[1], self.folder)
        self._read()
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def _path(self, whose: str) -> Path:
        return self.home / USER_FILE if whose == "user" else self.repository / REPOSITORY_FILE

    def _read(self) -> Configuration | None:
        try:
            found = read_configuration(self.home, self.repository, BUILT_IN_NAMES, lambda _file: True)
        except LoopError as error:
            check_refusal(error)
            return None
        for agent in found.agents.values():
            check_startable(agent.command, agent.env)
        check_startable(merge(found.user, found.repository).texts("checks"), {})
        return found

    def _feed_words(self, words: list[str]) -> None:
        try:
            options = parse(words)
            if options.command == "help":
                help_text(options.invocation)
        except LoopError as error:
            check_refusal(error)

    def _feed_order(self, given: tuple[list[str], dict[str, str], bytes]) -> None:
        words, variables, toml = given
        (self.repository / REPOSITORY_FILE).write_bytes(toml)
        variables = {name: value for name, value in variables.items() if "\0" not in value and _encodable(value)}
        try:
            with _environment(variables):
                options = parse(words)
                if options.command != "run" or options.tmux or options.worktree:
                    return
                spec = resolve_run(options)
        except LoopError as error:
            check_refusal(error)
            return
        finally:
            (self.repository / REPOSITORY_FILE).unlink()
        msgspec.msgpack.decode(msgspec.msgpack.encode(spec.settings))
        run_dir.write_manifest(spec.directory, first_manifest(spec))
        check_startable((), spec.environment)
        shutil.rmtree(self.home / ".loop" / "runs", ignore_errors=True)

    def _feed_program(self, words: list[str]) -> None:
        """Starts the real program, which must refuse in one line, and never with a traceback."""
        arguments = [word.replace("\0", "").encode("utf-8", "surrogatepass")[:100_000] for word in words]
        if arguments[1:2] in ([b"-f"], [b"--follow"]):
            return
        done = subprocess.run(
            [sys.executable, "-m", "shell.cli", *arguments],
            capture_output=True, stdin=subprocess.DEVNULL, timeout=PROGRAM_S - 5,
        )  # fmt: skip
        said = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode not in (0, 1, 2) or "Traceback" in said:
            raise Failed(f"the program ended with {done.returncode}: {said[-1_500:]}")
        if done.returncode == 2 and len(done.stderr.splitlines()) != 1:
            raise Failed(f"the program refused in {len(done.stderr.splitlines())} lines: {said[-1_500:]}")

    def settle(self) -> None:
        (self.repository / REPOSITORY_FILE).write_bytes(GOOD)
        found = self._read()
        (self.repository / REPOSITORY_FILE).unlink()
        if (
            found is None
            or found.agents["good"].command != ("good",)
            or merge(found.repository).texts("checks") != ("true",)
        ):
            raise Failed(f"a good configuration is read as {found}")
        if parse(["-m", "7", "fix it"]).value("max_iterations") != 7:
            raise Failed("good words are not parsed")

    def reopen(self) -> None:
        for whose in ("user", "repository"):
            path = self._path(whose)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.home / ".loop" / "runs", ignore_errors=True)


def check_refusal(error: LoopError) -> None:
    """Checks that a refusal is for the user: it says something, and does not quote a whole file."""
    if not 0 < len(str(error)) < 20_000:
        raise Failed(f"a refusal of {len(str(error))} characters")


def check_startable(arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    """Raises when the system would not take these."""
    for word in (*arguments, *variables, *variables.values()):
        if "\0" in word or not _encodable(word):
            raise Failed(f"accepted, and cannot be given to a program: {word!r:.100}")
    for name in variables:
        if not name or "=" in name:
            raise Failed(f"accepted, and no name of a variable: {name!r:.100}")


def _encodable(word: str) -> bool:
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --- files --------------------------------------------------------------------------------------------------------


_SPECIAL = ("directory", "zero", "loop", "dangling", "large", "fifo", "unreadable")


def _put_special(path: Path, what: str, folder: Path) -> None:
    match what:
        case "directory":
            path.mkdir()
        case "zero":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(folder / "nowhere")
        case "large":
            with path.open("wb") as file:
                file.truncate(1 << 27)
        case "fifo":
            os.mkfifo(path)
        case "unreadable":
            path.write_bytes(GOOD)
            path.chmod(0)


def _toml_input(rng: Random) -> bytes:
    tree = rng.choice(EXAMPLES)
    how = rng.random()
    if how < 0.05:
        return make.noise(rng)
    if how < 0.65:
        tree = make.mutated(rng, tree)
    text = as_toml(tree).encode("utf-8", "surrogatepass")
    return make.mutated_bytes(rng, text) if how > 0.5 else text


def as_toml(tree: Any) -> str:
    """A document; what is no table is a value of its own."""
    if not isinstance(tree, dict):
        return f"x = {_value(tree)}\n"
    lines = [f"{_key(key)} = {_value(each)}" for key, each in tree.items() if key != "agents" or not _tables(each)]
    agents = tree.get("agents")
    if agents is not None and _tables(agents):
        for name, table in agents.items():
            lines += [f"[agents.{_key(name)}]", *(f"{_key(key)} = {_value(each)}" for key, each in table.items())]
    return "\n".join(lines) + "\n"


def _tables(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("-", "").replace("_", "").isalnum() else _quoted(key)


def _value(tree: Any) -> str:
    match tree:
        case bool():
            return "true" if tree else "false"
        case None:
            return "null"
        case int() | float():
            return repr(tree)
        case str():
            return _IN_TOML.get(tree) or _quoted(tree)
        case bytes():
            return tree.hex() or "''"
        case list():
            return f"[{', '.join(map(_value, tree))}]"
        case dict():
            return f"{{{', '.join(f'{_key(key)} = {_value(each)}' for key, each in tree.items())}}}"
        case _:
            return repr(tree)


def _quoted(text: str) -> str:
    """Quotes as TOML does. What TOML cannot hold, such as half a surrogate pair, stays as it is."""
    return '"' + "".join(f"\\u{ord(c):04x}" if c in '"\\' or (c < " ") else c for c in text) + '"'


_IN_TOML = {
    make.DEEP_LIST: "[" * make.DEPTH + "]" * make.DEPTH,
    make.DEEP_MAP: "{a = " * make.DEPTH + "1" + "}" * make.DEPTH,
    make.MANY_DIGITS: "7" * make.DIGITS,
    make.NOT_A_NUMBER: "nan",
    make.TOO_LARGE: "1e999",
}


def _order(rng: Random) -> tuple[list[str], dict[str, str], bytes]:
    """Words that begin a run of the embedded agent, one nasty variable, and a configuration."""
    words = ["--agent", "embedded"]
    for _ in range(rng.randrange(4)):
        flag = rng.choice(("-m", "--done", "--check", "--proof", "--prompt", "--run-id", "--session", "--review"))
        words += [flag, make.text(rng) if rng.random() < 0.7 else str(make.number(rng))]
    words += [] if "--prompt" in words else [rng.choice(("TASK.md", "fix it", make.text(rng)))]
    variables = {rng.choice(VARIABLES): make.text(rng) if rng.random() < 0.6 else str(make.number(rng))}
    return words, variables, as_toml(rng.choice(EXAMPLES)).encode() if rng.random() < 0.5 else _toml_input(rng)
