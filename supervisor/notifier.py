"""Tells the user who is not there what their runs have come to. One thread per root; it never blocks a run.

`note` is called whenever a run has something to tell, or nothing any more (machines/notifications decides that). The
thread notes a change in the run's directory before it sends it. A notification that does not arrive costs one line of
the run's log; `loop doctor` shows the last one.
"""

from __future__ import annotations

import queue
import threading
import time

from loguru import logger
from msgspec.structs import replace

from actors.clock import wall_ms
from actors.edges import notify, run_dir
from actors.machines import notifications
from actors.messages import Notable
from supervisor.run_tree import RunSpec


class Notifier:
    """Used from any thread. `close` once, when no run is left."""

    def __init__(self) -> None:
        self._changes: queue.SimpleQueue[tuple[RunSpec, Notable | None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def note(self, spec: RunSpec, now: Notable | None) -> None:
        """Returns immediately. Nothing happens for a run without notifications."""
        if not ways_of(spec).names():
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="notifications", daemon=True)
                self._thread.start()
        self._changes.put((spec, now))

    def close(self, patience_s: float) -> None:
        """Returns when everything is sent, or after `patience_s`."""
        if self._thread is not None:
            self._changes.put(None)
            self._thread.join(patience_s)

    def _work(self) -> None:
        while (change := self._changes.get()) is not None:
            spec, now = change
            with logger.contextualize(run=spec.key):
                try:
                    self._change(spec, now)
                except Exception as error:  # a full disk, say; the next change is tried like this one
                    logger.error("notifications: {}", error)

    def _change(self, spec: RunSpec, now: Notable | None) -> None:
        directory = spec.directory
        before = notify.read(directory)
        known, new = notifications.next_of(before, now)
        if known != before:
            notify.write(directory, known)
        if new is None:
            return
        notification = notifications.notification(
            known,
            new,
            run=spec.run_id,
            directory=str(spec.cwd),
            at=run_dir.iso(wall_ms()),
            resume=spec.resume_anywhere,
        )
        cwd = spec.cwd if spec.cwd.is_dir() else directory
        begun = time.monotonic()
        results = notify.deliver(ways_of(spec), notification, spec.environment, cwd)
        failed = [f"{way}: {why}" for way, why in results.items() if why]
        logger.info("notified of {} in {:.1f} s", new.event, time.monotonic() - begun)
        if failed:
            logger.error("notification {} ({}) did not arrive: {}", notification.id, new.event, "; ".join(failed))
        notify.write(directory, replace(known, at=notification.at, failure="; ".join(failed)))


def ways_of(spec: RunSpec) -> notify.Ways:
    """Where the notifications of this run go."""
    settings = spec.asked
    return notify.Ways(settings.notify_command, settings.notify_webhook, settings.notify_desktop)
