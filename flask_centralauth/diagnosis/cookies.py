"""Checks of the session cookie: will browsers keep it, send it, and to us only?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from ..setting_checks import is_loopback
from .findings import Finding, Setup, ok, problem, warning

FLASK_DEFAULT_NAME: Final = "session"


def check_cookies(setup: Setup) -> Iterator[Finding]:
    """Look at the flags, scope and name of the session cookie."""
    interface, app = setup.app.session_interface, setup.app
    secure, samesite = interface.get_cookie_secure(app), interface.get_cookie_samesite(app)
    yield _secure(setup, secure)
    yield _samesite(secure, samesite)
    yield _scope(setup)
    if interface.get_cookie_httponly(app):
        yield ok("cookie-httponly", "Scripts cannot read the session cookie.")
    else:
        yield warning(
            "cookie-httponly",
            "SESSION_COOKIE_HTTPONLY is off: one injected script steals every login.",
            "Leave SESSION_COOKIE_HTTPONLY at its default, True.",
        )
    yield _name(interface.get_cookie_name(app))


def _secure(setup: Setup, secure: bool) -> Finding:
    over_http = setup.callback_url is None and setup.in_development
    scheme = urlsplit(setup.callback_url or "").scheme or ("http" if over_http else "")
    if secure and scheme == "http":
        return problem(
            "cookie-secure",
            "SESSION_COOKIE_SECURE is on, but the application is reached over http: browsers drop the "
            "session cookie and nobody stays logged in.",
            "Switch SESSION_COOKIE_SECURE off for development on http, or serve https.",
        )
    if not secure and scheme != "http":
        return warning(
            "cookie-secure",
            "SESSION_COOKIE_SECURE is off: the session cookie also travels over http.",
            "Set SESSION_COOKIE_SECURE = True where the application is reached over https.",
        )
    return ok(
        "cookie-secure", "Sent over https only." if secure else "Sent over http too, as this address needs."
    )


def _samesite(secure: bool, samesite: str | None) -> Finding:
    if samesite == "None" and not secure:
        return problem(
            "cookie-samesite",
            'SESSION_COOKIE_SAMESITE is "None" without SESSION_COOKIE_SECURE: browsers drop such a cookie.',
            'Set SESSION_COOKIE_SAMESITE = "Lax", or switch SESSION_COOKIE_SECURE on.',
        )
    if samesite == "Strict":
        return problem(
            "cookie-samesite",
            'SESSION_COOKIE_SAMESITE is "Strict": browsers hold the session cookie back on the way from '
            "CentralAuth to the page after login.",
            'Set SESSION_COOKIE_SAMESITE = "Lax".',
        )
    if samesite == "None":
        return warning(
            "cookie-samesite",
            'SESSION_COOKIE_SAMESITE is "None": other sites can send requests with the login of your users.',
            'Set SESSION_COOKIE_SAMESITE = "Lax" unless the application is shown in frames of other sites.',
        )
    return ok("cookie-samesite", f"SameSite is {samesite or 'left to the browser'}.")


def _scope(setup: Setup) -> Finding:
    """Compare the cookie's domain and path with the address CentralAuth sends people to."""
    interface, app = setup.app.session_interface, setup.app
    domain, path = interface.get_cookie_domain(app), interface.get_cookie_path(app)
    callback = urlsplit(setup.callback_url or "")
    host = callback.hostname or ""
    bare = (domain or "").lstrip(".").lower()
    if bare and host and host != bare and not host.endswith(f".{bare}"):
        return problem(
            "cookie-scope",
            f"SESSION_COOKIE_DOMAIN is {domain}, but people come back to {host}: browsers refuse the cookie.",
            "Leave SESSION_COOKIE_DOMAIN out, or set it to that host or a parent of it.",
        )
    if path != "/" and callback.path and not f"{callback.path}/".startswith(f"{path.rstrip('/')}/"):
        return problem(
            "cookie-scope",
            f"SESSION_COOKIE_PATH is {path}, which does not cover {callback.path}.",
            "Leave SESSION_COOKIE_PATH out, or set it to a path above both the pages and the callback.",
        )
    if bare and is_loopback(bare):
        return warning(
            "cookie-scope",
            f"SESSION_COOKIE_DOMAIN is {domain}; several browsers refuse a domain of this machine.",
            "Leave SESSION_COOKIE_DOMAIN out.",
        )
    return ok(
        "cookie-scope", f"It is sent to {domain or 'the host that set it'}, for every address below {path}"
    )


def _name(name: str) -> Finding:
    if name == FLASK_DEFAULT_NAME:
        return warning(
            "cookie-name",
            f"The session cookie has Flask's default name, {name}. Cookies do not tell ports apart: another "
            "Flask application on the same host name takes it over and signs people out.",
            'Set SESSION_COOKIE_NAME to a name of this application, for example "shop_session".',
        )
    return ok("cookie-name", f"The session cookie is called {name}.")
