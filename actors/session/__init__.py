"""One agent's session, kept open beside a mailbox: turns and messages in, events out.

`agent_session`: its thread. `driver`: the turn ledger at work, one turn at a time. `keeper`: the agent's program.
What they decide is pure: `choices` (what is done next, what is steered), `keeping` (when the program is started again,
and when not).
"""

from actors.session.agent_session import AgentSession
from actors.session.listener import SessionListener, SessionStatus
from actors.session.options import SessionOptions

__all__ = ["AgentSession", "SessionListener", "SessionOptions", "SessionStatus"]
