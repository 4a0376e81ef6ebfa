"""Flask-pyoidc with static metadata.

It knows no PKCE and asks userinfo with a bearer token, so it cannot log in at CentralAuth: its own
`UserSession` writes what its callback writes.
"""

from __future__ import annotations

import flask
from flask import Flask
from flask_pyoidc import OIDCAuthentication
from flask_pyoidc.provider_configuration import ClientMetadata, ProviderConfiguration, ProviderMetadata
from flask_pyoidc.user_session import UserSession

from . import TOKEN, USER, Settings, add_pages, add_written_login, page, site_with_sessions

PROVIDER = "centralauth"


def make_app(settings: Settings) -> Flask:
    app = site_with_sessions(settings)
    app.config["OIDC_REDIRECT_URI"] = f"{settings.origin}/callback"
    provider = ProviderConfiguration(
        provider_metadata=ProviderMetadata(
            issuer=settings.base_url,
            authorization_endpoint=f"{settings.base_url}/login",
            token_endpoint=f"{settings.base_url}/api/v1/verify",
            userinfo_endpoint=f"{settings.base_url}/api/v1/userinfo",
        ),
        client_metadata=ClientMetadata(settings.client_id, settings.client_secret),
    )
    oidc = OIDCAuthentication({PROVIDER: provider}, app)
    add_written_login(app, write)
    add_pages(app, oidc.oidc_auth(PROVIDER)(page))
    return app


def write() -> None:
    flask.session.permanent = True
    UserSession(flask.session, PROVIDER).update(
        access_token=TOKEN, expires_in=86_400, userinfo={**USER, "sub": USER["id"]}
    )
