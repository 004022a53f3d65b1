"""The protocol's methods: sessions are made, loaded, listed, prompted and cancelled. asyncio's thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from acp import PROTOCOL_VERSION, RequestError
from acp.interfaces import Client
from acp.schema import (
    AgentCapabilities,
    ClientCapabilities,
    CloseSessionResponse,
    Implementation,
    InitializeResponse,
    ListSessionsResponse,
    LoadSessionResponse,
    McpCapabilities,
    NewSessionResponse,
    PromptCapabilities,
    PromptResponse,
    SessionCapabilities,
    SessionCloseCapabilities,
    SessionInfo,
    SessionListCapabilities,
)

from actors import values
from actors.edges import environments, git, run_dir
from actors.errors import LoopError, UserError
from shell import output, run_files
from shell.acp.link import reserve
from shell.acp.prompt import text_of
from shell.acp.session import LONGEST_TITLE, Session
from shell.run_files import RunFiles

SESSIONS_IN_A_PAGE = 50
MOST_SESSIONS = 32  # of one client, at once
INVALID_PARAMS, INTERNAL_ERROR, NOT_FOUND = -32602, -32603, -32002


class LoopAgent:
    """The methods of `acp.interfaces.Agent` that there are; the library refuses the others."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._client: Client | None = None
        self._sessions: dict[str, Session] = {}

    def on_connect(self, conn: Client) -> None:
        """The library's own hook."""
        self._client = conn

    async def initialize(
        self,
        protocol_version: int,  # noqa: ARG002 - there is one version
        client_capabilities: ClientCapabilities | None = None,  # noqa: ARG002
        client_info: Implementation | None = None,  # noqa: ARG002
        **_more: Any,
    ) -> InitializeResponse:
        """There is no way to log in: each agent of a run has its own login, which `loop doctor` looks at."""
        return InitializeResponse(
            protocol_version=PROTOCOL_VERSION,
            agent_capabilities=AgentCapabilities(
                load_session=True,
                prompt_capabilities=PromptCapabilities(embedded_context=True, image=False, audio=False),
                mcp_capabilities=McpCapabilities(http=False, sse=False),
                session_capabilities=SessionCapabilities(
                    list=SessionListCapabilities(), close=SessionCloseCapabilities()
                ),
            ),
            auth_methods=[],
            agent_info=Implementation(name="loop", title="loop", version=version("pairloop")),
        )

    async def new_session(self, cwd: str, mcp_servers: list[Any] | None = None, **_more: Any) -> NewSessionResponse:
        """Checks that a run can start in `cwd`, and reserves its id."""
        place = _directory(cwd)
        self._check_room()
        try:
            reserved = await reserve(self._words, place)
        except LoopError as error:
            raise _refusal(error) from error
        session = self._open(reserved.key, Path(reserved.directory), place)
        session.servers = [output.shown(str(each.name)) for each in mcp_servers or ()]
        return NewSessionResponse(session_id=session.key)

    async def load_session(
        self, cwd: str, session_id: str, mcp_servers: list[Any] | None = None, **_more: Any
    ) -> LoadSessionResponse:
        """Opens a run that is there: by the id of its session or, in its repository, by the id of the run."""
        place = _directory(cwd)
        if session_id not in self._sessions:
            self._check_room()
        try:
            found, repository = await asyncio.to_thread(_find, session_id, place)
            key = f"{found.directory.parent.name}/{found.run_id}"
            session = self._sessions.get(key)
            if session is None:
                session = self._open(key, found.directory, repository)
            session.servers = [output.shown(str(each.name)) for each in mcp_servers or ()]
            await session.replay()
        except LoopError as error:
            raise _refusal(error) from error
        self._sessions[session_id] = session
        return LoadSessionResponse()

    async def list_sessions(
        self, cwd: str | None = None, cursor: str | None = None, **_more: Any
    ) -> ListSessionsResponse:
        """The runs of the repository of `cwd`, or all runs; the newest first."""
        try:
            first = values.whole_number("the cursor", cursor, least=0, most=1_000_000) if cursor else 0
            found = await asyncio.to_thread(_runs, _directory(cwd) if cwd else None)
        except LoopError as error:
            raise _refusal(error) from error
        page = await asyncio.to_thread(lambda: [_info(each) for each in found[first : first + SESSIONS_IN_A_PAGE]])
        after = first + SESSIONS_IN_A_PAGE
        return ListSessionsResponse(sessions=page, next_cursor=str(after) if after < len(found) else None)

    async def prompt(self, session_id: str, prompt: list[Any], **_more: Any) -> PromptResponse:
        """See `Session.prompt`."""
        session = self._known(session_id)
        try:
            text = text_of(prompt)
        except UserError as error:
            raise _refusal(error) from error
        return await session.prompt(text)

    async def cancel(self, session_id: str, **_more: Any) -> None:
        """See `Session.cancel`."""
        await self._known(session_id).cancel()

    async def close_session(self, session_id: str, **_more: Any) -> CloseSessionResponse:
        """Stops the session's run, if it still works."""
        session = self._known(session_id)
        self._sessions = {name: each for name, each in self._sessions.items() if each is not session}
        await session.close()
        return CloseSessionResponse()

    async def close(self) -> None:
        """The client is gone: stops all runs of ours, side by side, and waits for them."""
        sessions = {id(each): each for each in self._sessions.values()}
        await asyncio.gather(*(each.close() for each in sessions.values()), return_exceptions=True)

    # --- sessions ---

    def _open(self, key: str, directory: Path, cwd: Path) -> Session:
        assert self._client is not None
        session = Session(key, directory, cwd, self._words, self._client)
        self._sessions[key] = session
        return session

    def _known(self, session_id: str) -> Session:
        if session_id not in self._sessions:
            shown = values.shown(session_id)
            raise RequestError(NOT_FOUND, f"no session {shown} is open: session/load opens it", {"uri": session_id})
        return self._sessions[session_id]

    def _check_room(self) -> None:
        if len(self._sessions) >= MOST_SESSIONS:
            raise RequestError(INTERNAL_ERROR, f"{MOST_SESSIONS} sessions are open: close one of them first")


