"""The import of a foreign library's pydantic models, without the reading of its source.

The models of `acp` ask pydantic for the docstrings of their attributes. So pydantic parses the source of each class
when it is defined, which is half of that import. The docstrings are for JSON schemas, which nobody here makes.

Pydantic has no option for that, so a function of its own is replaced. Where there is none of that name, the import
takes the time that it takes. Any process; the thread that imports.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_READER = "extract_docstrings_from_cls"


@contextmanager
def no_attribute_docstrings() -> Iterator[None]:
    """For a block that imports such a library."""
    from pydantic._internal import _fields

    reader = getattr(_fields, _READER, None)
    if reader is None:
        yield
        return
    setattr(_fields, _READER, lambda *_args, **_options: {})
    try:
        yield
    finally:
        setattr(_fields, _READER, reader)
