"""Who makes the current request: resolved once, at the first question."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from flask import current_app, request

from .config import Settings
from .errors import CentralAuthError, ErrorCode, PermissionDenied, SessionError
from .login_store import Login
from .signals import session_ended
from .state import State, state_of
from .user import AnonymousUser, User
from .visitor import Visitor, visitor_of

log = logging.getLogger("flask_centralauth")

# In the WSGI environment, not on g: g outlives a request when a test has pushed an
# application context of its own.
_ENVIRON_KEY: Final = "flask_centralauth.identity"

ANONYMOUS: Final = AnonymousUser()


@dataclass(frozen=True, slots=True)
class Identity:
    """The user of a request; ``problem`` is why nobody is logged in, where there is a reason."""

    user: User | AnonymousUser
    login: Login | None = None
    problem: CentralAuthError | None = None


def identity() -> Identity:
    """Return who makes the current request. Never raises for what CentralAuth or the store do."""
    known: Identity | None = request.environ.get(_ENVIRON_KEY)
    if known is None:
        known = request.environ[_ENVIRON_KEY] = _resolve(state_of())
    return known


def set_identity(new: Identity) -> None:
    """Replace the identity of the rest of this request, after a login or logout."""
    request.environ[_ENVIRON_KEY] = new


def visitor() -> Visitor:
    """Return the browser of the current request, as CentralAuth is told."""
    return visitor_of(request.remote_addr, request.headers.get("User-Agent"))


def check_policy(user: User, settings: Settings) -> None:
    """Raise `PermissionDenied` when the settings keep this user out.

    Source: "CentralAuth: userinfo" (a blocked user can log in; the application decides).
    """
    if user.organization_id is not None and user.organization_id != settings.client_id:
        raise PermissionDenied(ErrorCode.NO_PERMISSION, "the user belongs to another organization")
    if user.blocked and not settings.allow_blocked:
        raise PermissionDenied(ErrorCode.USER_BLOCKED)
    if settings.require_verified and not user.verified:
        raise PermissionDenied(ErrorCode.USER_NOT_VERIFIED)


def _resolve(state: State) -> Identity:
    login = None
    try:
        login = state.logins.current()
        if login is None:
            return Identity(ANONYMOUS)
        user = state.users.user_of(login, visitor())
        if user is None:
            raise SessionError(ErrorCode.SESSION_INACTIVE, "the login was ended here")
        check_policy(user, state.settings)
        return Identity(user, login)
    except (SessionError, PermissionDenied) as problem:
        assert login is not None, "only a login can be over"
        return _ended(state, login, problem)
    except CentralAuthError as problem:
        # Not knowing is no answer: the session and its cookie stay as they are.
        return Identity(ANONYMOUS, login, problem)


def _ended(state: State, login: Login, problem: CentralAuthError) -> Identity:
    problem.ended_login = login
    state.users.forget(login)
    state.logins.end(login)
    session_ended.send(
        current_app._get_current_object(),  # type: ignore[attr-defined]
        user=None,
        login_id=login.login_id,
        error=problem,
    )
    return Identity(ANONYMOUS, None, problem)
