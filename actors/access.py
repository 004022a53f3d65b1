"""How an actor and its agent reach the run: addresses, tokens, panes. Pure: no socket.

The root makes these values. An actor uses them as they are and never derives one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BRIDGE_PATH = "/mcp"


def bridge_url(port: int) -> str:
    """Where the bridge serves its tools, on a loopback port."""
    return f"http://127.0.0.1:{port}{BRIDGE_PATH}"


@dataclass(frozen=True, kw_only=True)
class BridgeAccess:
    """Where the agent finds the bridge: a loopback MCP endpoint and the bearer token that is its identity."""

    url: str
    token: str


Side = Literal["left", "right"]


@dataclass(frozen=True, kw_only=True)
class PaneAccess:
    """The tmux pane that shows an agent's own TUI."""

    server: str  # path of the tmux server's socket
    session: str
    side: Side
    folder: Path  # for sockets: short, and accessible to the user alone
    root_pid: int  # the run ends with this process
    run_id: str
    resume: str = ""  # the command that resumes the run; "" = the reader is in its directory
    primary: bool = False  # the pane that is selected when the user attaches
