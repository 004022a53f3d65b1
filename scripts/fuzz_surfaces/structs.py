"""Examples of message structs as trees, made from their types, for `inputs` to mutate. Pure."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from msgspec import inspect

PLAIN = ("", "a", "hello", "worker", "reviewer", "worker#1", "00000000-0000-4000-8000-000000000001", "text of\nlines")


def example(rng: Random, cls: Any) -> Any:
    """A tree that decodes as `cls`."""
    return _of(rng, _info(cls), 0)


@cache
def _info(cls: Any) -> inspect.Type:
    return inspect.type_info(cls)


def _of(rng: Random, info: inspect.Type, depth: int) -> Any:
    match info:
        case inspect.StructType():
            return _struct(rng, info, depth)
        case inspect.UnionType():
            return _of(rng, rng.choice(info.types), depth)
        case inspect.LiteralType():
            return rng.choice(info.values)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return [_of(rng, info.item_type, depth + 1) for _ in range(0 if depth > 3 else rng.randrange(3))]
        case inspect.TupleType():
            return [_of(rng, each, depth + 1) for each in info.item_types]
        case inspect.DictType():
            count = 0 if depth > 3 else rng.randrange(3)
            return {_of(rng, info.key_type, depth + 1): _of(rng, info.value_type, depth + 1) for _ in range(count)}
        case inspect.BoolType():
            return rng.random() < 0.5
        case inspect.IntType():
            return rng.choice((0, 1, 3, 20, 1_700_000_000_000))
        case inspect.FloatType():
            return rng.choice((0.0, 0.25, 3.5))
        case inspect.NoneType():
            return None
        case inspect.BytesType():
            return rng.choice((b"", b"abc"))
        case _:
            return rng.choice(PLAIN)


def _struct(rng: Random, info: inspect.StructType, depth: int) -> Any:
    fields = {
        field.encode_name: _of(rng, field.type, depth + 1)
        for field in info.fields
        if field.required or info.array_like or rng.random() < 0.6
    }
    if info.tag_field is not None:
        fields = {info.tag_field: info.tag, **fields}
    return list(fields.values()) if info.array_like else fields
