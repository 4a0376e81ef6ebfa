"""A small application for the tests of sessions, not yet set up for logins."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from flask import Flask, session

from flask_centralauth.emulator import Emulator

KEY: Final = "a secret key of the tests, long enough"


def bare_app(emulator: Emulator, folder: Path, name: str = "application_under_test", **config: Any) -> Flask:
    app = Flask(name, instance_path=str(folder))
    app.config.update(SECRET_KEY=KEY, TESTING=True)
    app.config.update(emulator.config)
    app.config.update(config)

    @app.get("/add/<item>")
    def add(item: str) -> Any:
        session["cart"] = [*session.get("cart", []), item]
        return session["cart"]

    @app.get("/clear")
    def clear() -> str:
        session.clear()
        return "cleared"

    return app
