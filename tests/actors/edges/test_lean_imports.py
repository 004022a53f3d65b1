"""Models that are imported without the docstrings of their attributes."""

from __future__ import annotations

import subprocess
import sys

from pydantic import BaseModel, ConfigDict

from actors.edges.lean_imports import no_attribute_docstrings


def description() -> str | None:
    class Model(BaseModel):
        model_config = ConfigDict(use_attribute_docstrings=True)

        field: int
        """What it is."""

    assert Model.model_validate({"field": "1"}).field == 1
    return Model.model_fields["field"].description


def test_no_source_is_read_inside_and_it_is_read_again_outside() -> None:
    with no_attribute_docstrings():
        assert description() is None
    assert description() == "What it is."


def test_the_library_of_the_agent_client_protocol_is_imported_so() -> None:
    program = (
        "from actors.adapters.acp_library import AcpSession; from acp.schema import PromptRequest;"
        "print(PromptRequest.model_fields['session_id'].description)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "None"
