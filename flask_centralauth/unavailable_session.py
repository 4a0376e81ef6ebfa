"""What a request has in place of its session when the store cannot be asked."""

from __future__ import annotations

from typing import Any

from flask.sessions import SessionMixin

from .errors import ErrorCode, ServiceUnavailable


class UnavailableSession(dict[str, Any], SessionMixin):
    """The empty session of a request whose store could not be asked. Never saved."""

    # Flask marks both on access; nothing of this session is ever written.
    modified = False
    accessed = False

    def __init__(self, failure: ServiceUnavailable) -> None:
        super().__init__()
        self.failure = failure
        #: Whether the failure becomes an answer, and is logged with that.
        self.answered = False


def require_store(session: object) -> None:
    """Raise `ServiceUnavailable` when the request's session could not be read."""
    if isinstance(session, UnavailableSession):
        session.answered, failure = True, session.failure
        raise ServiceUnavailable(
            ErrorCode.STORE_UNAVAILABLE, failure.message, retry_after=failure.retry_after, facts=failure.facts
        )
