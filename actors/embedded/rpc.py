"""The errors of the embedded agent's side of JSON-RPC and of the Agent Client Protocol. Pure."""

from __future__ import annotations

from typing import Any

from actors.errors import LoopError

Json = dict[str, Any]

# JSON-RPC and ACP error codes
INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR, NOT_FOUND = -32600, -32601, -32602, -32603, -32002


class RpcError(LoopError):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str, data: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data

    def described(self) -> Json:
        """The JSON-RPC error object."""
        return {"code": self.code, "message": str(self), "data": self.data}
