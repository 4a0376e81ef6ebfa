"""An error becomes one right outcome for the person and one right answer for a program.

Browsers are sent back to login with a message, or see a page; everything else gets JSON.
Whoever is sent back and fails again sees a page: no loop.
"""

from __future__ import annotations

from typing import Final

from flask import Response, after_this_request, current_app, request, session

from .error_pages import error_page, frame_page, json_answer
from .errors import CentralAuthError, ErrorCode, LoginError, SessionError
from .identity import ANONYMOUS, end_login, identity, set_identity
from .incidents import explain, record
from .known_logins import Identity
from .negotiation import has_bearer, is_in_own_frame, is_navigation
from .notices import clear_notices, notify
from .state import State, about, is_auth_route, state_about
from .translations import N_, gettext
from .unavailable_session import UnavailableSession
from .ways_back import at_login, goes_round, is_young, login_address, wanted_page, was_form

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
    state = state_about(error)
    with about(state):
        return _handle(state, error)


def _handle(state: State, error: CentralAuthError) -> Response:
    explain(error)
    try:
        response = _answer(state, error)
    except CentralAuthError as second:
        # The store went away while we answered: a redirect would only find that again.
        second.facts["while_answering"] = str(error)
        # One incident, one record: the second error's tells of both.
        error.facts["status"] = second.code
        second.attempt = error.attempt
        explain(second)
        error, response = second, _final_answer(state, second)
    response.headers.update(error.own_headers())
    response.vary.update(("Cookie", "Authorization"))
    record(error, response.status_code)
    return response


def _answer(state: State, error: CentralAuthError) -> Response:
    if _ends_login(error):
        _sign_out(state, error)
    if not is_navigation(request):
        if isinstance(error, SessionError) and is_in_own_frame(request):
            return frame_page(state, error)
        return json_answer(state, error)
    if not isinstance(error, SessionError | LoginError) or not _may_go_back(state, error):
        return error_page(state, error)
    if isinstance(error, SessionError) and error.attempt is None:
        return _sign_in_again(state, error)
    return _back_to_login(state, error)


def _final_answer(state: State, error: CentralAuthError) -> Response:
    return error_page(state, error) if is_navigation(request) else json_answer(state, error)


def _ends_login(error: CentralAuthError) -> bool:
    """Say whether somebody who was signed in is so no longer.

    Not while signing in: whoever was in before stays in. And not for being asked to sign
    in, unless CentralAuth itself says so of a login.
    """
    if not isinstance(error, SessionError) or error.attempt is not None or has_bearer(request):
        return False
    asked = error.error_code in (ErrorCode.TOKEN_MISSING, ErrorCode.AFFIRMATION_REQUIRED)
    return error.ended_login is not None or not asked


def _sign_out(state: State, error: CentralAuthError) -> None:
    """End the request's login, unless whoever found the error has ended it."""
    login = identity().login
    if login is None:
        return
    end_login(state, login, error)
    set_identity(state, Identity(ANONYMOUS))


def _may_go_back(state: State, error: CentralAuthError) -> bool:
    """Say whether sending the person to login can help, and cannot go round for ever."""
    # Without a session failures go uncounted and the message is lost.
    if at_login(state) or isinstance(session, UnavailableSession):
        return False
    if error.attempt is not None:
        return True
    if isinstance(error, SessionError):
        return not goes_round(error)
    # A callback that no login of this browser vouches for proves nothing.
    return not is_auth_route(request.endpoint or "") and not is_young(identity().login)


def _back_to_login(state: State, error: CentralAuthError) -> Response:
    """Say what went wrong and let the person try once more; then it is a page."""
    if _count_failure(state) >= FAILURES_FOR_A_PAGE:
        # The page tells what happened now: the last message would be old news after it.
        clear_notices(state)
        return error_page(state, error)
    notify(state, error.public_message)
    return _redirect(login_address(state, error, wanted_page(state, error)))


def _count_failure(state: State) -> int:
    """Count the logins of this browser that failed in a row, and return how many."""
    secure = state.is_https(request)
    last = state.attempts.last_outcome(request, secure=secure)
    failures = (last[0] if last else 0) + 1

    @after_this_request
    def remember(response: Response) -> Response:
        state.attempts.save_outcome(response, failures, secure=secure)
        return response

    return failures


def _sign_in_again(state: State, error: SessionError) -> Response:
    """Send the person to login, or to affirmation, and back to the page they wanted."""
    return_to = wanted_page(state, error)
    if _ends_login(error):
        notify(state, error.public_message)
    if was_form():
        notify(state, gettext(_NOTHING_SAVED), until_seen=True)
    return _redirect(login_address(state, error, return_to))


def _redirect(address: str) -> Response:
    # 303: a form is never sent again.
    status = 303 if was_form() else 302
    return current_app.response_class(status=status, headers={"Location": address})
