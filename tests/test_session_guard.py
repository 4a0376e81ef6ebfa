"""The session interface: cookies, ids, lives, and what a request that comes too late may do."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cachelib import SimpleCache
from flask import current_app, session

from flask_centralauth import (
    CentralAuth,
    ErrorCode,
    ServiceUnavailable,
    session_guard,
)
from flask_centralauth.emulator import Emulator
from flask_centralauth.signals import user_logged_in

from .browser_client import Browser
from .conftest import MakeApp, RunServer
from .session_site import bare_app


def test_cookies_carry_and_are_removed_with_every_attribute(emulator: Emulator, tmp_path: Path) -> None:
    """Browsers ignore a removal of a `__Host-` or partitioned cookie that does not look like the cookie."""
    app = bare_app(
        emulator,
        tmp_path,
        SESSION_COOKIE_NAME="__Host-session",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_SAMESITE="None",
        SESSION_COOKIE_PARTITIONED=True,
    )
    CentralAuth(app)
    client = app.test_client()
    attributes = {"HttpOnly", "Path=/", "Partitioned", "SameSite=None", "Secure"}
    made = client.get("/add/apple", base_url="https://localhost").headers["Set-Cookie"].split("; ")
    assert set(made) >= attributes
    removed = client.get("/clear", base_url="https://localhost").headers["Set-Cookie"].split("; ")
    assert removed[0] == "__Host-session="
    assert set(removed) >= attributes | {"Max-Age=0"}


def test_a_session_until_the_browser_closes(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path, SESSION_PERMANENT=False)
    CentralAuth(app)
    cookie = app.test_client().get("/add/apple").headers["Set-Cookie"]
    assert "Expires" not in cookie
    assert "Max-Age" not in cookie


def test_what_cannot_be_stored_is_the_developers_error(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path)
    CentralAuth(app)

    @app.get("/strange")
    def strange() -> str:
        session["object"] = object()
        return "?"

    with pytest.raises(TypeError, match="object"):
        app.test_client().get("/strange")


def test_an_empty_new_session_is_neither_stored_nor_removed(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path)
    CentralAuth(app)
    client = app.test_client()
    assert "Set-Cookie" not in client.get("/clear").headers
    client.set_cookie("session", "unknown-to-the-store")
    # It may be the cookie of a login that has just been made.
    assert "Set-Cookie" not in client.get("/clear").headers


def test_regenerate_outside_of_a_login(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path)
    CentralAuth(app)

    @app.get("/regenerate")
    def regenerate() -> str:
        before = session.sid  # type: ignore[attr-defined]
        current_app.session_interface.regenerate(session)  # type: ignore[attr-defined]
        assert session.sid != before  # type: ignore[attr-defined]
        return "done"

    client = app.test_client()
    # Flask-Session's own does nothing for an empty session.
    assert "Set-Cookie" not in client.get("/regenerate").headers
    client.get("/add/apple")
    first = client.get_cookie("session")
    client.get("/regenerate")
    assert client.get_cookie("session") != first
    assert client.get("/add/pear").json == ["apple", "pear"]


def test_what_comes_after_the_end_of_a_session_somebody_else_ended_is_dropped(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A message for the one who has left would come with a cookie that replaces their successor's."""
    app = bare_app(emulator, tmp_path)
    CentralAuth(app)
    guard: Any = app.session_interface
    client = app.test_client()
    client.get("/add/apple")
    cookie = client.get_cookie("session")
    assert cookie is not None

    def end_and_say_so() -> Any:
        guard.discard(session)
        session.clear()
        session["message"] = "You are signed out."
        response = app.response_class()
        guard.save_session(app, session._get_current_object(), response)  # type: ignore[attr-defined]
        return response.headers.get("Set-Cookie")

    with app.test_request_context(headers={"Cookie": f"session={cookie.value}"}):
        client.get("/clear")
        assert end_and_say_so() is None
    client.get("/add/apple")
    cookie = client.get_cookie("session")
    assert cookie is not None
    with app.test_request_context(headers={"Cookie": f"session={cookie.value}"}):
        # The one who ended it is told, under a new id.
        assert cookie.value not in end_and_say_so()


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_what_is_in_a_session_survives_both_serializers(
    emulator: Emulator, tmp_path: Path, live_server: RunServer, browser: Browser, serializer: str
) -> None:
    """AT-9.5: a login, an error that is flashed, and what the application put in."""
    app = bare_app(emulator, tmp_path, SESSION_SERIALIZATION_FORMAT=serializer)
    CentralAuth(app)
    url = live_server(app).url
    browser.get(f"{url}/add/apple")
    browser.get(f"{url}/api/auth/login")
    emulator.next_login(error="passkeyDataInvalid")
    browser.user = None
    browser.get(f"{url}/api/auth/login")
    assert browser.get(f"{url}/add/pear").text == '["apple","pear"]\n'
    cookie = browser.cookies.get("session")
    assert cookie is not None
    guard: Any = app.session_interface
    (value,) = guard.engine.get_many(guard.key_prefix + cookie.value)
    content = json.loads(value) if serializer == "json" else msgspec.msgpack.decode(value)
    assert content["_flashes"]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(content)) == content
    assert json.loads(json.dumps(content)) == content
    assert browser.fetch(f"{url}/api/auth/user").json()["email"] == "alice@example.com"


