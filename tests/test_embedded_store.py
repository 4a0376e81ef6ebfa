"""The embedded store: one file, many threads and processes, and what happens when it breaks."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from flask_centralauth import embedded_store
from flask_centralauth.embedded_store import EmbeddedStore
from flask_centralauth.session_guard import EMBEDDED_FILE

from .browser_client import Browser
from .conftest import MakeApp, RunServer

LONG = 600


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "instance" / "sessions.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddedStore]:
    made = EmbeddedStore(path)
    yield made
    made.close()


def test_only_its_owner_reads_the_file(store: EmbeddedStore, path: Path) -> None:
    before = os.umask(0)
    try:
        store.put("key", b"token", LONG)
    finally:
        os.umask(before)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nothing_is_made_before_something_is_stored(path: Path) -> None:
    EmbeddedStore(path)
    assert not path.parent.exists()


def test_what_is_stored_outlives_the_process(store: EmbeddedStore, path: Path) -> None:
    store.put("key", b"value", LONG)
    store.close()
    again = EmbeddedStore(path)
    assert again.get_many("key") == [b"value"]
    again.close()
    assert store.get_many("key") == [b"value"]  # opened again


def test_thousands_of_logins_and_nobody_is_evicted(store: EmbeddedStore) -> None:
    for number in range(2000):
        store.put(f"key{number}", b"value", LONG)
    assert None not in store.get_many(*(f"key{number}" for number in range(0, 2000, 100)))


def test_expired_entries_are_removed_in_passing(
    store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_store, "CLEAN_UP_EVERY", 1)
    for number in range(20):
        store.put(f"old{number}", b"value", -1)
    store.put("new", b"value", LONG)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT key FROM entries").fetchall() == [("new",)]


def test_many_threads(store: EmbeddedStore) -> None:
    def work(number: int) -> bool:
        for turn in range(50):
            store.put(f"key{number}", str(turn).encode(), LONG)
            if store.get_many(f"key{number}") != [str(turn).encode()]:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def run(program: str, path: Path) -> None:
    """Run a program in a process of its own: forking one that has threads is asking for trouble."""
    opening = "import os, sys, pathlib\nfrom flask_centralauth.embedded_store import EmbeddedStore\n"
    done = subprocess.run(
        [sys.executable, "-c", opening + program, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_one_of_many_processes_wins(path: Path) -> None:
    """A callback is used once, in whichever worker."""
    run(
        """
store = EmbeddedStore(pathlib.Path(sys.argv[1]))
begin, go = os.pipe()
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(begin, 1)  # returns to all at once, when the parent closes its end
        os._exit(10 + store.add("key", b"value", 600))
    children.append(child)
os.close(go)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert sorted(codes) == [10] * 5 + [11], codes
""",
        path,
    )


def test_forked_while_in_use(path: Path) -> None:
    """gunicorn --preload: the child must not use its parent's connection, nor wait for its threads."""
    run(
        """
store = EmbeddedStore(pathlib.Path(sys.argv[1]))
store.put("key", b"value", 600)
with store._lock:  # as another thread of the parent, in the middle of something
    child = os.fork()
    if child == 0:
        found = store.get_many("key") == [b"value"] and store.add("of-child", b"value", 600)
        os._exit(0 if found else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert store.get_many("of-child") == [b"value"]
""",
        path,
    )


def test_two_threads_are_the_first_in_a_forked_process(path: Path) -> None:
    """One starts over; the other goes on with what that one has opened."""
    run(
        """
import threading
store = EmbeddedStore(pathlib.Path(sys.argv[1]))
store.put("key", b"value", 600)
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
start_over, times, other_came = store._leave_to_parent, [], threading.Event()

def slowly():
    times.append(1)
    if len(times) == 2:
        other_came.set()
    other_came.wait(0.3)
    start_over()

store._leave_to_parent = slowly
threads = [threading.Thread(target=store.get_many, args=("key",)) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os._exit(0 if len(times) == 1 and store.get_many("key") == [b"value"] else 1)
""",
        path,
    )


