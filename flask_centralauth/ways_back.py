"""Where a person can go on after an error: to login, to the page they wanted, to their form."""

from __future__ import annotations

import time
from typing import Final

from flask import request

from .attempts import AFFIRM
from .errors import CentralAuthError, EndedLogin, ErrorCode
from .identity import identity
from .redirects import request_target
from .state import State

#: A login that is over so soon after it began would be over again.
YOUNG_LOGIN_SECONDS: Final = 30


def login_address(state: State, error: CentralAuthError, return_to: str | None = None) -> str:
    """Return where the person signs in, or confirms that it is them when that was asked."""
    affirming = error.attempt is not None and error.attempt.purpose == AFFIRM
    if affirming or error.error_code == ErrorCode.AFFIRMATION_REQUIRED:
        return state.url_for("affirm", return_to=return_to)
    return state.login_url(return_to)


def wanted_page(state: State, error: CentralAuthError) -> str | None:
    """Return the page the person wanted, as far as it is known and a GET can open it."""
    if error.attempt is not None:
        return error.attempt.return_to
    if at_login(state) or request.endpoint == state.endpoint("affirm"):
        return state.safe_return_to(request, request.args.get("return_to"))
    if was_form():
        return page_of_form(state)
    # Our own routes are no return path, so the callback's parameters stay out of it.
    target = request_target(request.root_path, request.path, request.query_string)
    return state.safe_return_to(request, target)


def page_of_form(state: State) -> str | None:
    """Return the page a refused form or frame was on: never a form's target, which a GET cannot open."""
    # The one use of Referer: our own origin's, to go back to where the person was.
    checked = state.safe_return_to(request, request.headers.get("Referer"))
    return checked if checked is not None and checked.startswith("/") else None


def was_form() -> bool:
    """Say whether the request was sent by a form, so that it must not be sent again."""
    return request.method not in ("GET", "HEAD")


def at_login(state: State) -> bool:
    """Say whether the error happened at the very place one is sent back to."""
    return request.endpoint in (state.settings.login_view, state.endpoint("login"))


def goes_round(error: CentralAuthError) -> bool:
    """Say whether signing in or affirming has just been done and would end in the same error again."""
    if error.error_code == ErrorCode.AFFIRMATION_REQUIRED:
        login = identity().login
        return login is not None and login.affirmed is not None and is_young(login)
    return is_young(error.ended_login)


def is_young(login: EndedLogin | None) -> bool:
    return login is not None and time.time() - login.started < YOUNG_LOGIN_SECONDS
