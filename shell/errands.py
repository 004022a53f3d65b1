"""`loop status` and the other one-shot commands: each asks one run one thing and prints the answer.

A run that is not running is shown from its files; orders to it are refused with the way to go on with it. With --json
one object is printed (`logs`: one a line); errors are one line on stderr in both cases.

Most of the time that such a command takes goes into imports, so each function imports what only it needs.
"""

from __future__ import annotations

import select
import sys
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from actors.clock import wall_ms
from actors.edges import run_dir
from actors.errors import UndeliverableError, UserError
from shell import log_lines, output, run_files, tables
from shell.log_lines import LogRecord
from shell.run_files import RunFiles
from shell.run_log import read_log
from shell.subcommands import Errand
from supervisor import submissions
from supervisor.console_wire import (
    AnyAnswer,
    AnyNews,
    Control,
    Done,
    Ended,
    Follow,
    GetReport,
    LookAtMail,
    LookIntoMailbox,
    MailboxReport,
    MailReport,
    OrderMail,
    Report,
    Request,
    Say,
)

if TYPE_CHECKING:
    from shell.desk_client import DeskClient

# A graceful stop gives the agents 15 s to be interrupted, and ending the processes takes up to 3 s a level.
STOP_PATIENCE_S = 40.0
LOOK_AGAIN_S = 0.2  # a log file, and the end of a run's root, tell nobody that they change


def run_errand(errand: Errand) -> int:
    """Prints the answer; returns an exit status. Raises `LoopError` for what cannot be done."""
    return _ERRANDS[errand.name](errand)


def _status(errand: Errand) -> int:
    found = run_files.choose(errand.run, running=False)
    report = _report(found)
    if errand.json:
        _print_json({"running": bool(report.root_pid), "state": found.state, **_builtins(report)})
    else:
        output.say_lines(tables.report_lines(report, now_ms=wall_ms(), state=found.state))
        if not report.root_pid and found.state != "completed":
            output.say(f"  {run_files.resume_hint(found)}")
    return 0


def _report(found: RunFiles) -> Report:
    """From its desk; from its files, when it is not running or ends at this moment."""
    if found.pid:
        from shell.desk_client import RunEndedError

        try:
            answer = _ask(found, GetReport())
        except RunEndedError:
            pass
        else:
            assert isinstance(answer, Report)
            return answer
    return run_files.report(found, wall_ms())


def _runs(errand: Errand) -> int:
    runs = run_files.all_runs(run_files.runs_here())
    if errand.json:
        _print_json(
            [
                {"runId": each.run_id, "running": bool(each.pid), "rootPid": each.pid}
                | each.manifest
                | ({"state": each.state, "damage": each.damage} if each.damage else {})
                for each in runs
            ]
        )
        return 0
    output.say_lines(run_files.run_lines(runs) or ["no run of this repository yet"])
    return 0


def _say(errand: Errand) -> int:
    return _order(errand, Say(message_id=str(uuid.uuid4()), agent=errand.agent, text=errand.text))


def _pause(errand: Errand) -> int:
    return _order(errand, Control(action="pause-now" if errand.now else "pause"))


def _resume(errand: Errand) -> int:
    return _order(errand, Control(action="resume"))


def _order(errand: Errand, request: Request) -> int:
    found = run_files.choose(errand.run, running=True)
    answer = _ask(found, request)
    assert isinstance(answer, Done)
    _print_text(errand, found, answer.text)
    return 0


def _stop(errand: Errand) -> int:
    """Returns when the run is over and its processes are gone. One that only waits for `loop serve` waits no longer."""
    found = run_files.choose(errand.run, running=False)
    if not found.pid and submissions.withdraw(found.directory):
        run_dir.set_state(found.directory, "stopped", wall_ms())
        _print_text(errand, found, f"run {found.run_id} is not in the queue of loop serve any more")
        return 0
    run_files.check_running(found, errand.run)
    from shell.desk_client import RunEndedError

    last: list[Ended] = []
    client = _client(found, lambda news: last.append(news) if isinstance(news, Ended) else None)
    try:
        client.ask(Follow())
        client.ask(Control(action="stop-now" if errand.now else "stop"))
        deadline = time.monotonic() + STOP_PATIENCE_S
        while run_dir.is_active(found.directory):
            if time.monotonic() > deadline:
                raise UndeliverableError(f"run {found.run_id} is still stopping: loop stop --now {found.run_id}")
            time.sleep(LOOK_AGAIN_S)
    except RunEndedError:
        pass
    finally:
        client.close()
    ended = last[0] if last else Ended(state=found.state, detail="")
    _print_text(errand, found, f"run {found.run_id} {ended.state}{': ' + ended.detail if ended.detail else ''}")
    return 0


def _mailbox(errand: Errand) -> int:
    found = run_files.choose(errand.run, running=False)
    if found.pid:
        answer = _ask(found, LookIntoMailbox(actor=errand.actor))
        assert isinstance(answer, MailboxReport)
    else:
        answer = run_files.mailbox(found, errand.actor, wall_ms())
    if errand.json:
        _print_json({"running": bool(found.pid), **_builtins(answer)})
        return 0
    output.say_lines(tables.mailbox_lines(answer, now_ms=wall_ms()))
    if not found.pid:
        output.say("  (from the files: the run is not running; loop logs has its dead letters)")
    return 0


