"""Who makes the current request: resolved once, at the first question."""

from __future__ import annotations

from typing import Final

from flask import Request, Response, after_this_request, current_app, request

from .errors import CentralAuthError, ErrorCode, PermissionDenied, ServiceUnavailable, SessionError
from .incidents import explain, record_unanswered, record_unchecked
from .known_logins import Identity, Seen
from .login_session import Login
from .negotiation import has_bearer
from .redirects import origin_of
from .request_notes import current_request, notes
from .signals import session_ended
from .state import State, about, in_force
from .user import AnonymousUser
from .visitor import Visitor, visitor_of

ANONYMOUS: Final = AnonymousUser()


def identity(state: State | None = None, *, fresh: bool = False) -> Identity:
    """Return who makes the current request. Never raises for what CentralAuth or the store do.

    :param state: of the `CentralAuth` object that is asked; by default the one in force.
    :param fresh: wait for a check that another request has under way, and have one made where
        an id token stands in for it; without, the answer of before is good enough.
    """
    if state is not None:
        with about(state):
            return identity(fresh=fresh)
    state = in_force()
    current = current_request()
    known: Identity | None = current.__dict__.get(state.identity_key)
    if known is None or (fresh and known.outdated):
        known = _resolve(state, current, fresh=fresh)
    return known


def _resolve(state: State, current: Request, *, fresh: bool = False) -> Identity:
    """Find out who makes a request, and keep it for the rest of it. Asks `state` as the one in force."""
    found: Identity | None = None
    if "HTTP_AUTHORIZATION" in current.environ and has_bearer(current):
        found = _by_token(state, current)
    else:
        seen = (current.remote_addr, current.environ.get("HTTP_USER_AGENT"))
        login_id = state.logins.claimed_id()
        if login_id is not None:
            found = state.users.recall(login_id, seen, fresh)
        if found is None:
            found = _by_session(state, seen, fresh)
    current.__dict__[state.identity_key] = found
    return found


def set_identity(state: State, new: Identity) -> None:
    """Replace the identity of the rest of this request, after a login or logout."""
    notes()[state.identity_key] = new


def visitor() -> Visitor:
    """Return the browser of the current request, as CentralAuth is told."""
    return visitor_of(request.remote_addr, request.headers.get("User-Agent"))


def _by_session(state: State, seen: Seen, fresh: bool) -> Identity:
    login = None
    try:
        login = state.logins.current()
        if login is None:
            return Identity(ANONYMOUS)
        found = state.users.user_of(login, seen, fresh=fresh)
        if found is None:
            raise SessionError(ErrorCode.SESSION_INACTIVE, "the login was ended here")
        return found
    except (SessionError, PermissionDenied) as problem:
        assert login is not None, "only a login can be over"
        return _without_login(state, login, problem)
    except CentralAuthError as problem:
        # Not knowing is no answer: the session and its cookie stay as they are.
        record_unchecked(problem)
        return Identity(ANONYMOUS, login, problem)


def _without_login(state: State, login: Login, problem: CentralAuthError) -> Identity:
    try:
        end_login(state, login, problem)
    except ServiceUnavailable as failure:
        failure.facts["while_ending"] = str(problem)
        record_unchecked(failure)
        return Identity(ANONYMOUS, login, failure)
    return Identity(ANONYMOUS, None, problem)


def _by_token(state: State, current: Request) -> Identity:
    """Judge a request by the token it brings, whatever cookie comes with it."""
    token = current.headers["Authorization"][len("Bearer ") :].strip(" ")
    who = visitor_of(current.remote_addr, current.headers.get("User-Agent"), current.headers.get("device-id"))
    callback_url = state.callback_url()
    try:
        user = state.bearers.user_of(token, domain=origin_of(callback_url) or callback_url, visitor=who)
    except CentralAuthError as problem:
        return Identity(ANONYMOUS, None, problem)
    return Identity(user)


def forget_outcome(state: State) -> None:
    """Forget that the last login worked: a session that ended is no cookie that was lost."""
    current = current_request()

    @after_this_request
    def forget(response: Response) -> Response:
        state.attempts.forget_outcome(response, current)
        return response


def end_login(state: State, login: Login, problem: CentralAuthError) -> None:
    """End a login here because of an error, and tell the listeners.

    Parallel requests learn of it at once: only the one that ended it tells, and leaves a
    record even when the page itself is open to everybody.

    :raises ServiceUnavailable: the session store cannot be asked, so the login lives on.
    """
    user = state.users.forget(login)
    # First: the session may be gone although its login could not be ended.
    forget_outcome(state)
    first = state.logins.end(login)
    problem.ended_login = login
    if first:
        explain(problem)
        record_unanswered(problem)
        session_ended.send(
            current_app._get_current_object(),  # type: ignore[attr-defined]
            user=user,
            login_id=login.login_id,
            error=problem,
        )
