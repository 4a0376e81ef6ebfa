"""Flask-Dance with its token in the session, and a userinfo call at the login."""

from __future__ import annotations

import os
from functools import wraps
from typing import Any

from flask import Flask, redirect, session
from flask_dance.consumer import OAuth2ConsumerBlueprint, oauth_authorized

from . import Settings, add_pages, ask_userinfo, page, site_with_sessions


def make_app(settings: Settings) -> Flask:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
    app = site_with_sessions(settings)
    dance = OAuth2ConsumerBlueprint(
        "centralauth",
        __name__,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        base_url=settings.base_url,
        authorization_url=f"{settings.base_url}/login",
        token_url=f"{settings.base_url}/api/v1/verify",
        login_url="/login",
        redirect_url="/guarded",
        use_pkce=True,
    )
    app.register_blueprint(dance)

    def remember(_blueprint: Any, token: dict[str, Any]) -> None:
        session["user"] = ask_userinfo(settings, token["access_token"])

    oauth_authorized.connect(remember, dance, weak=False)

    @wraps(page)
    def guarded() -> Any:
        return page() if dance.session.authorized else redirect("/login")

    add_pages(app, guarded)
    return app
