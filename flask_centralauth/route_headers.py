"""The headers of the auth routes, and of whatever else sends a browser to CentralAuth."""

from __future__ import annotations

from typing import Final

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from .pages import OWN_FRAME, ROUTE_HEADERS
from .request_notes import leave_for_last
from .state import is_auth_route

_MARK: Final = "centralauth_route"
#: What an ``after_request`` of the application must not undo: a cache would hand out
#: somebody's login, and CentralAuth refuses logins without a referrer where it checks it.
_LASTING: Final = ("Cache-Control", "Referrer-Policy")


def redirect(address: str, status: int) -> Response:
    """Return a redirect with the headers of the auth routes.

    Not Werkzeug's: that one rewrites the address.
    """
    response = current_app.response_class(status=status, headers={"Location": address})
    return protect_route(response)


def protect_route(response: Response) -> Response:
    """Put the headers of the auth routes on a response."""
    setattr(response, _MARK, True)
    leave_for_last()
    response.headers.update(ROUTE_HEADERS)
    if OWN_FRAME in response.headers.get("Content-Security-Policy", ""):
        # Two headers for one rule; older browsers know only this one.
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
    # An HTML page here is one of ours, which has its own policy, or one the application
    # answers in our place, which needs its own styles.
    if response.mimetype != "text/html" or "Location" in response.headers:
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.vary.add("Cookie")
    return response


def insist_on_headers(response: Response) -> None:
    """Restore what the application's own ``after_request`` functions changed. Runs last of all."""
    if response.status_code == 405 and _is_refused_method():
        protect_route(response)
    if hasattr(response, _MARK):
        for name in _LASTING:
            response.headers[name] = ROUTE_HEADERS[name]


def _is_refused_method() -> bool:
    """Say whether a route of ours was asked with a method it does not have: Flask answers that itself."""
    refusal = request.routing_exception
    adapter = current_app.create_url_adapter(request)
    if not isinstance(refusal, MethodNotAllowed) or not refusal.valid_methods or adapter is None:
        return False
    try:
        endpoint, _arguments = adapter.match(method=next(iter(refusal.valid_methods)))
    except HTTPException:
        return False
    return is_auth_route(str(endpoint))
