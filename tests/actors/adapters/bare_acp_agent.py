"""A stand-in without any library: it answers each method with what the test says, and writes down what it was asked.

HOME/answers.json: method → answers, one for each call, the last for all further ones. An answer has "result" or
"error", before it "updates" (of the session) and "asks" (requests to the client), and may
"hold" until the next request.
HOME/asked.jsonl gets each message of the client.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

HOME = Path(os.environ["HOME"])
ANSWERS: dict[str, list[dict[str, Any]]] = json.loads((HOME / "answers.json").read_text())


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def answer(request: dict[str, Any]) -> None:
    answers = ANSWERS.get(request["method"])
    if not answers:
        send(id=request["id"], error={"code": -32601, "message": f"Method not found: {request['method']}"})
        return
    one = answers.pop(0) if len(answers) > 1 else answers[0]
    for update in one.get("updates", ()):
        send(method="session/update", params={"sessionId": "bare-1", "update": update})
    for number, (method, params) in enumerate(one.get("asks", ())):
        send(id=f"ask-{number}", method=method, params=params)
    if one.get("hold"):
        held.append((request, one))
    elif "error" in one:
        send(id=request["id"], error=one["error"])
    else:
        send(id=request["id"], result=one.get("result", {}))


held: list[tuple[dict[str, Any], dict[str, Any]]] = []
with (HOME / "asked.jsonl").open("a") as asked:
    for line in sys.stdin:
        asked.write(line)
        asked.flush()
        message = json.loads(line)
        if "method" in message and "id" in message:
            answer(message)
            while held and held[0][0] is not message:
                request, one = held.pop(0)
                send(id=request["id"], result=one.get("result", {}))
