"""Pages that only their user may see stay out of every cache, unless the view says otherwise.

Source: RFC 9111 §3.5 (storing answers to authenticated requests), §5.2.2.5 (``no-store``).
"""

from __future__ import annotations

from typing import Final

from flask import Response, after_this_request

from .request_notes import PRIVATE, notes

#: What a view returns that has no headers. Flask asks of every function that is to see an
#: answer whether it is async, which costs as much as finding out who is logged in.
WITHOUT_HEADERS: Final = frozenset({str, bytes, dict, list})

_OWN_PAGES: Final = ("no-store", "private")


def keep_private() -> None:
    """Keep the answer to the current request out of caches, unless its view decides."""
    notes()[PRIVATE] = True
    after_this_request(respect_view)


def respect_view(response: Response) -> Response:
    """Note whether the view has decided. Runs before the application's ``after_request`` functions."""
    if "Cache-Control" in response.headers:
        notes()[PRIVATE] = False
    return response


def insist_on_privacy(response: Response, *, undecided: bool) -> None:
    """Put the headers on a page that only its user may see, whatever ``after_request`` functions did.

    :param undecided: whether the view has left it to us how long its answer may be kept.
    """
    headers = response.headers
    present = headers.get("Cache-Control")
    if present is None or (undecided and not any(word in present.lower() for word in _OWN_PAGES)):
        headers["Cache-Control"] = "no-store"
    else:
        response.vary.update(("Cookie", "Authorization"))
