"""What can be typed at the loop> prompt: one function a command, whose docstring is its help.

A function gets what was typed after its name and returns what is to be printed. It runs in the prompt's command
thread, so it may wait for the run. What it cannot do it raises as `LoopError`, in one line.
"""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from actors.clock import wall_ms
from actors.edges import run_dir
from actors.errors import LoopError, UserError
from shell import log_lines, mails, run_files, tables
from shell.run_log import last_records
from supervisor.console_wire import (
    AnswerQuestion,
    AnyAnswer,
    ChangeActor,
    Control,
    Done,
    GetReport,
    Inspect,
    Interrupt,
    LookIntoMailbox,
    MailboxReport,
    MailReport,
    Report,
    Request,
    RequestReview,
    Say,
    SubmitVerdict,
    Trace,
)

SHOWN = 20  # lines of a log or transcript
LOGGERS = (*run_files.ACTORS, "root")


class Prompt(Protocol):
    """What a command knows of the prompt that it was typed at."""

    directory: Path
    own: bool  # the run's own terminal: it cannot be left without ending the run

    def ask(self, request: Request) -> AnyAnswer:
        """Asks the run. Raises `LoopError`."""

    def leave(self) -> None:
        """Ends the prompt; the run goes on."""


Run = Callable[[Prompt, str], str]


@dataclass(frozen=True)
class Command:
    """`completes`: for each place after the name, what can stand there, separated by "|": "actor", "agent", "command",
    "mail", or the words themselves.
    """

    name: str
    usage: str
    run: Run
    completes: tuple[str, ...]

    @property
    def help(self) -> str:
        """The function's docstring."""
        return (self.run.__doc__ or "").strip()


COMMANDS: dict[str, Command] = {}


def command(arguments: str = "", *, completes: tuple[str, ...] = ()) -> Callable[[Run], Run]:
    """Registers the function under its name."""

    def register(function: Run) -> Run:
        name = function.__name__.rstrip("_")
        COMMANDS[name] = Command(name, f"{name} {arguments}".rstrip(), function, completes)
        return function

    return register


def meant(word: str) -> str:
    """The command that a word looks like; "" when it does not."""
    return next(iter(difflib.get_close_matches(word.lower(), COMMANDS, n=1)), "")


def execute(prompt: Prompt, line: str) -> str:
    """Runs what was typed and returns what is to be printed: the answer, or one line about what is wrong."""
    name, _, rest = line.strip().removeprefix("/").partition(" ")
    try:
        found = COMMANDS.get(name.lower())
        if found is None:
            close = f" (did you mean {meant(name)}?)" if meant(name) else ""
            raise UserError(f"unknown command {name!r}{close}; help lists the commands")
        return found.run(prompt, rest.strip())
    except LoopError as error:
        return f"error: {error}"


# --- looking --------------------------------------------------------------------------------------------------


@command()
def status(prompt: Prompt, _rest: str) -> str:
    """How the run stands: state, iteration, task, actors, tokens and cost."""
    report = _report(prompt)
    return "\n".join(tables.report_lines(report, now_ms=wall_ms(), state=""))


@command()
def actors(prompt: Prompt, _rest: str) -> str:
    """The actors: what each is doing and for how long, its mailbox, its restarts, why it is down."""
    return "\n".join(tables.actor_lines(_report(prompt).actors, now_ms=wall_ms()))


@command()
def runs(prompt: Prompt, _rest: str) -> str:
    """The runs of this repository, newest first."""
    return "\n".join(run_files.run_lines(run_files.all_runs(prompt.directory.parent)))


@command()
def cost(prompt: Prompt, _rest: str) -> str:
    """Tokens and money so far, by agent."""
    return "\n".join(tables.cost_lines(_report(prompt).agents)) or "no agent has said what it used"


@command("ACTOR [stacks]", completes=("actor", "stacks"))
def mailbox(prompt: Prompt, rest: str) -> str:
    """What waits for the actor, what it handles and for how long, what it handled last, and dead letters.

    With `stacks` also where each of its threads is. Answered by the actor's process even when its handler is stuck.
    """
    actor, stacks = _words(rest, "mailbox", 1, 2)
    report = prompt.ask(LookIntoMailbox(actor=actor))
    assert isinstance(report, MailboxReport)
    return "\n".join(tables.mailbox_lines(report, now_ms=wall_ms(), stacks=stacks == "stacks"))


