"""Flask-Login, after a login by hand. Its user is made of the id alone: a database would come on top."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_login import LoginManager, UserMixin, login_required, login_user

from . import Settings, add_pages, page, site_with_sessions
from .authlib_by_hand import add_login


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, user_id: str) -> None:
        self.id = user_id


def make_app(settings: Settings) -> Flask:
    app = site_with_sessions(settings)
    LoginManager(app).user_loader(User)
    add_login(app, settings, lambda user, _token: login_user(User(user["id"])))
    add_pages(app, login_required(page))
    return app


def one_more(app: Flask, _settings: Settings, content: dict[str, Any], number: int) -> str:
    from . import store_session

    return store_session(app, {**content, "_user_id": f"user_{number:06}"})
