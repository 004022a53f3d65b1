"""The modules that the threads of a command need, imported before those threads start.

Two threads that import modules of one package at the same time can meet a deadlock. Python ends it by handing one of
them half a module, and the command fails for no reason that the user can see. So each command that works in several
threads at once calls `load` first, in its main thread. tests/shell/test_imports.py holds that.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from actors import adapters

OF_CHECKUPS = (
    "actors.adapters.base",
    "actors.adapters.versions",
    "actors.edges.notify",
    "shell.installation",
    "shell.leftovers",
    "supervisor.private_socket",
    "supervisor.runtime_dirs",
)
OF_HOSTS = ("shell.host_checkups", "supervisor.hosts.join_look", "supervisor.hosts.probe")


def load(modules: Iterable[str] = (), agents: Iterable[str] = ()) -> None:
    """Imports the modules, and those that check these agents."""
    for name in (*modules, *(module for agent in agents for module in adapters.modules_of(agent))):
        import_module(name)
