"""What the login records rely on, asked of every engine itself."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from flask_centralauth.engines import Engine

from .conftest import MakeWorker
from .store_engines import StoreEngine

LONG = 600


@pytest.fixture
def store(engine: StoreEngine, make_worker: MakeWorker) -> Iterator[Engine]:
    worker = make_worker(engine)
    with worker.app.app_context():
        yield worker.guard.engine


def test_values_come_back_as_they_were(store: Engine) -> None:
    values = {f"key:{number}": secrets.token_bytes(1 + number * 500) for number in range(5)}
    for key, value in values.items():
        store.put(key, value, LONG)
    assert store.get_many(*values) == list(values.values())
    assert store.get_many("key:3", "missing", "key:0") == [values["key:3"], None, values["key:0"]]
    store.put("key:0", b"", LONG)
    assert store.get_many("key:0") == [b""]


def test_written_only_if_missing(store: Engine) -> None:
    assert store.add("key", b"first", LONG)
    assert not store.add("key", b"second", LONG)
    assert store.get_many("key") == [b"first"]


def test_written_only_if_there(store: Engine) -> None:
    assert not store.replace("key", b"value", LONG)
    assert store.get_many("key") == [None]
    store.put("key", b"value", LONG)
    assert store.replace("key", b"other", LONG)
    assert store.get_many("key") == [b"other"]


def test_deleted_once(store: Engine) -> None:
    assert not store.delete("key")
    store.put("key", b"value", LONG)
    assert store.delete("key")
    assert not store.delete("key")
    assert store.get_many("key") == [None]
    assert not store.replace("key", b"value", LONG)
    assert not store.touch("key", LONG)


def test_what_is_not_touched_goes(store: Engine) -> None:
    store.put("touched", b"value", 1)
    store.put("left", b"value", 1)
    assert store.touch("touched", LONG)
    deadline = time.monotonic() + 5
    while store.get_many("left") != [None]:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # servers count whole seconds by a clock of their own
    assert store.get_many("touched") == [b"value"]
    # Expired is as good as never written.
    assert not store.replace("left", b"value", LONG)
    assert not store.touch("left", LONG)
    assert store.add("left", b"new", LONG)
    assert store.get_many("left") == [b"new"]


@pytest.mark.parametrize("seconds", [31 * 24 * 3600, 400 * 24 * 3600])
def test_long_lives(store: Engine, seconds: int) -> None:
    """memcached takes more than 30 days for a date, which would be long ago."""
    store.put("key", b"value", seconds)
    assert store.replace("key", b"value", seconds)
    assert store.touch("key", seconds)
    assert store.get_many("key") == [b"value"]


@pytest.mark.parametrize("operation", ["add", "replace", "delete"])
def test_of_many_at_once(store: Engine, operation: str) -> None:
    """One wins where one must, and parallel writes do not fail."""
    threads, together = 8, Barrier(8)

    def work(number: int) -> bool:
        together.wait(15)
        if operation == "add":
            return store.add("key", str(number).encode(), LONG)
        if operation == "delete":
            return store.delete("key")
        store.put("fresh", str(number).encode(), LONG)
        return store.replace("key", str(number).encode(), LONG)

    if operation != "add":
        store.put("key", b"value", LONG)
    with ThreadPoolExecutor(threads) as pool:
        won = list(pool.map(work, range(threads)))
    if operation == "replace":
        assert all(won)
        assert store.get_many("fresh") != [None]
    else:
        assert won.count(True) == 1


def test_replace_never_brings_back_what_is_deleted(store: Engine) -> None:
    """The zombie, without the timing of requests: a writer that never stops, and one delete."""
    store.put("key", b"value", LONG)
    stop = Event()

    def write() -> None:
        # The pause: SQLite is not fair to those who wait to write.
        while not stop.wait(0.002):
            store.replace("key", b"written back", LONG)

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write) for _ in range(3)]
        for _ in range(20):
            store.add("key", b"value", LONG)
            assert store.delete("key")
            assert store.get_many("key") == [None]
        stop.set()
        for writer in writers:
            writer.result()
    assert store.get_many("key") == [None]