def _refusal(error: LoopError) -> RequestError:
    return RequestError(INVALID_PARAMS if isinstance(error, UserError) else INTERNAL_ERROR, output.shown(str(error)))


def _directory(cwd: str) -> Path:
    place = Path(cwd)
    try:
        is_usable = "\0" not in cwd and place.is_absolute() and place.is_dir()
    except OSError:  # a name that is too long is none
        is_usable = False
    if not is_usable:
        raise RequestError(INVALID_PARAMS, f"cwd must be the absolute path of a directory, not {values.shown(cwd)}")
    return place


def _find(session_id: str, cwd: Path) -> tuple[RunFiles, Path]:
    """The run, and the directory in which it can be resumed."""
    repo, _, run_id = session_id.rpartition("/")
    directory = run_dir.directory_of(environments.home(), repo or git.repository_id(cwd), run_id)
    found = run_files.look_at(directory)
    if found is None:
        raise UserError(f"no run {values.shown(session_id)}: session/list has them all")
    run_files.check_whole(found)
    repository = Path(found.text("repository") or found.text("cwd"))
    return found, repository if repository.is_dir() else cwd


def _runs(cwd: Path | None) -> list[RunFiles]:
    root = run_files.home_runs()
    repositories = [root / git.repository_id(cwd)] if cwd else run_dir.directories(root)
    found = [each for repository in repositories for each in run_files.all_runs(repository)]
    return sorted(found, key=lambda each: each.text("createdAt"), reverse=True)


def _info(found: RunFiles) -> SessionInfo:
    task = ""
    with suppress(LoopError):  # of another version
        settings = run_files.settings_of(found.directory)
        task = settings.task.strip().partition("\n")[0] if settings is not None else ""
    return SessionInfo(
        session_id=f"{found.directory.parent.name}/{found.run_id}",
        cwd=found.text("cwd"),
        title=output.shown(f"{found.state}: {task or 'run ' + found.run_id}")[:LONGEST_TITLE],
        updated_at=found.text("updatedAt") or None,
    )
