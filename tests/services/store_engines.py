"""The engines a session can be kept in, each as an application would set it up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pymemcache
import pytest
import redis
from cachelib import FileSystemCache, SimpleCache
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from redis.backoff import NoBackoff
from redis.retry import Retry

from flask_centralauth.session_guard import EMBEDDED_FILE

from .link import Link
from .servers import MemcachedServer, RedisServer, Server

#: What docs/sessions.md recommends: an answer within half a second, or none.
WAIT: Final = 0.5


@dataclass(frozen=True)
class StoreEngine:
    """One engine.

    `set_up(app)` is what an application does before CentralAuth(app), and gives the way to close its client;
    applications that share an engine are workers of one deployment. `records()` counts what is stored.
    """

    name: str
    set_up: Callable[[Flask], Callable[[], None]]
    records: Callable[[], int]
    _closers: list[Callable[[], None]] = field(default_factory=list)

    def use(self, app: Flask) -> None:
        self._closers.append(self.set_up(app))

    def close(self) -> None:
        for close in self._closers:
            close()


def nothing() -> None: ...


def redis_client(server: RedisServer | Link) -> redis.Redis:
    return redis.Redis.from_url(
        server.url, socket_timeout=WAIT, socket_connect_timeout=WAIT, retry=Retry(NoBackoff(), 0)
    )


def memcached_client(server: MemcachedServer | Link) -> pymemcache.PooledClient:
    return pymemcache.PooledClient(
        server.url, connect_timeout=WAIT, timeout=WAIT, no_delay=True, max_pool_size=32
    )


def embedded(folder: Path) -> StoreEngine:
    def records() -> int:
        path = folder / "instance" / EMBEDDED_FILE
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])

    return StoreEngine("embedded", lambda app: nothing, records)


def redis_engine(server: RedisServer | Link) -> StoreEngine:
    def set_up(app: Flask) -> Callable[[], None]:
        client = redis_client(server)
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=client)
        return client.close

    def records() -> int:
        with redis_client(server) as client:
            return int(client.dbsize())

    return StoreEngine("redis", set_up, records)


def memcached_engine(server: MemcachedServer | Link) -> StoreEngine:
    def set_up(app: Flask) -> Callable[[], None]:
        client = memcached_client(server)
        app.config.update(SESSION_TYPE="memcached", SESSION_MEMCACHED=client)
        return lambda: client.close()

    def records() -> int:
        client = memcached_client(server)
        try:
            return int(client.stats()[b"curr_items"])
        finally:
            client.close()

    return StoreEngine("memcached", set_up, records)


def sqlalchemy_engine(url: str, *, name: str = "sqlalchemy") -> StoreEngine:
    def set_up(app: Flask) -> Callable[[], None]:
        app.config["SQLALCHEMY_DATABASE_URI"] = url
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_pre_ping": True}
        database = SQLAlchemy(app)
        app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=database)
        with app.app_context():
            engine = database.engine
        return lambda: engine.dispose()

    def records() -> int:
        from sqlalchemy import create_engine, text

        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                return int(connection.execute(text("SELECT count(*) FROM sessions")).scalar_one())
        finally:
            engine.dispose()

    return StoreEngine(name, set_up, records)


def file_system(folder: Path) -> StoreEngine:
    """As the application's own set-up, made before CentralAuth comes."""
    caches = folder / "cache"

    def set_up(app: Flask) -> Callable[[], None]:
        from flask_session import Session

        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(caches), threshold=0))
        Session(app)
        return nothing

    return StoreEngine("filesystem", set_up, lambda: len(list(caches.iterdir())) - 1)


def simple() -> StoreEngine:
    """One dictionary, which all applications of the test share."""
    cache = SimpleCache(threshold=10_000)

    def set_up(app: Flask) -> Callable[[], None]:
        from flask_session import Session

        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
        Session(app)
        return nothing

    return StoreEngine("simple", set_up, lambda: len(cache._cache))


NAMES: Final = ("embedded", "redis", "memcached", "sqlalchemy", "postgresql", "filesystem", "simple")
#: Those behind a wire.
SERVERS: Final = ("redis", "memcached", "postgresql")


def make_engine(name: str, request: pytest.FixtureRequest, folder: Path) -> StoreEngine:
    match name:
        case "embedded":
            return embedded(folder)
        case "sqlalchemy":
            return sqlalchemy_engine(f"sqlite:///{folder / 'sessions.sqlite'}")
        case "filesystem":
            return file_system(folder)
        case "simple":
            return simple()
        case _:
            return on_server(name, server_of(name, request))


def server_of(name: str, request: pytest.FixtureRequest) -> Server:
    fixture = {"redis": "redis_server", "memcached": "memcached_server", "postgresql": "postgres_server"}[
        name
    ]
    server: Server = request.getfixturevalue(fixture)
    return server


def on_server(name: str, server: Any) -> StoreEngine:
    """The engine of a server, or of a `Link` to one."""
    match name:
        case "redis":
            return redis_engine(server)
        case "memcached":
            return memcached_engine(server)
        case _:
            return sqlalchemy_engine(server.sqlalchemy_url, name=name)
