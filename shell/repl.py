"""The loop> prompt: a run's output above it, commands below. A client of the run's control server like any other
console.

Threads: the prompt's own, with its asyncio loop; the client's, which only puts news into a queue; one that prints that
queue above the prompt, so that output never tears it; one that carries out commands, so that the prompt is back
immediately; and one that asks for the run's state, for the toolbar. With a terminal that takes no output this console
misses news, and the run is not affected.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import in_terminal
from prompt_toolkit.patch_stdout import patch_stdout

from actors.clock import wall_ms
from actors.edges import environments, run_lock
from actors.errors import LoopError, UndeliverableError
from actors.machines.mail import short
from actors.messages import Progress
from actors.text import printable
from shell import output, render, tables
from shell.at_prompt import COMMANDS, execute, meant
from shell.background import Background
from shell.backlog import Backlog
from shell.control_client import ControlClient, RunEndedError
from shell.prompt_parts import CommandCompleter, History, RawInput, history_file, key_bindings
from supervisor.control.protocol import (
    AnswerQuestion,
    AnyAnswer,
    AnyNews,
    Control,
    Ended,
    Follow,
    GetReport,
    MailReport,
    Report,
    Request,
    ShowMail,
    Shown,
    Traced,
)

REFRESH_S = 1.0  # of the toolbar
OWN_LAST = 10_000  # earlier news that the run's own prompt shows
ATTACHED_LAST = 20  # earlier news that an attached prompt shows
END_PATIENCE_S = 3.0
LAST_WORDS_S = 0.5  # interval of the check for a prompt to print above
# Events of these kinds can change the prompt's text.
_TELLING = ("status", "question", "note")


class Repl:
    """One prompt. `own`: it is in the run's own terminal, and leaving it ends the run."""

    def __init__(self, endpoint: str, directory: Path, *, own: bool) -> None:
        self.directory = directory
        self.own = own
        self._colour = not environments.own("NO_COLOR")
        self._report: Report | None = None
        self._stopping = False
        self.interrupted = False  # Ctrl-C has ended the run
        self._over = threading.Event()
        # What does not fit is counted. None only wakes the printer.
        self._news: Backlog[str | None] = Backlog(lambda text: len(text or ""))
        self._unprinted = 0
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._refresh = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client = ControlClient(endpoint, alive=lambda: run_lock.is_active(directory), on_news=self._take)
        self._background = Background(self._show)
        self._input = RawInput(sys.stdin)
        self._session: PromptSession[str] = PromptSession(
            self._message,
            input=self._input,
            history=History(str(history_file())),
            completer=CommandCompleter(self),
            complete_while_typing=False,
            complete_in_thread=True,  # it may ask the run
            bottom_toolbar=self._toolbar,
            refresh_interval=REFRESH_S,
            key_bindings=key_bindings(),
        )

    # --- what commands use ------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> AnyAnswer:
        """See `ControlClient.ask`."""
        return self._client.ask(request)

    def start(self, name: str, command: Sequence[str]) -> str:
        """See `Prompt.start`."""
        self._background.start(name, command)
        return f"{name} runs beside this prompt"

    def leave(self) -> None:
        """Ends the prompt. Any thread."""
        self._over.set()
        self._refresh.set()
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # closed: the prompt has ended
                loop.call_soon_threadsafe(self._exit)

    def mail_ids(self) -> list[str]:
        """The ids of mail that a command can name, as the user types them; for completion."""
        with suppress(LoopError):
            answer = self._client.ask(ShowMail())
            if isinstance(answer, MailReport):
                return [short(each.mail_id) for each in answer.mails]
        return []

    @property
    def report(self) -> Report | None:
        """The last report; for completion."""
        return self._report

    # --- the prompt's thread ----------------------------------------------------------------------------------------

    def run(self) -> Ended | None:
        """Prompts until the run is over, and then returns how it ended; None when the user leaves the prompt."""
        threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("commands", self._carry_out), ("toolbar", self._look), ("printer", self._print))
        ]
        try:
            asyncio.run(self._prompt(threads))
            if self.own:
                self._over.wait()
        finally:
            self._over.set()
            self._show_painted(None)
            self._lines.put(None)
            self._refresh.set()
            self._client.close()
            self._background.close()
            for thread in threads:
                thread.join(END_PATIENCE_S)
        return self._client.ended

    async def _prompt(self, threads: list[threading.Thread]) -> None:
        self._loop = asyncio.get_running_loop()
        for thread in threads:
            thread.start()
        with self._input.raw_mode(), patch_stdout(raw=True):
            while not self._over.is_set():
                try:
                    text = await self._session.prompt_async(handle_sigint=False)
                except EOFError:
                    self._end_of_input()
                    if self._session.app.input.closed:  # not Ctrl-D: the terminal is gone
                        break
                except KeyboardInterrupt:
                    self._interrupted()
                else:
                    self._typed(text)

    def _exit(self) -> None:
        app = self._session.app
        if app.is_running and not app.is_done:
            app.exit(result="")

    def _toolbar(self) -> str:
        width = self._session.app.output.get_size().columns
        return printable(tables.toolbar(self._report, now_ms=wall_ms(), width=width))

    def _message(self) -> str:
        if self._awaits_task():
            return "task> "
        return "follow-up> " if self._question() else "loop> "

    def _awaits_task(self) -> bool:
        report = self._report
        return report is not None and report.status is not None and report.status.phase == "awaiting-task"

    def _question(self) -> str:
        """The open question that any text answers. A command answers the supervisor's."""
        report = self._report
        if report is None or report.question or report.status is None:
            return ""
        return report.status.question

    def _typed(self, text: str) -> None:
        if self._over.is_set():
            return
        if self._question() or text.strip():
            self._lines.put(text)

    def _interrupted(self) -> None:
        """Handles Ctrl-C at an empty prompt."""
        if not self.own:
            self._show("Ctrl-D detaches and the run continues; stop ends the run")
        elif self._stopping:
            self.interrupted = True
            self._show("stopping immediately")
            self._order(Control(action="stop-now"))
        else:
            self.interrupted = True
            self._show("Ctrl-C: interrupting the agents, then stopping; press it again to stop immediately")
            self._stop()

    def _end_of_input(self) -> None:
        """Handles Ctrl-D at an empty prompt."""
        run_id = self.directory.name
        if not self.own:
            self._show(f"detached: run {run_id} continues; loop shell {run_id} attaches again")
            self._over.set()
        elif self._stopping:
            self._show("the run is stopping; press Ctrl-C to stop immediately")
        elif self._awaits_task():
            self._show(f"Ctrl-D: ending run {run_id}, because this is its own terminal")
            self._stop()
        else:
            self._show(f"Ctrl-D: stopping run {run_id}, because this is its own terminal; a resume continues its turn")
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._order(Control(action="stop"))

    def _order(self, request: Request) -> None:
        """Sends a request in a thread of its own, since a command may be waiting."""

        def work() -> None:
            with suppress(LoopError):  # it is ending already
                self.ask(request)

        threading.Thread(target=work, name="stop", daemon=True).start()

    # --- the thread of commands -------------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        while (line := self._lines.get()) is not None:
            answer = self._answer(line) if self._question() and not _is_command(line) else execute(self, line)
            if answer:
                self._show(answer)
            self._refresh.set()

    def _answer(self, text: str) -> str:
        word = text.strip()
        if " " not in word and (close := meant(word)):
            return f"error: unknown command {word!r} (did you mean {close}?); to answer with this word: followup {word}"
        try:
            self.ask(AnswerQuestion(text=text))
        except LoopError as error:
            return f"error: {error}"
        if self._awaits_task():
            return "" if text.strip() else "type what is to be done; /help lists the commands, /stop ends the run"
        return "" if text.strip() else "no follow-up: the run stops"

    # --- the thread of the toolbar ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Follows the run, and asks for its state, until it is over. A late answer does not mean that it is over."""
        late = False
        try:
            with suppress(UndeliverableError):  # late: it follows as soon as it reads this
                self._client.ask(Follow(last=OWN_LAST if self.own else ATTACHED_LAST))
            while not self._over.is_set():
                try:
                    report = self._client.ask(GetReport())
                except UndeliverableError as error:
                    if not late:
                        self._show(f"{error}; retrying; the toolbar shows the last known state")
                    late = True
                    continue
                late = False
                if isinstance(report, Report):
                    self._report = report
                    self._session.app.invalidate()
                self._refresh.wait(REFRESH_S)
                self._refresh.clear()
        except RunEndedError:
            pass
        except LoopError as error:
            self._show(f"error: {error}")
        self.leave()

    # --- the client's thread, and the printer's ---------------------------------------------------------------------

    def _take(self, news: AnyNews) -> None:
        match news:
            case Shown(progress=Progress(kind="raw" | "usage")):
                pass
            case Shown():
                self._missed(news.missed)
                self._show_painted("\n".join(render.lines(news.progress, zone=None, colour=self._colour)))
                if news.progress.kind in _TELLING:
                    self._refresh.set()
            case Traced():
                self._missed(news.missed)
                self._show(tables.trace_line(news))
            case Ended():
                self.leave()

    def _missed(self, count: int) -> None:
        if count:
            self._show(f"({count} lines were not shown: this terminal did not keep up; the log has them)")

    def _show(self, text: str) -> None:
        """Any thread; never waits. Queues the text, made printable."""
        self._show_painted(printable(text))

    def _show_painted(self, text: str | None) -> None:
        """Queues a text with our own colours. Its foreign parts are printable already. None: there is no more."""
        try:
            self._news.put_nowait(text)
        except queue.Full:
            self._unprinted += 1

    def _print(self) -> None:
        """Prints all queued text as one piece above the prompt, waits for the terminal to take it, and repeats."""
        assert self._loop is not None
        while not (self._over.is_set() and self._news.empty()):
            texts = [text for text in self._waiting() if text is not None]
            if not texts:
                continue
            unprinted, self._unprinted = self._unprinted, 0
            if unprinted:
                texts.append(f"({unprinted} lines were not shown: this terminal did not keep up; the log has them)")
            piece = "\n".join(texts) + "\n"
            self._print_above_prompt(piece, self._loop)

    def _print_above_prompt(self, piece: str, loop: asyncio.AbstractEventLoop) -> None:
        writing = _write_above_prompt(piece)
        try:
            written = asyncio.run_coroutine_threadsafe(writing, loop)
        except RuntimeError:  # the loop is closed: no prompt is on the screen any more
            writing.close()
            _write(piece)
            return
        while True:
            try:
                written.result(LAST_WORDS_S)
            except TimeoutError:
                if not loop.is_closed():
                    continue  # the terminal takes nothing at the moment
                _write(piece)
            except CancelledError:
                _write(piece)
            return

    def _waiting(self) -> Iterator[str | None]:
        with suppress(queue.Empty):
            yield self._news.get()
            while True:
                yield self._news.get_nowait()


async def _write_above_prompt(text: str) -> None:
    async with in_terminal():
        _write(text)


def _write(text: str) -> None:
    """Writes past `patch_stdout`, which is for all other output to the terminal."""
    with suppress(OSError):  # the terminal is gone; the run continues without it
        output.put(sys.__stdout__, text)


def _is_command(line: str) -> bool:
    """Whether a line is a command while a question is open, which any text answers. Agents would work on a word such as
    `stop`.
    """
    return line.startswith("/") or line.strip().lower() in COMMANDS or line.lower().startswith("followup ")
