"""The engine behind Flask-Session, used for login records too.

Sessions and login records live in one place, so that whatever the application scales
out with, it has to set up once. Each adapter offers five operations on bytes; what the
third-party client raises becomes `ServiceUnavailable` here.

Source: "Flask-Session: interfaces" (their public ``client`` and ``cache`` attributes).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from .embedded_store import EmbeddedStore
from .errors import ConfigurationError, ErrorCode, ServiceUnavailable

log = logging.getLogger("flask_centralauth")

P = ParamSpec("P")
R = TypeVar("R")

#: memcached reads larger numbers as a date.
MEMCACHED_LONGEST_TTL = 30 * 24 * 3600


class Engine(Protocol):
    """A key-value store shared by all workers. Every ``ttl`` is in whole seconds."""

    def get_many(self, *keys: str) -> list[bytes | None]:
        """Return the values in one round trip, None for what is missing or expired."""

    def put(self, key: str, value: bytes, ttl: int) -> None:
        """Write, whether the key exists or not."""

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        """Write only if the key is missing, atomically; say whether it was written."""

    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        """Write only if the key exists, atomically; say whether it was written."""

    def delete(self, key: str) -> object:
        """Remove; nothing happens when the key is missing."""


def engine_failures(operation: Callable[P, R]) -> Callable[P, R]:
    """Turn whatever a store's client raises into `ServiceUnavailable`."""

    @wraps(operation)
    def guarded(*args: P.args, **options: P.kwargs) -> R:
        try:
            return operation(*args, **options)
        # Each store has its own exceptions, and its package may not be installed.
        except Exception as failure:
            log.error("The session store failed: %s", type(failure).__name__)
            raise ServiceUnavailable(
                ErrorCode.STORE_UNAVAILABLE, type(failure).__name__, retry_after=5
            ) from None

    return guarded


class RedisEngine:
    """Redis, or what speaks like it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @engine_failures
    def get_many(self, *keys: str) -> list[bytes | None]:
        return list(self._client.mget(keys))

    @engine_failures
    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._client.set(key, value, ex=ttl)

    @engine_failures
    def add(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._client.set(key, value, ex=ttl, nx=True))

    @engine_failures
    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._client.set(key, value, ex=ttl, xx=True))

    @engine_failures
    def delete(self, key: str) -> None:
        self._client.delete(key)


class MemcachedEngine:
    """memcached through pymemcache; only its pooled client is safe with threads."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @engine_failures
    def get_many(self, *keys: str) -> list[bytes | None]:
        found = self._client.get_many(keys)
        return [found.get(key) for key in keys]

    @engine_failures
    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._client.set(key, value, _memcached_ttl(ttl), noreply=False)

    @engine_failures
    def add(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._client.add(key, value, _memcached_ttl(ttl), noreply=False))

    @engine_failures
    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._client.replace(key, value, _memcached_ttl(ttl), noreply=False))

    @engine_failures
    def delete(self, key: str) -> None:
        self._client.delete(key, noreply=False)


class CachelibEngine:
    """Any cachelib cache. ``replace`` is not atomic there; our embedded store's is."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    @engine_failures
    def get_many(self, *keys: str) -> list[bytes | None]:
        return list(self._cache.get_many(*keys))

    @engine_failures
    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._cache.set(key, value, timeout=ttl)

    @engine_failures
    def add(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._cache.add(key, value, timeout=ttl))

    @engine_failures
    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._cache.has(key) and self._cache.set(key, value, timeout=ttl))

    @engine_failures
    def delete(self, key: str) -> None:
        self._cache.delete(key)


class SQLAlchemyEngine:
    """The table of Flask-Session's SQLAlchemy engine, in transactions of our own.

    Never ``db.session``: that would commit what the application has pending.
    """

    def __init__(self, database: Any, table: Any) -> None:
        self._database = database
        self._table = table

    def _connection(self) -> Any:
        bind_key = self._table.metadata.info.get("bind_key")
        return self._database.engines[bind_key].begin()

    @engine_failures
    def get_many(self, *keys: str) -> list[bytes | None]:
        table = self._table
        query = table.select().where(table.c.session_id.in_(keys), table.c.expiry > _utc_now())
        with self._connection() as connection:
            found = {row.session_id: bytes(row.data) for row in connection.execute(query)}
        return [found.get(key) for key in keys]

    @engine_failures
    def put(self, key: str, value: bytes, ttl: int) -> None:
        if not self._update(key, value, ttl, live_only=False):
            self._insert(key, value, ttl)

    @engine_failures
    def add(self, key: str, value: bytes, ttl: int) -> bool:
        table = self._table
        with self._connection() as connection:
            connection.execute(table.delete().where(table.c.session_id == key, table.c.expiry <= _utc_now()))
        return self._insert(key, value, ttl)

    @engine_failures
    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        return self._update(key, value, ttl, live_only=True)

    @engine_failures
    def delete(self, key: str) -> None:
        with self._connection() as connection:
            connection.execute(self._table.delete().where(self._table.c.session_id == key))

    def _update(self, key: str, value: bytes, ttl: int, *, live_only: bool) -> bool:
        table = self._table
        change = table.update().where(table.c.session_id == key).values(data=value, expiry=_utc_now(ttl))
        if live_only:
            change = change.where(table.c.expiry > _utc_now())
        with self._connection() as connection:
            return bool(connection.execute(change).rowcount)

    def _insert(self, key: str, value: bytes, ttl: int) -> bool:
        from sqlalchemy.exc import IntegrityError

        try:
            with self._connection() as connection:
                connection.execute(
                    self._table.insert().values(session_id=key, data=value, expiry=_utc_now(ttl))
                )
        except IntegrityError:
            return False
        return True


def engine_of(session_interface: Any) -> Engine:
    """Return the adapter for the engine a Flask-Session interface uses.

    :raises ConfigurationError: sessions in the browser's cookie, or an engine that
        cannot keep login records.
    """
    for name, adapter in _ADAPTERS.items():
        if any(base.__name__ == name for base in type(session_interface).__mro__):
            return adapter(session_interface)
    raise ConfigurationError(
        message=f"{type(session_interface).__name__} cannot keep logins: tokens do not go to the browser, "
        "and every worker has to see the same sessions. Use Flask-Session with SESSION_TYPE redis, memcached, "
        "sqlalchemy or cachelib, or leave SESSION_TYPE out for the embedded default."
    )


def _cachelib_engine(interface: Any) -> Engine:
    cache = interface.cache
    return cache if isinstance(cache, EmbeddedStore) else CachelibEngine(cache)


def _sqlalchemy_engine(interface: Any) -> Engine:
    return SQLAlchemyEngine(interface.client, interface.sql_session_model.__table__)


# By name: importing the classes would import every store's client.
_ADAPTERS: dict[str, Callable[[Any], Engine]] = {
    "RedisSessionInterface": lambda interface: RedisEngine(interface.client),
    "MemcachedSessionInterface": lambda interface: MemcachedEngine(interface.client),
    "CacheLibSessionInterface": _cachelib_engine,
    "FileSystemSessionInterface": _cachelib_engine,
    "SqlAlchemySessionInterface": _sqlalchemy_engine,
}


def _memcached_ttl(ttl: int) -> int:
    return ttl if ttl <= MEMCACHED_LONGEST_TTL else int(time.time()) + ttl


def _utc_now(ahead: int = 0) -> datetime:
    return (datetime.now(timezone.utc) + timedelta(seconds=ahead)).replace(tzinfo=None)
