"""One page of `loop dashboard --web`: the application, driven through its standard streams by textual's server."""

from __future__ import annotations

import os
import select
import sys
import threading

from actors.edges import environments
from shell.dashboard.app import Dashboard
from shell.dashboard.collect import Collector


def _end_with_the_server() -> None:
    """A thread of its own. textual does not look whether whoever it talks to has died; there is nothing to save."""
    poller = select.poll()
    poller.register(sys.stdin.fileno(), 0)  # only its end is of interest; what comes through it is textual's
    poller.poll()
    os._exit(0)


threading.Thread(target=_end_with_the_server, name="lifeline", daemon=True).start()
sys.exit(Dashboard(Collector(environments.home(), environments.handed_on())).run() or 0)
