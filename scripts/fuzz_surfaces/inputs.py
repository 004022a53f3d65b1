"""Malformed input from a seed: nasty values, mutations of valid trees and bytes, and their encodings. Pure.

A tree has the types of JSON: dict, list, str, number, bool, None, and bytes for msgpack. Some strings are placeholders:
an encoder replaces them by what no Python value can be, such as 1,000 nested arrays. Each function takes the
`random.Random` that it draws from, and draws from nothing else, so that the same seed gives the same input.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

DEPTH = 1_000
DIGITS = 5_000
LONG = 1_000_000
ONE_IN_LONG = 2_000  # inputs, of those that get a nasty text: a long one costs as much as a hundred others

DEEP_LIST, DEEP_MAP, MANY_DIGITS, NOT_A_NUMBER, TOO_LARGE = (
    "@deep-list@", "@deep-map@", "@digits@", "@nan@", "@1e999@",
)  # fmt: skip

TEXTS = (
    "", " ", "\n", "\r\n", "\t", "\0", "a\0b", "-", "--", "---", "=", "a=b", "/", "//", ".", "..", "../../etc/passwd",
    "/dev/zero", "/dev/null", "~", "$HOME", "`id`", "$(id)", "%s%n%d", "{}", "{0}", "{x!r}", "%(message)s", "<red>",
    "</>", "\ud83d", "\udc80", "a\udfffb", "\ud83d\ude00", "\N{GRINNING FACE}", "e\u0301", "\u0301", "\u200b", "\u200d",
    "\ufeff", "\ufeffhi", "\ufffe", "\uffff", "\U0010ffff", "\u2028", "\u2029", "\x85", "\x0b", "\x0c",
    "\u202eevil\u202c", "\u2066x\u2069", "\u061c", "\u200f", "\xad",
    "\x1b[2J", "\x1b[1;1H", "\x1b]0;title\x07", "\x1b]52;c;aGk=\x07", "\x1b]8;;http://x\x1b\\x\x1b]8;;\x1b\\", "\x1bc",
    "\x9b31m", "\x9d0;t\x9c", "\x90q\x9c", "\x1b[?1049h", "\x1b[6n", "\x07", "\x08" * 20, "\x7f", "\rover", "\x0e\x0f",
    "1\n2026-01-01 00:00:00.000 ERROR    1 r/1/root x:1 forged", "a\nb\nc", "null", "true", "None", "NaN", "Infinity",
    "0", "-1", "1e308", "9" * 255, "0x10", "1_000", "\u0661\u0662", "\xb2", "\u2460", "worker", "reviewer", "bridge",
    "persistence", "supervisor", "console", "router", "worker#1", "worker#0", "worker#99999999999999999999", "#", "#1",
    "worker#\u0661", "a/b", "stop", "list", "<promise>DONE</promise>", "<review>PASS</review>", "[loop", "```",
    "00000000-0000-0000-0000-000000000000", "con", "x" * 300, "\u0130", "\xdf", "\u1e9e", "\ufb01",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 7, 127, 128, 255, 256, 65_535, 2**31 - 1, 2**31, -(2**31) - 1, 2**32, 2**53, 2**53 + 1, 2**63 - 1,
    2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**18, 10**30, 10**300,
    0.0, -0.0, 0.1, 1e-308, 1e308, 5e-324, 2.5, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"": ""},
    [None],
    {"type": None},
    {"type": "?"},
    b"",
    b"\xff",
    b"\x80\x04.",
)
PLACES = (DEEP_LIST, DEEP_MAP, MANY_DIGITS, NOT_A_NUMBER, TOO_LARGE)
PIECES = (
    b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\xbd", b"\xf4\x90\x80\x80", b"\x80", b"\n",
    b"\r\n", b"\r", b"\t", b'"', b"\\", b"\\u0000", b"\\ud83d", b"\\udc00", b"{", b"}", b"[", b"]", b",", b":", b"=",
    b"#", b"'", b"'''", b'"""', b"\x1b[2J", b"\x9b", b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-1", b"0",
    b"9" * 400, b"[" * 200, b'{"a":' * 200, b"\x91" * 200, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc1",
    b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
)  # fmt: skip


# --- values -------------------------------------------------------------------------------------------------------


def text(rng: Random) -> str:
    """A nasty text; sometimes one of a million characters."""
    if rng.randrange(ONE_IN_LONG) == 0:
        return rng.choice(("x", "\n", "\u20ac", "\x1b[31m", " ")) * LONG
    found = rng.choice(TEXTS)
    if rng.random() < 0.3:
        found += rng.choice(TEXTS)
    return found


def number(rng: Random) -> int | float:
    """A nasty number, or any."""
    return rng.choice(NUMBERS) if rng.random() < 0.8 else rng.getrandbits(rng.choice((8, 31, 63, 70)))


def value(rng: Random) -> Any:
    """Any nasty value."""
    kind = rng.random()
    if kind < 0.45:
        return text(rng)
    if kind < 0.75:
        return number(rng)
    return rng.choice(OTHERS) if kind < 0.9 else rng.choice(PLACES)


# --- mutations ----------------------------------------------------------------------------------------------------


