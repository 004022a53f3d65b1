"""Mail between the two agents: queued, delivered with evidence, and handled; or suppressed, received or dead. Pure.

    queued -> in flight -> accepted -> seen -> handled
     |  ^         |            |         `---> dead   (seen, but its turn broke)
     |  |         `------------`---> waiting for the next attempt -> ... -> dead
     |  `---> held  (by the user, until it is released)
     |---> received    (the recipient fetched it itself)
     |---> dropped     (by the user, also when it was held)
     `---> suppressed  (never queued: it was an echo)

The journal has the events, oldest first. The state is their fold. It holds only unfinished mail, some counters, and
what is needed to recognise an echo or a repeated call. So the cost of a mail does not grow with the run.

*Order.* Mail for one recipient goes out in the order of queueing, with one delivery in flight at a time. The
slot becomes free when the mail is seen, not when it is accepted: an accepted mail may still fail, and would then be
overtaken. Mail that waits for its next attempt blocks later mail.

*Users* may hold, release, edit, requeue and drop mail: see `user_changes` for the rules. Each act is an event. A `Book`
has the history of every mail of a run, including mail that the state has forgotten.

*Hops.* A hop is the first delivery of a mail. Both directions count together. The count restarts at 0 when something
happens that is not mail: a turn of the loop ends, or the user acts. At 12 the rest stays queued; the recipient can
still fetch it. Further attempts of the same mail are not hops.

*Evidence.* Only the recipient's side moves a mail out of "in flight". Receipts may come twice, late, or out of order: a
receipt without news makes no event.

*A broken call.* When the bridge dies during a tool call, the agent sees an error and may call again. When the agent
dies, it is resumed without the answer, and may call again too. So after a restart of either, mail that was queued or
fetched in the last two minutes is in doubt. The same text from the same sender to the same target then counts as the
repeated call, once. Fetched mail returns to the head of its queue, marked as a possible repeat. It does not when a
later call of its reader shows that the answer arrived.

*Contact.* An agent that finishes a turn without any request to the bridge is absent: see `contact`.

Inside: events, commands and state are data. calls, receipts and user_changes turn outside happenings into events. fold
is the state after an event; machine decides what follows. history answers consoles.
"""

from actors.machines.mail.calls import (
    fetch,
    is_echo,
    post,
    resolve_target,
)
from actors.machines.mail.commands import (
    Command,
    Deliver,
    Wake,
)
from actors.machines.mail.contact import absent, awaited, came, worked
from actors.machines.mail.events import (
    EVENTS,
    AgentAbsent,
    AgentCame,
    AgentRestarted,
    AgentWorked,
    BridgeRestarted,
    CallRepeated,
    Change,
    DeliveryFailed,
    DeliveryStarted,
    Event,
    HopsReset,
    MailAccepted,
    MailDied,
    MailDropped,
    MailEdited,
    MailHandled,
    MailHeld,
    MailQueued,
    MailReceived,
    MailReleased,
    MailRequeued,
    MailSeen,
    MailSuppressed,
)
from actors.machines.mail.fold import FIRST_RETRY_MS, apply, retry_after_ms
from actors.machines.mail.history import Book, Moment, Status, Story
from actors.machines.mail.machine import (
    advance,
    decide,
    outstanding,
    outstanding_for,
)
from actors.machines.mail.receipts import (
    MAX_ATTEMPTS,
    accepted,
    agent_restarted,
    failed,
    handled,
    other_work,
    restarted,
    seen,
)
from actors.machines.mail.state import (
    DEAD_SHOWN,
    DOUBT_MS,
    MAX_HOPS,
    ROLES,
    Box,
    Contact,
    Counts,
    Mail,
    Sent,
    State,
    initial,
    normalise,
)
from actors.machines.mail.user_changes import Action, change, find_id, short

__all__ = [
    "DEAD_SHOWN",
    "DOUBT_MS",
    "EVENTS",
    "FIRST_RETRY_MS",
    "MAX_ATTEMPTS",
    "MAX_HOPS",
    "ROLES",
    "Action",
    "AgentAbsent",
    "AgentCame",
    "AgentRestarted",
    "AgentWorked",
    "Book",
    "Box",
    "BridgeRestarted",
    "CallRepeated",
    "Change",
    "Command",
    "Contact",
    "Counts",
    "Deliver",
    "DeliveryFailed",
    "DeliveryStarted",
    "Event",
    "HopsReset",
    "Mail",
    "MailAccepted",
    "MailDied",
    "MailDropped",
    "MailEdited",
    "MailHandled",
    "MailHeld",
    "MailQueued",
    "MailReceived",
    "MailReleased",
    "MailRequeued",
    "MailSeen",
    "MailSuppressed",
    "Moment",
    "Sent",
    "State",
    "Status",
    "Story",
    "Wake",
    "absent",
    "accepted",
    "advance",
    "agent_restarted",
    "apply",
    "awaited",
    "came",
    "change",
    "decide",
    "failed",
    "fetch",
    "find_id",
    "handled",
    "initial",
    "is_echo",
    "normalise",
    "other_work",
    "outstanding",
    "outstanding_for",
    "post",
    "resolve_target",
    "restarted",
    "retry_after_ms",
    "seen",
    "short",
    "worked",
]
