"""Why a turn failed, where that decides the remedy: the only module that knows providers' error texts. Pure.

Each adapter passes its agent's data: an HTTP status, the agent's own code, the error's text. It stores the result in
`TurnOutcome.cause`. No other module reads an error's text. Only errors are read, never an agent's messages. An unknown
cause is "": the turn has just failed.
"""

from __future__ import annotations

import re

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


def is_limit(text: str, status: int | None) -> bool:
    """Whether waiting for a window's end helps: too many requests, not a lack of credit."""
    return status == TOO_MANY_REQUESTS and cause_of(text) != "billing"
