"""What the commands have in common: asking a run, and printing its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shell import output
from shell.commands.base import Prompt
from shell.commands.grammar import Invocation

if TYPE_CHECKING:
    import msgspec

    from shell.control_client import ControlClient
    from shell.run_files import RunFiles
    from supervisor.control.protocol import AnyAnswer, AnyNews, Report, Request

# --- at the prompt ------------------------------------------------------------------------------------------------


def done(prompt: Prompt, request: Request) -> str:
    """Sends a request to the run and returns its answer as text."""
    from supervisor.control.protocol import Done

    answer = prompt.ask(request)
    assert isinstance(answer, Done)
    return answer.text


def report_of(prompt: Prompt) -> Report:
    """The run's report."""
    from supervisor.control.protocol import GetReport, Report

    report = prompt.ask(GetReport())
    assert isinstance(report, Report)
    return report


# --- after `loop` -------------------------------------------------------------------------------------------------


def client(found: RunFiles, on_news: Callable[[AnyNews], None] = lambda _news: None) -> ControlClient:
    """A client that is connected to the run; the caller closes it. Raises `OperationalError` when the run is not
    running.
    """
    from actors.edges import run_lock
    from shell.control_client import ControlClient, control_endpoint

    return ControlClient(
        control_endpoint(found.directory), alive=lambda: run_lock.is_active(found.directory), on_news=on_news
    )


def ask(found: RunFiles, request: Request) -> AnyAnswer:
    """The run's answer. Raises `LoopError`."""
    asking = client(found)
    try:
        return asking.ask(request)
    finally:
        asking.close()


def send(invocation: Invocation, request: Request) -> int:
    """Sends a request to the run and prints its answer. Returns an exit status."""
    from shell import run_files
    from supervisor.control.protocol import Done

    found = run_files.choose(invocation.run, running=True)
    answer = ask(found, request)
    assert isinstance(answer, Done)
    print_text(invocation, found, answer.text)
    return 0


def print_text(invocation: Invocation, found: RunFiles, text: str) -> None:
    """Prints the text or, with --json, an object with it."""
    if invocation.json:
        output.say_json({"runId": found.run_id, "text": text})
    else:
        output.say(text)


def builtins(struct: msgspec.Struct) -> dict[str, object]:
    """The struct's fields, for JSON."""
    import msgspec

    found = msgspec.to_builtins(struct)
    found.pop("type", None)
    return dict(found)
