"""Five thousand people on four workers and one Redis: what a login takes in the store and in a worker.

    ./benchmarks/run growth                       about three minutes
    ./benchmarks/run growth --people 20000

Everybody logs in through HTTP, and looks at a page of each worker. Then visitors begin logins in six tabs and
finish none, everybody looks at pages again and again, and some log out. Memory is read after each step, and
every answer is compared with who asked. The exit status is 1 when somebody was somebody else, or when memory
grows with what should not grow it. Needs redis-server.
"""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Final

import redis

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser

from .memory import private_mib
from .report import Report, options, spread
from .web_servers import ORIGIN, WebServer, deployment

WORKERS: Final = 4
TABS: Final = 6
ROUNDS: Final = 3
THREADS: Final = 8
SAMPLE: Final = 200
#: A session, a login record, and for some minutes that the callback was used.
KEYS_OF_A_LOGIN: Final = 3
#: What views of people who are known already may add to a worker, in MiB.
FLAT: Final = 1.0


class Crowd:
    """The people, and what they saw that they should not have."""

    def __init__(self, emulator: Emulator, servers: list[WebServer]) -> None:
        self._emulator = emulator
        self._servers = servers
        self._dice = Random(1)
        self._lock = threading.Lock()
        self._browsers: list[Browser] = []
        self.wrong_users = 0
        self.other_answers = 0
        self.processes = sorted({self._worker_of(server) for server in servers})

    @property
    def people(self) -> int:
        return len(self._browsers)

    def log_in(self, number: int) -> None:
        """Let one more person log in somewhere, and look at a page of every worker."""
        email = f"person{number}@example.com"
        self._emulator.add_user(email=email)
        browser = Browser(self._emulator, user=email, ip=f"203.0.113.{number % 250 + 1}", timeout=60)
        self._anywhere(browser)
        self._compare(browser, browser.get(f"{ORIGIN}/private"))
        for server in self._servers:
            browser.routes = {ORIGIN: server.url}
            self._compare(browser, browser.fetch(f"{ORIGIN}/private"))
        with self._lock:
            self._browsers.append(browser)

    def look(self, number: int) -> None:
        browser = self._browsers[number]
        self._anywhere(browser)
        self._compare(browser, browser.fetch(f"{ORIGIN}/private"))

    def log_out(self, number: int) -> None:
        browser = self._browsers[number]
        self._anywhere(browser)
        browser.submit(f"{ORIGIN}/api/auth/logout")
        if browser.fetch(f"{ORIGIN}/").json()["user"] is not None:
            self._count(wrong=True)

    def begin_logins(self, number: int) -> None:
        """Open a page that needs a login in several tabs, and do nothing more."""
        browser = Browser(self._emulator, user=None, ip=f"198.51.100.{number % 250 + 1}", timeout=60)
        self._anywhere(browser)
        for _ in range(TABS):
            if browser.get(f"{ORIGIN}/api/auth/login", follow=False).status != 302:
                self._count(wrong=False)

    def _anywhere(self, browser: Browser) -> None:
        browser.routes = {ORIGIN: self._dice.choice(self._servers).url}

    def _compare(self, browser: Browser, page: Any) -> None:
        if page.status != 200:
            self._count(wrong=False)
        elif page.json()["user"] != browser.user:
            self._count(wrong=True)

    def _count(self, *, wrong: bool) -> None:
        with self._lock:
            if wrong:
                self.wrong_users += 1
            else:
                self.other_answers += 1

    def _worker_of(self, server: WebServer) -> int:
        page = Browser(routes={ORIGIN: server.url}, timeout=60).fetch(f"{ORIGIN}/")
        return int(page.json()["worker"])


