"""The wait before a provider is asked again. Pure: jitter is derived from ids."""

from __future__ import annotations

import zlib

from actors.setting_rows import limits

# The word of a provider that was wrong this often in a row counts no longer by itself.
TRUSTED_RESETS = 4

# Providers' clocks and ours differ by seconds; asking a moment too early only gets the same refusal again.
LIMIT_MARGIN_MS = 5_000

# For a limit without a known end: from the shortest window of any provider (requests per minute), doubling, up to a
# wait that still notices the end of a five-hour window soon.
BACKOFF_FIRST_MS = 60_000
BACKOFF_LAST_MS = 30 * 60_000

# A provider that does not answer is retried after a few seconds, doubling up to this: an outage of ten minutes costs
# some eight tries, and its end is noticed within a few minutes.
RETRY_FIRST_MS = limits.RETRY_MS
RETRY_LAST_MS = 5 * 60_000

MAX_WAIT_MS = limits.MAX_WAIT_MS


def retry_ms(first_ms: int, times_before: int, key: str) -> int:
    """The wait before the next try: doubling, plus up to half as much jitter, derived from `key`."""
    plain = int(min(first_ms * 2 ** min(times_before, 30), RETRY_LAST_MS))
    return plain + plain * (zlib.crc32(key.encode()) % 1000) // 2000


def limit_ms(times_before: int) -> int:
    """The wait at a limit whose end is not known."""
    return int(min(BACKOFF_FIRST_MS * 2 ** min(times_before, 10), BACKOFF_LAST_MS))


def limit_end_ms(resets_at_ms: int | None, now_ms: int, times_before: int) -> int:
    """When a limited provider is asked again, Unix ms. Its word counts: a floor only without one, or when it names a
    time that is past, or was wrong over and over.
    """
    if resets_at_ms is None or resets_at_ms + LIMIT_MARGIN_MS <= now_ms:
        return now_ms + limit_ms(times_before)
    known_ms = resets_at_ms + LIMIT_MARGIN_MS
    wrong = times_before - TRUSTED_RESETS
    return known_ms if wrong < 0 else max(known_ms, now_ms + limit_ms(wrong))
