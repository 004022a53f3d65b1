"""What a console asks one actor, and the report that is made of the answer: mailbox, mail, inspection.

Each runs in the thread of the request, waits no longer than `PATIENCE_S`, and asks `once`: a question that ended an
actor is not passed to its successor. Nothing here knows the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cloudpickle

from actors.errors import UserError
from actors.messages import (
    Applied,
    Apply,
    ChangeMailRequest,
    ListMailRequest,
    MailList,
    MailShown,
    Message,
    Peek,
    Peeked,
    ShowMailRequest,
)
from actors.remote import RemoteRef
from supervisor.control.protocol import (
    ActorReport,
    AnyAnswer,
    ChangeMail,
    DeadLetterReport,
    Done,
    HostReport,
    Inspect,
    MailboxReport,
    MailReport,
    PeekMailbox,
    Refusal,
    ShowMail,
)
from supervisor.dead_letters import DeadLetter
from supervisor.inspections import evaluation, other_python, overview

# An actor answers in milliseconds, unless it is stuck or being replaced. Then the console gets an answer after this
# time.
PATIENCE_S = 2.0


def mailbox(
    request: PeekMailbox, actor: ActorReport, ref: RemoteRef, letters: Callable[[], Iterable[DeadLetter]]
) -> MailboxReport:
    """What is in its mailbox, and the run's dead letters of it. An actor that is down is not asked."""
    peeked = None
    if actor.state not in ("stopped", "dead", "restarting", "starting"):
        peeked = ref.ask(Peek(limit=request.limit), timeout_s=PATIENCE_S, once=True)
    reports = [_dead_letter(each) for each in letters()]
    mine = [each for each in reports if actor.name in (_name(each.sender), _name(each.recipient))]
    first = max(0, len(mine) - request.limit)
    found = peeked if isinstance(peeked, Peeked) else None
    return MailboxReport(
        actor=actor.name,
        state=actor.state,
        doing=actor.doing,
        doing_since_ms=actor.doing_since_ms,
        waiting=found.waiting if found else [],
        handling=found.handling if found else None,
        handled=found.handled if found else [],
        dead_letters=mine[first:],
        stacks=found.stacks if found else "",
    )


def mail(request: ShowMail | ChangeMail, bridge: RemoteRef) -> AnyAnswer:
    """Asks the bridge. A request without an answer may have been carried out; its id makes a repetition safe."""
    match request:
        case ShowMail(mail_id=""):
            question: Message = ListMailRequest(finished=request.finished)
        case ShowMail():
            question = ShowMailRequest(mail_id=request.mail_id)
        case ChangeMail():
            question = ChangeMailRequest(
                change_id=request.change_id, action=request.action, mail_id=request.mail_id, text=request.text
            )
    match bridge.ask(question, timeout_s=PATIENCE_S, once=True):
        case MailList(mails=mails, left_out=left_out):
            return MailReport(mails=mails, left_out=left_out)
        case MailShown(mail=shown):
            return MailReport(mails=[shown])
        case answer:
            return Refusal(text=f"the bridge answered {type(answer).__name__}", in_doubt=True)


def inspection(request: Inspect, actor: ActorReport, ref: RemoteRef, hosts: Iterable[HostReport]) -> AnyAnswer:
    """Evaluates the expression in the actor's process; "" = an overview. Raises `UserError` where its Python is another
    one than ours.
    """
    host = next((each for each in hosts if actor.name in each.actors), None)
    if host is not None and (why := other_python(host.python)):
        raise UserError(f"{actor.name} runs on {host.name} with {why}")
    function = evaluation(request.expression) if request.expression.strip() else overview()
    code = Apply(function=cloudpickle.dumps(function))
    answer = ref.ask(code, timeout_s=PATIENCE_S, once=True)
    return Done(text=answer.text) if isinstance(answer, Applied) else Refusal(text=f"{answer!r}")


def _dead_letter(letter: DeadLetter) -> DeadLetterReport:
    return DeadLetterReport(
        at_ms=letter.at_ms,
        id=letter.message_id,
        sender=letter.sender,
        recipient=letter.recipient,
        kind=letter.kind,
        reason=letter.reason,
        attempts=letter.attempts,
        kept=letter.kept,
    )


def _name(local: str) -> str:
    return local.partition("#")[0]
