"""What providers' errors mean, by the words in which they were seen."""

import pytest

from actors.adapters.acp_history import failed
from actors.adapters.causes import cause_of, is_limit
from actors.adapters.claude_events import refused
from actors.adapters.codex_protocol import turn_outcome
from actors.messages import Cause, Usage


@pytest.mark.parametrize(
    ("text", "status", "cause"),
    [
        ('API Error: 529 {"type":"error","error":{"type":"overloaded_error"}}', 529, "transient"),
        ("API Error: 529", None, "transient"),
        ("anything", 503, "transient"),
        ("Bad Gateway", None, "transient"),
        ("API Error: Connection error.", None, "transient"),
        ("API Error: Unable to connect to API (ConnectionRefused)", None, "transient"),
        ("read ECONNRESET", None, "transient"),
        ("getaddrinfo EAI_AGAIN api.example.com", None, "transient"),
        ("connect EHOSTUNREACH 10.0.0.1:443", None, "transient"),
        ("stream disconnected before completion: stream closed before response.completed", None, "transient"),
        ("Request timed out", None, "transient"),
        ("Internal error: fetch failed", None, "transient"),
        ("the request took too long: timeout", 400, ""),
        ("Your credit balance is too low to access the API", 400, "billing"),
        ("You exceeded your current quota, please check your plan (insufficient_quota)", 429, "billing"),
        ("You exceeded your current quota. Please retry in 33s.", 429, ""),
        ("Your workspace is out of credits. Ask your workspace owner to refill.", None, "billing"),
        ("anything", 402, "billing"),
        ("Invalid API key · Please run /login", None, "login"),
        ("anything", 401, "login"),
        ("There's an issue with the selected model (opus-99). It may not exist.", 404, "unavailable"),
        ("Unable to connect to API: Self-signed certificate detected", None, "unavailable"),
        ("required MCP servers failed to initialize: tickets", None, "unavailable"),
        ("Prompt is too long", 400, "context"),
        ("Codex ran out of room in the model's context window. Start a new thread.", None, "context"),
        ("This model's maximum context length is 200000 tokens", 400, "context"),
        ("the model refused to answer", 400, ""),
        ("no such file: login.py", None, ""),
        ("", None, ""),
    ],
)  # fmt: skip
def test_an_error_gives_its_cause_away(text: str, status: int | None, cause: Cause):
    assert cause_of(text, status) == cause


def test_too_many_requests_are_a_limit_and_no_money_is_none():
    assert is_limit("slow down", 429)
    assert not is_limit("insufficient_quota", 429)
    assert not is_limit("slow down", 529)


@pytest.mark.parametrize(
    ("kind", "error", "status", "expected"),
    [
        ("rate_limit", "You've hit your limit", 429, ("limited", "")),
        ("rate_limit", "Credit balance is too low", 429, ("failed", "billing")),
        ("billing_error", "anything", 400, ("failed", "billing")),
        ("authentication_failed", "anything", None, ("failed", "login")),
        ("server_error", "API Error: 529 Overloaded", 529, ("failed", "transient")),
        ("unknown", "API Error: Connection closed mid-response", None, ("failed", "transient")),
        ("invalid_request", "Prompt is too long", 400, ("failed", "context")),
        ("invalid_request", "tools.0: bad", 400, ("failed", "")),
    ],
)
def test_claude_says_why(kind: str, error: str, status: int | None, expected: tuple[str, str]):
    outcome = refused(error, kind=kind, status=status, resets_at_s=None)
    assert (outcome.status, outcome.cause) == expected


@pytest.mark.parametrize(
    ("info", "message", "expected"),
    [
        ("serverOverloaded", "Selected model is at capacity", ("failed", "transient")),
        ("internalServerError", "We're having issues", ("failed", "transient")),
        ({"httpConnectionFailed": {"httpStatusCode": 529}}, "no", ("failed", "transient")),
        ({"httpConnectionFailed": {"httpStatusCode": None}}, "no", ("failed", "transient")),
        ({"responseStreamDisconnected": None}, "no", ("failed", "transient")),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, "no", ("limited", "")),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 400}}, "no", ("failed", "")),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 401}}, "no", ("failed", "login")),
        ("usageLimitExceeded", "You've hit your usage limit.", ("limited", "")),
        ("usageLimitExceeded", "Your workspace is out of credits.", ("failed", "billing")),
        ("usageLimitExceeded", "Quota exceeded. Check your plan and billing details.", ("failed", "billing")),
        ("contextWindowExceeded", "Codex ran out of room", ("failed", "context")),
        ("unauthorized", "no", ("failed", "login")),
        ("badRequest", "no", ("failed", "")),
        (None, "stream disconnected before completion", ("failed", "transient")),
    ],
)
def test_codex_says_why(info: object, message: str, expected: tuple[str, str]):
    turn = {"status": "failed", "error": {"message": message, "codexErrorInfo": info}}
    outcome = turn_outcome(turn, "", Usage(), {})
    assert (outcome.status, outcome.cause) == expected


@pytest.mark.parametrize(
    ("code", "message", "data", "expected"),
    [
        (429, "Rate limit exceeded", None, ("limited", "")),
        (429, "Rate limit exceeded", {"details": "insufficient_quota"}, ("failed", "billing")),
        (529, "scripted fault", None, ("failed", "transient")),
        (-32603, "Internal error", {"details": "fetch failed"}, ("failed", "transient")),
        (-32603, "Internal error", {"details": "prompt is too long: 210000 tokens"}, ("failed", "context")),
        (-32000, "Authentication required", None, ("failed", "login")),
        (-32603, "Internal error", None, ("failed", "")),
        (-32603, "Internal error", {"details": "You've hit your 5-hour limit · resets 2:37am (UTC)"}, ("limited", "")),
        (-32603, "Internal error", {"message": "You've hit your usage limit. Try again in 2 hours."}, ("limited", "")),
        (-32603, "Claude AI usage limit reached|1795917480", None, ("limited", "")),
        (-32603, "Internal error", "429 Too Many Requests", ("limited", "")),
        (-32603, "RESOURCE_EXHAUSTED: slow down", None, ("limited", "")),
        (-32603, "usage limit: your credit balance is too low", None, ("failed", "billing")),
        (-32603, "request 1429 is bad", None, ("failed", "")),
    ],
)
def test_an_acp_agent_says_why(code: int, message: str, data: object, expected: tuple[str, str]):
    outcome = failed(code, message, data, "")
    assert (outcome.status, outcome.cause) == expected


@pytest.mark.parametrize(
    ("message", "used_up", "resets_at_ms"),
    [
        ("You've hit your 5-hour limit · resets 2:37am (UTC)", True, None),
        ("You've hit your limit", True, None),
        ("Claude AI usage limit reached|1795917480", True, 1_795_917_480_000),
        ("Rate limit exceeded. Try again later.", False, None),
        ("429 Too Many Requests", False, None),
    ],
)
def test_an_acp_agent_says_in_words_whether_a_window_is_used_up(message: str, used_up: bool, resets_at_ms: int | None):
    outcome = failed(-32603, message, None, "")
    assert (outcome.status, outcome.is_used_up, outcome.resets_at_ms) == ("limited", used_up, resets_at_ms)