class Store:
    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(url, decode_responses=True)

    @property
    def mib(self) -> float:
        return float(self._client.info("memory")["used_memory"]) / 2**20

    @property
    def keys(self) -> int:
        return int(self._client.dbsize())

    def sizes(self) -> dict[str, tuple[int, float]]:
        """How many keys there are of each kind, and the median of their bytes with what Redis adds."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for key in self._client.scan_iter(count=1000):
            kinds[_kind(key)].append(key)
        return {
            kind: (len(keys), statistics.median(self._client.memory_usage(key) for key in keys[:SAMPLE]))
            for kind, keys in sorted(kinds.items())
        }


def _kind(key: str) -> str:
    """``session``, or the third part of a key of ours."""
    parts = key.split(":")
    return parts[2] if parts[0] == "centralauth" else parts[0]


def together(work: Callable[[int], None], numbers: Iterable[int]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, numbers))


def logins(report: Report, crowd: Crowd, store: Store, emulator: Emulator, people: int) -> None:
    """Let people log in, a fifth at a time. What is loaded at the first logins is not counted."""
    warm = people // 50
    together(crowd.log_in, range(warm))
    empty = (store.mib, store.keys, [private_mib(process) for process in crowd.processes])
    table = report.table(
        "Logins", *("logins", "store, MiB", "KiB a login", "keys a login", "a worker, MiB", "KiB a login")
    )
    for step in range(5):
        first = warm + step * people // 5
        together(crowd.log_in, range(first, warm + (step + 1) * people // 5))
        emulator.requests.clear()
        more = crowd.people - warm
        workers = [private_mib(process) for process in crowd.processes]
        grown = [now - before for now, before in zip(workers, empty[2], strict=True)]
        table.row(
            crowd.people,
            f"{store.mib:.1f}",
            f"{(store.mib - empty[0]) / more * 1024:.2f}",
            f"{(store.keys - empty[1]) / more:.2f}",
            spread(workers),
            f"{statistics.median(grown) / more * 1024:.2f}",
        )
    report.exact("keys of a login in the store", (store.keys - empty[1]) / more, most=KEYS_OF_A_LOGIN + 0.05)


def afterwards(report: Report, crowd: Crowd, store: Store, visitors: int) -> None:
    table = report.table("Then", "", "store, MiB", "keys", "a worker, MiB")

    def read(what: str) -> float:
        workers = [private_mib(process) for process in crowd.processes]
        table.row(what, f"{store.mib:.1f}", store.keys, spread(workers))
        return statistics.median(workers)

    read("everybody is in")
    keys = store.keys
    together(crowd.begin_logins, range(visitors))
    read(f"{visitors:,} visitors began {TABS} logins each and finished none")
    report.exact("keys that unfinished logins left in the store", store.keys - keys, most=0)
    sizes = []
    for number in range(ROUNDS):
        together(crowd.look, range(crowd.people))
        sizes.append(read(f"everybody looked at a page, {number + 1} times"))
    report.exact("growth of a worker with views, MiB", round(sizes[-1] - sizes[0], 2), most=FLAT)
    leaving = crowd.people // 5
    together(crowd.log_out, range(leaving))
    read(f"{leaving:,} people logged out")


def run(report: Report, people: int) -> None:
    settings = {"CENTRALAUTH_USER_TTL": 3600}
    with Emulator() as emulator, deployment(emulator, servers=WORKERS, workers=1, **settings) as deployed:
        crowd, store = Crowd(emulator, deployed.servers), Store(deployed.redis_url)
        logins(report, crowd, store, emulator, people)
        table = report.table("What is in the store", "key", "keys", "bytes, with what Redis adds")
        for kind, (count, size) in store.sizes().items():
            table.row(kind, count, f"{size:.0f}")
        afterwards(report, crowd, store, visitors=max(50, people // 25))
        report.exact("wrong users", crowd.wrong_users, most=0)
        report.exact("other answers", crowd.other_answers, most=0)


def main() -> int:
    chosen = options("What a login takes in the store and in a worker.", people=(5_000, 300))
    report = Report(
        "growth",
        "Five thousand people" if chosen.people == 5_000 else f"{chosen.people:,} people",
        packages=["gunicorn", "redis"],
        programs=["redis-server"],
        quick=chosen.quick,
    )
    report.note(
        f"{WORKERS} workers of gunicorn and one Redis. Everybody logs in through HTTP and looks at a page "
        "of every worker, so that each worker knows everybody. Memory of a worker is its private memory; "
        "the median and quartiles are those of the workers. A login's figures leave out what the first "
        "logins load."
    )
    run(report, chosen.people)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