@pytest.fixture
def being_made(path: Path) -> Iterator[sqlite3.Connection]:
    """The connection of another worker, in the middle of making the file."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE begun (key TEXT)")
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_new_file_is_waited_for(store: EmbeddedStore, being_made: sqlite3.Connection) -> None:
    """Of several workers that start at once, one makes the file and the others find it locked."""
    with ThreadPoolExecutor(1) as second:
        writing = second.submit(store.put, "key", b"value", LONG)
        assert wait([writing], timeout=0.2).not_done
        being_made.execute("ROLLBACK")
        writing.result()
    assert store.get_many("key") == [b"value"]


@pytest.mark.usefixtures("being_made")
def test_a_new_file_is_not_waited_for_forever(store: EmbeddedStore) -> None:
    with pytest.raises(sqlite3.OperationalError):
        store.put("key", b"value", LONG)


def test_a_file_that_somebody_holds_costs_a_second(
    make_app: MakeApp, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    """Reading goes on, writing fails in bounded time, and then all is well again."""
    app = make_app(instance_path=tmp_path)
    url = live_server(app).url
    browser.get(f"{url}/private")
    with closing(sqlite3.connect(tmp_path / EMBEDDED_FILE, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert browser.fetch(f"{url}/api/data").status == 200
        began = time.monotonic()
        assert browser.submit(f"{url}/api/auth/logout").status == 503
        assert time.monotonic() - began < embedded_store.BUSY_SECONDS + 1.5
        holder.execute("ROLLBACK")
    assert browser.fetch(f"{url}/api/data").status == 200
    browser.submit(f"{url}/api/auth/logout")
    assert browser.fetch(f"{url}/api/data").status == 401


@pytest.mark.parametrize("damage", ["rubbish", "a folder"])
def test_a_file_that_is_no_database(
    make_app: MakeApp, live_server: RunServer, browser: Browser, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / EMBEDDED_FILE
    if damage == "rubbish":
        file.write_bytes(b"this is no database" * 100)
    else:
        file.mkdir()
    url = live_server(make_app(instance_path=tmp_path)).url
    browser.cookies.store(url, "session=from-before-it-broke; Path=/")
    assert browser.get(f"{url}/").text == "public"
    refused = browser.fetch(f"{url}/api/data")
    assert refused.status == 503
    assert refused.headers["Retry-After"]
    if damage == "rubbish":
        file.unlink()
    else:
        file.rmdir()
    assert browser.get(f"{url}/private").text == "alice@example.com"


def test_a_flush_under_load_ends_no_request_badly(
    make_app: MakeApp, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    url = live_server(make_app(instance_path=tmp_path)).url
    browser.get(f"{url}/private")
    statuses: set[int] = set()
    stop = threading.Event()

    def ask() -> None:
        tab = browser.tab()
        while not stop.is_set():
            statuses.add(tab.fetch(f"{url}/api/data").status)

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        with closing(sqlite3.connect(tmp_path / EMBEDDED_FILE, timeout=10)) as connection, connection:
            connection.execute("DELETE FROM entries")
        deadline = time.monotonic() + 10
        while 401 not in statuses and time.monotonic() < deadline:
            stop.wait(0.01)
        stop.set()
        for one in asking:
            one.result()
    assert statuses <= {200, 401}
    assert 401 in statuses


DROPPED: Final = """
import gc, pathlib, random, sys
from flask_centralauth.embedded_store import EmbeddedStore

class Link: pass

dice, kept = random.Random(1), []
for number in range(400):
    ring = [Link() for _ in range(30)]
    store = EmbeddedStore(pathlib.Path(sys.argv[1], str(number % 5)))
    for place, link in enumerate(ring):
        link.next = ring[(place + 1) % 30]
    ring[5].store, store.owner = store, dice.choice(ring)
    if number % 3 == 0:
        gc.collect(0)
    store.put("key", b"value", 100)
    if number % 2 == 0:
        kept.append((ring, store))
    if len(kept) > 5:
        kept.pop(dice.randrange(len(kept)))
    del ring, link, store
    if number % 7 == 0:
        gc.collect(dice.choice([0, 1, 2]))
"""


def test_stores_that_are_dropped_with_their_application_are_closed(tmp_path: Path) -> None:
    """Python 3.13 warns of open connections among the garbage, in whatever runs at that moment."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DROPPED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
