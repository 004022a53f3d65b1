"""Work that meets a full disk waits for room, as the journal does. In the thread of the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from actors.edges import files

T = TypeVar("T")

RETRY_S = 0.5
PATIENCE_S = 600.0  # as long as a writer waits for the journal


def when_there_is_room(
    attempt: Callable[[], tuple[T, str]],
    *,
    tell: Callable[[str], None],
    cancelled: threading.Event,
    retry_s: float = RETRY_S,
    patience_s: float = PATIENCE_S,
) -> T:
    """What the attempt comes to, which also says why it is not all that it could be; "" = it is.

    A full disk is told once. The attempt is repeated until there is room, it is cancelled, or patience ends: the last
    result counts.
    """
    until_s, told = time.monotonic() + patience_s, False
    while True:
        result, why = attempt()
        if not files.says_full(why) or time.monotonic() >= until_s:
            return result
        if not told:
            tell(f"{why}; retrying until there is room")
            told = True
        if cancelled.wait(retry_s):
            return result
