"""Threads of one worker that serve page views for a while, and what the people got."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from flask_centralauth.emulator import Emulator
from tests.browser_client import USER_AGENT

from .checked_pages import ADDRESS, CheckedPages
from .report import Table

THREADS: Final = 4
PEOPLE: Final = 50
#: A page that takes longer waited for somebody; on its own it takes a tenth of a millisecond.
WAIT: Final = 0.2


@dataclass
class Phase:
    """What one phase was like.

    :param later: pages after the trouble had been found out.
    :param waits: pages that waited.
    :param unserved: seconds in which every thread waited, and nobody was served.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    later: int = 0
    later_seconds: float = 0.0
    longest: float = 0.0
    waits: int = 0
    unserved: float = 0.0

    @property
    def pages(self) -> int:
        return self.statuses.total()

    @property
    def rate(self) -> float:
        return self.pages / self.seconds

    @property
    def each(self) -> float:
        """CPU time of a page in microseconds."""
        return self.cpu / self.pages * 1e6

    @property
    def later_rate(self) -> float:
        return self.later / self.later_seconds

    def add(self, other: Phase) -> None:
        self.seconds += other.seconds
        self.cpu += other.cpu
        self.statuses += other.statuses
        self.later += other.later
        self.later_seconds += other.later_seconds
        self.longest = max(self.longest, other.longest)
        self.waits += other.waits
        self.unserved += other.unserved


def sign_in(pages: CheckedPages, emulator: Emulator, people: int = PEOPLE) -> list[str]:
    """Log people in with tokens CentralAuth knows; return the cookies of their sessions."""
    cookies = []
    for number in range(people):
        email = f"person{number}@example.com"
        user = emulator.add_user(email=email)
        tokens = emulator.tokens(user=email, domain="http://127.0.0.1", ip=ADDRESS, user_agent=USER_AGENT)
        cookies.append(pages.sign_in(number, token=str(tokens["access_token"]), user_id=user.id))
    return cookies


def view(
    pages: CheckedPages, path: str, cookies: list[str], seconds: float, *, settled: float = 0.0
) -> Phase:
    """Let all threads serve a page to everybody in turn, as fast as they can.

    :param settled: seconds after which a trouble has been found out.
    """
    visits = [pages.visit(path, cookie) for cookie in cookies]
    phase, lock = Phase(), threading.Lock()
    waiting: list[tuple[float, float]] = []
    started = time.monotonic()

    def work(first: int) -> None:
        mine = Phase()
        for environ in itertools.islice(itertools.cycle(visits), first, None):
            began = time.monotonic()
            if began - started > seconds:
                break
            mine.statuses[pages.status_of(environ)] += 1
            ended = time.monotonic()
            mine.later += ended - started > settled
            mine.longest = max(mine.longest, ended - began)
            if ended - began > WAIT:
                mine.waits += 1
                waiting.append((began, ended))
        with lock:
            phase.add(mine)

    cpu = time.process_time()
    threads = [
        threading.Thread(target=work, args=(number * len(visits) // THREADS,)) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    phase.seconds, phase.cpu = time.monotonic() - started, time.process_time() - cpu
    phase.later_seconds = phase.seconds - settled
    phase.unserved = seconds_together(waiting)
    return phase


def seconds_together(waiting: Iterable[tuple[float, float]]) -> float:
    """The seconds that lie in as many of these intervals as there are threads."""
    edges = sorted([(began, 1) for began, _ in waiting] + [(ended, -1) for _, ended in waiting])
    found, open_now = 0.0, 0
    for (moment, step), (following, _) in itertools.pairwise([*edges, (0.0, 0)]):
        open_now += step
        if open_now == THREADS:
            found += following - moment
    return found


@dataclass
class InTurns:
    """A page on normal days and on bad ones, in phases that take turns."""

    normal: Phase = field(default_factory=Phase)
    bad: Phase = field(default_factory=Phase)
    ratios: list[float] = field(default_factory=list)
    later_ratios: list[float] = field(default_factory=list)

    def add(self, normal: Phase, bad: Phase) -> None:
        self.normal.add(normal)
        self.bad.add(bad)
        self.ratios.append(bad.rate / normal.rate)
        self.later_ratios.append(bad.later_rate / normal.rate)


#: Of a table with one row per trouble and kind of page.
COLUMNS: Final = (
    "trouble",
    "pages",
    "ratio",
    "once found out",
    "pages/s, normally",
    "longest, normally",
    "CPU of a page, normally",
    "pages that waited",
    "nobody served",
)


def add_row(table: Table, name: str, what: str, found: InTurns) -> None:
    bad, normal = found.bad, found.normal
    table.row(
        name,
        what,
        f"{statistics.median(found.ratios):.2f}x",
        f"{statistics.median(found.later_ratios):.2f}x",
        f"{bad.rate:,.0f}, {normal.rate:,.0f}",
        f"{bad.longest * 1000:,.0f} ms, {normal.longest * 1000:,.0f} ms",
        f"{bad.each:.0f} us, {normal.each:.0f} us",
        f"{bad.waits} of {bad.pages:,}",
        f"{bad.unserved / bad.seconds:.0%} of the time",
    )
