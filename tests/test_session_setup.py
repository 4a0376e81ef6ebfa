"""What Flask-Session was set up with: taken as it is, refused with the reason, kept apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pymemcache
import pytest
import redis.asyncio
import sqlalchemy
from cachelib import FileSystemCache, SimpleCache
from flask import Flask
from flask_session import Session
from flask_session.cachelib import CacheLibSessionInterface
from flask_session.redis import RedisSessionInterface
from redis.sentinel import Sentinel

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


@pytest.mark.parametrize("engine", ["rediss", "null", "mongodb", "DynamoDB", 6379])
def test_engines_that_keep_no_logins_are_refused_before_their_packages_are_asked_for(
    emulator: Emulator, tmp_path: Path, engine: object
) -> None:
    app = bare_app(emulator, tmp_path, SESSION_TYPE=engine)
    with pytest.raises(ConfigurationError, match=r"SESSION_TYPE: names .*Set it to redis") as refused:
        CentralAuth(app)
    (problem,) = refused.value.problems
    assert "leave it out" in problem


class LooksLikeRedis:
    """What FakeRedis and a Cluster's client have in common: methods, and no redis.Redis among their bases."""

    def get(self, key: str) -> None: ...

    def set(self, key: str, value: str) -> None: ...

    def delete(self, key: str) -> None: ...

    def mget_nonatomic(self, keys: list[str]) -> None: ...


@pytest.mark.parametrize("by_hand", [False, True], ids=["set up here", "set up by the application"])
@pytest.mark.parametrize(
    ("engine", "client", "fix"),
    [
        ("redis", "redis://user:sentinel@10.0.0.1/0", r"redis\.Redis\.from_url"),
        ("REDIS", b"redis://user:sentinel@10.0.0.1/0", r"redis\.Redis\.from_url"),
        ("redis", {"host": "10.0.0.1", "password": "sentinel"}, r"redis\.Redis\.from_url"),
        ("redis", redis.Redis, r"redis\.Redis\.from_url"),
        ("redis", redis.asyncio.Redis(host="10.0.0.1"), r"redis\.Redis\.from_url"),
        ("redis", LooksLikeRedis(), r"docs/deployment\.md"),
        ("memcached", "sentinel.example:11211", r"pymemcache\.PooledClient"),
        ("memcached", ("sentinel.example", 11211), r"pymemcache\.PooledClient"),
        ("sqlalchemy", "postgresql://user:sentinel@10.0.0.1/shop", "SQLALCHEMY_DATABASE_URI"),
        ("sqlalchemy", sqlalchemy.create_engine("sqlite://"), "SQLALCHEMY_DATABASE_URI"),
    ],
)
@pytest.mark.filterwarnings("ignore:No valid .* instance provided")
def test_what_flask_session_would_drop_for_localhost_is_refused(
    emulator: Emulator, tmp_path: Path, engine: str, client: Any, fix: str, by_hand: bool
) -> None:
    key = f"SESSION_{engine.upper()}"
    app = bare_app(
        emulator, tmp_path, SESSION_TYPE=engine, SQLALCHEMY_DATABASE_URI="sqlite://", **{key: client}
    )
    if by_hand:
        Session(app)
    with pytest.raises(ConfigurationError, match=f"{key}: is .*{fix}") as refused:
        CentralAuth(app)
    assert "sentinel" not in str(refused.value)
    (problem,) = refused.value.problems
    assert problem.startswith(key)


class OwnRedis(redis.Redis):
    """A client with something added."""


@pytest.mark.parametrize(
    "client",
    [
        redis.Redis.from_url("redis://127.0.0.1:1/0"),
        OwnRedis(port=1),
        Sentinel([("127.0.0.1", 1)]).master_for("main"),  # type: ignore[no-untyped-call]
    ],
    ids=["by URL", "own class", "by Sentinel"],
)
def test_clients_that_flask_session_takes_are_used(
    emulator: Emulator, tmp_path: Path, client: redis.Redis
) -> None:
    app = bare_app(emulator, tmp_path, SESSION_TYPE="redis", SESSION_REDIS=client)
    CentralAuth(app)
    assert app.session_interface.client is client  # type: ignore[attr-defined]


def test_client_that_was_put_in_place_by_hand_is_used(emulator: Emulator, tmp_path: Path) -> None:
    """As docs/deployment.md does it for a Cluster, whatever the settings still say."""
    client = LooksLikeRedis()
    app = bare_app(emulator, tmp_path, SESSION_TYPE="redis", SESSION_REDIS=client)
    interface: Any = RedisSessionInterface(app, client=redis.Redis(port=1))
    interface.client = client
    app.session_interface = interface
    CentralAuth(app)
    assert app.session_interface.client is client  # type: ignore[attr-defined]


def test_client_of_another_engine_is_nobodys_business(emulator: Emulator, tmp_path: Path) -> None:
    CentralAuth(bare_app(emulator, tmp_path, SESSION_REDIS="redis://10.0.0.1/0"))


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
