"""The engine behind Flask-Session, used for sessions and login records alike.

Both live in one place, so that whatever the application scales out with, it has to set up
once. Each adapter offers the same few operations on bytes; what the third-party client
raises becomes `ServiceUnavailable` (`store_failures`).

`engine_choice` says which one an application uses.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol

from .embedded_store import EmbeddedStore
from .store_failures import StoreBreaker, store_failures

#: memcached reads larger numbers as a date.
MEMCACHED_LONGEST_TTL = 30 * 24 * 3600


class Engine(Protocol):
    """A key-value store shared by all workers. Every ``ttl`` is in whole seconds.

    Every operation raises `ServiceUnavailable` when the store cannot be asked, at once while it hangs.
    """

    breaker: StoreBreaker

    #: Whether ``add`` and ``replace`` look and write in one step, whoever else writes.
    atomic: bool

    def get_many(self, *keys: str) -> list[bytes | None]:
        """Return the values in one round trip, None for what is missing or expired."""
        ...

    def put(self, key: str, value: bytes, ttl: int) -> None:
        """Write, whether the key exists or not."""
        ...

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        """Write only if the key is missing; say whether it was written."""
        ...

    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        """Write only if the key exists; say whether it was written."""
        ...

    def touch(self, key: str, ttl: int) -> bool:
        """Let a key live from now on for ``ttl``, its value unread; say whether it exists."""
        ...

    def delete(self, key: str) -> bool:
        """Remove a key; say whether there was one."""
        ...


@store_failures
class EmbeddedEngine(EmbeddedStore):
    """One SQLite file of this machine."""

    atomic = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.breaker = StoreBreaker()


@store_failures
class RedisEngine:
    """Redis, or what speaks like it."""

    atomic = True

    def __init__(self, client: Any) -> None:
        self.breaker = StoreBreaker()
        self._client = client
        # A cluster has the keys on several servers.
        self._read_many = getattr(client, "mget_nonatomic", None) or client.mget

    def get_many(self, *keys: str) -> list[bytes | None]:
        # GET for one key: the command an operator looks for in the statistics.
        return [self._client.get(keys[0])] if len(keys) == 1 else list(self._read_many(keys))

    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._client.set(key, value, ex=ttl)

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._client.set(key, value, ex=ttl, nx=True))

    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._client.set(key, value, ex=ttl, xx=True))

    def touch(self, key: str, ttl: int) -> bool:
        return bool(self._client.expire(key, ttl))

    def delete(self, key: str) -> bool:
        return bool(self._client.delete(key))


@store_failures
class MemcachedEngine:
    """memcached through pymemcache; only its pooled client is safe with threads."""

    atomic = True

    def __init__(self, client: Any) -> None:
        self.breaker = StoreBreaker()
        self._client = client

    def get_many(self, *keys: str) -> list[bytes | None]:
        found = self._client.get_many(keys)
        return [found.get(key) for key in keys]

    def put(self, key: str, value: bytes, ttl: int) -> None:
        # Without a reply, a value over the server's limit would be lost without a word.
        self._client.set(key, value, _memcached_ttl(ttl), noreply=False)

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._client.add(key, value, _memcached_ttl(ttl), noreply=False))

    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._client.replace(key, value, _memcached_ttl(ttl), noreply=False))

    def touch(self, key: str, ttl: int) -> bool:
        return bool(self._client.touch(key, _memcached_ttl(ttl), noreply=False))

    def delete(self, key: str) -> bool:
        return bool(self._client.delete(key, noreply=False))


@store_failures
class CachelibEngine:
    """Any cachelib cache: looking and writing are two steps there, joined in this process only."""

    atomic = False

    def __init__(self, cache: Any) -> None:
        self.breaker = StoreBreaker()
        self._cache = cache
        self._lock = threading.RLock()

    def get_many(self, *keys: str) -> list[bytes | None]:
        found = (self._cache.get(key) for key in keys)
        return [value if isinstance(value, bytes) else None for value in found]

    def put(self, key: str, value: bytes, ttl: int) -> None:
        with self._lock:
            if not self._cache.set(key, value, timeout=ttl):
                raise OSError("the cache did not take the value")

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        with self._lock:
            if self._cache.has(key):
                return False
            self.put(key, value, ttl)
            return True

    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        with self._lock:
            if not self._cache.has(key):
                return False
            self.put(key, value, ttl)
            return True

    def touch(self, key: str, ttl: int) -> bool:
        with self._lock:
            value = self._cache.get(key)
            if value is None:
                return False
            self.put(key, value, ttl)
            return True

    def delete(self, key: str) -> bool:
        with self._lock:
            if not self._cache.has(key):
                return False
            if not self._cache.delete(key):
                raise OSError("the cache did not remove the key")
            return True


@store_failures
class SQLAlchemyEngine:
    """The table of Flask-Session's SQLAlchemy engine, on connections of our own.

    Never ``db.session``: committing there would commit what the application has pending,
    and a failure would break its transaction.
    """

    atomic = True

    def __init__(self, engine: Any, table: Any) -> None:
        self.breaker = StoreBreaker()
        # Every operation is one statement: no BEGIN and COMMIT to wait for.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table

    def get_many(self, *keys: str) -> list[bytes | None]:
        columns = self._table.c
        live = self._table.select().where(columns.session_id.in_(keys), columns.expiry > _utc_now())
        with self._engine.connect() as connection:
            found = {row.session_id: bytes(row.data) for row in connection.execute(live)}
        return [found.get(key) for key in keys]

    def put(self, key: str, value: bytes, ttl: int) -> None:
        content = {"data": value, "expiry": _utc_now(ttl)}
        # The second update: somebody else inserted the key between the first two.
        _ = self._update(key, content) or self._insert(key, content) or self._update(key, content)

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        content = {"data": value, "expiry": _utc_now(ttl)}
        columns = self._table.c
        return self._insert(key, content) or self._update(key, content, columns.expiry <= _utc_now())

    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        content = {"data": value, "expiry": _utc_now(ttl)}
        return self._update(key, content, self._table.c.expiry > _utc_now())

    def touch(self, key: str, ttl: int) -> bool:
        return self._update(key, {"expiry": _utc_now(ttl)}, self._table.c.expiry > _utc_now())

    def delete(self, key: str) -> bool:
        return self._changes(self._table.delete().where(self._table.c.session_id == key))

    def _update(self, key: str, content: dict[str, Any], *conditions: Any) -> bool:
        rows = self._table.update().where(self._table.c.session_id == key, *conditions)
        return self._changes(rows.values(**content))

    def _insert(self, key: str, content: dict[str, Any]) -> bool:
        from sqlalchemy.exc import IntegrityError

        try:
            return self._changes(self._table.insert().values(session_id=key, **content))
        except IntegrityError:
            return False

    def _changes(self, statement: Any) -> bool:
        with self._engine.connect() as connection:
            return bool(connection.execute(statement).rowcount)


def _memcached_ttl(ttl: int) -> int:
    return ttl if ttl <= MEMCACHED_LONGEST_TTL else int(time.time()) + ttl


def _utc_now(ahead: int = 0) -> datetime:
    return (datetime.now(timezone.utc) + timedelta(seconds=ahead)).replace(tzinfo=None)