def _mail(errand: Errand) -> int:
    from shell import mails

    if errand.action.lower() not in mails.ACTIONS:
        raise UserError(
            f"loop mail has no {errand.action!r}: {mails.USAGE}; "
            'a task that begins with this word is put in quotes: loop "mail ..."'
        )
    request = mails.parse(f"{errand.action} {errand.text}")
    found = run_files.choose(errand.run, running=False)
    answer = _mail_report(found, request)
    if not errand.json:
        output.say_lines(mails.lines(request, answer, now_ms=wall_ms()))
        if not found.pid and request == LookAtMail():
            output.say("(from the files: the run is not running)")
    elif request == LookAtMail():
        _print_json({"runId": found.run_id, "running": bool(found.pid), **_builtins(answer)})
    else:
        _print_json({"runId": found.run_id, "running": bool(found.pid), **_builtins(answer.mails[0])})
    return 0


def _agents(errand: Errand) -> int:
    from shell.agents import run_agents

    return run_agents(errand)


def _worktree(errand: Errand) -> int:
    from shell import worktrees

    run_ids, action = errand.text.split(), errand.action.lower()
    if action not in worktrees.ACTIONS:
        raise UserError(
            f"loop worktree has no {errand.action!r}, only list and clean; "
            'a task that begins with this word is put in quotes: loop "worktree ..."'
        )
    if action == "list":
        if run_ids or errand.dry_run or errand.ignored:
            raise UserError("loop worktree list takes only --json: it lists them all")
        found = worktrees.find()
        if errand.json:
            _print_json([worktrees.as_json(each) for each in found])
        else:
            output.say_lines(worktrees.lines(found) or ["no run of this repository has a worktree"])
        return 0
    return _clean_worktrees(errand, run_ids)


def _clean_worktrees(errand: Errand, run_ids: list[str]) -> int:
    from shell import worktrees

    found = worktrees.choose(worktrees.find(), run_ids)
    swept = [] if errand.dry_run else worktrees.sweep(run_ids)
    done = [worktrees.clean(each, dry_run=errand.dry_run, with_ignored=errand.ignored) for each in found]
    if errand.json:
        _print_json([worktrees.cleaned_json(each, dry_run=errand.dry_run) for each in done])
        return 0
    lines = [*swept, *(worktrees.cleaned_line(each, dry_run=errand.dry_run) for each in done)]
    whose = "none of these runs" if run_ids else "no run of this repository"
    output.say_lines(lines or [f"{whose} has a worktree"])
    return 0


def _mail_report(found: RunFiles, request: LookAtMail | OrderMail) -> MailReport:
    """From the bridge; from the journal, when the run is not running or ends at this moment."""
    from shell import mails

    if found.pid:
        from shell.desk_client import RunEndedError

        try:
            answer = _ask(found, request)
        except RunEndedError:
            if isinstance(request, OrderMail):
                raise
        else:
            assert isinstance(answer, MailReport)
            return answer
    return mails.from_files(found, request)


def _serve(errand: Errand) -> int:
    from shell.serve import serve_here

    return serve_here(errand.max_runs, as_json=errand.log_format == "json")


def _dashboard(errand: Errand) -> int:
    from shell.dashboard import dashboard

    return dashboard(errand)


def _trust(errand: Errand) -> int:
    from shell.trust import trust_here

    return trust_here(errand)


def _logs(errand: Errand) -> int:
    found = run_files.choose(errand.run, running=False)
    show: Callable[[LogRecord], None] = _show_json if errand.json else _show_plain
    for record in read_log(found.directory, follow=errand.follow, pause=_until_next_look):
        show(record)
    return 0


def _show_json(record: LogRecord) -> None:
    output.say_json(record)


def _show_plain(record: LogRecord) -> None:
    output.say(log_lines.plain(record))


def _until_next_look() -> None:
    """Until it is time to look again. Raises `BrokenPipeError` when nobody reads what we print any more: that must not
    wait for the next line to be printed.
    """
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)  # errors and the other side's end are told in any case
    if watch.poll(LOOK_AGAIN_S * 1_000):
        raise BrokenPipeError


def _shell(errand: Errand) -> int:
    from shell.attached import attach

    return attach(run_files.choose(errand.run, running=True))


# --- small things -------------------------------------------------------------------------------------------------


def _client(found: RunFiles, on_news: Callable[[AnyNews], None] = lambda _news: None) -> DeskClient:
    from shell.desk_client import DeskClient, find_desk

    return DeskClient(find_desk(found.directory), alive=lambda: run_dir.is_active(found.directory), on_news=on_news)


def _ask(found: RunFiles, request: Request) -> AnyAnswer:
    client = _client(found)
    try:
        return client.ask(request)
    finally:
        client.close()


def _print_text(errand: Errand, found: RunFiles, text: str) -> None:
    if errand.json:
        _print_json({"runId": found.run_id, "text": text})
    else:
        output.say(text)


def _print_json(value: Any) -> None:
    output.say_json(value)


def _builtins(struct: msgspec.Struct) -> dict[str, Any]:
    found = msgspec.to_builtins(struct)
    found.pop("type", None)
    return dict(found)


_ERRANDS: dict[str, Callable[[Errand], int]] = {
    "status": _status,
    "runs": _runs,
    "shell": _shell,
    "serve": _serve,
    "say": _say,
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "dashboard": _dashboard,
    "logs": _logs,
    "mailbox": _mailbox,
    "mail": _mail,
    "worktree": _worktree,
    "trust": _trust,
    "agents": _agents,
}
