"""Who may see a page: ``auth_required``, ``protect`` and ``public``.

A guard never fails open: whatever goes wrong while checking is an answer of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, overload

from flask import Blueprint, Flask, Response, after_this_request, current_app, request

from .affirmation import is_affirmed
from .errors import CentralAuthError, ErrorCode, PermissionDenied, ServiceUnavailable, SessionError
from .guarded_views import PROTECTS, PUBLIC, is_exempt, mark_guard
from .identity import identity
from .known_logins import Admission, Identity
from .names import UNNAMED
from .private_pages import WITHOUT_HEADERS, keep_private, respect_view
from .request_notes import PRIVATE, notes
from .state import put_in_force
from .user import User

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V", bound=Callable[..., Any])


@overload
def auth_required(view: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def auth_required(
    *, affirmed_within: float | timedelta | None = None, verified: bool = False, fresh: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def auth_required(
    view: Callable[..., Any] | None = None,
    /,
    *,
    affirmed_within: float | timedelta | None = None,
    verified: bool = False,
    fresh: bool = False,
) -> Callable[..., Any]:
    """Let only logged-in users into a view. Goes *below* ``@app.route``.

    A page visit of anybody else is sent to login and comes back; everything else gets
    401 as JSON. Works bare and with arguments, on functions, async functions and
    ``MethodView.decorators``.

    :param affirmed_within: seconds or timedelta since the user last confirmed that it
        is them.
    :param verified: whether the e-mail address has to be verified.
    :param fresh: whether an answer CentralAuth gave before it became unreachable is not
        good enough.
    """
    guard = guard_of(UNNAMED, affirmed_within=affirmed_within, verified=verified, fresh=fresh)
    return guard if view is None else guard(view)


def guard_of(
    identifier: str,
    *,
    affirmed_within: float | timedelta | None = None,
    verified: bool = False,
    fresh: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the guard that asks one `CentralAuth` object; the rest as for `auth_required`."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        # Asking Flask on every request would cost as much as the check itself.
        served = _awaited(view) if iscoroutinefunction(view) else view
        # Of the application that was served last.
        admits: Admission = _admits_nobody
        is_plain = affirmed_within is None and not verified and not fresh
        needed = {"affirmed_within": affirmed_within, "verified": verified, "fresh": fresh}

        @wraps(view)
        def guarded(*args: Any, **options: Any) -> Any:
            # Every view of a guarded page pays this: no call that can be spared.
            nonlocal admits
            if not (is_plain and admits()):
                admits = put_in_force(identifier).admits
                if is_plain and _is_user(identity()):
                    notes()[PRIVATE] = True
                elif (preflight := _refuse(**needed)) is not None:
                    return preflight
            answer = served(*args, **options)
            if type(answer) is not str and type(answer) not in WITHOUT_HEADERS:
                after_this_request(respect_view)
            return answer

        mark_guard(guarded, view, identifier)
        return guarded

    return decorate


def public(view: V) -> V:
    """Leave a view open below `protect`: a function, or a class-based view."""
    setattr(view, PUBLIC, True)
    return view


def protect(target: Flask | Blueprint, identifier: str = UNNAMED) -> None:
    """Guard every view of an application or blueprint but those marked `public`.

    Static files and the routes of login itself stay open; an unknown address is 404.

    :param identifier: of the `CentralAuth` object whose users are let in.
    """

    def check() -> Response | None:
        endpoint = request.endpoint
        if endpoint is None or is_exempt(endpoint):
            return None
        put_in_force(identifier)
        return _refuse()

    setattr(check, PROTECTS, identifier)
    target.before_request(check)


def require_user(
    *, affirmed_within: float | timedelta | None = None, verified: bool = False, fresh: bool = False
) -> User:
    """Return the logged-in user of the request, or raise what an outsider gets."""
    keep_private()
    fresh = fresh or affirmed_within is not None
    who = identity(fresh=fresh)
    if who.problem is not None:
        raise who.problem
    user = who.user
    if not isinstance(user, User):
        raise SessionError(ErrorCode.TOKEN_MISSING)
    if verified and not user.verified:
        raise PermissionDenied(ErrorCode.USER_NOT_VERIFIED)
    if fresh and user.is_stale:
        raise ServiceUnavailable(ErrorCode.NETWORK_ERROR, "only a fresh answer will do here", retry_after=5)
    if affirmed_within is not None and not is_affirmed(who, affirmed_within):
        raise SessionError(ErrorCode.AFFIRMATION_REQUIRED)
    return user


def _refuse(**needed: Any) -> Response | None:
    """Raise what an outsider gets, or return Flask's own answer to a guest's OPTIONS.

    A CORS preflight carries no cookies. Not the view's answer, which may have named OPTIONS among
    its methods and would show everybody what it shows (attack: guard that fails open).
    """
    try:
        require_user(**needed)
    except CentralAuthError:
        if request.method != "OPTIONS":
            raise
        return current_app.make_default_options_response()
    return None


def _admits_nobody() -> bool:
    return False


def _awaited(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async view as Flask calls one."""
    return lambda *args, **options: current_app.ensure_sync(view)(*args, **options)


def _is_user(who: Identity) -> bool:
    return who.problem is None and isinstance(who.user, User)
