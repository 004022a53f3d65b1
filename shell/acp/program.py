"""The process of one run that `loop acp` drives: the root of that run. `python -m shell.acp.program`.

It takes one order (orders.py) and resolves it in its own working directory, as `loop` does. The run belongs to the
process that holds its stdin. At the end of stdin the run stops like one that gets SIGTERM: the turns are interrupted,
the stop is journalled, and the run can be resumed. So no run outlives a client that was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import BinaryIO

from actors.messages import Progress
from shell import output
from shell.acp.orders import Opened, Order, Reserved, decode_order
from shell.exits import EXIT_COMPLETED, EXIT_NOT_DONE, reported
from shell.follow import check_packages
from shell.options import Options, parse
from supervisor.run_tree import RunSpec


def main() -> int:
    """Carries out the order on stdin. Returns an exit status."""
    orders = _take_streams()
    line = orders.readline()
    return reported(lambda: _carry_out(decode_order(line), orders)) if line else EXIT_COMPLETED


def _take_streams() -> BinaryIO:
    """Keeps the three streams from the agents: what an agent prints, or reads, is no word between us and `loop acp`."""
    orders, answers, notes = (os.dup(number) for number in range(3))
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    sys.stdout, sys.stderr = os.fdopen(answers, "w", encoding="utf-8"), os.fdopen(notes, "w", encoding="utf-8")
    return os.fdopen(orders, "rb", buffering=0)


def _carry_out(order: Order, orders: BinaryIO) -> int:
    from shell.resolve import resolve_run, taken_back
    from supervisor.root import run_root

    check_packages()
    asks = not parse(["acp", *order.words]).headless
    spec = resolve_run(_options(order), only_reserve=order.only_reserve, has_operator=asks)
    if order.only_reserve:
        output.say_json(Reserved(key=spec.key, directory=str(spec.directory)))
        return EXIT_COMPLETED
    with taken_back(spec.directory, spec.made):
        threading.Thread(target=_stop_at_the_end_of, args=(orders,), name="orders", daemon=True).start()
        ending = run_root(spec, _Console(spec))
    return EXIT_COMPLETED if ending.result.state == "completed" else EXIT_NOT_DONE


def _options(order: Order) -> Options:
    options = parse(["acp", *order.words])._replace(command="run").but(headless=True)
    if order.run_id:
        options = options.but(run_id=order.run_id)
    if order.only_reserve:
        return options.but(prompt="a task that is yet to come")
    return options if order.task is None else options.but(prompt=order.task)


def _stop_at_the_end_of(orders: BinaryIO) -> None:
    while orders.read(1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


class _Console:
    """Implements `supervisor.run_host.Console`."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec

    def opened(self, endpoint: str) -> None:
        """Says where the control server is."""
        output.say_json(Opened(key=self._spec.key, directory=str(self._spec.directory), endpoint=endpoint))

    def show(self, progress: Progress) -> None:
        """No-op: `loop acp` gets it from the control server."""


if __name__ == "__main__":
    sys.exit(main())
