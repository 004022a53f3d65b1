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
    """Ends this process with its server, from a thread of its own. textual does not notice a dead server; there is
    nothing to save.
    """
    poller = select.poll()
    poller.register(sys.stdin.fileno(), 0)  # only its end matters; its data is for textual
    poller.poll()
    os._exit(0)


threading.Thread(target=_end_with_the_server, name="lifeline", daemon=True).start()
sys.exit(Dashboard(Collector(environments.home(), environments.handed_on())).run() or 0)
