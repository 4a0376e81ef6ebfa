"""The emulator as a WSGI application."""

from __future__ import annotations

from typing import Final

from flask import Flask

from . import api_views, login_views, mail_views, web
from .control import ControlAccess, register_control
from .service import Service

BODY_LIMIT: Final = 1024 * 1024


def create_app(
    service: Service, *, control: bool = True, control_token: str | None = None, show_secrets: bool = False
) -> Flask:
    """Return the application that answers for an engine.

    :param control: whether the control API and the dashboard exist.
    :param control_token: what a caller of them must present.
    :param show_secrets: whether they show tokens and codes in full.
    """
    app = Flask("flask_centralauth.emulator", static_url_path=f"{web.CONTROL_PREFIX}/static")
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.json.sort_keys = False  # type: ignore[attr-defined]
    web.install(app, service)
    api_views.register(app)
    login_views.register(app)
    mail_views.register(app)
    app.add_url_rule("/healthz", "health", health)
    if control:
        register_control(app, ControlAccess(token=control_token, show_secrets=show_secrets))
    return app


def health() -> dict[str, str]:
    """Whether it answers."""
    return {"status": "ok"}
