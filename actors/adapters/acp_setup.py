"""Applies the settings to an ACP session: mode, model, effort. Runs in the adapter's loop.

acp_choices.py decides what is chosen. A user's value that the agent does not offer is an `AgentUnusableError` that
lists the offered ones; a refused mode of our own choice is a note.

A mode that the agent leaves by itself is restored, and both changes are noted: another mode would ask an absent user.
`MOST_PUT_BACK` times per session; after that the agent's mode remains, and its requests are granted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from acp import RequestError
from acp.client.connection import ClientSideConnection
from pydantic import ValidationError

from actors.adapters import acp_choices
from actors.adapters.acp_choices import Choice, Pick, UnknownChoiceError, What
from actors.adapters.acp_history import failed, one_line
from actors.adapters.acp_program import AgentProgram
from actors.adapters.base import AgentSettings
from actors.errors import AgentUnusableError

MOST_PUT_BACK = 5


class SessionSetup:
    """The choices of one open session. `note` shows the user a line."""

    def __init__(
        self,
        settings: AgentSettings,
        connection: ClientSideConnection,
        program: AgentProgram,
        session_id: str,
        note: Callable[[str], None],
    ) -> None:
        """Make it right after the answer that opened the session, while `program` still has the raw answer."""
        self._settings = settings
        self._connection = connection
        self._program = program
        self._session_id = session_id
        self._note = note
        self._noted: set[str] = set()
        self._choices: tuple[Choice, ...] = acp_choices.read(program.result)
        self._times_put_back = 0
        self._putting_back: asyncio.Task[None] | None = None

    async def choose_all(self) -> None:
        """Chooses model, effort and mode by the settings, in this order: the choices may depend on the model."""
        await self.choose("model", self._settings.model)
        await self.choose("effort", self._settings.effort)
        await self._choose_mode()

    async def choose(self, what: What, wanted: str) -> None:
        """Chooses this value; "" keeps the agent's own. An agent without this choice keeps its own, too."""
        if not wanted:
            return
        if acp_choices.find(self._choices, what) is None:
            text = f"the agent offers no choice of {what} over ACP: {wanted!r} is not used"
            if text not in self._noted:
                self._noted.add(text)
                self._note(text)
            return
        await self._want(lambda: acp_choices.pick(self._choices, what, wanted))

    async def _choose_mode(self) -> None:
        wanted = self._settings.mode
        mode = acp_choices.find(self._choices, "mode")
        if wanted:
            if mode is None:
                raise self._unusable(f"mode {wanted!r} is not offered: it has no modes")
            await self._want(lambda: acp_choices.pick_mode(self._choices, wanted))
            self._note(f"its mode is {self._shown()}")
            return
        pick = acp_choices.pick_mode(self._choices, "")
        if pick is not None:
            try:
                await self._apply(pick)
            except RequestError as error:
                why = failed(error.code, str(error), error.data, "").error
                self._note(f"the agent refuses to go to mode {pick.shown}: {why}")
                return
        if acp_choices.is_full(self._choices):
            self._note(f"its mode is {self._shown()}: it asks for nothing")
        elif mode is not None:
            self._note(f"its mode is {self._shown()}; no mode works without questions, so every permission is granted")

    async def _want(self, picked: Callable[[], Pick | None]) -> None:
        try:
            pick = picked()
            if pick is not None:
                await self._apply(pick)
        except UnknownChoiceError as error:
            raise self._unusable(str(error)) from error
        except RequestError as error:
            why = failed(error.code, str(error), error.data, "").error
            raise self._unusable(f"it refuses {pick.shown if pick else ''!r}: {why}") from error

    async def _apply(self, pick: Pick) -> None:
        choice = pick.choice
        match choice.how:
            case "set_mode":
                await self._connection.set_session_mode(self._session_id, pick.value)
                self.mode_changed(pick.value, ours=True)
            case "set_model":
                # Not in the package, whose extension methods get an underscore: the program takes it off.
                parameters = {"sessionId": self._session_id, "modelId": pick.value}
                await self._connection.ext_method("session/set_model", parameters)
                self._took(pick)
            case _:
                value = pick.value == "true" if choice.how == "switch" else pick.value
                await self._connection.set_config_option(choice.id, self._session_id, value)
                self._took(pick)
                self.options_changed(self._program.result.get("configOptions"), ours=True)

    def _took(self, pick: Pick) -> None:
        self._choices = acp_choices.with_value(self._choices, pick.choice, pick.value)

    def mode_changed(self, mode: str, *, ours: bool = False) -> None:
        """The session has changed to this mode."""
        self._change(acp_choices.with_mode(self._choices, mode), ours=ours)

    def options_changed(self, found: Any, *, ours: bool = False) -> None:
        """The session's config options are now these, in full."""
        options = tuple(acp_choices.options(found))
        if options:
            kept = {choice.what for choice in options}
            rest = (each for each in self._choices if each.how.startswith("set_") and each.what not in kept)
            self._change((*options, *rest), ours=ours)

    def _change(self, choices: tuple[Choice, ...], *, ours: bool) -> None:
        was_kept, before = self._is_kept(), self._shown()
        self._choices = choices
        if ours or not was_kept or self._is_kept():
            return
        left = f"the agent has left mode {before}: its mode is {self._shown()}"
        if self._times_put_back >= MOST_PUT_BACK:
            self._note(f"{left} and may ask; it left its mode too often to be set back")
        elif self._putting_back is None or self._putting_back.done():
            self._times_put_back += 1
            self._note(f"{left}; setting it back")
            # Not awaited: the connection's reader calls this, and has to read the answer.
            self._putting_back = asyncio.get_running_loop().create_task(self._put_back())

    def _is_kept(self) -> bool:
        """Whether the mode is the user's, or else one that asks for nothing."""
        if not self._settings.mode:
            return acp_choices.is_full(self._choices)
        try:
            mode = acp_choices.find(self._choices, "mode")
            return mode is not None and acp_choices.pick_mode(self._choices, self._settings.mode) is None
        except UnknownChoiceError:  # no longer offered
            return False

    async def _put_back(self) -> None:
        try:
            pick = acp_choices.pick_mode(self._choices, self._settings.mode)
            if pick is not None:
                await self._apply(pick)
        except (RequestError, UnknownChoiceError, ValidationError) as error:
            self._note(f"its mode cannot be set back: {one_line(str(error))}")
        except ConnectionError:  # it is gone, which its turn reports
            pass

    async def close(self) -> None:
        """Cancels pending changes."""
        task, self._putting_back = self._putting_back, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def _shown(self) -> str:
        return acp_choices.shown_mode(self._choices)

    def _unusable(self, why: str) -> AgentUnusableError:
        return AgentUnusableError(f"agent {self._settings.name!r} cannot be used: {why}")
