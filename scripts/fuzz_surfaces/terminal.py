"""Text that agents, commands and files send, through every path by which `loop` prints it.

The structs are valid, but every text in them is nasty. Each line of output must be printable: no control character,
nothing that moves text about, no half of a surrogate pair. The console on stdout writes to outputs of several
encodings. A log record must stay one record.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
from loguru import logger

from actors import logs
from actors.errors import OperationalError, UserError
from actors.messages import Progress, ProgressKind
from fuzz_surfaces import inputs as make
from fuzz_surfaces.oracle import Failed
from fuzz_surfaces.structs import example
from fuzz_surfaces.surface import Surface
from shell import exits, log_lines, mails, output, render, run_files, tables, terminal
from shell.dashboard import panel
from shell.dashboard.view import ProcessView, RunView, Snapshot, TmuxView
from shell.log_lines import LogRecord
from supervisor.control.protocol import ChangeMail, MailboxReport, MailReport, Report, ShowMail, Traced

NOW = 1_760_000_000_000
# C0 but tab, DEL, C1, line separators, what changes the direction of text, halves of surrogate pairs.
BAD = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
JSON_BAD = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
ENCODINGS = ("utf-8", "latin-1", "ascii")
RECORDS = 40  # of one log, before it is read and begun again


class TerminalSurface(Surface):
    """See the module."""

    name = "terminal"
    settle_each = 1_000

    def open(self) -> None:
        self._ways: dict[str, Callable[[Any], Iterable[str]]] = {
            "progress": _progress,
            "json": _json,
            "report": lambda tree: tables.report_lines(_as(Report, tree), now_ms=NOW, state=""),
            "toolbar": lambda tree: tables.toolbar(_as(Report, tree), now_ms=NOW, width=80).split("\n"),
            "mailbox": lambda tree: tables.mailbox_lines(_as(MailboxReport, tree), now_ms=NOW, stacks=True),
            "trace": lambda tree: [tables.trace_line(_as(Traced, tree))],
            "mails": _mails,
            "runs": _runs,
            "panel": _panel,
            "transcript": lambda tree: tables.transcript_line(tree).split("\n"),
            "log": lambda tree: log_lines.plain(_as(LogRecord, tree)).split("\n"),
            "error": _error,
        }

    def make(self, rng: Random) -> tuple[str, Any]:
        """A way to print, and the data to print."""
        way = rng.choice((*self._ways, "record")) if rng.random() < 0.98 else "console"
        match way:
            case "record":
                return way, make.text(rng)
            case "console":
                return way, [rng.choice(ENCODINGS), *(_nasty(rng, example(rng, Progress)) for _ in range(3))]
            case "error":
                return way, [rng.choice(("user", "circumstance", "os")), make.text(rng)]
            case "transcript":
                tree = {
                    "at": "2026-01-31T12:00:00.123Z",
                    "kind": "say",
                    "text": "x",
                    "from": "a",
                    "to": "b",
                    "message": "",
                }
                found = make.mutated(rng, {key: each for key, each in tree.items() if rng.random() < 0.7})
                return way, found if isinstance(found, dict) else tree
            case "runs":
                keys = ("state", "mode", "cwd", "updatedAt", "createdAt")
                return way, {key: make.text(rng) for key in keys}
        return way, _nasty(rng, example(rng, _EXAMPLES[way]))

    def feed(self, inputs: Sequence[tuple[str, Any]]) -> None:
        for way, tree in inputs:
            if way == "console":
                _console(tree[0], tree[1:])
            elif way == "record":
                self._record(tree)
            else:
                for line in _printed(way, self._ways[way](tree)):
                    if found := (JSON_BAD if way == "json" else BAD).search(line):
                        raise Failed(f"{way}: a control character is printed") from ValueError(repr(found[0]))

    def _record(self, text: str) -> None:
        """Logs the text as a process of a run does, and reads it as `loop logs` does."""
        path = self.folder / "log"
        logs.set_up(logs.LogSettings(stderr=False, file=str(path)), run="r/1", actor="root")
        for _ in range(2):
            logger.info("an agent says: {}", text)
        self.watch.install()
        written = path.read_bytes()
        path.unlink()
        lines = written.decode().removesuffix("\n").split("\n")
        if found := next((hit for line in lines if (hit := BAD.search(line))), None):
            raise Failed("record: a control character stands in the log") from ValueError(repr(found[0]))
        count = len(list(log_lines.records(f"{line}\n" for line in lines)))
        if count != 2:
            raise Failed(f"record: two records are read as {count}")

    def settle(self) -> None:
        said = next(iter(render.lines(_as(Progress, _GOOD), zone=UTC, colour=False)))
        if not said.endswith("all is well"):
            raise Failed(f"a good text is printed as {said!r}")


_GOOD = {"at_ms": NOW, "source": "worker", "agent": "codex", "kind": "say", "text": "all is well"}
_EXAMPLES: dict[str, Any] = {
    "progress": Progress, "json": Progress, "report": Report, "toolbar": Report, "mailbox": MailboxReport,
    "trace": Traced, "mails": MailReport, "log": LogRecord, "panel": Report,
}  # fmt: skip


def _nasty(rng: Random, tree: Any) -> Any:
    """The same tree, with about half of its texts replaced, except those that are one of a few words."""
    if isinstance(tree, dict):
        return {key: each if key in _WORDS else _nasty(rng, each) for key, each in tree.items()}
    if isinstance(tree, list):
        return [_nasty(rng, each) for each in tree]
    return make.text(rng) if isinstance(tree, str) and rng.random() < 0.5 else tree


# Fields whose values are one of a few words: decoding holds them to it.
_WORDS = ("type", "state", "phase", "role", "hold", "purpose", "status", "sender_role", "action")


def _printed(way: str, lines: Iterable[str]) -> list[str]:
    """Prints as the commands do. Painted text and refusals have been printed that way already."""
    if way in ("progress", "panel", "transcript", "log", "error"):
        return "\n".join(lines).split("\n")
    out = io.StringIO()
    with redirect_stdout(out):
        if way == "json":
            output.say_json_text("\n".join(lines))
        else:
            output.say_lines(lines)
    return out.getvalue().removesuffix("\n").split("\n")


def _as(cls: Any, tree: Any) -> Any:
    return msgspec.convert(tree, cls)


def _progress(tree: Any) -> Iterable[str]:
    if tree["kind"] not in get_args(ProgressKind):
        return  # refused where it enters
    progress = _as(Progress, tree)
    yield from render.lines(progress, zone=UTC, colour=False)
    yield render.record(progress, "r/1", zone=UTC)


def _json(tree: Any) -> Iterable[str]:
    if tree["kind"] not in get_args(ProgressKind):
        return
    line = render.json_record(_as(Progress, tree), "1")
    json.loads(line)
    yield line


def _mails(tree: Any) -> Iterable[str]:
    report: MailReport = _as(MailReport, tree)
    yield from mails.lines(ShowMail(), report, now_ms=NOW)
    for each in report.mails:
        one = MailReport(mails=[each])
        yield from mails.lines(ShowMail(mail_id="x"), one, now_ms=NOW)
        yield from mails.lines(ChangeMail(change_id="c", action="hold", mail_id="x"), one, now_ms=NOW)


def _runs(tree: Any) -> Iterable[str]:
    return run_files.run_lines([run_files.RunFiles(directory=Path("/runs/r/1"), manifest=tree, pid=0)])


def _panel(tree: Any) -> Iterable[str]:
    report: Report = _as(Report, tree)
    text = report.cwd or report.directory
    run = RunView(
        key="r/1", run_id="1", repository=text, directory=text, cwd=text, state=text, running=False, mode=text,
        created_at_ms=NOW, updated_at_ms=NOW, tmux_session=text, agents={"worker": text}, sessions={"worker": text},
        last_event=text, last_event_at_ms=NOW, report=report, trouble=text,
    )  # fmt: skip
    live = msgspec.structs.replace(run, running=True)
    process = ProcessView(
        agent=text, pid=5, active=True, run=text, role=text, session_id=text, cwd=text, last_event=text,
        last_event_at_ms=NOW,
    )  # fmt: skip
    tmux = TmuxView(name=text, run=text, attached=1, created_at_ms=NOW, attach=text)
    shown = Snapshot(
        at_ms=NOW, runs_in=text, runs=[run, live], processes=[process], finished=[process], tmux=[tmux], trouble=text
    )
    yield from panel.text_lines(shown, width=120, zone=UTC)


def _error(tree: Any) -> Iterable[str]:
    """The output of a refused command."""
    kind, text = tree

    def work() -> int:
        if kind == "os":
            raise OSError(2, "no such file", text)
        raise (UserError if kind == "user" else OperationalError)(text)

    said = io.StringIO()
    with redirect_stderr(said):
        exits.reported(work)
    lines = said.getvalue().removesuffix("\n").split("\n")
    if kind == "user" and len(lines) > 1:
        raise Failed(f"error: a refusal in {len(lines)} lines")
    return lines


def _console(encoding: str, trees: list[Any]) -> None:
    """Checks that everything is written, whatever the output can encode."""
    out, before = io.BytesIO(), sys.stdout
    sys.stdout = wrapper = io.TextIOWrapper(out, encoding=encoding, line_buffering=True)
    try:
        for as_json in (False, True):
            console = terminal.TerminalConsole("1", raw=False, as_json=as_json)
            for tree in trees:
                console.show(_as(Progress, {**tree, "kind": "say"}))
            console.show(_as(Progress, _GOOD))
            console.close()
        wrapper.flush()
    finally:
        sys.stdout = before
    written = out.getvalue().decode(encoding)
    wrapper.detach()
    if written.count("all is well") < 2:
        raise Failed(f"console: it stops at an output in {encoding}")
    if found := re.search("[\0-\x08\x0b-\x1f\x7f-\x9f]", written.replace("\r\n", "\n")):
        raise Failed("console: a control character is printed") from ValueError(repr(found[0]))
