"""Flask-Admin: a panel for the people named in ``FLASK_ADMINS``.

CentralAuth's guard asks who it is: guests sign in and come back, and no cache keeps a page.
Flask-Admin asks who may: everybody else gets our page with "use another account", or JSON.
"""

from __future__ import annotations

from flask import Blueprint, Flask, current_app
from flask_admin import Admin, AdminIndexView
from flask_admin.contrib.sqla import ModelView
from flask_admin.form import SecureForm
from flask_admin.theme import Bootstrap4Theme
from flask_babel import Babel
from flask_sqlalchemy import SQLAlchemy
from jinja2 import DictLoader
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_centralauth import CentralAuth, PermissionDenied, current_user

PANEL = """{% extends "admin/base.html" %}
{% block access_control %}
<form class="form-inline" method="post" action="{{ url_for('centralauth.logout') }}">
  <span class="navbar-text mr-2">{{ current_user.email }}</span>
  <button class="btn btn-outline-light btn-sm">Sign out</button>
</form>
{% endblock %}"""


class Base(DeclarativeBase):
    """The models of this application."""


db = SQLAlchemy(model_class=Base)
centralauth = CentralAuth()


class Note(db.Model):  # type: ignore[name-defined,misc]
    """What the panel is for."""

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class ForAdmins:
    """Before every view class of the panel, the start page included: each is guarded by itself."""

    def create_blueprint(self, admin: Admin) -> Blueprint:
        """Return the view's blueprint, guarded."""
        blueprint: Blueprint = super().create_blueprint(admin)  # type: ignore[misc]
        centralauth.protect(blueprint)
        return blueprint

    def is_accessible(self) -> bool:
        """Say whether the person may, for the views and for the menu."""
        # Ids, which /api/auth/user shows. An e-mail address can be given to somebody else.
        return current_user.id in current_app.config["ADMINS"]

    def inaccessible_callback(self, name: str, **_arguments: object) -> None:
        """Refuse a person who is signed in and may not."""
        raise PermissionDenied()


class StartPage(ForAdmins, AdminIndexView):
    """The first page of the panel."""


class NoteView(ForAdmins, ModelView):
    """List and forms of the notes."""

    # Flask-Admin's forms have no token against posts from another site without it.
    form_base_class = SecureForm


def create_app() -> Flask:
    """Return the application; its settings come from ``FLASK_...`` variables."""
    app = Flask(__name__)
    app.config.from_mapping(SQLALCHEMY_DATABASE_URI="sqlite://", ADMINS=())
    app.config.from_prefixed_env()
    app.jinja_loader = DictLoader({"panel.html": PANEL})  # a file of your templates, in a real application
    Babel(app)  # Flask-Admin insists on it where Flask-Babel is installed, and only there
    db.init_app(app)
    centralauth.init_app(app)
    admin = Admin(
        app, name="Notes", index_view=StartPage(), theme=Bootstrap4Theme(base_template="panel.html")
    )
    with app.app_context():
        db.create_all()
        admin.add_view(NoteView(Note, db))
    return app
