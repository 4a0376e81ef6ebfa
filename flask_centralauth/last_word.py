"""The last of all ``after_request`` functions: what the application's own must not undo, and what is left."""

from __future__ import annotations

from collections.abc import Callable

from flask import Request, Response, request

from .incidents import record_rest
from .private_pages import PRIVATE, insist_on_privacy
from .route_headers import insist_on_headers
from .state import FOR_LAST

#: Past the proxy, which costs as much as a call.
_current_request: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]


def last_word(response: Response) -> Response:
    """Keep private pages out of caches, and record what was left to the end of the request.

    On every request of the application: mostly it finds that there is nothing to do.
    """
    current = _current_request()
    kept = current.__dict__
    if PRIVATE in kept:
        headers = response.headers
        if kept[PRIVATE] and len(headers) == 2:
            # Flask's Content-Type and Content-Length: looking through them, or one call more, would be
            # a tenth of what a guard costs. Were one of them another, ours beside it would prevail.
            headers.add("Cache-Control", "no-store")
            headers.add("Vary", "Cookie")
            # Whoever saves the session need not look through them either.
            response.centralauth_varies = True  # type: ignore[attr-defined]
        else:
            insist_on_privacy(response, undecided=kept[PRIVATE])
    if FOR_LAST in kept or current.routing_exception is not None:
        record_rest(kept, response)
        insist_on_headers(response)
    return response
