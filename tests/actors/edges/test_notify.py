"""Notifications on their ways: a command, a webhook on loopback, a desktop that is a script."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from pathlib import Path

from actors.edges import notify, processes
from actors.edges.notify import Ways
from actors.machines.notifications import Notification, Notified
from tests.lab.ports import own_port
from tests.lab.webhook import Webhook

SENT = Notification(id="7/1", event="failed", run="7", directory="/d", detail="-n it's over", at="now")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/"}


def deliver(tmp_path: Path, *, timeout_s: float = 20.0, **ways: str | bool) -> dict[str, str]:
    return notify.deliver(Ways(**ways), SENT, ENVIRONMENT, tmp_path, timeout_s=timeout_s)  # type: ignore[arg-type]


def test_a_command_gets_json_and_variables_in_the_directory_of_the_run(tmp_path: Path) -> None:
    command = 'cat > got; echo "$LOOP_EVENT $LOOP_RUN $LOOP_DIRECTORY $LOOP_DETAIL" > said'
    assert deliver(tmp_path, command=command) == {"command": ""}
    assert json.loads((tmp_path / "got").read_text())["detail"] == "-n it's over"
    assert (tmp_path / "said").read_text() == "failed 7 /d -n it's over\n"


def test_a_command_that_fails_says_why_in_its_last_line(tmp_path: Path) -> None:
    results = deliver(tmp_path, command="echo no; echo one >&2; echo two >&2; exit 3")
    assert results == {"command": "two"}
    assert deliver(tmp_path, command="exit 3") == {"command": "exit status 3"}


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    assert "no end within" in deliver(tmp_path, command="sleep 1000", timeout_s=0.2)["command"]


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    left = "setsid sh -c 'echo $$ > pid; exec sleep 1000' & until [ -s pid ]; do sleep 0.01; done"
    assert deliver(tmp_path, command=left) == {"command": ""}
    assert not processes.is_running(int((tmp_path / "pid").read_text()))


def test_a_webhook_gets_each_notification_and_is_tried_again_while_the_fault_may_pass(tmp_path: Path) -> None:
    with Webhook(answers=(503, 200)) as hook:
        assert deliver(tmp_path, webhook=hook.url) == {"webhook": ""}
        assert [each["id"] for each in hook.bodies] == ["7/1", "7/1"]
    with Webhook(answers=(404,)) as hook:
        assert deliver(tmp_path, webhook=hook.url) == {"webhook": "it answered with HTTP 404"}
        assert len(hook.bodies) == 1


def test_a_webhook_that_speaks_no_http_or_does_not_listen_is_a_reason_in_one_line(tmp_path: Path) -> None:
    class Greeting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(b"SSH-2.0-x\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert deliver(tmp_path, webhook=url) == {"webhook": "SSH-2.0-x"}
        server.shutdown()
    assert "refused" in deliver(tmp_path, webhook=f"http://127.0.0.1:{own_port()}")["webhook"]


def test_a_webhook_is_never_followed_to_another_address(tmp_path: Path) -> None:
    with Webhook() as other, Webhook(answers=(302,), location=other.url) as hook:
        assert deliver(tmp_path, webhook=hook.url) == {
            "webhook": "it answered with HTTP 302, a redirect: give the address that it leads to"
        }
        assert other.bodies == []


def test_a_desktop_gets_a_title_and_a_text_that_is_no_option(tmp_path: Path) -> None:
    program = tmp_path / "notify-send"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > shown\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert notify.deliver(Ways(desktop=True), SENT, environment, tmp_path) == {"desktop": ""}
    assert (tmp_path / "shown").read_text().splitlines()[-3:] == ["--", "loop 7 failed", "-n it's over"]


def test_a_desktop_without_a_program_is_a_reason(tmp_path: Path) -> None:
    assert "notify-send" in notify.deliver(Ways(desktop=True), SENT, {"PATH": str(tmp_path)}, tmp_path)["desktop"]


def test_what_the_user_knows_survives_and_a_damaged_file_is_no_fault(tmp_path: Path) -> None:
    known = Notified(key="failed", number=2, failure="webhook: no route")
    notify.write(tmp_path, known)
    assert notify.read(tmp_path) == known
    (tmp_path / notify.FILE).write_text("{")
    assert notify.read(tmp_path) == Notified()
