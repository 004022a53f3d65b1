import gc

import pytest

from actors.edges.imports import uncollected


def test_no_garbage_is_looked_for_while_modules_are_imported_and_all_of_them_are_exempt_afterwards():
    frozen = gc.get_freeze_count()
    try:
        with uncollected():
            assert not gc.isenabled()
            modules = [[] for _ in range(1_000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= frozen + len(modules)
    finally:
        gc.unfreeze()


def test_garbage_is_looked_for_again_after_an_import_that_failed():
    try:
        with pytest.raises(ImportError), uncollected():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
