"""This extension."""

from __future__ import annotations

from typing import Any

from flask import Flask

from flask_centralauth import CentralAuth, auth_required

from . import Settings, add_pages, flask_app, keep_sessions, page


def make_app(settings: Settings) -> Flask:
    app = flask_app(settings)
    if settings.engine == "redis":
        keep_sessions(app, settings)
    app.config.update(settings.emulator)
    app.config["CENTRALAUTH_CALLBACK_URL"] = f"{settings.origin}/api/auth/callback"
    # Views within it are measured; what comes after it is one call per user and minute.
    app.config["CENTRALAUTH_USER_TTL"] = 3600
    CentralAuth(app)
    add_pages(app, auth_required(page))
    return app


def one_more(app: Flask, settings: Settings, _content: dict[str, Any], number: int) -> str:
    """Log one more person in, as the callback does, and return their session's cookie."""
    from ..checked_pages import sign_in

    return sign_in(app, number, domain=settings.origin)
