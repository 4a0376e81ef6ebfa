"""Two organizations under one address: customers at ``/shop``, staff at ``/office``.

Each is a Flask application of its own, so nothing is shared: settings, sessions, cookies,
users. A login at one is none at the other, and signing out of one leaves the other.
"""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

from flask_centralauth import CentralAuth, auth_required, current_user

centralauth = CentralAuth()


def create_part(name: str, instance_path: Path) -> Flask:
    """Return one part; its settings come from variables that begin with its name."""
    app = Flask(name, instance_path=str(instance_path / name))
    app.config.from_prefixed_env(name.upper())
    # Two sessions in one browser: under one name they would replace each other.
    app.config["SESSION_COOKIE_NAME"] = f"{name}_session"
    app.config["SESSION_COOKIE_PATH"] = f"/{name}"
    centralauth.init_app(app)

    @app.get("/")
    @auth_required
    def home() -> str:
        return f"{name}: {current_user.email}"

    return app


def create_app() -> DispatcherMiddleware:
    """Return the WSGI application that serves both parts."""
    instances = Path(os.environ.get("INSTANCES", "instances")).absolute()
    return DispatcherMiddleware(
        Response("There is nothing here.", status=404),
        {f"/{name}": create_part(name, instances) for name in ("shop", "office")},
    )
