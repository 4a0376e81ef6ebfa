"""Sessions without a server: one SQLite file in the instance folder.

For one machine with any number of workers. Unlike cachelib's file cache it evicts
nobody before their time, unpickles nothing, loses no write silently, and its file is
readable by its owner only.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

BUSY_SECONDS: Final = 1.0
#: One write in so many also removes expired rows.
CLEAN_UP_EVERY: Final = 200
CLEAN_UP_ROWS: Final = 500

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires);
"""


class EmbeddedStore:
    """A key-value store with expiry in one SQLite file.

    Serves Flask-Session as a cachelib cache (``get``, ``set``, ``delete`` on values) and
    the login records as an engine (``get_many``, ``put``, ``add``, ``replace`` on bytes).
    Safe with threads, processes and ``fork``.

    :raises sqlite3.Error: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._owner = 0
        self._inherited: list[sqlite3.Connection] = []

    def get(self, key: str) -> Any:
        (value,) = self.get_many(key)
        return None if value is None else msgspec.msgpack.decode(value)

    def set(self, key: str, value: Any, timeout: int) -> bool:
        self.put(key, msgspec.msgpack.encode(value), timeout)
        return True

    def get_many(self, *keys: str) -> list[bytes | None]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, value FROM entries WHERE key IN ({marks}) AND expires > ?"  # noqa: S608 - only marks
        with self._transaction() as connection:
            found = dict(connection.execute(query, (*keys, time.time())).fetchall())
        return [found.get(key) for key in keys]

    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._write("INSERT OR REPLACE INTO entries (value, expires, key) VALUES (?, ?, ?)", key, value, ttl)

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        statement = (
            "INSERT INTO entries (value, expires, key) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
            "SET value = excluded.value, expires = excluded.expires WHERE entries.expires <= ?"
        )
        return self._write(statement, key, value, ttl, time.time())

    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        statement = "UPDATE entries SET value = ?, expires = ? WHERE key = ? AND expires > ?"
        return self._write(statement, key, value, ttl, time.time())

    def delete(self, key: str) -> bool:
        with self._transaction() as connection:
            return bool(connection.execute("DELETE FROM entries WHERE key = ?", (key,)).rowcount)

    def _write(self, statement: str, key: str, value: bytes, ttl: int, *more: float) -> bool:
        with self._transaction() as connection:
            written = connection.execute(statement, (value, time.time() + ttl, key, *more)).rowcount
            if random.randrange(CLEAN_UP_EVERY) == 0:  # noqa: S311 - when to clean is no secret
                self._remove_expired(connection)
        return bool(written)

    def _remove_expired(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE expires <= ? LIMIT ?)",
            (time.time(), CLEAN_UP_ROWS),
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._open()
            with connection:
                yield connection

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        if self._connection is not None:
            # SQLite forbids using, and closing, a connection that came through fork().
            self._inherited.append(self._connection)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite would create the file with the process's umask, usually world-readable.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        self._connection, self._owner = connection, os.getpid()
        return connection

    def close(self) -> None:
        """Close the file. The next operation opens it again."""
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None
