"""Imports of many modules at once. Any process; no thread of its own."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Looks for no garbage meanwhile, nor ever in what is there then: it stays until the end of the process.

    Each look at the new modules costs as much as the import of a few, a tenth of the whole.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
