"""The last of all ``after_request`` functions: what the application's own must not undo, and what is left."""

from __future__ import annotations

from flask import Response

from .incidents import record_rest
from .private_pages import amend
from .request_notes import FOR_LAST, PRIVATE, current_request
from .route_headers import insist_on_headers


def last_word(response: Response) -> Response:
    """Keep private pages out of caches, and record what was left to the end of the request.

    On every request of the application: mostly it finds that there is nothing to do.
    """
    current = current_request()
    noted = current.__dict__
    if PRIVATE in noted:
        headers = response.headers
        undecided = noted[PRIVATE]
        # Two are Flask's Content-Type and Content-Length: looking through them would be a tenth of what
        # a guard costs. Were one of them another, ours beside it would prevail.
        if (undecided and len(headers) == 2) or not amend(response, undecided=undecided):
            headers.add("Cache-Control", "no-store")
            headers.add("Vary", "Cookie")
            # Whoever saves the session need not look through them either.
            response.centralauth_varies = True  # type: ignore[attr-defined]
    if FOR_LAST in noted or current.routing_exception is not None:
        record_rest(noted, response)
        insist_on_headers(response)
    return response
