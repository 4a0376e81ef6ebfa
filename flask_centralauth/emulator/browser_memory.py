"""Who is logged in here, in this very browser: what autologin and affirmation look at.

Source: ``CentralAuth: autologin``. Only kept while the setting is on.
"""

from __future__ import annotations

from typing import Final

from flask import Response, request

from .entities import User
from .service import Service

_NAME: Final = "ca-emu"


def _cookie_name() -> str:
    # The prefix keeps neighbour hosts from planting one (RFC 6265bis); it needs https.
    return f"__Host-{_NAME}" if request.is_secure else _NAME


def remembered_user(service: Service) -> User | None:
    """Return who logged in with this browser before."""
    with service.lock:
        user_id = service.store.browsers.get(request.cookies.get(_cookie_name(), ""))
    return service.find_user(user_id) if user_id else None


def remember(service: Service, response: Response, user: User) -> Response:
    """Note who logged in with this browser, when the organization wants autologin."""
    if service.settings.autologin:
        key = service.new_id("browser")
        service.keep(service.store.browsers, key, user.id)
        response.set_cookie(
            _cookie_name(), key, httponly=True, samesite="Lax", secure=request.is_secure, path="/"
        )
    return response
