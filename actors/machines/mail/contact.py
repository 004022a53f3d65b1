"""Whether the agents come to the bridge at all, as facts. Pure.

An agent may ignore the MCP server that it is given: Gemini does in a folder that it does not trust, others have MCP
switched off. Then nothing fails, and no mail ever comes. So an agent that has finished a turn and has not asked the
bridge anything is absent: the user is told, once a session, and mail to it asks for no answer. To come once in a run is
enough, and may be late: then the user is told that, too.

What the journal says counts, so a bridge that was restarted neither repeats nor forgets. Calls may still wait in the
socket when the turn's end is heard; the bridge serves those before it asks `absent`.
"""

from __future__ import annotations

from actors.machines.mail.events import AgentAbsent, AgentCame, AgentWorked, Event
from actors.machines.mail.state import State
from actors.settings import Role


def came(state: State, role: Role, now_ms: int) -> list[Event]:
    """The agent has asked the bridge something, e.g. which tools there are."""
    return [] if state.contacts[role].came else [AgentCame(role=role, at_ms=now_ms)]


def worked(state: State, role: Role, session_id: str, now_ms: int) -> list[Event]:
    """A turn has finished in this session."""
    contact = state.contacts[role]
    if contact.came or not session_id or session_id == contact.session_id:
        return []
    return [AgentWorked(role=role, session_id=session_id, at_ms=now_ms)]


def awaited(state: State) -> list[Role]:
    """Those who have worked and not come, and of whom the user does not know it yet."""
    return [
        role for role, contact in state.contacts.items() if contact.session_id and not contact.came and not contact.told
    ]


def absent(state: State, role: Role, now_ms: int) -> list[Event]:
    """It had time to come after its turn."""
    return [AgentAbsent(role=role, at_ms=now_ms)] if role in awaited(state) else []
