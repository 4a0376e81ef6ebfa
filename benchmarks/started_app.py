"""What `start` measures: a small application, made in one of several ways, step by step.

    main("Flask alone")                              prints one line per step: name, CPU ms, KiB
    gunicorn "benchmarks.started_app:application('Flask alone')"

Imports nothing that is not there in every interpreter, before it counts.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any

#: Ways to make the application, and the modules and names that it imports after Flask's.
WAYS: dict[str, dict[str, tuple[str, ...]]] = {
    "Flask alone": {},
    "Flask, flask_centralauth": {"flask_centralauth": ("CentralAuth", "auth_required", "current_user")},
    "Flask, Authlib, requests, Flask-Session": {
        "authlib.integrations.flask_client": ("OAuth",),
        "requests": ("post",),
        "flask_session": ("Session",),
    },
}


def resident() -> int:
    """KiB of this process that are in memory (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - pathlib costs memory itself
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def step(name: str) -> None:
    print(f"{name}\t{time.process_time() * 1000:.3f}\t{resident()}")


def import_all(way: str) -> None:
    for module, names in WAYS[way].items():
        found = importlib.import_module(module)
        for name in names:
            getattr(found, name)


def application(way: str) -> Any:
    """Make the application; settings come from the environment."""
    from flask import Flask, session

    import_all(way)
    app = Flask("started", instance_path=os.environ["STARTED_INSTANCE"])
    app.config.from_prefixed_env("STARTED")
    _set_up(app, way)

    @app.get("/")
    def page() -> str:
        return f"{os.getpid()} {session.get('name')}"

    if "flask_centralauth" in way:
        from flask_centralauth import auth_required

        @app.get("/private")
        @auth_required
        def private() -> str:
            return page()

    return app


def _set_up(app: Any, way: str) -> None:
    if "flask_centralauth" in way:
        from flask_centralauth import CentralAuth

        CentralAuth(app)
    elif "Authlib" in way:
        from authlib.integrations.flask_client import OAuth
        from cachelib import FileSystemCache
        from flask_session import Session

        app.config.update(
            SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(f"{app.instance_path}/sessions")
        )
        Session(app)
        OAuth(app).register(
            "centralauth",
            client_id="an id",
            client_secret="a secret",
            authorize_url="http://127.0.0.1:1/login",
            access_token_url="http://127.0.0.1:1/api/v1/verify",
        )


def main(way: str) -> None:
    step("interpreter")
    importlib.import_module("flask")
    step("import flask")
    import_all(way)
    step("import the rest")
    app = application(way)
    step("make the application")
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
    }
    answers: list[str] = []
    body = b"".join(app.wsgi_app(environ, lambda status, headers, exc_info=None: answers.append(status)))
    step("first page")
    if answers != ["200 OK"] or not body:
        raise RuntimeError(f"{answers} {body!r}")
