"""The grammar of a subcommand, and the words that were typed after one. Pure."""

from __future__ import annotations

from typing import NamedTuple

from actors.errors import UserError

MAX_RUNS = 2  # of loop serve, at once

MAIL_USAGE = "list | show ID | hold ID | release ID | edit ID TEXT | requeue ID | drop ID [REASON]"

TEXT = "text..."  # takes all the words that are left
# Commands that are typed at the loop> prompt, and not after `loop`.
AT_PROMPT_ALONE = (
    *("actors", "inspect", "trace", "log", "transcript", "steer", "interrupt", "followup", "review", "approve"),
    *("reject", "restart", "kill", "start", "detach", "quit"),
)
NUMBERS = ("since", "until", "number")  # of checkpoints
_MOST_DIGITS = 9
OPTIONAL = ("run", "since", "until", "finding")
MORE = "..."  # takes all the words that are left, if there are any


def checkpoint_number(name: str, word: str, usage: str) -> str:
    """The word, if it can be the number of a checkpoint; whether there is such a one is another question. Raises
    `UserError`. `name`: of the word in the usage.
    """
    if not (word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS):
        raise UserError(f"{name.upper()} takes the number of a checkpoint, not {word!r}: {usage}")
    return word


class Invocation(NamedTuple):
    """What was typed after a subcommand. "" = not given."""

    name: str
    run: str = ""
    actor: str = ""
    host: str = ""
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
    port: int = 0  # 0: a free one
    fix: bool = False
    show: bool = False
    revoke: bool = False
    stat: bool = False
    here: bool = False
    number: str = ""
    since: str = ""
    until: str = ""
    finding: str = ""
    all: bool = False
    endpoint: str = ""
    key: str = ""


class Subcommand(NamedTuple):
    """`takes` names the words in order; the last one may be `TEXT` or `MORE`."""

    name: str
    help: str
    takes: tuple[str, ...] = ("run",)
    flags: tuple[str, ...] = ("--json",)
    more: str = ""  # shown by its own help alone
    actions: tuple[str, ...] = ()  # what ACTION can be
    shown: str = ""  # its words in its usage, where `takes` does not say enough

    @property
    def words(self) -> str:
        """The subcommand and its words, without options. A word before one that is needed cannot be left out."""
        words: list[str] = []
        is_needed = False
        for word in reversed(self.takes):
            is_needed = is_needed or word not in (*OPTIONAL, MORE)
            words.append(word.upper() if is_needed or word == MORE else f"[{word.upper()}]")
        return " ".join(["loop", self.name, *reversed(words)])

    @property
    def usage(self) -> str:
        """The subcommand with its words and options, as the user types it."""
        words = f"loop {self.name} {self.shown}" if self.shown else self.words
        return " ".join([words, *(f"[{_HELP[flag]}]" for flag in self.flags)])


_HELP = {
    "--all": "--all",
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
    "--stat": "--stat",
    "--here": "--here",
    "--web": "--web",
    "--port": "--port N",
    "--key": "--key FILE",
}
