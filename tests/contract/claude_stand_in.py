"""A stand-in for headless `claude` with output that the real one never gives: stream-json on stdin and stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

LONG = 10_000_000
GARBAGE = "{broken \x1b]0;owned\x07"


def send(**message: Any) -> None:
    print(json.dumps(message), flush=True)


for line in sys.stdin:
    asked = json.loads(line)
    if asked["type"] == "control_request":
        answer = {"subtype": "success", "request_id": asked["request_id"]}
        send(type="control_response", response=answer | {"response": {"current_permission_mode": "bypassPermissions"}})
        continue
    if asked["message"]["content"] == "babble":
        print(GARBAGE, flush=True)
        continue
    content = [{"type": "text", "text": "x" * LONG}]
    send(type="assistant", message={"id": "m", "role": "assistant", "content": content})
    send(type="result", subtype="success", is_error=False, user_message_uuids=[asked["uuid"]], usage={})
