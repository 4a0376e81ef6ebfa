"""CentralAuth behind Flask-Login, for an application whose views use ``@login_required``.

Flask-Login remembers nobody here: it asks who is signed in at every request. So there is one
answer, and signing out, or being signed out by CentralAuth, counts at once.
"""

from __future__ import annotations

from flask import Flask, Request
from flask_login import LoginManager, UserMixin, login_required
from flask_login import current_user as flask_login_user

from flask_centralauth import CentralAuth, SessionError, User, current_user

centralauth = CentralAuth()
login_manager = LoginManager()
# It would write to the session of every visitor; CentralAuth's own check does this work.
login_manager.session_protection = None


class Account(UserMixin):  # type: ignore[misc]
    """What the views of the application know as the user."""

    def __init__(self, user: User) -> None:
        self.id = user.id
        self.email = user.email


@login_manager.request_loader
def load_account(_request: Request) -> Account | None:
    """Return who is signed in with CentralAuth."""
    return Account(current_user) if current_user.is_authenticated else None


@login_manager.unauthorized_handler
def sign_in_first() -> None:
    """Send people to login and back, and answer programs with 401."""
    raise SessionError("tokenMissing")


def create_app() -> Flask:
    """Return the application; its settings come from ``FLASK_...`` variables."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    centralauth.init_app(app)
    login_manager.init_app(app)

    @app.get("/profile")
    @login_required
    def profile() -> str:
        return f"Hello {flask_login_user.email}"

    return app
