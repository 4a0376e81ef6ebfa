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
_HEADERS: Final = frozenset({"cache-control", "vary"})


def keep_private() -> None:
    """Keep the answer to the current request out of caches, unless its view decides."""
    notes()[PRIVATE] = True
    after_this_request(respect_view)


def respect_view(response: Response) -> Response:
    """Note whether the view has decided. Runs before the application's ``after_request`` functions."""
    if "Cache-Control" in response.headers:
        notes()[PRIVATE] = False
    return response


def amend(response: Response, *, undecided: bool) -> bool:
    """Set right what a private page says of caches, whoever has said it; False when nobody has.

    :param undecided: whether the view has left it to us how long its answer may be kept.
    """
    for name, _value in response.headers:
        if name.lower() in _HEADERS:
            break
    else:
        return False
    present = response.headers.get("Cache-Control")
    if present is None or (undecided and not any(word in present.lower() for word in _OWN_PAGES)):
        response.headers["Cache-Control"] = "no-store"
    else:
        response.vary.update(("Cookie", "Authorization"))
    return True
