"""CentralAuth behind Flask-Login, for an application whose views use ``@login_required``.

Flask-Login remembers nobody here: it asks who is signed in at every request. So there is one
answer, and signing out, or being signed out by CentralAuth, counts at once.
"""

from __future__ import annotations

from flask import Flask, Request, Response, after_this_request
from flask_login import LoginManager, UserMixin, login_required
from flask_login import current_user as flask_login_user

from flask_centralauth import CentralAuth, PermissionDenied, User, auth_required, current_user

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
    if not current_user.is_authenticated:
        return None
    after_this_request(keep_private)
    return Account(current_user)


def keep_private(response: Response) -> Response:
    """Let no cache, and no back button after signing out, show what was made for one person."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@login_manager.unauthorized_handler
@auth_required
def sign_in_first() -> None:
    """Send people to login and back, answer programs with 401, and all with 503 in an outage."""
    raise PermissionDenied()  # signed in with CentralAuth, but not with Flask-Login


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
