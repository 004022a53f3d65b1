"""Why a turn failed, where that decides the remedy: the only module that knows providers' error texts. Pure.

Each adapter passes its agent's data: an HTTP status, the agent's own code, the error's text. It stores the result in
`TurnOutcome.cause`. No other module reads an error's text. Only errors are read, never an agent's messages. An unknown
cause is "": the turn has just failed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from actors.messages import Cause

TOO_MANY_REQUESTS = 429

# In this order: the first match counts. A refusal for lack of credit may have any status and mention a limit.
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
    404: "unavailable",  # an unavailable model
    408: "transient",
    413: "context",
}
_SERVER_ERRORS = range(500, 600)


def cause_of(text: str, status: int | None = None) -> Cause:
    """The cause by the error's text; else by its HTTP status."""
    found: Cause = next((cause for cause, words in _PATTERNS.items() if words.search(text)), "")
    if status is None or found in ("billing", "context"):
        return found
    if status in _SERVER_ERRORS:
        return "transient"
    # Any other status is a refusal: its text may mention a timeout, but a retry gets the same answer.
    return _STATUSES.get(status, "" if found == "transient" else found)


# An agent that names no code says it in words only. The first group: a window is used up; else the provider throttles.
_LIMIT_WORDS = re.compile(
    r"(usage[ _]limit|hit your [\w\s-]{0,20}limit|\b(?:session|weekly|five[- ]hour|5[- ]hour) limit (?:reached|hit))"
    r"|rate[ _-]?limit|too many requests|resource[ _]exhausted|\b(?:status|error|code|http)\D{0,12}429\b",
    re.IGNORECASE,
)
_RESETS_AT = re.compile(r"limit reached\|(\d{10})\b")  # Unix s


class SaidLimit(NamedTuple):
    """A limit that only an error's text tells of. `is_window`: of a window, which is used up."""

    is_window: bool
    resets_at_s: int | None


def said_limit(text: str) -> SaidLimit | None:
    """The limit in an error's text; None when it is about something else."""
    found = _LIMIT_WORDS.search(text)
    if found is None or cause_of(text) in ("billing", "context", "login"):
        return None
    ends = _RESETS_AT.search(text)
    return SaidLimit(found[1] is not None, int(ends[1]) if ends else None)


def is_limit(text: str, status: int | None) -> bool:
    """Whether waiting for a window's end helps: too many requests, not a lack of credit."""
    return status == TOO_MANY_REQUESTS and cause_of(text) != "billing"
