"""One small application, its pages with and without a guard, and people who are logged in to it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final

from cachelib import SimpleCache
from flask import Flask, session
from werkzeug.test import EnvironBuilder

from flask_centralauth import CentralAuth, auth_required
from flask_centralauth.emulator import Emulator
from flask_centralauth.login_record import Record
from flask_centralauth.state import State, state_of
from flask_centralauth.user import parse_user
from flask_centralauth.visitor import visitor_digest, visitor_of
from tests.browser_client import USER_AGENT
from tests.services.servers import RedisServer

from .people import person

ADDRESS: Final = "127.0.0.1"
Environ = dict[str, Any]


class CheckedPages:
    """The application. ``/open`` and ``/guarded`` are the same view; both read the session, as pages do."""

    def __init__(self, emulator: Emulator, **config: Any) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.app = Flask("checked_pages", instance_path=str(Path(self._folder.name) / "instance"))
        self.app.config.update(emulator.config, SECRET_KEY="a secret key of benchmarks, long enough")
        self.app.config.update(CENTRALAUTH_CALLBACK_URL="http://127.0.0.1/api/auth/callback", **config)
        CentralAuth(self.app)
        self.app.add_url_rule("/open", "open", open_page)
        self.app.add_url_rule("/guarded", "guarded", guarded_page)
        #: Whether an answer of another process is waited for on every page.
        self.waits = self.app.config["SESSION_TYPE"] == "redis"
        self.state: State = state_of(self.app)

    def sign_in(self, number: int, *, token: str = "a.b.c.d.e", user_id: str | None = None) -> str:
        """Log one more person in, as the callback does, and return their session's cookie."""
        return sign_in(self.app, number, token=token, user_id=user_id)

    def visit(self, path: str, cookie: str) -> Environ:
        """The WSGI environment of a page visit."""
        headers = {"Cookie": f"session={cookie}", "User-Agent": USER_AGENT, "Accept": "text/html"}
        environ: Environ = EnvironBuilder(path, headers=list(headers.items())).get_environ()
        return {**environ, "REMOTE_ADDR": ADDRESS}

    def serve(self, visits: Iterable[Environ]) -> None:
        """Answer page visits, and stop at the first that is not as it should be."""
        for environ in visits:
            # A copy: a server makes a new environment for each request.
            for _ in self.app.wsgi_app(dict(environ), expect_page):
                pass

    def status_of(self, environ: Environ) -> str:
        """Answer one page visit, whatever the answer is; a cookie that comes with it is named too."""
        found: list[str] = []

        def start(status: str, headers: list[tuple[str, str]], *_exc_info: object) -> Any:
            cookie = any(name == "Set-Cookie" for name, _ in headers)
            found.append(f"{status}, and a cookie" if cookie else status)

        for _ in self.app.wsgi_app(dict(environ), start):
            pass
        return found[0]

    def close(self) -> None:
        self._folder.cleanup()


def sign_in(
    app: Flask,
    number: int,
    *,
    token: str = "a.b.c.d.e",
    user_id: str | None = None,
    domain: str = "http://127.0.0.1",
) -> str:
    """Log one more person in to an application, as the callback does, and return their session's cookie."""
    interface: Any = app.session_interface
    user = parse_user(person(number, user_id=user_id))
    with app.test_request_context():
        session["name"] = "a reader"
        digest = visitor_digest(visitor_of(ADDRESS, USER_AGENT))
        state_of(app).logins.start(
            Record(user, time.time(), digest), token=token, domain=domain, lifetime=86_400
        )
        response = app.response_class()
        interface.save_session(app, session._get_current_object(), response)  # type: ignore[attr-defined]
    return SimpleCookie(response.headers["Set-Cookie"])[interface.get_cookie_name(app)].value


def open_page() -> str:
    return str(session.get("name"))


@auth_required
def guarded_page() -> str:
    return str(session.get("name"))


def expect_page(status: str, headers: list[tuple[str, str]], *_exc_info: object) -> Any:
    if status != "200 OK" or headers[-1][0] == "Set-Cookie":
        raise RuntimeError(f"{status} {headers}")


@contextlib.contextmanager
def pages_on(
    engine: str, emulator: Emulator, **config: Any
) -> Iterator[tuple[CheckedPages, RedisServer | None]]:
    """The application on an engine: ``memory`` (a dictionary), ``embedded`` (SQLite) or ``redis``."""
    server: RedisServer | None = None
    client: Any = None
    if engine == "memory":
        # Never full: what is measured here is not its evictions.
        cache = SimpleCache(threshold=10**7, default_timeout=0)
        config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
    elif engine == "redis":
        import redis

        server = RedisServer()
        server.start()
        client = redis.Redis.from_url(server.url)
        config.update(SESSION_TYPE="redis", SESSION_REDIS=client)
    pages = CheckedPages(emulator, **config)
    try:
        yield pages, server
    finally:
        pages.close()
        if server is not None:
            client.close()
            server.close()
