"""HTMX: a fragment that needs a login sends the whole page there, and back.

Nothing to write: `auth_required` answers a request of HTMX with 401 and ``HX-Redirect``, which
HTMX follows in the whole window, so no login page ends up inside a table cell.
"""

from __future__ import annotations

from flask import Flask, request
from markupsafe import Markup, escape

from flask_centralauth import CentralAuth, auth_required, current_user

centralauth = CentralAuth()
notes: dict[str, list[str]] = {}


def create_app() -> Flask:
    """Return the application; its settings come from ``FLASK_...`` variables."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    centralauth.init_app(app)

    @app.get("/")
    def page() -> str:
        return """<!doctype html><title>Notes</title><script src="/static/htmx.min.js"></script>
            <form hx-post="/notes" hx-target="#notes"><input name="text"><button>Add</button></form>
            <ul id="notes" hx-get="/notes" hx-trigger="load"></ul>"""

    @app.route("/notes", methods=["GET", "POST"])
    @auth_required
    def fragment() -> str:
        own = notes.setdefault(current_user.id or "", [])
        if request.method == "POST":
            own.append(request.form["text"])
        return Markup("").join(Markup("<li>{}</li>").format(escape(note)) for note in own)

    return app