class RefusesOnce:
    """An engine that does not take the next session, and works again after that."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.refused = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def put(self, key: str, value: bytes, ttl: int) -> None:
        if not self.refused:
            self.refused = True
            raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "the test says so", retry_after=5)
        self._engine.put(key, value, ttl)


def test_a_login_whose_session_was_not_stored_is_none(
    emulator: Emulator, tmp_path: Path, live_server: RunServer, browser: Browser
) -> None:
    """Also when the store is well again a moment later, at the end of the same request."""
    app = bare_app(emulator, tmp_path)
    CentralAuth(app)
    url = live_server(app).url
    browser.get(f"{url}/add/apple")
    guard: Any = app.session_interface
    guard.engine = RefusesOnce(guard.engine)
    answer = browser.get(f"{url}/api/auth/login?return_to=/add/pear")
    assert answer.status == 503
    assert browser.fetch(f"{url}/api/auth/user").json() is None
    # What the visitor had is still there.
    assert browser.get(f"{url}/add/plum").text == '["apple","plum"]\n'
    browser.get(f"{url}/api/auth/login?return_to=/add/pear")
    assert browser.fetch(f"{url}/api/auth/user").json()["email"] == "alice@example.com"


class Stuck(SimpleCache):
    """A cache that reports what it could not do, as cachelib's file cache does on a full disk."""

    full = False

    def set(self, key: str, value: Any, timeout: Any = None) -> Any:
        return not self.full and super().set(key, value, timeout)

    def delete(self, key: str) -> bool:
        return not self.full and bool(super().delete(key))


def test_a_cache_that_says_no_is_a_store_that_is_down(emulator: Emulator, tmp_path: Path) -> None:
    """cachelib's own words, which Flask-Session does not listen to."""
    cache = Stuck()
    app = bare_app(emulator, tmp_path, SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
    CentralAuth(app)
    client = app.test_client()
    client.get("/add/apple")
    cache.full = True
    engine: Any = app.session_interface.engine  # type: ignore[attr-defined]
    (key,) = cache._cache
    with pytest.raises(ServiceUnavailable):
        engine.delete(key)
    with pytest.raises(ServiceUnavailable):
        engine.put("other", b"value", 60)
    assert "Set-Cookie" not in client.get("/add/pear").headers
    cache.full = False
    assert client.get("/add/plum").json == ["apple", "plum"]


def test_a_corrupt_session_that_cannot_be_removed_is_nobodys_all_the_same(
    emulator: Emulator, tmp_path: Path
) -> None:
    cache = Stuck()
    app = bare_app(emulator, tmp_path, SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
    CentralAuth(app)
    client = app.test_client()
    client.get("/add/apple")
    (key,) = cache._cache
    cache.set(key, b"rubbish")
    cache.full = True
    for _ in range(2):
        assert client.get("/add/pear").json == ["pear"]


def test_the_memory_of_extended_sessions_is_bounded(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_guard, "MAX_EXTENDED", 3)
    monkeypatch.setattr(session_guard, "_step", lambda app: 0.0)
    app = bare_app(emulator, tmp_path)
    CentralAuth(app)
    guard: Any = app.session_interface

    @app.get("/cart")
    def cart() -> Any:
        return session.get("cart", [])

    for number in range(8):
        client = app.test_client()
        client.get(f"/add/{number}")
        assert "Set-Cookie" in client.get("/cart").headers
        assert len(guard._extended) <= 3
    assert len(guard._extended) == 3


def test_extension_of_a_short_life(emulator: Emulator, tmp_path: Path) -> None:
    """A session in use outlives its first life, read only."""
    app = bare_app(emulator, tmp_path, PERMANENT_SESSION_LIFETIME=timedelta(seconds=3))
    CentralAuth(app)

    @app.get("/cart")
    def cart() -> Any:
        return session.get("cart", [])

    client = app.test_client()
    client.get("/add/apple")
    began = time.monotonic()
    extended = 0
    while time.monotonic() - began < 3.5:
        answer = client.get("/cart")
        assert answer.json == ["apple"]
        extended += "Set-Cookie" in answer.headers
        time.sleep(0.02)  # the life of a session is real time
    assert 2 <= extended <= 25


@pytest.mark.parametrize(("path", "writes"), [("/nothing", 1), ("/add", 2)])
def test_a_login_writes_its_session_once(
    make_app: MakeApp,
    live_server: RunServer,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    writes: int,
) -> None:
    """And once more only when somebody puts something into it afterwards."""
    app = make_app()

    @user_logged_in.connect_via(app)
    def listen(_sender: object, **_said: Any) -> None:
        if path == "/add":
            session["basket"] = ["apple"]

    guard: Any = app.session_interface
    written: list[str] = []
    for name in ("put", "replace"):
        operation = getattr(guard.engine, name)

        def counted(key: str, *args: Any, operation: Any = operation) -> Any:
            written.extend([key] if key.startswith(guard.inner.key_prefix) else [])
            return operation(key, *args)

        monkeypatch.setattr(guard.engine, name, counted)
    server = live_server(app)
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    assert len(written) == writes
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    assert len(written) == writes
