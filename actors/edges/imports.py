"""Imports of many modules at once. Any process; no thread of its own."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_READER = "extract_docstrings_from_cls"  # of pydantic


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


@contextmanager
def lean_models() -> Iterator[None]:
    """Imports the pydantic models of a library at the least CPU: a process uses a few of some hundred.

    Each of them is built at its first use instead of its definition. The source of a library is not read either. The
    models of `acp` ask for the docstrings of their attributes: pydantic parses the source of each class when it is
    defined, which is half of that import. They are for JSON schemas, which nobody here makes. There is no option for
    that, so a function of pydantic's own is replaced. Where there is none of that name, the import takes its time.
    """
    from pydantic import BaseModel, ConfigDict
    from pydantic._internal import _fields

    reader = getattr(_fields, _READER, None)
    before = BaseModel.model_config
    BaseModel.model_config = ConfigDict({**before, "defer_build": True})  # a model has the configuration of its parent
    if reader is not None:
        setattr(_fields, _READER, lambda *_args, **_options: {})
    try:
        yield
    finally:
        BaseModel.model_config = before
        if reader is not None:
            setattr(_fields, _READER, reader)
