"""Whether the agents contact the bridge at all, as events. Pure.

An agent may ignore the MCP server that it is given: Gemini does so in an untrusted folder, others have MCP switched
off. Then nothing fails, and no mail ever comes. So an agent that has finished a turn without any request to the bridge
is absent. The user is told once per session, and mail to it asks for no answer. One request per run is enough, and may
be late: the user is told of that too.

The journal is authoritative, so a restarted bridge neither repeats nor forgets. Calls may still wait in the socket when
a turn ends; the bridge serves those before it calls `absent`.
"""

from __future__ import annotations

from actors.machines.mail.events import AgentAbsent, AgentCame, AgentWorked, Event
from actors.machines.mail.state import State
from actors.settings import Role


def came(state: State, role: Role, now_ms: int) -> list[Event]:
    """The agent has sent the bridge a request, e.g. for its list of tools."""
    return [] if state.contacts[role].came else [AgentCame(role=role, at_ms=now_ms)]


def worked(state: State, role: Role, session_id: str, now_ms: int) -> list[Event]:
    """A turn has finished in this session."""
    contact = state.contacts[role]
    if contact.came or not session_id or session_id == contact.session_id:
        return []
    return [AgentWorked(role=role, session_id=session_id, at_ms=now_ms)]


def awaited(state: State) -> list[Role]:
    """The agents that have worked without contact, and that the user has not been told of."""
    return [
        role for role, contact in state.contacts.items() if contact.session_id and not contact.came and not contact.told
    ]


def absent(state: State, role: Role, now_ms: int) -> list[Event]:
    """The agent had time for a request after its turn, and sent none."""
    return [AgentAbsent(role=role, at_ms=now_ms)] if role in awaited(state) else []