@command("ACTOR [EXPRESSION]", completes=("actor",))
def inspect(prompt: Prompt, rest: str) -> str:
    """Evaluates a Python expression in the live actor, which it calls `actor`; an overview without one.

    For example: inspect worker actor.session.
    """
    actor, _, expression = rest.partition(" ")
    return _done(prompt, Inspect(actor=_needed(actor, "inspect"), expression=expression))


@command("on|off [FILTER] [bodies]", completes=("on|off",))
def trace(prompt: Prompt, rest: str) -> str:
    """Shows the messages between actors as they pass: sender, recipient, kind, size, latency.

    FILTER is a text that the line must contain, such as an actor or a kind of message. With `bodies` also what they
    say. Heartbeats and acknowledgements are left out unless FILTER names them.
    """
    words = rest.split()
    if not words or words[0] not in ("on", "off"):
        raise UserError(f"trace takes on or off, not {rest!r}: {COMMANDS['trace'].usage}")
    bodies = words[-1] == "bodies"
    only = " ".join(words[1:-1] if bodies else words[1:])
    return _done(prompt, Trace(on=words[0] == "on", only=only, bodies=bodies))


@command("[ACTOR]", completes=("actor|root",))
def log(prompt: Prompt, rest: str) -> str:
    """The last lines of the run's log, or of one actor's part of it."""
    if rest not in ("", *LOGGERS):
        raise UserError(f"no actor {rest!r}: there are {', '.join(LOGGERS)}")
    found = last_records(prompt.directory, SHOWN, lambda each: not rest or log_lines.is_of(each, rest))
    return "\n".join(log_lines.plain(each) for each in found) or f"{rest or 'nobody'} has logged nothing"


@command()
def transcript(prompt: Prompt, _rest: str) -> str:
    """The last lines of the run's transcript: states, reviews, results, mail between the agents."""
    lines = run_dir.read_transcript(prompt.directory)[-SHOWN:]
    return "\n".join(tables.transcript_line(line) for line in lines) or "the transcript is empty"


@command(mails.USAGE.removeprefix("mail "), completes=("|".join(mails.ACTIONS), "mail"))
def mail(prompt: Prompt, rest: str) -> str:
    """The mail between the agents: what waits and what became of it; and orders about one, by the beginning of its ID.

    list: all that is not finished, dead letters, and what was finished last.
    show: one mail in full, and all that happened to it.
    hold: keeps a mail back that is queued; what came after it goes on.
    release: a held mail takes its old place again.
    edit: another text, until the mail is on its way to the agent.
    requeue: delivers a dead, suppressed, dropped or held mail as if it were sent now.
    drop: ends a mail that is queued, held or dead.
    """
    request = mails.parse(rest)
    report = prompt.ask(request)
    assert isinstance(report, MailReport)
    return "\n".join(mails.lines(request, report, now_ms=wall_ms()))


# --- saying ---------------------------------------------------------------------------------------------------


@command("AGENT TEXT", completes=("agent",))
def say(prompt: Prompt, rest: str) -> str:
    """Says something to an agent: in the middle of its turn where it can take that, else in a turn of its own."""
    agent, _, text = rest.partition(" ")
    if not text.strip():
        raise UserError(f"say needs an agent and a text: {COMMANDS['say'].usage}")
    return _done(prompt, Say(message_id=str(uuid.uuid4()), agent=agent, text=text.strip()))


@command("TEXT")
def steer(prompt: Prompt, rest: str) -> str:
    """Says something to the agent whose turn runs; to the worker's, when both work."""
    return _done(prompt, Say(message_id=str(uuid.uuid4()), agent="", text=_needed(rest, "steer")))


@command("[AGENT]", completes=("agent",))
def interrupt(prompt: Prompt, rest: str) -> str:
    """Breaks off the turn that runs, or an agent's. The next iteration follows; planning is paused instead."""
    return _done(prompt, Interrupt(agent=rest))


@command("TEXT")
def followup(prompt: Prompt, rest: str) -> str:
    """Answers the question at the end of the iterations: what is to be done next. A blank answer stops the run."""
    return _done(prompt, AnswerQuestion(text=_needed(rest, "followup")))


@command()
def review(prompt: Prompt, _rest: str) -> str:
    """Has the work reviewed when the turn is over, whether the agent says that it is done or not."""
    return _done(prompt, RequestReview())


