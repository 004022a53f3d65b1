"""The one exception tree. Pure; imported everywhere.

Whose fault is it? `UserError`: what the user typed or configured; shown as one line, exit status 2. `AgentError`: a
coding agent or its provider. `OperationalError`: a process, disk or link that failed. `ProtocolError`: two parts of
this program disagree: a bug here, reported as one.

Foreign errors are recognised once, at the edge that meets them, and become one of these.

A `PermanentError` means that a retry cannot help: a bad value, a missing file, a wrong version. An actor that raises
one at its start exits with `EXIT_PERMANENT`, as in s6. Its supervisor does not restart it.
"""

EXIT_PERMANENT = 125


class LoopError(Exception):
    """Base of all errors this project raises on purpose. Never raised itself."""


class PermanentError(LoopError):
    """A retry cannot help before something is changed. Never raised itself."""


class UserError(PermanentError):
    """The user's input or set-up is wrong. The text names the offending value and says what to do next."""


class BadFileError(UserError):
    """A file or directory cannot be used as it is: its kind, size, content or owner. `reason` is without its name."""

    def __init__(self, path: object, reason: str = "") -> None:
        super().__init__(f"{path}: {reason}" if reason else str(path))  # one text: as it comes over the wire
        self.reason = reason


class MissingFileError(BadFileError):
    """There is no such file."""


class AgentError(LoopError):
    """A coding agent failed."""


class AgentUnavailableError(AgentError, UserError):
    """The agent cannot be started here: missing, not logged in, refused as root. The text names the next step."""


class AgentUnusableError(AgentUnavailableError):
    """The agent can be started, but not with what the user asked for: its version, a session, a value of an option.

    Each try would meet the same, so there is no second one.
    """


class AgentDiedError(AgentError):
    """The agent's process ended, or its connection broke, while we needed it. The session can be resumed."""


class AgentBreachError(AgentError):
    """The agent broke its protocol: its data is not a message. Its program is unusable, and the turn has failed."""


class SessionNotFoundError(AgentError):
    """The agent does not know the session id that we asked it to resume."""


class OperationalError(LoopError):
    """A process, disk, socket or peer failed; the user's input is not the cause."""


class JournalError(OperationalError):
    """The journal cannot be opened, read or written."""


class JournalUnusableError(JournalError, PermanentError):
    """The file is not a journal, is damaged, or was written by another version."""


class JournalConflictError(OperationalError):
    """A write was refused: the stream is not at the version the writer expected, or the writer's epoch is fenced."""


class UndeliverableError(OperationalError):
    """A message could not be handed over: unknown or dead recipient, or no answer in time."""


class RecipientEndedError(UndeliverableError):
    """The recipient ended while serving a request. The request may be the cause, so its successor does not get it."""


def described(error: BaseException) -> str:
    """The error's class and text, for the user. Works also when the error's own `__str__` raises."""
    try:
        text = str(error)
    except BaseException:  # foreign code may define it badly
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ProtocolError(LoopError):
    """Two parts of this program disagree (unknown kind, bad bytes, illegal event). Please report it."""


class IllegalEventError(ProtocolError, PermanentError):
    """An event that this state does not allow. Raised by machines; the state is unchanged."""
