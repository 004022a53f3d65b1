"""Receipts of the recipient's side and reports of the run, as events. A receipt without news makes none. Pure."""

from __future__ import annotations

from actors.machines.mail.events import (
    AgentRestarted,
    BridgeRestarted,
    DeliveryFailed,
    Event,
    HopsReset,
    MailAccepted,
    MailDied,
    MailHandled,
    MailSeen,
)
from actors.machines.mail.state import ROLES, State, doubtful_handouts, doubtful_sends, find
from actors.settings import Role

# 1 s, 2 s, 4 s ... 256 s: about eight minutes until a mail is dead. A usage limit of hours is not a failed delivery:
# the owner keeps the mail.
MAX_ATTEMPTS = 10


def accepted(state: State, mail_id: str, now_ms: int) -> list[Event]:
    """The owner has the mail."""
    found = find(state, mail_id)
    if found is None or found.place != "in flight" or found.mail.accepted:
        return []
    return [MailAccepted(mail_id=mail_id, at_ms=now_ms)]


def seen(state: State, mail_id: str, now_ms: int) -> list[Event]:
    """The agent has the mail. Evidence counts even when the attempt was given up meanwhile."""
    found = find(state, mail_id)
    if found is None or not found.was_sent or found.place == "seen":
        return []
    return [MailSeen(mail_id=mail_id, at_ms=now_ms)]


def handled(state: State, mail_id: str, now_ms: int) -> list[Event]:
    """The turn that carried the mail has ended."""
    found = find(state, mail_id)
    if found is None or not found.was_sent:
        return []
    return [MailHandled(mail_id=mail_id, at_ms=now_ms)]


def failed(state: State, mail_id: str, reason: str, now_ms: int) -> list[Event]:
    """The attempt failed. Seen mail is not resent: the agent has it, and would do the work twice."""
    found = find(state, mail_id)
    if found is None or found.place in ("waiting", "held"):
        return []
    if found.place == "seen":
        return [MailDied(mail_id=mail_id, reason=f"seen, but its turn failed: {reason}", at_ms=now_ms)]
    failure = DeliveryFailed(mail_id=mail_id, reason=reason, at_ms=now_ms)
    if found.mail.attempts < MAX_ATTEMPTS:
        return [failure]
    death = f"{found.mail.attempts} attempts failed, the last one: {reason}"
    return [failure, MailDied(mail_id=mail_id, reason=death, at_ms=now_ms)]


def other_work(state: State, reason: str, now_ms: int) -> list[Event]:
    """Something happened that is not mail: hops restart at 0."""
    return [HopsReset(reason=reason, at_ms=now_ms)] if state.hops else []


def restarted(state: State, now_ms: int) -> list[Event]:
    """A new bridge starts from this state. No event when nothing is in doubt."""
    return [BridgeRestarted(at_ms=now_ms)] if any(_doubt(state, role, now_ms) for role in ROLES) else []


def agent_restarted(state: State, role: Role, now_ms: int) -> list[Event]:
    """The agent's program was restarted. No event when nothing is in doubt."""
    return [AgentRestarted(role=role, at_ms=now_ms)] if _doubt(state, role, now_ms) else []


def _doubt(state: State, role: Role, now_ms: int) -> bool:
    return bool(doubtful_sends(state.recent[role], now_ms) or doubtful_handouts(state.boxes[role], now_ms))
