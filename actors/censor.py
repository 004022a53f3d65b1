"""Redacts the secrets of an environment in text. Pure: the environment comes in as an argument.

Used by everything that prints or logs (`actors.logs`, `shell.output`), so no secret reaches a log or terminal. Files
that agents write are not changed.

Redacted: the value of a variable with a secret-sounding name, each line of such a value, and its JSON form. Also the
password of any address (`scheme://user:password@host`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

STRUCK_OUT = "***"
SHORTEST = 8  # redacting "1" or "true" would make a text unreadable

_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "COOKIE", "AUTHORIZATION")
_ENDS = ("_PWD", "PASS", "_PAT")
# Of an address: bounded, so that a text without one costs no more than reading it.
_IN_ADDRESS = re.compile(r"(?P<before>://[^\s/?#:@]{0,256}:)(?P<password>[^\s/?#]{1,4096})(?=@)")
_FRAME = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")  # of a PEM file: known to everybody


def censor(environment: Mapping[str, str]) -> Callable[[str], str]:
    """A function that redacts the secrets of this environment, longest first."""
    secrets = sorted(set(_secrets(environment)), key=len, reverse=True)

    def strike_out(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, STRUCK_OUT)
        return _IN_ADDRESS.sub(rf"\g<before>{STRUCK_OUT}", text) if "://" in text else text

    return strike_out


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        pieces = [hit["password"] for hit in _IN_ADDRESS.finditer(value)]
        if _is_secret(name):
            pieces += [value, *map(str.strip, value.splitlines())]
        for piece in pieces:
            if len(piece) >= SHORTEST and not _FRAME.fullmatch(piece):
                yield piece
                yield json.dumps(piece)[1:-1]
                yield json.dumps(piece, ensure_ascii=False)[1:-1]


def _is_secret(name: str) -> bool:
    name = name.upper()
    return any(word in name for word in _WORDS) or name.endswith(_ENDS)
