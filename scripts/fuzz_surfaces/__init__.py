"""The surfaces of `scripts/fuzz`: one module for each place where foreign input enters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzz_surfaces.surface import Surface

# Name -> module and class. Imported when fed: each needs other parts of the program.
SURFACES = {
    "router": "fuzz_surfaces.router:RouterSurface",
    "control": "fuzz_surfaces.control:ControlSurface",
    "acp": "fuzz_surfaces.acp:AcpSurface",
    "acp-client": "fuzz_surfaces.acp_client:AcpClientSurface",
    "configuration": "fuzz_surfaces.configuration:ConfigurationSurface",
    "run-files": "fuzz_surfaces.run_files:RunFilesSurface",
    "mcp": "fuzz_surfaces.mcp:McpSurface",
    "reviews": "fuzz_surfaces.reviews:ReviewsSurface",
    "terminal": "fuzz_surfaces.terminal:TerminalSurface",
}


def surface_of(name: str) -> type[Surface]:
    """The class of the surface with this name; "module:Class" is one that is not in the table."""
    module, _, cls = SURFACES.get(name, name).partition(":")
    found: type[Surface] = getattr(importlib.import_module(module), cls)
    return found
