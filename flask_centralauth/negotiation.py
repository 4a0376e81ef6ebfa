"""What kind of client is asking, and what it can do with an answer.

Only a top-level navigation can follow a redirect to a login page. Everything else gets
an answer a program understands.

Source: Fetch Metadata Request Headers; RFC 9110 §12.5.1 (Accept).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request


def is_prefetch(request: Request) -> bool:
    """Say whether a browser asks in advance, without anybody having clicked."""
    purposes = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"))
    return any("prefetch" in purpose.lower() or "preview" in purpose.lower() for purpose in purposes)


def is_navigation(request: Request) -> bool:
    """Say whether this is surely a person's top-level page visit."""
    mode = request.headers.get("Sec-Fetch-Mode")
    if is_htmx(request) or has_bearer(request):
        return False
    if mode is not None:
        return mode == "navigate" and request.headers.get("Sec-Fetch-Dest", "document") == "document"
    if "X-Requested-With" in request.headers or request.is_json:
        return False
    # Browsers without fetch metadata name text/html; scripts send */* or a JSON type.
    accepted = [mimetype for mimetype, _quality in request.accept_mimetypes]
    return "text/html" in accepted or "application/xhtml+xml" in accepted


def is_htmx(request: Request) -> bool:
    return request.headers.get("HX-Request") == "true"


def has_bearer(request: Request) -> bool:
    """Say whether the client authenticates itself by a token, not by a cookie."""
    return request.headers.get("Authorization", "")[:7].lower() == "bearer "


def is_same_site(request: Request) -> bool:
    """Say whether a state-changing request came from our own origin.

    A browser cannot be made to lie in these headers; a client that sends none of them
    is not a browser and carries no cookies of a victim (attack: logout CSRF).
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    return origin is None or _origin(origin) == _origin(request.host_url)


def _origin(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.scheme, parts.netloc
