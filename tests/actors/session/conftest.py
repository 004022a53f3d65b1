"""The session that a test gets, with a program that plays its agent; nothing of it survives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actors.session.test_agent_session import PATIENCE_S, Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    for session in made.sessions:
        session.close(PATIENCE_S)
