"""Brings the log lines of a host into the log of the run: `loop logs worker` has them, as of a worker at home.

A line that an actor on the host has logged keeps its actor, process, level and module; its time is when it arrives,
since clocks differ. Whatever else programs print there is a line of the host. A host speaks for agents' actors alone:
no line of it passes for one of the run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from loguru import logger

from actors.log_line import LINE
from actors.settings import Role
from actors.text import FURTHER

if TYPE_CHECKING:
    from loguru import Record

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class FarLog:
    """The lines of one host of one run, in their order. Any thread, one at a time."""

    def __init__(self, run: str, host: str) -> None:
        self._run = run
        self._host = host
        self._last: re.Match[str] | None = None  # the record that further lines belong to

    def take(self, line: str) -> None:
        """Logs it."""
        hit = LINE.fullmatch(line)
        if hit is not None and self._speaks_for(hit["run"], hit["actor"]) and hit["level"] in _LEVELS:
            self._last = hit
            self._write(hit, hit["text"])
        elif self._last is not None and line.startswith(FURTHER):
            self._write(self._last, line.removeprefix(FURTHER))
        else:
            self._last = None
            logger.bind(run=self._run, actor=self._host).info("{}", line)

    def _speaks_for(self, run: str, actor: str) -> bool:
        return run == self._run and actor.partition("#")[0] in get_args(Role)

    def _write(self, known: re.Match[str], text: str) -> None:
        module, _, number = known["where"].rpartition(":")

        def patch(record: Record) -> None:
            there: Any = {"name": module, "line": int(number), "process": int(known["pid"])}
            record.update(there)

        logger.bind(run=self._run, actor=known["actor"]).patch(patch).log(known["level"], "{}", text)
