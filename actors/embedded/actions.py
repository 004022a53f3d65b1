"""What the steps of a scenario do: run a command, call the bridge, fail. Runs in the embedded agent's process.

A failure of a command or of the bridge is a result, to which the scenario may react. A fault is none.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from contextlib import suppress
from urllib.parse import urlsplit

from actors.embedded.rpc import INTERNAL_ERROR, Json, RpcError
from actors.embedded.scenario import Fault
from actors.wire.acp_extension import RESETS_AT_MS

BRIDGE_PATIENCE_S = 10.0  # how long a restart of the bridge may take
BRIDGE_RETRY_S = 0.1


async def run_command(command: str, cwd: str) -> tuple[str, bool]:
    """Runs the shell command. Returns its output, with the exit status when that is not 0. Kills it when cancelled.

    The output goes to a file: a server left in the background would hold a pipe open for ever. The command has a
    process group of its own, to be killed whole, but stays in our session, so it ends with us.
    """
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_shell(
            command,
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        output.seek(0)
        text = output.read().decode(errors="replace")
    return (text, True) if status == 0 else (f"{text}\n(exit status {status})".lstrip("\n"), False)


async def call_bridge(server: Json | None, tool: str, arguments: Json) -> tuple[str, bool]:
    """Calls the tool of the MCP server. Returns the text of its result, and whether it is one.

    Retries a refused connection for `BRIDGE_PATIENCE_S`: the bridge may be restarting. Any other failure is a result,
    which the scenario may react to. A call may block for long.
    """
    if server is None:
        return "this session has no bridge", False
    deadline = time.monotonic() + BRIDGE_PATIENCE_S
    while True:
        try:
            answer = await ask_bridge(server, "tools/call", {"name": tool, "arguments": arguments})
            if "error" in answer:
                return f"{tool}: {answer['error']['message']}", False
            result = answer["result"]
            text = "\n".join(block["text"] for block in result["content"] if block["type"] == "text")
            return text, not result.get("isError")
        except ConnectionError as error:  # the bridge is restarting; it recognises a repeated call
            if time.monotonic() > deadline:
                return f"{tool}: {error!r}", False
            await asyncio.sleep(BRIDGE_RETRY_S)
        except (OSError, ValueError, LookupError, TypeError) as error:
            return f"{tool}: {error!r}", False


async def greet_bridge(server: Json) -> None:
    """Lists the MCP server's tools, as real agents do when a session opens; ignores the answer."""
    with suppress(OSError, ValueError):
        await ask_bridge(server, "tools/list", {})


async def ask_bridge(server: Json, method: str, params: Json) -> Json:
    """Sends one request to the stateless MCP server; returns its answer.

    Uses no client library: that takes 0.6 s to import, and an agent restarts after every crash. Raises OSError, and
    ValueError for an invalid answer.
    """
    address = urlsplit(server["url"])
    body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}).encode()
    headers = {header["name"]: header["value"] for header in server["headers"]}
    headers |= {"Host": address.netloc, "Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= {"Accept": "application/json, text/event-stream", "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(f"POST {address.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        said, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if not said:
        raise ConnectionResetError("the bridge ended before it answered")
    status = said.partition(b"\r\n")[0].decode(errors="replace")
    if " 200 " not in status:
        raise ValueError(f"the bridge answered {status!r}")
    found: Json = json.loads(answer)
    return found


async def strike(fault: Fault) -> None:
    """Fails as the fault says. Raises `RpcError`, hangs, or ends the program."""
    if fault.drop:
        os._exit(1)  # as in a crash: no clean-up
    if fault.hang:
        await asyncio.Event().wait()
    if fault.refuses:
        words = {"context": "prompt is too long", "billing": "insufficient_quota"}[fault.refuses]
        raise RpcError(INTERNAL_ERROR, f"scripted fault: {words}")
    data: Json = {"status": fault.status}
    if fault.resets_in_s is not None:
        data[RESETS_AT_MS] = time.time_ns() // 1_000_000 + fault.resets_in_s * 1000
    raise RpcError(fault.status, f"scripted fault: HTTP status {fault.status}", data)
