"""What people notice when CentralAuth is dead, hung or away: page views, waits, and who is signed out.

    ./benchmarks/run outage                     about three minutes
    ./benchmarks/run outage --seconds 60        longer phases

One process with four threads, as a worker of gunicorn has; people who were logged in before. Normal phases,
in which nobody has to be asked, and phases of an outage, in which everybody's answer is too old, take turns.
Then half an hour passes in which 30 % of the calls fail. The exit status is 1 when somebody was signed out, a
request took longer than the deadline allows, or CentralAuth was asked too often.
"""

from __future__ import annotations

import itertools
import logging
import math
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from flask_centralauth.breaker import Breaker
from flask_centralauth.emulator import Emulator
from tests.browser_client import USER_AGENT
from tests.checked_site import MovedClock

from .checked_pages import ADDRESS, CheckedPages, Environ, pages_on
from .report import Report, Table, options, spread

THREADS: Final = 4
PEOPLE: Final = 50
TIMEOUT: Final = 1.0
#: What a busy machine may add to a wait of `TIMEOUT`.
SLACK: Final = 0.5
#: Of the normal pages per second.
GOAL: Final = 0.90

OUTAGES: Final[dict[str, dict[str, Any] | None]] = {
    "dead (503)": {"status": 503},
    "hung": {"hang": True},
    "dripping": {"action": "drip", "bytes_per_second": 5},
    "refusing": None,
}


@dataclass
class Phase:
    """What one phase was like for the people."""

    seconds: float = 0.0
    cpu: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0

    @property
    def pages(self) -> int:
        return self.statuses.total()

    @property
    def each(self) -> float:
        """CPU time of one page in microseconds."""
        return self.cpu / self.pages * 1e6

    def add(self, other: Phase) -> None:
        self.seconds += other.seconds
        self.cpu += other.cpu
        self.statuses += other.statuses
        self.longest = max(self.longest, other.longest)


def sign_in(pages: CheckedPages, emulator: Emulator, people: int) -> list[Environ]:
    visits = []
    for number in range(people):
        email = f"person{number}@example.com"
        user = emulator.add_user(email=email)
        tokens = emulator.tokens(user=email, domain="http://127.0.0.1", ip=ADDRESS, user_agent=USER_AGENT)
        cookie = pages.sign_in(number, token=str(tokens["access_token"]), user_id=user.id)
        visits.append(pages.visit("/guarded", cookie))
    return visits