@command()
def approve(prompt: Prompt, _rest: str) -> str:
    """Approves the work in place of the reviewers: on to the pull request."""
    return _done(prompt, SubmitVerdict(approved=True))


@command("NOTES")
def reject(prompt: Prompt, rest: str) -> str:
    """Turns the work down in place of the reviewers; the notes go into the next iteration."""
    return _done(prompt, SubmitVerdict(approved=False, notes=_needed(rest, "reject")))


# --- steering -------------------------------------------------------------------------------------------------


@command("[now]", completes=("now",))
def pause(prompt: Prompt, rest: str) -> str:
    """Pauses the run when what runs now has ended; `pause now` interrupts it. Nothing is lost."""
    return _done(prompt, Control(action=_now_or_later(rest, "pause", "pause-now")))


@command()
def resume(prompt: Prompt, _rest: str) -> str:
    """Lets a paused run go on."""
    return _done(prompt, Control(action="resume"))


@command("[now]", completes=("now",))
def stop(prompt: Prompt, rest: str) -> str:
    """Ends the run in order: its turn goes on when it is resumed. `stop now` does not wait for the agents."""
    return _done(prompt, Control(action=_now_or_later(rest, "stop", "stop-now")))


@command("ACTOR", completes=("actor",))
def restart(prompt: Prompt, rest: str) -> str:
    """Ends the actor's process and starts a new one, which takes everything up from the journal."""
    return _done(prompt, ChangeActor(action="restart", actor=_needed(rest, "restart")))


@command("ACTOR", completes=("actor",))
def kill(prompt: Prompt, rest: str) -> str:
    """Ends the actor's process and leaves it down until `start`."""
    return _done(prompt, ChangeActor(action="kill", actor=_needed(rest, "kill")))


@command("ACTOR", completes=("actor",))
def start(prompt: Prompt, rest: str) -> str:
    """Starts an actor that is down."""
    return _done(prompt, ChangeActor(action="start", actor=_needed(rest, "start")))


# --- leaving --------------------------------------------------------------------------------------------------


@command()
def detach(prompt: Prompt, _rest: str) -> str:
    """Leaves the prompt; the run goes on. Not in the run's own terminal, which ends with it."""
    if prompt.own:
        run_id = prompt.directory.name
        raise UserError(f"this is the run's own terminal: stop ends the run; others attach with loop shell {run_id}")
    prompt.leave()
    return ""


@command()
def quit_(prompt: Prompt, _rest: str) -> str:
    """Leaves an attached prompt; ends the run in order in its own terminal."""
    if prompt.own:
        return _done(prompt, Control(action="stop"))
    prompt.leave()
    return ""


@command("[COMMAND]", completes=("command",))
def help_(_prompt: Prompt, rest: str) -> str:
    """All commands, or one of them in full."""
    if not rest:
        rows = [[each.name, each.help.splitlines()[0]] for each in COMMANDS.values()]
        return "\n".join(tables.columns(rows))
    found = COMMANDS.get(rest.lower())
    if found is None:
        raise UserError(f"no command {rest!r}: help lists them")
    body = "\n".join(f"  {line.strip()}".rstrip() for line in found.help.splitlines())
    return f"{found.usage}\n{body}"


# --- small things ---------------------------------------------------------------------------------------------


def _done(prompt: Prompt, request: Request) -> str:
    answer = prompt.ask(request)
    assert isinstance(answer, Done)
    return answer.text


def _report(prompt: Prompt) -> Report:
    report = prompt.ask(GetReport())
    assert isinstance(report, Report)
    return report


def _needed(text: str, name: str) -> str:
    if not text.strip():
        raise UserError(f"{name} needs more: {COMMANDS[name].usage}")
    return text.strip()


def _words(rest: str, name: str, least: int, most: int) -> list[str]:
    words = rest.split()
    if not least <= len(words) <= most:
        raise UserError(f"{name} takes something else: {COMMANDS[name].usage}")
    return [*words, *([""] * (most - len(words)))]


P = Literal["pause", "pause-now", "stop", "stop-now"]


def _now_or_later(rest: str, later: P, now: P) -> P:
    if rest not in ("", "now"):
        raise UserError(f"{later} takes now or nothing, not {rest!r}")
    return now if rest else later
