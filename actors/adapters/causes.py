"""Why a turn failed, where that decides what helps: the one place that knows providers' words. Pure.

Each adapter asks here with what its agent gives (an HTTP status, the agent's own word, the error's text) and puts the
answer into `TurnOutcome.cause`; nothing behind the adapters reads an error's text. Only errors are looked at, never
what an agent says. A cause that is not known is "": such a turn has failed, and that is all.
"""

from __future__ import annotations

import re

from actors.messages import Cause

TOO_MANY_REQUESTS = 429

# In this order: the first that is found counts. A refusal for want of money may come as any status and mention a limit.
_WORDS: dict[Cause, tuple[str, ...]] = {
    "billing": (
        r"insufficient[_ ](?:quota|credit|balance|funds)",
        r"billing_(?:error|hard_limit|not_active)",
        r"credit balance",
        r"out of credits?\b",
        r"workspace credit limit",
        r"payment[_ ]required",
        r"quota exceeded\. check your plan",
        r"exceeded your current quota(?!.*\bretry in\b)",
        r"usage[_ ]not[_ ]included",
        r"spend(?:ing)? (?:limit|cap) reached",
    ),
    "context": (
        r"prompt is too long",
        r"context[_ ]?(?:window|length)[_ ]?(?:is )?exceeded",
        r"context window is (?:full|exhausted)",
        r"maximum context length",
        r"room in the model'?s context window",
        r"exceeds? (?:the|its) context",
        r"input is too long",
        r"request too large",
    ),
    "login": (
        r"authentication[_ ](?:failed|error|required)",
        r"(?:invalid|incorrect) (?:x-)?api[ -]key",
        r"not logged in",
        r"run /login",
        r"\bunauthori[sz]ed\b",
        r"invalid_grant",
        r"token (?:has |is )?expired",
    ),
    "unavailable": (r"\bcertificate\b", r"required MCP server"),
    "transient": (
        r"overloaded",
        r"server[_ ]error",
        r"temporarily unavailable",
        r"service unavailable",
        r"bad gateway",
        r"gateway time-?out",
        r"\bE(?:CONN(?:RESET|REFUSED|ABORTED)|TIMEDOUT|PIPE|NOTFOUND|AI_AGAIN|HOSTUNREACH|NETUNREACH|NETDOWN)\b",
        r"socket hang up",
        r"fetch failed",
        r"network error",
        r"network is unreachable",
        r"no route to host",
        r"broken pipe",
        r"connection ?(?:error|reset|refused|closed|aborted|lost|failed|timed out|ended|was )",
        r"unable to connect",
        r"error (?:sending request|decoding response)",
        r"could not resolve",
        r"name or service not known",
        r"name resolution",
        r"getaddrinfo",
        r"dns error",
        r"timed ?out",
        r"\btimeout",
        r"stream (?:disconnected|closed|ended|idle)",
        r"unexpected (?:eof|end of)",
        r"premature",
        r"incomplete (?:chunk|message|response)",
        r"(?:status|error|code|http)\D{0,12}(?:408|425|5\d\d)\b",
    ),
}
_PATTERNS = {cause: re.compile("|".join(words), re.IGNORECASE) for cause, words in _WORDS.items()}

_STATUSES: dict[int, Cause] = {
    401: "login",
    402: "billing",
    403: "unavailable",
    404: "unavailable",  # a model that is not there
    408: "transient",
    413: "context",
}
_SERVER_ERRORS = range(500, 600)


def cause_of(text: str, status: int | None = None) -> Cause:
    """The cause that these words of an error give away; else the one that its HTTP status does."""
    found: Cause = next((cause for cause, words in _PATTERNS.items() if words.search(text)), "")
    if status is None or found in ("billing", "context"):
        return found
    if status in _SERVER_ERRORS:
        return "transient"
    # Any other status is a refusal: its text may speak of a timeout, but asking again gets the same answer.
    return _STATUSES.get(status, "" if found == "transient" else found)


def is_limit(text: str, status: int | None) -> bool:
    """Whether waiting for a window's end helps: too many requests, and not for want of money."""
    return status == TOO_MANY_REQUESTS and cause_of(text) != "billing"
