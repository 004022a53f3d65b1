"""One agent's session, kept open beside a mailbox: turns and messages in, events out.

`agent_session`: its thread. `driver`: the turn ledger at work, one turn at a time; its parts are `deliveries` (messages
to the agent), `opening` (a program with its session) and `settlement` (ends). `keeper`: the agent's program.
Their decisions are pure: `choices` (the next step, what is steered), `keeping` (whether and when to restart the
program).
"""

from actors.session.agent_session import AgentSession
from actors.session.listener import SessionListener, SessionStatus
from actors.session.options import SessionOptions

__all__ = ["AgentSession", "SessionListener", "SessionOptions", "SessionStatus"]
