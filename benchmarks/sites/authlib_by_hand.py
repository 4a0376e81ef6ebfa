"""Authlib's Flask client as its documentation shows it, a userinfo call, and a look into the session."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, session

from . import Settings, View, add_pages, ask_userinfo, page, site_with_sessions


def make_app(settings: Settings) -> Flask:
    app = site_with_sessions(settings)
    add_login(app, settings, remember)
    add_pages(app, login_required(page))
    return app


def remember(user: dict[str, Any], token: str) -> None:
    session["user"] = user
    session["token"] = token


def login_required(view: View) -> View:
    @wraps(view)
    def guarded() -> Any:
        return view() if "user" in session else redirect("/login")

    return guarded


def add_login(app: Flask, settings: Settings, finish: Callable[[dict[str, Any], str], None]) -> None:
    """The login by hand; `finish` gets the user and the token."""
    client = OAuth(app).register(
        "by_hand",
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        authorize_url=f"{settings.base_url}/login",
        access_token_url=f"{settings.base_url}/api/v1/verify",
        client_kwargs={"code_challenge_method": "S256"},
    )

    def login() -> Any:
        return client.authorize_redirect(f"{settings.origin}/callback")

    def callback() -> Any:
        token = client.authorize_access_token()["access_token"]
        finish(ask_userinfo(settings, token), token)
        return redirect("/guarded")

    app.add_url_rule("/login", "login", login)
    app.add_url_rule("/callback", "callback", callback)
