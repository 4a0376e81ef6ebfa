"""An error becomes one right outcome for the person and one right answer for a program.

Browsers are sent back to login with a message, or see a page; everything else gets JSON.
Whoever is sent back and fails again sees a page: no loop.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import quote

from flask import Response, after_this_request, current_app, jsonify, request, session, url_for

from .errors import (
    CentralAuthError,
    ConfigurationError,
    ErrorCode,
    LoginError,
    PermissionDenied,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
)
from .identity import ANONYMOUS, Identity, identity, set_identity
from .incidents import record
from .negotiation import has_bearer, is_htmx, is_navigation
from .notices import notify
from .pages import page
from .redirects import request_target
from .session_guard import UnavailableSession
from .state import EXTENSION_KEY, State, state_of
from .translations import N_, gettext

#: A login that is over so soon after it began would be over again: a page, no redirect.
YOUNG_LOGIN_SECONDS: Final = 30
DEFAULT_RETRY_AFTER: Final = 30
#: The first failure goes back to login; from the second in a row it is a page.
FAILURES_FOR_A_PAGE: Final = 2

_NOTHING_SAVED: Final = N_(
    "You were not signed in any more, so what you sent was not saved. Please send it again."
)


def handle_error(error: CentralAuthError) -> Response:
    """Answer an error raised anywhere in a request.

    Installed for `CentralAuthError`; an application overrides it, or one family, with
    ``errorhandler``.
    """
    response = _answer(state_of(), error)
    record(error, response.status_code)
    if isinstance(error, ServiceUnavailable | RateLimitError):
        response.headers["Retry-After"] = str(error.retry_after or DEFAULT_RETRY_AFTER)
    response.headers["Cache-Control"] = "no-store"
    response.vary.update(("Cookie", "Authorization"))
    return response


def _answer(state: State, error: CentralAuthError) -> Response:
    young = _sign_out(state, error) if _login_is_over(error) else False
    if not is_navigation(request):
        return _json(state, error)
    if error.attempt is not None and isinstance(error, LoginError | SessionError):
        return _back_to_login(state, error, error.attempt.return_to)
    if isinstance(error, SessionError) and not young:
        return _sign_in_again(state, error)
    return _error_page(state, error)


def _login_is_over(error: CentralAuthError) -> bool:
    return (
        isinstance(error, SessionError)
        and error.attempt is None
        and error.error_code not in (ErrorCode.TOKEN_MISSING, ErrorCode.AFFIRMATION_REQUIRED)
    )


def _sign_out(state: State, error: CentralAuthError) -> bool:
    """End the request's login, if it has one, and say whether it had only just begun."""
    login = identity().login
    if login is not None:
        state.users.forget(login)
        state.logins.end(login)
        set_identity(Identity(ANONYMOUS))
        error.ended_login = login
    return error.ended_login is not None and time.time() - error.ended_login.started < YOUNG_LOGIN_SECONDS


def _back_to_login(state: State, error: CentralAuthError, return_to: str) -> Response:
    """Say what went wrong and let the person try once more; then it is a page."""
    # Without a session the failures cannot be counted, and the message not be kept.
    if isinstance(session, UnavailableSession):
        return _error_page(state, error)
    failures = _count_failure(state)
    if failures >= FAILURES_FOR_A_PAGE:
        return _error_page(state, error)
    notify(error.public_message, state.settings.flash_category)
    return _redirect(state.login_url(return_to))


def _count_failure(state: State) -> int:
    """Count the logins of this browser that failed in a row, and return how many."""
    last = state.attempts.last_outcome(request)
    failures = (last[0] if last else 0) + 1
    secure = state.callback_url().startswith("https:")

    @after_this_request
    def remember(response: Response) -> Response:
        state.attempts.save_outcome(response, failures, secure=secure)
        return response

    return failures


def _sign_in_again(state: State, error: CentralAuthError) -> Response:
    """Send the person to login, or to affirmation, and back to the page they wanted."""
    form_sent = request.method not in ("GET", "HEAD")
    return_to = _page_of_form(state) if form_sent else _this_page(state)
    if _login_is_over(error):
        notify(error.public_message, state.settings.flash_category)
    if form_sent:
        notify(gettext(_NOTHING_SAVED), state.settings.flash_category)
    # What the ended login's session id was must not carry on.
    state.logins.renew_session_id()
    if error.error_code == ErrorCode.AFFIRMATION_REQUIRED:
        address = url_for(f"{EXTENSION_KEY}.affirm", return_to=return_to)
    else:
        address = state.login_url(return_to)
    return _redirect(address, 303 if form_sent else 302)


def _this_page(state: State) -> str | None:
    target = request_target(request.root_path, request.path, request.query_string)
    return state.safe_return_to(request, target)


def _page_of_form(state: State) -> str | None:
    """Return the page a refused form was on: never its target, which a GET cannot open."""
    # The one use of Referer: our own origin's, to go back to where the person was.
    checked = state.safe_return_to(request, request.headers.get("Referer"))
    return checked if checked is not None and checked.startswith("/") else None


def _redirect(address: str, status: int = 302) -> Response:
    return current_app.response_class(status=status, headers={"Location": address})


def _json(state: State, error: CentralAuthError) -> Response:
    content: dict[str, str] = {"errorCode": str(error.error_code), "message": error.public_message}
    headers = {}
    if has_bearer(request):
        if error.code == 401:
            headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    elif isinstance(error, SessionError | LoginError):
        content["loginUrl"] = _login_address(state, error)
        if is_htmx(request):
            headers["HX-Redirect"] = _htmx_address(state, content["loginUrl"])
    content["incidentId"] = error.incident_id
    response = jsonify(content)
    response.status_code = error.code or 500
    response.headers.update(headers)
    return response


def _login_address(state: State, error: CentralAuthError) -> str:
    if error.error_code == ErrorCode.AFFIRMATION_REQUIRED:
        return url_for(f"{EXTENSION_KEY}.affirm")
    return state.login_url()


def _htmx_address(state: State, login_address: str) -> str:
    """Return the login address that leads back to the page HTMX is on."""
    current = state.safe_return_to(request, request.headers.get("HX-Current-URL"))
    if current is None or not current.startswith("/"):
        return login_address
    return f"{login_address}{'&' if '?' in login_address else '?'}return_to={quote(current, safe='')}"


def _error_page(state: State, error: CentralAuthError) -> Response:
    wanted = error.attempt.return_to if error.attempt else None
    signed_in = identity().login is not None
    names = [error.error_code, error.family] if error.error_code.isidentifier() else [error.family]
    return page(
        [*(f"centralauth/errors/{name}.html" for name in names), "centralauth/error.html"],
        status=error.code or 500,
        error=error,
        login_url=state.login_url(wanted),
        retry_url=_retry_url(state, error, wanted),
        home_url=f"{request.root_path}/",
        logout_url=url_for(f"{EXTENSION_KEY}.logout") if signed_in else None,
        debug=current_app.debug,
    )


def _retry_url(state: State, error: CentralAuthError, wanted: str | None) -> str | None:
    if isinstance(error, ConfigurationError):
        return None
    if isinstance(error, PermissionDenied) and error.attempt is None:
        return _this_page(state)
    if isinstance(error, ServiceUnavailable | RateLimitError) and error.attempt is None:
        return _this_page(state) or state.login_url()
    return state.login_url(wanted)
