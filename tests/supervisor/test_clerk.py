"""What consoles are told without anybody being asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.errors import UserError
from supervisor.clerk import RunClerk
from supervisor.console_wire import LookAtMail
from supervisor.router import Router
from supervisor.run_tree import RunOrder


@pytest.fixture
def router() -> Iterator[Router]:
    with tempfile.TemporaryDirectory(prefix="loop-") as directory:
        router = Router(Path(directory) / "bus")
        yield router
        router.close()


def test_there_is_no_mail_where_one_agent_works_alone(router: Router) -> None:
    order = RunOrder(
        key="sample-12ab/1",
        run_id="1",
        repo_id="sample-12ab",
        directory=Path(),
        cwd=Path(),
        environment={},
        worker="codex",
        reviewer="codex",
        paired=False,
        settings=None,
    )
    desk = router.open_local(order.key, "console", lambda _message, _sender: None)
    clerk = RunClerk(order, router, ref=desk.ref, stop=lambda _reason, _now: None, show=lambda _progress: None)
    with pytest.raises(UserError, match="one agent alone has nobody to write to: there is no mail in this run"):
        clerk.serve(LookAtMail())
