"""What is noted on the request object for the rest of the request.

Not on ``g``: that outlives a request when a test has pushed an application context of its own. And not in
the WSGI environment (attack: an application called with the environment of another takes its user; a
socket, whose events share one, never signs out).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Request, request

#: The state of the `CentralAuth` object the request is about.
IN_FORCE: Final = "_centralauth_in_force"
#: Of a page that only its user may see: whether its view has left it to us how long it may be kept.
PRIVATE: Final = "_centralauth_private"
#: That something is left for the last ``after_request`` function, which runs on every request.
FOR_LAST: Final = "_centralauth_for_last"

#: Past the proxy, which costs as much as a call.
current_request: Final[Callable[[], Request]] = request._get_current_object  # type: ignore[attr-defined]


def notes() -> dict[str, Any]:
    """Return what is noted on the current request."""
    return current_request().__dict__


def leave_for_last() -> dict[str, Any]:
    """Note that something is left for the last ``after_request`` function, and return the notes."""
    noted = notes()
    noted[FOR_LAST] = True
    return noted


def identity_key(identifier: str) -> str:
    """Return under what is noted who makes the request, as one `CentralAuth` object sees it."""
    return f"_{identifier}_identity"
