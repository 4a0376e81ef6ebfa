"""The application the tests of this folder log in to, with views that wait where a test says."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

from flask import Flask, jsonify, request, session

from flask_centralauth import CentralAuth, auth_required, current_user
from flask_centralauth.emulator import Emulator
from flask_centralauth.session_encoding import NOTES_KEY, SessionEncoding

from .store_engines import StoreEngine

PATIENCE: Final = 15.0


class Gate:
    """Where a request waits until the test lets it go on."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._open = threading.Event()

    def wait_here(self) -> None:
        self._arrived.set()
        assert self._open.wait(PATIENCE), "the test never opened the gate"

    def wait_for_arrival(self) -> None:
        assert self._arrived.wait(PATIENCE), "no request came to the gate"

    def open(self) -> None:
        self._open.set()


class Application:
    """One worker. Two that share an engine and a folder are workers of one deployment."""

    def __init__(self, emulator: Emulator, engine: StoreEngine, folder: Path, **config: Any) -> None:
        self.app = Flask("application_under_test", instance_path=str(folder / "instance"))
        self.app.config.update(SECRET_KEY="a secret key of the tests, long enough", TESTING=True)
        self.app.config.update(emulator.config)
        self.app.config.update(config)
        engine.use(self.app)
        self.centralauth = CentralAuth(self.app)
        self.gate = Gate()
        self.before_callback: threading.Barrier | None = None
        self._add_views()

    def logout_user(self, user_id: str) -> None:
        with self.app.app_context():
            self.centralauth.logout_user(user_id)

    @property
    def guard(self) -> Any:
        """The session interface, whose `engine` reads and writes what is stored."""
        return self.app.session_interface

    def stored(self, sid: str) -> bytes | None:
        """What is stored under a session id."""
        with self.app.app_context():
            value: bytes | None = self.guard.engine.get_many(self.guard.key_prefix + sid)[0]
            return value

    def store(self, sid: str, value: bytes) -> None:
        with self.app.app_context():
            self.guard.engine.put(self.guard.key_prefix + sid, value, 600)

    def backdate(self, sid: str, seconds: int, *, left: int) -> None:
        """Store a session as one that was written so long ago and has so many seconds left."""
        with self.app.test_request_context(headers={"Cookie": f"session={sid}"}):
            opened: Any = session._get_current_object()  # type: ignore[attr-defined]
            encoding = SessionEncoding(self.guard.serializer)
            content = encoding._content(encoding.encode(opened, opened.centralauth))
            due, *others = content[NOTES_KEY]
            content[NOTES_KEY] = [due and due - seconds, *others]
            value = self.guard.serializer.encode(content)
            assert self.guard.engine.replace(self.guard.key_prefix + sid, value, left)

    def overwrite_login_record(self, sid: str, value: bytes) -> bool:
        """Put something else where the login of a session is kept."""
        with self.app.test_request_context(headers={"Cookie": f"session={sid}"}):
            (key,) = session.centralauth.companions  # type: ignore[attr-defined]
            written: bool = self.guard.engine.replace(key, value, 600)
            return written

    def _add_views(self) -> None:
        app = self.app

        @app.before_request
        def meet() -> None:
            # The session has been opened by now.
            if self.before_callback is not None and request.endpoint == "centralauth.callback":
                self.before_callback.wait(PATIENCE)

        @app.get("/")
        def index() -> str:
            return "home"

        @app.get("/public")
        def public() -> str:
            return "public"

        @app.get("/who")
        def who() -> Any:
            return jsonify(current_user.email)

        @app.get("/private")
        @auth_required
        def private() -> str:
            return current_user.email or ""

        @app.get("/api")
        @auth_required
        def api() -> Any:
            return jsonify(email=current_user.email)

        @app.get("/cart")
        def cart() -> Any:
            return jsonify(session.get("cart", []))

        @app.get("/cart/add/<item>")
        def add(item: str) -> Any:
            session["cart"] = [*session.get("cart", []), item]
            return jsonify(session["cart"])

        @app.get("/cart/append/<item>")
        def append(item: str) -> Any:
            session["cart"].append(item)
            return jsonify(session["cart"])

        @app.get("/cart/fill/<int:size>")
        def fill(size: int) -> str:
            session["cart"] = ["x" * size]
            return "filled"

        @app.get("/slow/read")
        def slow_read() -> Any:
            email = current_user.email
            cart = session.get("cart", [])
            self.gate.wait_here()
            return jsonify(email=email, cart=cart)

        @app.get("/slow/write")
        def slow_write() -> Any:
            email = current_user.email
            self.gate.wait_here()
            session["late"] = f"written for {email}"
            return jsonify(email=email)

        @app.get("/slow/clear")
        def slow_clear() -> str:
            self.gate.wait_here()
            session.clear()
            return "cleared"

        @app.get("/slow/logout")
        def slow_logout() -> str:
            self.centralauth.logout()
            self.gate.wait_here()
            return "logged out"

        @app.get("/rotate")
        def rotate() -> str:
            self.guard.regenerate(session)
            return "rotated"
