"""What a session of the Agent Client Protocol needs, imported at the least CPU. Import AcpSession from here."""

from __future__ import annotations

from actors.edges.imports import lean_models

with lean_models():
    from actors.adapters.acp_session import AcpSession

__all__ = ["AcpSession"]
