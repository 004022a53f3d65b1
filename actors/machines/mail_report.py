"""The texts of the bridge's tools: an agent's answers about mail. Pure.

They state only what is known: "delivered" only after evidence from the recipient's side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from actors.machines.mail import MAX_HOPS, Box, CallRepeated, Mail, MailQueued, MailSuppressed, State
from actors.messages import Receipt
from actors.settings import Role

IDS_SHOWN = 20

REPEAT_NOTE = (
    "(You may have read this before: you or the bridge were restarted while it was handed to you. If so, ignore it.)"
)
# The frame says that no human wrote what it holds (prompts.mail).
EDITED_NOTE = "(The human has edited this message.)"


def sent_text(
    state: State, fact: MailQueued | MailSuppressed | CallRepeated, target: Role, names: Mapping[Role, str]
) -> str:
    """The result of send_message, before any report of the recipient's side."""
    peer = names[target]
    match fact:
        case MailSuppressed():
            return (
                f"suppressed, id {fact.mail_id}: this only repeats what {peer} has written to you, so it was not sent."
            )
        case CallRepeated():
            return (
                f"queued before, id {fact.mail_id}: you have already sent this, and its answer may have been lost. "
                "It was not queued again."
            )
        case MailQueued():
            return f"queued, id {fact.mail_id}: {_waits_for(state, fact.mail_id, state.boxes[target], peer)}"


def receipt_text(receipt: Receipt, mail_id: str, peer: str) -> str:
    """The result of send_message, after an early report of the recipient's side."""
    match receipt:
        case "accepted":
            return f"accepted for delivery, id {mail_id}: it is in the hands of {peer}'s session, and not read yet."
        case "seen" | "handled":
            return f"delivered, id {mail_id}: {peer} has it."
        case "failed":
            return f"queued, id {mail_id}: a first attempt to deliver it failed, and it will be tried again."


def fetched_text(state: State, reader: Role, mails: Sequence[Mail], names: Mapping[Role, str]) -> str:
    """The result of receive_messages."""
    in_flight = state.boxes[reader].in_flight
    coming = "" if in_flight is None else f"One more is on its way to you as a prompt, id {in_flight.mail_id}."
    if not mails:
        return f"No messages wait for you. {coming}".strip()
    parts = [
        f"[{number} of {len(mails)}] from {names[mail.sender]}, id {mail.mail_id}\n\n"
        f"{marked_text(mail.text, repeat=mail.repeat, edited=mail.edited)}"
        for number, mail in enumerate(mails, 1)
    ]
    return "\n\n".join([*parts, coming] if coming else parts)


def marked_text(text: str, *, repeat: bool, edited: bool) -> str:
    """The text of a mail, with a note when the recipient may have it already, or its sender did not write it so."""
    notes = [note for note, wanted in ((REPEAT_NOTE, repeat), (EDITED_NOTE, edited)) if wanted]
    return "\n\n".join([*notes, text])


def absent_text(agent: str, label: str, peer: str) -> str:
    """The user's warning of an agent that has not contacted the bridge; `label`: its name for the user."""
    why = "its MCP servers may be switched off: look at its own list of them"
    if "gemini" in agent.casefold():
        why = (
            "Gemini uses no MCP servers in a folder that it does not trust: trust it there, or set "
            "GEMINI_CLI_TRUST_WORKSPACE=true in its environment"
        )
    return f"{label} has not contacted the bridge: it cannot write to {peer} ({why})"


def status_text(state: State, caller: Role, names: Mapping[Role, str], run_id: str) -> str:
    """The result of bridge_status: JSON."""
    peer: Role = "reviewer" if caller == "worker" else "worker"
    status = {
        "run": run_id,
        "you": {"name": names[caller], "role": caller},
        "peer": {"name": names[peer], "role": peer, "can_write_to_you": not state.contacts[peer].is_absent},
        "to_peer": _box(state.boxes[peer]),
        "to_you": _box(state.boxes[caller]),
        "deliveries_in_a_row": {"made": state.hops, "limit": MAX_HOPS},
    }
    return msgspec.json.format(msgspec.json.encode(status), indent=2).decode()


def _waits_for(state: State, mail_id: str, box: Box, peer: str) -> str:
    if box.in_flight is not None and box.in_flight.mail_id == mail_id:
        return f"on its way to {peer}."
    ahead = next(place for place, mail in enumerate(box.waiting) if mail.mail_id == mail_id)
    ahead += box.in_flight is not None
    if ahead:
        return f"{ahead} earlier message{'s' if ahead > 1 else ''} to {peer} {'go' if ahead > 1 else 'goes'} first."
    return (
        f"{state.hops} messages went back and forth without other work: this one waits until a turn of the "
        f"loop has ended. {peer} can fetch it earlier with receive_messages."
    )


def _box(box: Box) -> dict[str, object]:
    in_flight = box.in_flight
    return {
        "queued": _ids(box.waiting),
        "held_by_a_human": _ids(box.held),
        "on_the_way": _ids([in_flight] if in_flight is not None and not in_flight.accepted else []),
        "accepted": _ids([in_flight] if in_flight is not None and in_flight.accepted else []),
        "seen": _ids(box.seen),
        "handled": box.counts.handled,
        "fetched": box.counts.received,
        "suppressed": box.counts.suppressed,
        "dropped_by_a_human": box.counts.dropped,
        "dead": box.counts.dead,
        "last_dead": [{"id": dead.mail_id, "reason": dead.reason} for dead in box.dead],
    }


def _ids(mails: Sequence[Mail]) -> list[str]:
    shown = [mail.mail_id for mail in mails[:IDS_SHOWN]]
    return shown if len(mails) <= IDS_SHOWN else [*shown, f"and {len(mails) - IDS_SHOWN} more"]
