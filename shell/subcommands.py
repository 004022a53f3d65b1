"""The commands beside a run, `loop status` and its like: grammar and help. Pure.

Their options come after them. A word that only looks like one of them is asked about, since it would otherwise be
taken for a task, and agents would set to work on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from actors import values
from actors.errors import UserError

MAX_RUNS = 2  # of loop serve, at once
MOST_RUNS = 1_000

TEXT = "text..."  # takes all the words that are left
MORE = "..."  # takes all the words that are left, if there are any


class Errand(NamedTuple):
    """What was typed after a subcommand. "" = not given."""

    name: str
    run: str = ""
    actor: str = ""
    agent: str = ""
    action: str = ""
    text: str = ""
    json: bool = False
    follow: bool = False
    now: bool = False
    max_runs: int = MAX_RUNS
    log_format: str = "text"
    once: bool = False
    dry_run: bool = False
    ignored: bool = False
    web: bool = False
    port: int = 0  # any that is free
    fix: bool = False
    show: bool = False
    revoke: bool = False


class Subcommand(NamedTuple):
    """`takes` names the words in order; the last one may be `TEXT` or `MORE`."""

    name: str
    help: str
    takes: tuple[str, ...] = ("run",)
    flags: tuple[str, ...] = ("--json",)
    more: str = ""  # shown by its own help alone

    @property
    def words(self) -> str:
        """As people type it, without options."""
        words = ("[RUN]" if word == "run" else word.upper() for word in self.takes)
        return " ".join(["loop", self.name, *words])

    @property
    def usage(self) -> str:
        """As people type it."""
        return " ".join([self.words, *(f"[{_HELP[flag]}]" for flag in self.flags)])


_HELP = {
    "--json": "--json",
    "--run": "--run RUN",
    "--follow": "-f",
    "--now": "--now",
    "--max-runs": "--max-runs N",
    "--log-format": "--log-format text|json",
    "--dry-run": "--dry-run",
    "--ignored": "--ignored",
    "--once": "--once",
    "--fix": "--fix",
    "--show": "--show",
    "--revoke": "--revoke",
    "--web": "--web",
    "--port": "--port N",
}
_SHORT = {"-f": "--follow"}

SUBCOMMANDS: dict[str, Subcommand] = {
    each.name: each
    for each in (
        Subcommand("status", "state, iteration, actors, tokens and cost of a run"),
        Subcommand("runs", "the runs of this repository", takes=()),
        Subcommand("shell", "attach a loop> prompt to a run", flags=()),
        Subcommand("say", "say something to an agent", ("agent", TEXT), ("--run", "--json")),
        Subcommand("pause", "pause at the turn's end, or --now", flags=("--now", "--json")),
        Subcommand("resume", "let a paused run go on"),
        Subcommand("stop", "end a run in order, or --now", flags=("--now", "--json")),
        Subcommand(
            "submit", "queue a run for loop serve", ("[options]", "[prompt]"), (),
            "As loop [options] [prompt], but for a later time. The run gets a worktree of its own where the directory "
            "is in a git repository, and its task is read now. The queue is on disk: nothing needs to be serving. "
            "Options and directory are stored, the environment is not, as it holds secrets: the agents have the "
            "environment of loop serve.",
        ),
        Subcommand(
            "serve", "do what was submitted, until a signal comes", (), ("--max-runs", "--log-format"),
            f"At most N runs at once (default: {MAX_RUNS}), first submitted first; a line on stdout for each thing "
            "that happens. There is one for each home directory. A signal stops it within 5 s; runs that were not "
            "done go on with the next loop serve, also after kill -9 or a reboot; those that were stopped with loop "
            "stop, and those that failed, do not.",
        ),
        Subcommand(
            "dashboard", "all runs, agents and tmux sessions, live", (), ("--once", "--json", "--web", "--port"),
            "The runs of all repositories: choose one to see its actors, transcript and mail, and to open its console. "
            "--once prints it, as it does by itself where there is no terminal; --json prints all that is known as one "
            "object. --web serves it to a browser on this machine (on port N, else on any that is free) at an address "
            "that holds a secret: whoever has it sees everything.",
        ),
        Subcommand(
            "doctor", "what a run needs and is not here, and what to do", (), ("--fix", "--json"),
            "Looks at agents and their logins, tools, directories, sockets and ports, the configuration, and at what "
            "dead runs have left behind: it asks on a terminal whether to clean that up, --fix does it. Exit status "
            "0: a run could start here.",
        ),
        Subcommand(
            "config", "each setting, its value and where it comes from", ("[options]",), ("--json",),
            "What loop would use here, with the options that follow: a default, your configuration (a line of "
            "~/.loop/config.toml), the repository's (a line of .loop.toml, if you trust it), the environment or the "
            "command line. With --run-id, what a resume of that run would use: its own settings, unless they are typed "
            "again. Starts nothing. Exit status 2 for a mistake in a file, which names file, line and key.",
        ),
        Subcommand(
            "trust", "allow what this repository's .loop.toml says", (), ("--show", "--revoke", "--json"),
            "A repository's .loop.toml can have checks and agents, which are commands, and settings. They count once "
            "you have allowed that content: loop trust shows each of them and asks; a run in a terminal asks as well. "
            "Without a terminal such a run is refused, or allowed with --trust for itself alone. A changed file is "
            "asked about again. --show says whether it is trusted (exit status 0: a run may use it); --revoke forgets "
            "all that was allowed in this repository. Your own checks always run.",
        ),
        Subcommand(
            "agents", "list the agents that a run can use, add one", (MORE,), ("--json",),
            "The words are list, as without any; update, which asks the public registry of the Agent Client Protocol; "
            "or add NAME, which writes a known agent into ~/.loop/config.toml. A known agent whose program is on your "
            "PATH needs no configuration: loop --agent gemini.",
        ),
        Subcommand("logs", "what a run logged; -f: and logs from now on", flags=("--follow", "--json")),
        Subcommand("mailbox", "what waits for an actor, dead letters", ("actor",), ("--run", "--json")),
        Subcommand(
            "mail", "list, show, hold, edit, drop the agents' mail", ("action", MORE), ("--run", "--json"),
            "ACTION is list, or one of these with the id of a mail or its beginning: show; hold, to keep it back; "
            "release; edit ID TEXT; requeue, to deliver a dead, suppressed, dropped or held one as if it were sent "
            "now; drop ID [REASON]. The mail of a run that is not running can be read.",
        ),
        Subcommand(
            "worktree", "list, or clean up, the runs' worktrees", ("action", MORE),
            ("--dry-run", "--ignored", "--json"),
            "ACTION is list, or clean with the ids of the runs that are meant; without one it is all. clean removes a "
            "worktree only if nothing is lost with it: not one that a run works in or will, nor one that has files "
            "that are not committed, that git does not know or (without --ignored) ignores, a stash, or commits on no "
            "branch. Its branch goes if a remote, a tag or another branch than a run's has all its commits. --dry-run "
            "only says what would go, and what would be kept and why.",
        ),
    )
}  # fmt: skip


def parse_errand(name: str, arguments: Sequence[str]) -> Errand:
    """Raises `UserError` with one line for the first thing that is wrong."""
    command = SUBCOMMANDS[name]
    errand = Errand(name=name)
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        flag, has_value, value = word.partition("=")
        flag = _SHORT.get(flag, flag)
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
        elif flag not in command.flags and not (flag == "--run" and "run" in command.takes):
            raise UserError(f"loop {name} has no option {word!r}: {command.usage}")
        elif flag in _TAKE_VALUE:
            if not has_value and not rest:
                raise UserError(f"{flag} needs a value: {command.usage}")
            errand = _TAKE_VALUE[flag](errand, value if has_value else rest.pop(0))
        elif has_value:
            raise UserError(f"{flag} takes no value, but got {value!r}")
        else:
            field = flag.removeprefix("--").replace("-", "_")
            set_flag: dict[str, Any] = {field: True}
            errand = errand._replace(**set_flag)
    _check_dashboard(errand)
    if errand.show and errand.revoke:
        raise UserError("--show and --revoke exclude each other: give one of them")
    return _with_words(command, errand, words)


def _with_words(command: Subcommand, errand: Errand, words: list[str]) -> Errand:
    given: dict[str, Any] = {}
    for name in command.takes:
        if name in (TEXT, MORE):
            given["text"], words = " ".join(words).strip(), []
        elif words:
            given[name] = words.pop(0)
        if name not in ("run", MORE) and not given.get("text" if name == TEXT else name):
            raise UserError(f"loop {command.name} needs {name.upper()}: {command.usage}")
    if words:
        raise UserError(
            f"loop {command.name} takes no further words, but got {' '.join(words)!r}: {command.usage}; "
            f'a task that begins with this word is put in quotes: loop "{command.name} ..."'
        )
    return errand._replace(**given)


def _check_dashboard(errand: Errand) -> None:
    if errand.web and (errand.once or errand.json):
        raise UserError(f"--web and {'--once' if errand.once else '--json'} exclude each other: give one of them")
    if errand.port and not errand.web:
        raise UserError(f"--port {errand.port} is for --web: loop dashboard --web --port {errand.port}")


def _port(errand: Errand, value: str) -> Errand:
    return errand._replace(port=values.whole_number("--port", value, least=1, most=65_535, says_most=True))


def _max_runs(errand: Errand, value: str) -> Errand:
    return errand._replace(max_runs=values.whole_number("--max-runs", value, least=1, most=MOST_RUNS))


def _log_format(errand: Errand, value: str) -> Errand:
    if value not in ("text", "json"):
        raise UserError(f"--log-format takes one of text, json, not {value!r}")
    return errand._replace(log_format=value)


_TAKE_VALUE: dict[str, Callable[[Errand, str], Errand]] = {
    "--run": lambda errand, value: errand._replace(run=value),
    "--max-runs": _max_runs,
    "--log-format": _log_format,
    "--port": _port,
}


def meant_subcommand(word: str) -> str:
    """The subcommand that a prompt of one word looks like; "" when it does not."""
    import difflib  # only for a prompt of one word

    close = difflib.get_close_matches(word.lower(), [*SUBCOMMANDS, "update", "upgrade"], n=1, cutoff=0.75)
    return close[0] if close else ""
