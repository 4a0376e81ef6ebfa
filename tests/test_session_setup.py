"""What Flask-Session was set up with: taken as it is, refused with the reason, kept apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pymemcache
import pytest
import redis
from cachelib import FileSystemCache, SimpleCache
from flask import Flask
from flask_session import Session
from flask_session.cachelib import CacheLibSessionInterface

from flask_centralauth import (
    CentralAuth,
    ConfigurationError,
)
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import RunServer
from .session_site import bare_app


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


def test_storage_of_ones_own_is_refused_rather_than_passed_by(emulator: Emulator, tmp_path: Path) -> None:
    """One that encrypts, say: what it should never have stored in the open would be."""

    class Encrypting(CacheLibSessionInterface):  # type: ignore[misc]
        def _upsert_session(self, *arguments: Any, **named: Any) -> None:
            raise NotImplementedError

    cache: Any = SimpleCache()  # Flask-Session names another one of cachelib's
    app = bare_app(emulator, tmp_path)
    app.session_interface = Encrypting(app, cache)
    with pytest.raises(ConfigurationError, match=r"_upsert_session.*serializer"):
        CentralAuth(app)


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

    cache: Any = SimpleCache()
    app = bare_app(emulator, tmp_path)
    interface: Any = OwnInterface(app, cache, key_prefix="own:")
    interface.serializer = Backwards()
    app.session_interface = interface
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


def test_short_session_ids_are_an_applications_own_business(emulator: Emulator, tmp_path: Path) -> None:
    app = bare_app(emulator, tmp_path, SESSION_ID_LENGTH=8)
    CentralAuth(app)
    client = app.test_client()
    client.get("/add/apple")
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
