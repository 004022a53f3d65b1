"""The names of the tools that an agent offers the model, and which of them are the bridge's.

Pure. Each agent puts a prefix of its own before the tools of an MCP server; some have a `send_message` themselves.
"""

from __future__ import annotations

import msgspec


class OfferedTools(msgspec.Struct, frozen=True):
    """`names` as the request has them; `default`: the prefix of the bridge's tools where none of them is offered.

    `in_code`: the tool that runs code, and the bridge's name in that code, where that is the only way.
    `describes_commands`: the shell tool takes a description.
    """

    names: tuple[str, ...]
    default: str
    in_code: tuple[str, str] | None = None
    describes_commands: bool = True

    def of_bridge(self, tool: str) -> str:
        """The agent's name for this tool of the bridge."""
        mine = (name for name in self.names if name.endswith(tool) and "bridge" in name.removesuffix(tool))
        return next(mine, self.default + tool)