def mutated(rng: Random, tree: Any) -> Any:
    """A copy of the tree with one to three changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        tree = _changed(rng, tree)
    return tree


def _changed(rng: Random, tree: Any) -> Any:
    """Descends at random, and changes the node that it reaches."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        key = rng.choice(list(tree))
        how = rng.random()
        if how < 0.7:
            return {**tree, key: _changed(rng, tree[key])}
        if how < 0.82:
            return {name: each for name, each in tree.items() if name != key}
        if how < 0.92:
            return {**tree, text(rng): value(rng)}
        return {(text(rng) if name == key else name): each for name, each in tree.items()}
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        index = rng.randrange(len(tree))
        how = rng.random()
        if how < 0.75:
            return [*tree[:index], _changed(rng, tree[index]), *tree[index + 1 :]]
        if how < 0.85:
            return [*tree[:index], *tree[index + 1 :]]
        return tree[:index] + [tree[index]] * rng.choice((2, 3, 200)) + tree[index + 1 :]
    if isinstance(tree, str) and tree and rng.random() < 0.3:
        cut = rng.randrange(len(tree) + 1)
        return tree[:cut] + text(rng) + tree[cut:]
    return value(rng)


def mutated_bytes(rng: Random, data: bytes) -> bytes:
    """One to four changes: cut, doubled, a bit turned over, a nasty piece put in."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        where = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data = data[:where]
            case 1:
                data = data[where:]
            case 2 if data:
                where = min(where, len(data) - 1)
                data = data[:where] + bytes([data[where] ^ (1 << rng.randrange(8))]) + data[where + 1 :]
            case 3:
                end = min(len(data), where + rng.choice((1, 8, 64)))
                data = data[:where] + data[where:end] * rng.choice((2, 50)) + data[end:]
            case _:
                data = data[:where] + rng.choice(PIECES) + data[where:]
    return data


def noise(rng: Random) -> bytes:
    """Random bytes."""
    return rng.choice((b"", rng.choice(PIECES), rng.randbytes(rng.choice((1, 3, 16, 200)))))


# --- encodings ----------------------------------------------------------------------------------------------------


def as_json(rng: Random, tree: Any) -> bytes:
    """JSON, sometimes with halves of surrogate pairs as raw bytes, and with the bytes of placeholders."""
    written = json.dumps(tree, ensure_ascii=rng.random() < 0.6, default=repr).encode("utf-8", "surrogatepass")
    return _filled(written)


def _filled(written: bytes) -> bytes:
    if b"@" in written:
        for place, what in _IN_JSON.items():
            written = written.replace(place, what)
    return written


_IN_JSON = {
    f'"{DEEP_LIST}"'.encode(): b"[" * DEPTH + b"]" * DEPTH,
    f'"{DEEP_MAP}"'.encode(): b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    f'"{MANY_DIGITS}"'.encode(): b"7" * DIGITS,
    f'"{NOT_A_NUMBER}"'.encode(): b"NaN",
    f'"{TOO_LARGE}"'.encode(): b"1e999",
}


def as_msgpack(tree: Any) -> bytes:
    """Msgpack, also of strings that are no Unicode. A number that has no room in it becomes its highest."""
    match tree:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if tree else b"\xc2"
        case int():
            return _packed_int(tree)
        case float():
            return b"\xcb" + struct.pack(">d", tree)
        case str():
            if tree in _IN_MSGPACK:
                return _IN_MSGPACK[tree]
            data = tree.encode("utf-8", "surrogatepass")
            return b"\xdb" + struct.pack(">I", len(data)) + data
        case bytes():
            return b"\xc6" + struct.pack(">I", len(tree)) + tree
        case list() | tuple():
            return b"\xdd" + struct.pack(">I", len(tree)) + b"".join(map(as_msgpack, tree))
        case dict():
            pairs = (as_msgpack(key) + as_msgpack(each) for key, each in tree.items())
            return b"\xdf" + struct.pack(">I", len(tree)) + b"".join(pairs)
        case _:
            return as_msgpack(repr(tree))


def _packed_int(tree: int) -> bytes:
    if 0 <= tree < 128:
        return bytes([tree])
    if tree >= 0:
        return b"\xcf" + struct.pack(">Q", min(tree, 2**64 - 1))
    return b"\xd3" + struct.pack(">q", max(tree, -(2**63)))


_IN_MSGPACK = {
    DEEP_LIST: b"\x91" * DEPTH + b"\xc0",
    DEEP_MAP: b"\x81\xa1a" * DEPTH + b"\xc0",
    MANY_DIGITS: b"\xcf" + b"\xff" * 8,
    NOT_A_NUMBER: b"\xcb" + struct.pack(">d", float("nan")),
    TOO_LARGE: b"\xcb" + struct.pack(">d", float("inf")),
}


def encoded(rng: Random, tree: Any, encode: Callable[[Any], bytes]) -> bytes:
    """Valid, mutated as a tree, mutated as bytes, or both; sometimes noise."""
    how = rng.random()
    if how < 0.04:
        return noise(rng)
    if how < 0.12:
        return encode(tree)
    data = encode(mutated(rng, tree) if how < 0.85 else tree)
    return mutated_bytes(rng, data) if how > 0.75 else data


def words(rng: Random, vocabulary: Sequence[str], most: int) -> list[str]:
    """Words of a command line: mostly known ones, in any order, with nasty ones among them."""
    return [rng.choice(vocabulary) if rng.random() < 0.75 else text(rng) for _ in range(rng.randrange(most + 1))]
