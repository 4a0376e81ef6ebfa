"""Roles and permissions of one's own, by Flask-Principal.

Who it is says CentralAuth, at every request; what they may is the application's. Nothing of it
is in the session, so signing out and losing a role count at once.

Flask-Principal has had no release since 2013. It works with Flask 3.1, but nobody mends it: for
a new application a check of one's own that raises `PermissionDenied` is less to depend on.
"""

from __future__ import annotations

import flask_principal
from flask import Flask
from flask.typing import ResponseReturnValue
from flask_principal import Identity, Permission, Principal, RoleNeed, UserNeed

from flask_centralauth import CentralAuth, PermissionDenied, auth_required, current_user

centralauth = CentralAuth()
# Its own sessions would remember a user who signed out. It asks at every request, so it
# is spared the pictures and style sheets.
principal = Principal(use_sessions=False, skip_static=True)
# Who has which roles, by the id of CentralAuth: in a table, in a real application. Not by the
# e-mail address: it can change, and be given to somebody else.
roles: dict[str, set[str]] = {}

editors = Permission(RoleNeed("editor"))


@principal.identity_loader
def load_identity() -> Identity | None:
    """Return who is signed in with CentralAuth."""
    return Identity(current_user.id, "centralauth") if current_user.is_authenticated else None


def add_needs(_app: Flask, identity: Identity) -> None:
    """Add what the person may; nobody has an identity without an id."""
    if identity.id is not None:
        identity.provides.add(UserNeed(identity.id))
        identity.provides.update(RoleNeed(role) for role in roles.get(identity.id, ()))


def create_app() -> Flask:
    """Return the application; its settings come from ``FLASK_...`` variables."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    centralauth.init_app(app)
    principal.init_app(app)
    flask_principal.identity_loaded.connect(add_needs, app)

    @app.errorhandler(flask_principal.PermissionDenied)
    def refuse(_error: Exception) -> ResponseReturnValue:
        # The page with "use another account", or JSON. Not raised: this is an error handler.
        return app.handle_user_exception(PermissionDenied())

    @app.get("/articles")
    @auth_required  # above the permission: a guest signs in first, and is not refused
    @editors.require()
    def articles() -> str:
        return f"The articles of {current_user.email}"

    @app.get("/menu")
    def menu() -> list[str]:
        return ["articles"] if editors.can() else []

    return app
