"""How the run's thread is opened at a Codex app-server: the log-in, then a new thread or the old one.

Asks over a connection that codex.py has made, in the session's loop. Never starts a program and never waits for the
bridge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from actors.adapters.base import AgentSettings
from actors.adapters.codex_program import KEY_VARIABLE
from actors.adapters.codex_protocol import Json, RequestRefusedError, with_bridge_hint
from actors.errors import AgentDiedError, AgentUnavailableError, SessionNotFoundError

if TYPE_CHECKING:
    from actors.adapters.codex_link import CodexLink

_UP_TO_THE_USER = re.compile(r"failed to load configuration|is archived|required MCP server")
_UNKNOWN_THREAD = re.compile(r"no rollout found|invalid session id|thread not found")


class OpenThread:
    """The run's thread. Its id and its own model are known as soon as Codex has named them."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self.id = ""
        self.model = ""

    async def open(self, link: CodexLink, session_id: str | None) -> None:
        """Begins a thread, or resumes the one with this id. Raises what `base.Agent.open` raises."""
        try:
            await link.initialize()
            await self._log_in(link)
            await (self._begin(link) if session_id is None else self._resume(link, session_id))
        except RequestRefusedError as error:
            if _UP_TO_THE_USER.search(error.message):
                raise AgentUnavailableError(str(error)) from error
            raise
        except AgentDiedError as error:
            if (link.exit_code or 0) > 0:  # it ended by itself, and will again
                raise AgentUnavailableError(f"codex does not start: {link.last_words or error}") from error
            raise

    async def _log_in(self, link: CodexLink) -> None:
        """Logs in by the key variable, which the app-server, unlike `codex exec`, ignores. Writes nothing to disk."""
        key = self._settings.environment.get(KEY_VARIABLE)
        if key:
            await link.request("account/login/start", {"type": "apiKey", "apiKey": key})

    async def _begin(self, link: CodexLink) -> None:
        answer = await link.request("thread/start", await self._thread_settings(link))
        self.id = answer["thread"]["id"]
        self.model = answer["model"]
        pane = self._settings.pane
        if pane is not None:  # it also writes the thread to disk, and the TUI resumes no other
            await link.request("thread/name/set", {"threadId": self.id, "name": f"loop run {pane.run_id}"})

    async def _resume(self, link: CodexLink, session_id: str) -> None:
        params = await self._thread_settings(link) | {"threadId": session_id, "excludeTurns": True}
        try:
            answer = await link.request("thread/resume", params)
        except RequestRefusedError as error:
            if _UNKNOWN_THREAD.search(error.message):
                raise SessionNotFoundError(f"codex does not know session {session_id}: {error.message}") from error
            raise
        self.id = answer["thread"]["id"]
        self.model = self._settings.model or await self._default_model(link) or answer["model"]

    async def _thread_settings(self, link: CodexLink) -> Json:
        """Full access and no questions, since the run is unattended. With a bridge, also instructions to call it."""
        settings = self._settings
        params: Json = {"cwd": str(settings.cwd), "approvalPolicy": "never", "sandbox": "danger-full-access"}
        if settings.model:
            params["model"] = settings.model
        if settings.bridge is not None:
            config = await self._config(link)
            params["developerInstructions"] = with_bridge_hint(config.get("developer_instructions"))
        return params

    async def _config(self, link: CodexLink) -> Json:
        """The user's configuration for this directory, as Codex reads it."""
        answer = await link.request("config/read", {"cwd": str(self._settings.cwd)})
        return dict(answer["config"])

    async def _default_model(self, link: CodexLink) -> str:
        """The default model: a resumed thread reports the model of its last turn, which may differ."""
        config = await self._config(link)
        if config.get("model"):
            return str(config["model"])
        models = await link.request("model/list", {})
        return next((str(model["model"]) for model in models["data"] if model.get("isDefault")), "")
