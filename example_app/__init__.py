"""A small Flask application that logs people in with CentralAuth.

``./example_app/run`` starts it together with a local CentralAuth: no account needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import gallery, pages
from .extensions import centralauth


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the application.

    Settings come from the environment (``FLASK_SECRET_KEY``, ``FLASK_CENTRALAUTH_CLIENT_ID``
    and so on), then from ``config``.
    """
    app = Flask(__name__)
    app.config.from_prefixed_env()
    app.config.update(config or {})

    centralauth.init_app(app)
    app.register_blueprint(pages.blueprint)
    if app.debug:
        app.register_blueprint(gallery.blueprint)
    return app
