"""One small application, protected by different libraries: what they all have in common.

Each module here makes it in one way. It serves three pages that are the same view: ``/plain`` comes from an
application without any extension, ``/open`` is not protected, ``/guarded`` is. They run in environments of
their own, so nothing here imports flask_centralauth but the module that shows it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests
from flask import Flask, Response, redirect, request, session
from werkzeug.wrappers import Response as WerkzeugResponse

from ..people import person

#: Where a process finds what it serves.
VARIABLE: Final = "BENCHMARK_SITE"
#: What a login leaves behind where a library cannot log in at CentralAuth; as long as the real one.
USER: Final = person(1)
TOKEN: Final = "a" * 330
View = Callable[[], Any]


@dataclass(frozen=True)
class Settings:
    """What a site is told.

    :param module: the module of `benchmarks.sites` that makes it.
    :param engine: ``redis``, or ``embedded``: what needs no server.
    :param origin: where browsers see it.
    :param emulator: address, client id and secret of CentralAuth, as ``CENTRALAUTH_...``.
    """

    module: str
    engine: str
    redis_url: str
    folder: str
    origin: str
    emulator: dict[str, str]

    @property
    def base_url(self) -> str:
        return self.emulator["CENTRALAUTH_BASE_URL"]

    @property
    def client_id(self) -> str:
        return self.emulator["CENTRALAUTH_CLIENT_ID"]

    @property
    def client_secret(self) -> str:
        return self.emulator["CENTRALAUTH_CLIENT_SECRET"]


def settings_here() -> Settings:
    """What this process was told to serve."""
    return Settings(**json.loads(os.environ[VARIABLE]))


def flask_app(settings: Settings) -> Flask:
    """An application without its sessions."""
    app = Flask("benchmark_site", instance_path=str(Path(settings.folder) / "instance"))
    app.config["SECRET_KEY"] = "a secret key of benchmarks, long enough"
    return app


def keep_sessions(app: Flask, settings: Settings, prefix: str = "session:") -> None:
    """Configure Flask-Session: Redis, or what it has without a server, cachelib's files.

    As well as it can be set up: reading a session does not write it again. The worker also measures it as it
    comes.
    """
    app.config.update(SESSION_KEY_PREFIX=prefix, SESSION_REFRESH_EACH_REQUEST=False)
    if settings.engine == "redis":
        import redis

        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis.from_url(settings.redis_url))
    else:
        from cachelib import FileSystemCache

        # Beyond the number of people here: from there on it deletes sessions that are in use.
        files = FileSystemCache(str(Path(settings.folder) / "files"), threshold=100_000)
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=files)


def site_with_sessions(settings: Settings, prefix: str = "session:") -> Flask:
    """An application with Flask-Session."""
    from flask_session import Session

    app = flask_app(settings)
    keep_sessions(app, settings, prefix)
    Session(app)
    return app


def plain_site(settings: Settings) -> Flask:
    """The application without any extension but Flask-Session."""
    app = site_with_sessions(settings, "plain:")
    app.add_url_rule("/plain", "plain", open_page)
    return app


def page(**_context: object) -> str:
    """The page: it reads the session, as pages do."""
    return f"hello {session.get('name')}"


def open_page() -> str:
    """The same, as a function of its own: a decorator may mark what it protects."""
    return f"hello {session.get('name')}"


def add_pages(app: Flask, guarded: View) -> None:
    """Add the page, open and guarded, and the worker's process id."""
    app.add_url_rule("/open", "open", open_page)
    app.add_url_rule("/guarded", "guarded", guarded)
    app.add_url_rule("/worker", "worker", lambda: str(os.getpid()))


def add_written_login(app: Flask, write: Callable[[], None]) -> None:
    """Add a login that leaves what a library's own leaves, where CentralAuth is not among its providers."""

    def login() -> WerkzeugResponse:
        write()
        return redirect("/guarded")

    app.add_url_rule("/login", "login", login)


def ask_userinfo(settings: Settings, token: str) -> dict[str, Any]:
    """Who a token stands for, asked as by hand: one `requests` call."""
    answer = requests.post(
        f"{settings.base_url}/api/v1/userinfo",
        params={"domain": settings.origin},
        auth=(settings.client_id, settings.client_secret),
        data=token,
        headers={
            "Content-Type": "text/plain",
            "auth-ip": request.remote_addr or "",
            "user-agent": request.headers.get("User-Agent", ""),
        },
        timeout=5,
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def session_of(app: Flask, cookie: str) -> Any:
    """The stored session of a cookie. Inside a request."""
    headers = {"Cookie": f"session={cookie}"}
    with app.test_request_context(headers=headers):
        return session._get_current_object()  # type: ignore[attr-defined]


def store_session(app: Flask, content: dict[str, Any]) -> str:
    """Put a session of one more person into the store and return its cookie."""
    interface: Any = app.session_interface
    with app.test_request_context():
        session.update(content)
        session.modified = True
        interface.save_session(app, session._get_current_object(), Response())  # type: ignore[attr-defined]
        sid: str = session.sid  # type: ignore[attr-defined]
    return sid
