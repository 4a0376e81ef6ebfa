"""Two organizations in one application: customers at ``/shop``, staff at ``/office``.

Each has a `CentralAuth` object: its own settings, routes and users. A login at one is none at
the other, and signing out of one leaves the other. The settings of the staff's begin with
``STAFF_``: ``FLASK_STAFF_CENTRALAUTH_CLIENT_ID`` in the environment, and so on.
"""

from __future__ import annotations

from flask import Blueprint, Flask, render_template_string

from flask_centralauth import CentralAuth, auth_required, current_user

customers = CentralAuth()
staff = CentralAuth(name="staff")

HOME = """
<h1>Welcome</h1>
{% for name, page, user in [
    ("centralauth", "/shop/", centralauth.current_user),
    ("staff_centralauth", "/office/", staff_centralauth.current_user),
] %}
<p>
<a href="{{ page }}">{{ page }}</a>
{% if user.is_authenticated %}
{{ user.email }} <a href="{{ url_for(name ~ '.logout') }}">Sign out</a>
{% endif %}
</p>
{% endfor %}
"""

office = Blueprint("office", __name__, url_prefix="/office")
# Every page of the blueprint, without a decorator that somebody may forget.
staff.protect(office)


@office.get("/")
def desk() -> str:
    return f"office: {current_user.email}"


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_prefixed_env()
    customers.init_app(app)
    staff.init_app(app)
    app.register_blueprint(office)

    @app.get("/")
    def home() -> str:
        return render_template_string(HOME)

    @app.get("/shop/")
    @auth_required
    def shop() -> str:
        return f"shop: {current_user.email}"

    return app
