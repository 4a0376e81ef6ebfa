"""What a person sees of an error, and what a program gets."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from flask import Response, after_this_request, current_app, jsonify, request, session

from .error_codes import FAMILIES
from .errors import (
    CentralAuthError,
    ConfigurationError,
    LoginError,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
)
from .identity import identity
from .login_session import abandon
from .names import UNNAMED
from .negotiation import has_bearer, is_htmx
from .pages import page
from .state import State
from .ways_back import goes_round, login_address, page_of_form, wanted_page

_JSON_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}


def error_page(state: State, error: CentralAuthError) -> Response:
    """Return the page of an error: the application's template, or ours."""
    wanted = wanted_page(state, error)
    return page(
        [*_own_template(error), f"centralauth/errors/{error.family}.html", "centralauth/error.html"],
        status=error.code or 500,
        error=error,
        login_url=login_address(state, error, wanted),
        retry_url=_retry_url(state, error, wanted),
        home_url=f"{request.root_path}/",
        logout_url=state.url_for("logout") if identity().login is not None else None,
        debug=current_app.debug,
    )


def _own_template(error: CentralAuthError) -> list[str]:
    # A code from outside must not name the page of another family, or a path.
    named = error.error_code.isidentifier() and error.error_code not in FAMILIES
    return [f"centralauth/errors/{error.error_code}.html"] if named else []


def _retry_url(state: State, error: CentralAuthError, wanted: str | None) -> str | None:
    if isinstance(error, ConfigurationError):
        return None
    if error.attempt is None and not isinstance(error, LoginError | SessionError):
        # Nobody is signed out by these: the page itself may work next time.
        later = isinstance(error, ServiceUnavailable | RateLimitError)
        return wanted or (state.login_url() if later else None)
    # A code works once, so "again" is a new login (never the callback's own address).
    return login_address(state, error, wanted)


def frame_page(state: State, error: SessionError) -> Response:
    """Return what a guest sees in a frame of our own page: a link that signs in in the whole window."""
    # Back to the page with the frame, which its address names; without one to the frame's.
    outer = page_of_form(state) or wanted_page(state, error)
    _leave_cookies_alone(error)
    return page(
        ["centralauth/framed.html"],
        status=error.code or 401,
        in_own_frame=True,
        error=error,
        login_url=login_address(state, error, outer),
    )


def json_answer(state: State, error: CentralAuthError) -> Response:
    """Return the error in CentralAuth's own shape, without a redirect and without cookies."""
    content: dict[str, str] = {"errorCode": str(error.error_code), "message": error.public_message}
    headers = dict(_JSON_HEADERS)
    if has_bearer(request):
        if error.code == 401:
            headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    elif isinstance(error, SessionError | LoginError):
        content["loginUrl"] = login_address(state, error)
        # A part of the page that loads by itself would lead there again and again.
        if is_htmx(request) and not goes_round(error):
            headers["HX-Redirect"] = _htmx_address(state, content["loginUrl"])
    content["incidentId"] = error.incident_id
    _leave_cookies_alone(error)
    response = jsonify(content)
    response.status_code = error.code or 500
    response.headers.update(headers)
    return response


def _htmx_address(state: State, address: str) -> str:
    """Return the login address that leads back to the page HTMX is on."""
    current = state.safe_return_to(request, request.headers.get("HX-Current-URL"))
    if current is None or not current.startswith("/"):
        return address
    return f"{address}{'&' if '?' in address else '?'}return_to={quote(current, safe='')}"


def _leave_cookies_alone(error: CentralAuthError) -> None:
    """Keep a program's answer from changing what the browser knows.

    Answers to parallel calls overtake each other: one that deletes the session cookie
    would delete the one a login has just set.
    """
    if error.ended_login is not None and not session:
        abandon(session)

    # Registered last, so that it sees what those before it have set.
    @after_this_request
    def without_ours(response: Response) -> Response:
        cookies = response.headers.getlist("Set-Cookie")
        others = [name for name in cookies if not name.removeprefix("__Host-").startswith(UNNAMED)]
        response.headers.setlist("Set-Cookie", others)
        return response
