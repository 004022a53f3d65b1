"""`loop dashboard`: everything that runs in this home, live or printed once, in the terminal or in a browser.

It is a client of the runs' control servers and a reader of their files: it gives no order and slows no run. `collect`
collects the data, in threads of its own; `view` and `panel` turn it into structs and text; `app` draws them; `web`
serves the app.
"""

from __future__ import annotations

import shutil
import sys

from actors.edges import environments
from shell import output
from shell.commands.grammar import Invocation


def dashboard(invocation: Invocation) -> int:
    """Shows the dashboard until the user quits; prints it once with --once, --json or without a terminal. Returns an
    exit status.
    """
    if invocation.json or invocation.once:
        return _print(as_json=invocation.json)
    if invocation.web:
        from shell.dashboard.web import serve

        return serve(invocation.port)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _print(as_json=False)
    from shell.dashboard.app import Dashboard
    from shell.dashboard.collect import Collector

    return Dashboard(Collector(environments.home(), environments.handed_on())).run() or 0


def _print(*, as_json: bool) -> int:
    from shell.dashboard.collect import look_once
    from shell.dashboard.panel import text_lines

    snapshot = look_once(environments.home(), environments.handed_on(), all_journals=as_json)
    if as_json:
        output.say_json(snapshot)
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        output.say_lines(text_lines(snapshot, width=width))
    return 0
