"""Microsoft's identity.

It wants an id token of OpenID Connect, so it cannot log in at CentralAuth: its own methods write what its
callback writes.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Flask
from identity.flask import Auth

from . import TOKEN, USER, Settings, add_pages, add_written_login, flask_app, keep_sessions, page


def make_app(settings: Settings) -> Flask:
    app = flask_app(settings)
    keep_sessions(app, settings)
    # It sets Flask-Session up itself.
    auth = Auth(
        app,
        oidc_authority=settings.base_url,
        client_id=settings.client_id,
        client_credential=settings.client_secret,
        redirect_uri=f"{settings.origin}/callback",
    )
    add_written_login(app, lambda: write(auth._auth, settings))
    add_pages(app, auth.login_required(page))
    return app


def write(helper: Any, settings: Settings) -> None:
    now = int(time.time())
    claims = {"sub": USER["id"], "aud": settings.client_id, "iss": settings.base_url, **USER}
    claims.update(iat=now, exp=now + 86_400)
    cache = helper._load_cache()
    cache.add(
        {
            "client_id": settings.client_id,
            "scope": ["openid"],
            "token_endpoint": "https://centralauth.example/api/v1/verify",  # it takes no http
            "response": {"access_token": TOKEN, "expires_in": 86_400, "id_token_claims": claims},
        }
    )
    helper._save_user_into_session(claims)
    helper._save_cache(cache)
