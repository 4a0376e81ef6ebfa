"""The session interface: what it refuses at the start, how cookies look, whose sessions it shows."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pymemcache
import pytest
import redis
from cachelib import FileSystemCache, SimpleCache
from flask import Flask, current_app, session
from flask_session import Session
from flask_session.cachelib import CacheLibSessionInterface

from flask_centralauth import CentralAuth, ConfigurationError, ErrorCode, ServiceUnavailable
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import RunServer

KEY = "a secret key of the tests, long enough"


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


def test_session_set_up_after_centralauth_is_an_error(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path)
    CentralAuth(app)
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache())
    Session(app)
    for _ in range(2):  # not only the first request
        with pytest.raises(RuntimeError, match=r"Session\(app\) first, then CentralAuth\(app\)"):
            app.test_client().get("/")


def test_sessions_in_the_cookie_are_refused(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path)

    class OwnCookies(type(app.session_interface)):  # type: ignore[misc]
        pass

    app.session_interface = OwnCookies()
    with pytest.raises(ConfigurationError, match="tokens do not go to the browser"):
        CentralAuth(app)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(decode_responses=True)},
            "decode_responses",
        ),
        (
            {
                "SESSION_TYPE": "memcached",
                "SESSION_MEMCACHED": pymemcache.PooledClient("127.0.0.1:1", ignore_exc=True),
            },
            "ignore_exc",
        ),
        ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": SimpleCache()}, "PooledClient"),
    ],
    ids=["redis that decodes", "memcached that hides failures", "another client"],
)
def test_clients_that_would_lose_sessions_are_refused(
    emulator: Emulator, tmp_path: Path, settings: dict[str, Any], problem: str
) -> None:
    app = bare_app(emulator, tmp_path, **settings)
    with pytest.raises(ConfigurationError, match=problem):
        CentralAuth(app)


def test_cachelib_and_a_shared_memcached_client_are_warned_of(
    emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = FileSystemCache(str(tmp_path / "cache"))
    CentralAuth(bare_app(emulator, tmp_path, SESSION_TYPE="cachelib", SESSION_CACHELIB=cache))
    assert "unpickles" in caplog.text
    client = pymemcache.Client("127.0.0.1:1")
    CentralAuth(bare_app(emulator, tmp_path, SESSION_TYPE="memcached", SESSION_MEMCACHED=client))
    assert "PooledClient" in caplog.text


def test_the_applications_own_interface_keeps_its_ways(emulator: Emulator, tmp_path: Path) -> None:
    """Cookie attributes that it decides, and a serializer of its own."""

    class OwnInterface(CacheLibSessionInterface):  # type: ignore[misc]
        def get_cookie_path(self, app: Flask) -> str:
            return "/add"

    class Backwards:
        def encode(self, content: dict[str, Any]) -> bytes:
            return json.dumps(content).encode()[::-1]

        def decode(self, value: bytes) -> Any:
            return json.loads(value[::-1])

    cache = SimpleCache()
    app = bare_app(emulator, tmp_path)
    app.session_interface = OwnInterface(app, cache, key_prefix="own:")
    app.session_interface.serializer = Backwards()
    CentralAuth(app)
    client = app.test_client()
    answer = client.get("/add/apple")
    assert "Path=/add" in answer.headers["Set-Cookie"].split("; ")
    assert client.get("/add/pear").json == ["apple", "pear"]
    (key,) = cache._cache
    assert key.startswith("own:")
    value = cache.get(key)
    assert json.loads(value[::-1])["cart"] == ["apple", "pear"]
    # What that serializer cannot read is nobody's session, not an error for ever.
    cache.set(key, b"rubbish")
    assert client.get("/add/plum").json == ["plum"]


def test_storage_of_ones_own_is_refused_rather_than_passed_by(emulator: Emulator, tmp_path: Path) -> None:
    """One that encrypts, say: what it should never have stored in the open would be."""

    class Encrypting(CacheLibSessionInterface):  # type: ignore[misc]
        def _upsert_session(self, *arguments: Any) -> None:
            raise NotImplementedError

    app = bare_app(emulator, tmp_path)
    app.session_interface = Encrypting(app, SimpleCache())
    with pytest.raises(ConfigurationError, match=r"_upsert_session.*serializer"):
        CentralAuth(app)


@pytest.mark.filterwarnings("ignore:The 'use_signer' option is deprecated")
def test_signed_session_ids(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path, SESSION_USE_SIGNER=True)
    CentralAuth(app)
    client = app.test_client()
    client.get("/add/apple")
    assert client.get("/add/pear").json == ["apple", "pear"]
    cookie = client.get_cookie("session")
    assert cookie is not None
    sid = cookie.value.rpartition(".")[0]
    for forged in (sid, f"{sid}.AAAA"):
        client.set_cookie("session", forged)
        assert client.get("/add/plum").json == ["plum"]


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


def test_short_session_ids_are_an_applications_own_business(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path, SESSION_ID_LENGTH=8)
    CentralAuth(app)
    client = app.test_client()
    client.get("/add/apple")
    assert client.get("/add/pear").json == ["apple", "pear"]


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


def test_two_applications_with_one_store_one_key_and_one_cookie(
    emulator: Emulator, tmp_path: Path, live_server: RunServer, browser: Browser
) -> None:
    """ATK-29: same store, same prefix, same SECRET_KEY, same host: a login at one is none at the other."""
    cache = SimpleCache()
    shared = {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": cache, "SESSION_KEY_PREFIX": "session:"}
    servers = []
    for name, more in (
        ("shop", {}),
        ("blog", {}),
        ("shop", {"CENTRALAUTH_URL_PREFIX": "/elsewhere"}),
        ("shop", {"CENTRALAUTH_CALLBACK_URL": "https://shop.example/api/auth/callback"}),
        ("shop", {"CENTRALAUTH_CLIENT_ID": "another-organization"}),
    ):
        app = bare_app(emulator, tmp_path, name, **shared, **more)
        CentralAuth(app)
        prefix = more.get("CENTRALAUTH_URL_PREFIX", "/api/auth")
        servers.append(live_server(app).url + prefix)
    browser.get(f"{servers[0]}/login")
    answers = [browser.fetch(f"{server}/user").json() for server in servers]
    assert answers[0]["email"] == "alice@example.com"
    assert answers[1:] == [None] * 4
    # And the first one is none the worse for being asked elsewhere.
    assert browser.fetch(f"{servers[0]}/user").json()["email"] == "alice@example.com"


def test_default_prefixes_keep_applications_apart(emulator: Emulator, tmp_path: Path) -> None:
    cache = SimpleCache()
    clients = []
    for name in ("shop", "blog"):
        app = bare_app(emulator, tmp_path, name, SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
        CentralAuth(app)
        clients.append(app.test_client())
    clients[0].get("/add/apple")
    cookie = clients[0].get_cookie("session")
    assert cookie is not None
    clients[1].set_cookie("session", cookie.value)
    assert clients[1].get("/add/pear").json == ["pear"]


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
