"""A row of one's own for every person, kept up to date at each login (Flask-SQLAlchemy)."""

from __future__ import annotations

from datetime import datetime, timezone

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_centralauth import CentralAuth, PermissionDenied, User, auth_required, current_user


class Base(DeclarativeBase):
    """The models of this application."""


db = SQLAlchemy(model_class=Base)
centralauth = CentralAuth()


class Account(db.Model):  # type: ignore[name-defined,misc]
    """What this application knows of a person beyond CentralAuth."""

    # Not the e-mail address: it can change, and be given to somebody else.
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str | None]
    first_seen: Mapped[datetime]
    theme: Mapped[str] = mapped_column(default="light")
    active: Mapped[bool] = mapped_column(default=True)


@centralauth.on_login
def keep_account(user: User) -> None:
    """Insert the person's row, or bring it up to date."""
    account = db.session.get(Account, user.id)
    if account is None:
        db.session.add(Account(id=user.id, first_seen=datetime.now(timezone.utc)))
        try:
            db.session.flush()
        except IntegrityError:
            # The same person, signing in twice at once: the other login was faster.
            db.session.rollback()
        account = db.session.get_one(Account, user.id)
    if not account.active:
        raise PermissionDenied(public_message="This account was closed.")
    account.email = user.email
    db.session.commit()


def create_app() -> Flask:
    """Return the application; its settings come from ``FLASK_...`` variables."""
    app = Flask(__name__)
    app.config.setdefault("SQLALCHEMY_DATABASE_URI", "sqlite://")
    app.config.from_prefixed_env()
    db.init_app(app)
    centralauth.init_app(app)
    with app.app_context():
        db.create_all()

    @app.get("/profile")
    @auth_required
    def profile() -> dict[str, str | None]:
        account = db.session.get_one(Account, current_user.id)
        return {"email": account.email, "theme": account.theme}

    return app
