"""What kind of client is asking, and what it can do with an answer.

Only a top-level navigation can follow a redirect to a login page. Everything else gets
an answer a program understands.

Source: Fetch Metadata Request Headers; RFC 9110 §12.5.1 (Accept).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flask import Request

from .redirects import origin_of

_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})


def is_prefetch(request: Request) -> bool:
    """Say whether a browser asks in advance, without anybody having clicked."""
    purposes = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"))
    return any("prefetch" in purpose.lower() or "preview" in purpose.lower() for purpose in purposes)


def is_background(request: Request) -> bool:
    """Say whether a script, an image, a frame or the like asks, as far as the browser tells."""
    return (
        request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        or request.headers.get("Sec-Fetch-Dest", "document") != "document"
        or "X-Requested-With" in request.headers
        or is_htmx(request)
    )


def is_navigation(request: Request) -> bool:
    """Say whether this is surely a person's top-level page visit."""
    if is_background(request) or has_bearer(request) or request.is_json:
        return False
    # No link and no form sends another method.
    if request.method not in {"GET", "HEAD", "POST"}:
        return False
    if "Sec-Fetch-Mode" in request.headers:
        return True
    # Browsers without fetch metadata name text/html; scripts send */* or a JSON type.
    accepted = request.accept_mimetypes
    html = max((quality for mimetype, quality in accepted if mimetype in _HTML), default=0)
    return html > 0 and html >= accepted["application/json"]


def is_in_own_frame(request: Request) -> bool:
    """Say whether a frame on a page of our own origin asks for a page.

    As the browser tells; a page elsewhere cannot make it lie (attack: login in a frame of
    another site).
    """
    headers = request.headers
    return (
        headers.get("Sec-Fetch-Dest") == "iframe"
        and headers.get("Sec-Fetch-Site") == "same-origin"
        and headers.get("Sec-Fetch-Mode") == "navigate"
    )


def is_htmx(request: Request) -> bool:
    return request.headers.get("HX-Request") == "true"


def has_bearer(request: Request) -> bool:
    """Say whether the client authenticates itself by a token, not by a cookie."""
    scheme = request.headers.get("Authorization", "")[:7].lower()
    return scheme in {"bearer", "bearer "}


def is_same_site(request: Request, own_origins: Iterable[str]) -> bool:
    """Say whether a state-changing request came from our own origin.

    A browser cannot be made to lie in these headers; a client that sends none of them
    is not a browser and carries no cookies of a victim (attack: logout CSRF).

    :param own_origins: the origins people see this application at, or URLs there.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    if origin is None:
        return True
    claimed = origin_of(origin)
    return claimed is not None and claimed in map(origin_of, own_origins)
