import gc
import subprocess
import sys

import pytest
from pydantic import BaseModel, ConfigDict

from actors.edges.imports import lean_models, uncollected


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


def description() -> str | None:
    class Model(BaseModel):
        model_config = ConfigDict(use_attribute_docstrings=True)

        field: int
        """What it is."""

    assert Model.model_validate({"field": "1"}).field == 1
    return Model.model_fields["field"].description


def test_no_source_is_read_inside_and_it_is_read_again_outside() -> None:
    with lean_models():
        assert description() is None
    assert description() == "What it is."


def model() -> type[BaseModel]:
    class Model(BaseModel):
        field: int

    return Model


def test_a_model_is_built_at_its_first_use_inside_and_when_it_is_defined_outside() -> None:
    with lean_models():
        inside = model()
    assert (inside.__pydantic_complete__, model().__pydantic_complete__) == (False, True)
    assert inside.model_validate({"field": "1"}).model_dump() == {"field": 1}
    assert inside.__pydantic_complete__


def test_the_library_of_the_agent_client_protocol_is_imported_so() -> None:
    program = (
        "from actors.adapters.acp_library import AcpSession; from acp.schema import PromptRequest;"
        "print(PromptRequest.model_fields['session_id'].description, PromptRequest.__pydantic_complete__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "None False"
