"""Which views are guarded, which are open, and which are open by mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from .config import Settings
from .errors import ConfigurationError
from .names import spelled_for
from .setting_checks import did_you_mean
from .state import State, in_force, is_auth_route, state_of

#: Set by ``auth_required`` on what it returns: whose users it lets in, see `names`, and those of the
#: guards inside it. And on every function inside it: the guards around.
GUARDED: Final = "__centralauth_guarded__"
INSIDE_GUARD: Final = "__centralauth_inside_guard__"
#: Set by ``public``.
PUBLIC: Final = "__centralauth_public__"
#: Set on the before_request function of ``protect``, likewise.
PROTECTS: Final = "__centralauth_protects__"


def needs_login(state: State, path: str) -> bool:
    """Say whether a guest who visits a path of this application is sent to this login.

    Knows what `auth_required` and `protect` guard, not what views decide themselves.
    """
    endpoint = _endpoint_at(path)
    if endpoint is None:
        return False
    blueprints = endpoint.split(".")[:-1]
    scopes = [None, *(".".join(blueprints[:depth]) for depth in range(1, len(blueprints) + 1))]
    checks = [check for scope in scopes for check in current_app.before_request_funcs.get(scope, ())]
    guards = [current_app.view_functions.get(endpoint), *checks]
    if any(_asks(state, getattr(guard, GUARDED, ())) for guard in guards):
        return True
    asked = [getattr(check, PROTECTS) for check in checks if hasattr(check, PROTECTS)]
    return _asks(state, asked) and not is_exempt(endpoint)


def _asks(state: State, identifiers: Iterable[str]) -> bool:
    """Say whether one of the `CentralAuth` objects that are asked is this one."""
    return any(state_of(current_app, identifier) is state for identifier in identifiers)


def _endpoint_at(path: str, *, redirects: int = 1) -> str | None:
    adapter = current_app.create_url_adapter(request)
    root = request.root_path.rstrip("/")
    if adapter is None or not path.startswith(f"{root}/"):
        return None
    try:
        endpoint, _arguments = adapter.match(path.removeprefix(root).partition("?")[0], method="GET")
    except RequestRedirect as redirect:
        # A slash more at the end. The new address has the host and the prefix of a mount.
        return _endpoint_at(urlsplit(redirect.new_url).path, redirects=0) if redirects else None
    except HTTPException:
        return None
    return str(endpoint)


def is_exempt(endpoint: str) -> bool:
    """Say whether an endpoint stays open below ``protect``."""
    siblings = in_force().siblings
    if is_auth_route(endpoint) or any(endpoint == state.settings.login_view for state in siblings):
        return True
    scope, _, name = endpoint.rpartition(".")
    if name == "static":
        owner = current_app.blueprints.get(scope) if scope else current_app
        # A view that is merely called "static" is none of Flask's (attack: guard that fails open).
        if owner is not None and owner.has_static_folder:
            return True
    view = current_app.view_functions.get(endpoint)
    view_class = getattr(view, "view_class", None)
    return bool(getattr(view, PUBLIC, False) or getattr(view_class, PUBLIC, False))


def mark_guard(guard: Callable[..., Any], view: Callable[..., Any], identifier: str) -> None:
    """Note whose users a guard lets in, and that it is around a function and what that one wraps.

    Where a route serves one of these, the guard is not asked.
    """
    setattr(guard, GUARDED, (identifier, *getattr(view, GUARDED, ())))
    # What is noted of the view itself, `functools.wraps` has copied.
    vars(guard).pop(INSIDE_GUARD, None)
    for inside in _unwrapped(view):
        with suppress(AttributeError):
            setattr(inside, INSIDE_GUARD, (*getattr(inside, INSIDE_GUARD, ()), guard))


def _unwrapped(function: object) -> Iterator[object]:
    """Yield a function and, one in the other, those it was made of."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


def find_open_views(app: Flask) -> list[str]:
    """Return the endpoints, and ``before_request`` functions, whose guard stands above the route.

    There the function inside was registered and the guard is never asked. One that has a guard
    of its own below is right where the other is served elsewhere: pages of one function.
    """
    registered: list[tuple[str, Any]] = list(app.view_functions.items())
    for checks in app.before_request_funcs.values():
        registered += [(getattr(check, "__name__", repr(check)), check) for check in checks]
    # By identity: a view may be an object that is compared, or cannot be hashed.
    served = {id(inside) for _name, function in registered for inside in _unwrapped(function)}
    return [
        name
        for name, function in registered
        if (around := getattr(function, INSIDE_GUARD, ()))
        and not (hasattr(function, GUARDED) and any(id(guard) in served for guard in around))
    ]


def refuse_unusable_pages(settings: Settings) -> None:
    """Raise for a setting that names a page nobody can be sent to.

    Not in ``init_app``: views are mostly registered after it.

    :raises ConfigurationError: names every problem at once.
    """
    views = current_app.view_functions
    named = {
        "CENTRALAUTH_LOGIN_VIEW": settings.login_view,
        "CENTRALAUTH_AFTER_LOGIN": settings.after_login,
        "CENTRALAUTH_AFTER_LOGOUT": settings.after_logout,
    }
    problems = [
        f"{key}: there is no endpoint {endpoint!r}{did_you_mean(endpoint, views) or '.'}"
        for key, endpoint in named.items()
        if endpoint and not endpoint.startswith("/") and endpoint not in views
    ]
    if hasattr(views.get(settings.login_view or ""), GUARDED):
        problems.append("CENTRALAUTH_LOGIN_VIEW: needs a login itself; take @auth_required from it.")
    if problems:
        spelled = [spelled_for(settings.identifier, problem) for problem in problems]
        raise ConfigurationError.of_settings(spelled, separator=" ")


def refuse_open_views() -> None:
    """Raise for a guard that stands where it cannot work, rather than serve the page."""
    open_views = find_open_views(current_app)
    if open_views:
        raise RuntimeError(
            f"@auth_required stands above @app.route for {', '.join(open_views)}, so it guards nothing. "
            "Put @auth_required directly above the function, below the route (or before_request)."
        )
