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
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

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

    The operations are those of `engines.Engine`. Safe with threads, processes and ``fork``.

    :raises sqlite3.Error: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._closing: weakref.finalize[..., EmbeddedStore] | None = None
        self._inherited: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._process = os.getpid()
        # Apart from the other lock, which a thread of the parent may have held.
        self._starting_over = threading.Lock()

    def get_many(self, *keys: str) -> list[bytes | None]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, value FROM entries WHERE key IN ({marks}) AND expires > ?"  # noqa: S608 - only marks
        with self._transaction() as connection:
            found = dict(connection.execute(query, (*keys, time.time())).fetchall())
        return [found.get(key) for key in keys]

    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._change(
            "INSERT OR REPLACE INTO entries (value, expires, key) VALUES (?, ?, ?)",
            value,
            time.time() + ttl,
            key,
        )

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        statement = (
            "INSERT INTO entries (value, expires, key) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
            "SET value = excluded.value, expires = excluded.expires WHERE entries.expires <= ?"
        )
        now = time.time()
        return self._change(statement, value, now + ttl, key, now)

    def replace(self, key: str, value: bytes, ttl: int) -> bool:
        now = time.time()
        statement = "UPDATE entries SET value = ?, expires = ? WHERE key = ? AND expires > ?"
        return self._change(statement, value, now + ttl, key, now)

    def touch(self, key: str, ttl: int) -> bool:
        now = time.time()
        return self._change(
            "UPDATE entries SET expires = ? WHERE key = ? AND expires > ?", now + ttl, key, now
        )

    def delete(self, key: str) -> bool:
        return self._change("DELETE FROM entries WHERE key = ?", key)

    def _change(self, statement: str, *values: bytes | float | str) -> bool:
        with self._transaction() as connection:
            changed = connection.execute(statement, values).rowcount
            if random.randrange(CLEAN_UP_EVERY) == 0:  # noqa: S311 - when to clean is no secret
                self._remove_expired(connection)
        return bool(changed)

    def _remove_expired(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE expires <= ? LIMIT ?)",
            (time.time(), CLEAN_UP_ROWS),
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._process != os.getpid():
            with self._starting_over:
                # Else the second of two threads would drop what the first has just opened and uses.
                if self._process != os.getpid():
                    self._leave_to_parent()
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
                # Not __del__: garbage is finalized in any order, and Python 3.13 warns of every connection
                # whose turn comes before its owner's. This one is held from outside until it is closed.
                self._closing = weakref.finalize(self, _close, self._connection, self._process)
            with self._connection:
                yield self._connection

    def _leave_to_parent(self) -> None:
        """Start over in a forked process."""
        if self._connection is not None:
            # SQLite forbids using, and closing, a connection that came through fork().
            self._inherited.append(self._connection)
        if self._closing is not None:
            self._closing.detach()
        # A thread of the parent may have held the lock, and does not exist here.
        self._connection, self._lock, self._process = None, threading.Lock(), os.getpid()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite would create the file with the process's umask, usually world-readable.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file. The next operation opens it again."""
        with self._lock:
            if self._closing is not None:
                self._closing()
            self._connection = None


def _close(connection: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        connection.close()


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work at the same time.

    SQLite does not wait for its lock here: of several workers that start at once and
    find a new file, all but one are told that it is locked.
    """
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.005)
