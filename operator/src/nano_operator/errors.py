"""What can go wrong between the operator and the API server.

One root, and below it the distinctions that somebody acts on: refused for good
(tell the user), gone or about to go, in conflict, or out of reach (try again).
"""

from __future__ import annotations

__all__ = [
    "ApiError",
    "ConflictError",
    "NotFoundError",
    "OperatorError",
    "RefusedError",
    "SetupError",
    "TerminatingError",
    "UnavailableError",
    "WatchError",
]


class OperatorError(Exception):
    """Root of the operator's errors."""


class SetupError(OperatorError):
    """The operator cannot start; the message says what the administrator must do."""


class WatchError(OperatorError):
    """A watch cannot go on; a new process may fare better."""


class ApiError(OperatorError):
    """The API server did not do what it was asked.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        reason: Kubernetes' word for it, as in ``AlreadyExists``; may be empty.
        message: What the API server said.
        asked: What it was asked, as in ``patch deployments demo/arena-gate``.
    """

    def __init__(self, status: int, reason: str, message: str, asked: str) -> None:
        super().__init__(status, reason, message, asked)
        self.status = status
        self.reason = reason
        self.message = message
        self.asked = asked

    def __str__(self) -> str:
        return f"{self.asked}: {self.message} ({self.status or 'no answer'})"


class RefusedError(ApiError):
    """The request itself is not acceptable or not allowed; repeating it is no use."""


class TerminatingError(ApiError):
    """The namespace is being deleted, or gone: nothing can be made in it."""


class NotFoundError(ApiError):
    """The object, or its kind, is not there."""


class ConflictError(ApiError):
    """The object exists already, or is another one than the caller thought."""


class UnavailableError(ApiError):
    """No answer, or none now; the same request may succeed later."""