def view(pages: CheckedPages, visits: list[Environ], seconds: float) -> Phase:
    """Let all threads serve page views for a while."""
    phase, lock = Phase(), threading.Lock()
    started = time.monotonic()

    def work(first: int) -> None:
        statuses: Counter[str] = Counter()
        longest = 0.0
        for environ in itertools.islice(itertools.cycle(visits), first, None):
            began = time.monotonic()
            if began - started > seconds:
                break
            statuses[pages.status_of(environ)] += 1
            longest = max(longest, time.monotonic() - began)
        with lock:
            phase.statuses += statuses
            phase.longest = max(phase.longest, longest)

    cpu = time.process_time()
    threads = [
        threading.Thread(target=work, args=(number * len(visits) // THREADS,)) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    phase.seconds, phase.cpu = time.monotonic() - started, time.process_time() - cpu
    return phase


def live_through(
    report: Report, table: Table, emulator: Emulator, name: str, seconds: float, rounds: int
) -> None:
    """Take normal and outage phases in turns, each outage as if it had just begun."""
    settings = {"CENTRALAUTH_TIMEOUT": TIMEOUT, "CENTRALAUTH_STALE_GRACE": 3600}
    with (
        pages_on("embedded", emulator, CENTRALAUTH_USER_TTL=3600, **settings) as (well, _),
        pages_on("embedded", emulator, CENTRALAUTH_USER_TTL=0.2, **settings) as (ill, _),
    ):
        well_visits, ill_visits = (sign_in(pages, emulator, PEOPLE) for pages in (well, ill))
        well.serve(well_visits)
        ill.serve(ill_visits)
        normal, outage = Phase(), Phase()
        ratios, asked = [], 0
        for _ in range(rounds):
            a = view(well, well_visits, seconds)
            calls = ill.state.client.calls
            ill.state.client.breaker = Breaker(longest_call=TIMEOUT + 1)
            b = in_outage(ill, ill_visits, emulator, name, seconds)
            asked += ill.state.client.calls - calls
            normal.add(a)
            outage.add(b)
            ratios.append((b.pages / b.seconds) / (a.pages / a.seconds))
    table.row(
        name,
        f"{spread(ratios, 2)}x",
        f"{outage.pages / outage.seconds:,.0f}",
        f"{normal.pages / normal.seconds:,.0f}",
        f"{outage.each:.0f}",
        f"{normal.each:.0f}",
    )
    if statistics.median(ratios) < GOAL:
        report.loss(
            f"CentralAuth {name}: {statistics.median(ratios):.2f}x of the normal pages per second, "
            f"where the goal is {GOAL:.2f}x."
        )
    others = outage.pages - outage.statuses["200 OK"]
    report.exact(f"{name}: pages that were not the page", others, most=0)
    report.exact(f"{name}: longest request, seconds", outage.longest, most=TIMEOUT + SLACK)
    # Four threads find out together that something is wrong; then one call per pause of 1, 2, 4 ... seconds.
    pauses = math.ceil(math.log2(seconds / 0.75 + 2)) + 1
    report.exact(f"{name}: calls to CentralAuth per outage", asked / rounds, most=2 + THREADS + pauses)


def in_outage(
    pages: CheckedPages, visits: list[Environ], emulator: Emulator, name: str, seconds: float
) -> Phase:
    how = OUTAGES[name]
    if how is None:
        port = emulator.port
        emulator.stop()
        try:
            return view(pages, visits, seconds)
        finally:
            emulator._address = (ADDRESS, port)
            emulator.start()
    fault = emulator.fail("userinfo", times=None, **how)
    try:
        return view(pages, visits, seconds)
    finally:
        emulator.service.faults.remove(fault)


def half_an_hour(report: Report, emulator: Emulator) -> None:
    """People look at a page every ten seconds, while 30 % of the calls fail."""
    clock = MovedClock()
    with pytest.MonkeyPatch.context() as patched, pages_on("embedded", emulator) as (pages, _server):
        clock.install(patched)
        visits = sign_in(pages, emulator, PEOPLE)
        pages.state.client.breaker = Breaker(clock=clock.monotonic)
        emulator.requests.clear()
        fault = emulator.fail("userinfo", status=503, probability=0.3, times=None)
        statuses: Counter[str] = Counter()
        for _step in range(180):
            clock.advance(10)
            emulator.clock.advance(10)
            for environ in visits:
                statuses[pages.status_of(environ)] += 1
        emulator.service.faults.remove(fault)
        counters = pages.state.users.counters
    table = report.table(
        "Half an hour in which 30 % of the calls fail",
        "pages",
        "calls",
        "failed calls",
        "pages with the last known user",
    )
    table.row(statuses.total(), counters.calls, counters.failures, counters.stale_served)
    report.exact("half an hour: pages that were not the page", statuses.total() - statuses["200 OK"], most=0)
    report.exact("half an hour: calls", counters.calls, most=PEOPLE * 30 + counters.failures)


def main() -> int:
    chosen = options("What people notice of an outage of CentralAuth.", seconds=(12.0, 2.0), rounds=(2, 1))
    logging.getLogger("flask_centralauth").setLevel(logging.ERROR)
    report = Report("outage", "When CentralAuth is away", quick=chosen.quick)
    report.note(
        f"One process with {THREADS} threads and {PEOPLE} people who were logged in before. Phases in which "
        "nobody has to be asked, and phases of an outage in which everybody's answer is too old, take "
        "turns."
    )
    table = report.table(
        "Page views", "CentralAuth", "ratio", "pages/s", "normally", "CPU of a page, us", "normally"
    )
    with Emulator(seed=1) as emulator:
        for name in OUTAGES:
            live_through(report, table, emulator, name, chosen.seconds, chosen.rounds)
        half_an_hour(report, emulator)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
