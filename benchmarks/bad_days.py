"""What people notice when CentralAuth or the session store is slow, hung or away.

    ./benchmarks/run bad_days                     about six minutes
    ./benchmarks/run bad_days --seconds 30        longer phases

One process with four threads, as a worker of gunicorn has; people who were logged in before. Normal phases,
in which nobody has to be asked, stand before and after each bad one, which begins with everybody's answer too
old. Then half an hour passes in which 30 % of the calls fail. The exit status is 1 when somebody was signed
out, a request took longer than the deadlines allow, or CentralAuth was asked too often. Needs redis-server.
"""

from __future__ import annotations

import contextlib
import logging
import math
import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest

from flask_centralauth.background import PATIENCE, PATIENCE_BESIDE_ANOTHER
from flask_centralauth.breaker import Breaker
from flask_centralauth.emulator import Emulator
from tests.checked_site import MovedClock

from .bad_store import STORE_NOTE, store_days
from .checked_pages import ADDRESS, CheckedPages, pages_on
from .page_views import COLUMNS, PEOPLE, THREADS, InTurns, Phase, add_row, sign_in, view
from .report import Report, options

TIMEOUT: Final = 1.0
#: What a busy machine may add to a wait.
SLACK: Final = 0.5
#: After so many seconds a trouble has been found out.
SETTLED: Final = TIMEOUT + SLACK
#: Of the normal pages per second.
GOAL: Final = 0.90
#: The time after which everybody has to be asked again.
TTL: Final = 60.0
RETRY_AFTER: Final = 30

TROUBLES: Final[dict[str, dict[str, Any] | None]] = {
    "slow (0.5 s)": {"delay": 0.5},
    "hung": {"hang": True},
    "hung, answers old in turn": {"hang": True},
    "dripping": {"action": "drip", "bytes_per_second": 5},
    "dead (503)": {"status": 503},
    "refusing": None,
    "rate limiting (429)": {"error_code": "tooManyRequests", "header": {"Retry-After": str(RETRY_AFTER)}},
}
#: In these the answers grow too old one after the other, as those of people who came at different times do;
#: in the others all at once, which is the worst that can happen.
STAGGERED: Final = ("slow (0.5 s)", "hung, answers old in turn")


class ServiceDays:
    """People at one application, and the troubles of CentralAuth they live through."""

    def __init__(self, report: Report, pages: CheckedPages, emulator: Emulator, clock: MovedClock) -> None:
        self._report = report
        self._table = report.table("CentralAuth in trouble", *COLUMNS)
        self._pages = pages
        self._emulator = emulator
        self._clock = clock
        self._cookies = sign_in(pages, emulator)
        self._statuses: Counter[str] = Counter()
        self._longest = 0.0

    def live_through(self, name: str, seconds: float, rounds: int) -> None:
        guarded, public = InTurns(), InTurns()
        pages, client, cookies = self._pages, self._pages.state.client, self._cookies
        asked = 0
        for _ in range(rounds):
            normal, normal_public = self._normal(seconds)
            self._let_answers_grow_old(together=name not in STAGGERED)
            calls = client.calls.value
            with in_trouble(self._emulator, name):
                bad = view(pages, "/guarded", cookies, seconds, settled=SETTLED)
                bad_public = view(pages, "/open", cookies, seconds / 2)
            asked += client.calls.value - calls
            # Before and after: a machine that gets slower meanwhile does so to both.
            for usual, again in zip((normal, normal_public), self._normal(seconds), strict=True):
                usual.add(again)
            guarded.add(normal, bad)
            public.add(normal_public, bad_public)
        add_row(self._table, name, "protected", guarded)
        add_row(self._table, name, "public", public)
        self._judge(name, guarded, public, asked / rounds, seconds)

    def judge(self) -> None:
        others = self._statuses.total() - self._statuses["200 OK"]
        self._report.exact("CentralAuth in trouble: pages that were not the page", others, most=0)
        self._report.exact(
            "CentralAuth in trouble: longest request, seconds", self._longest, most=PATIENCE + SLACK
        )

    def _normal(self, seconds: float) -> tuple[Phase, Phase]:
        """View the protected and the public page while nobody has to be asked."""
        pages, cookies = self._pages, self._cookies
        pages.state.client.breaker = Breaker(longest_call=TIMEOUT + 1)
        pages.serve([pages.visit("/guarded", cookie) for cookie in cookies])
        return view(pages, "/guarded", cookies, seconds / 4), view(pages, "/open", cookies, seconds / 4)

    def _let_answers_grow_old(self, *, together: bool) -> None:
        self._clock.advance(TTL + 1)
        if together:
            return
        # People come at different times: so do the moments at which they have to be asked about.
        for cookie in self._cookies:
            self._pages.serve([self._pages.visit("/guarded", cookie)])
            self._clock.advance(TTL / PEOPLE)

    def _judge(self, name: str, guarded: InTurns, public: InTurns, asked: float, seconds: float) -> None:
        for found in (guarded, public):
            self._statuses += found.bad.statuses + found.normal.statuses
            self._longest = max(self._longest, found.bad.longest)
        # All threads find out together that something is wrong; then one call per pause of 1, 2, 4 s.
        most = 2 + THREADS + math.ceil(math.log2(seconds * 1.25 / 0.75 + 2)) + 1
        if name in STAGGERED:
            most = max(most, math.ceil(PEOPLE * seconds * 1.25 / TTL) + THREADS)
        self._report.exact(f"{name}: calls to CentralAuth", asked, most=most)
        for pages, found in (("protected", guarded), ("public", public)):
            ratio = statistics.median(found.ratios)
            if ratio < GOAL:
                bad, usual = found.bad, found.normal
                self._report.loss(
                    f"CentralAuth {name}: {ratio:.2f}x of the normal {pages} pages per second; the goal "
                    f"is {GOAL:.2f}x. Where that went: {bad.waits} of {bad.pages:,} pages waited, nobody was "
                    f"served for {bad.unserved / bad.seconds:.0%} of the phase, and a page costs "
                    f"{bad.each:.0f} us of CPU, {usual.each:.0f} us normally. Once the trouble is found out: "
                    f"{statistics.median(found.later_ratios):.2f}x."
                )


@contextlib.contextmanager
def in_trouble(emulator: Emulator, name: str) -> Iterator[None]:
    how = TROUBLES[name]
    if how is None:
        port = emulator.port
        emulator.stop()
        try:
            yield
        finally:
            emulator._address = (ADDRESS, port)
            emulator.start()
        return
    fault = emulator.fail("userinfo", times=None, **how)
    try:
        yield
    finally:
        emulator.service.faults.remove(fault)


def half_an_hour(report: Report, emulator: Emulator) -> None:
    """People look at a page every ten seconds, while 30 % of the calls fail."""
    clock = MovedClock()
    with pytest.MonkeyPatch.context() as patched, pages_on("embedded", emulator) as (pages, _server):
        clock.install(patched)
        visits = [pages.visit("/guarded", cookie) for cookie in sign_in(pages, emulator)]
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
        *("people", "pages", "calls", "failed calls", "pages with the last known user"),
    )
    table.row(PEOPLE, statuses.total(), counters.calls, counters.failures, counters.stale_served)
    others = statuses.total() - statuses["200 OK"]
    report.exact("half an hour: pages that were not the page", others, most=0)
    report.exact("half an hour: calls", counters.calls, most=PEOPLE * 30 + counters.failures)


def main() -> int:
    chosen = options("What people notice on bad days.", seconds=(6.0, 2.0), rounds=(3, 1))
    logging.getLogger("flask_centralauth").setLevel(logging.CRITICAL)
    report = Report("bad_days", "Bad days", packages=["redis"], programs=["redis-server"], quick=chosen.quick)
    report.note(
        f"One process with {THREADS} threads that serve pages as fast as they can to {PEOPLE} people who "
        "were logged in before. Phases in which nobody has to be asked stand before and after each bad one."
    )
    report.note(
        f"CentralAuth has to answer within {TIMEOUT:g} second. A bad phase of {chosen.seconds:g} seconds "
        "begins with everybody's last answer too old, so that all threads ask at once and wait, one "
        f"{PATIENCE:g} seconds and the others {PATIENCE_BESIDE_ANOTHER:g}, and go on while the calls do: "
        "that is “nobody served”, once per outage, however long that is. “Once found out” leaves the first "
        f"{SETTLED:g} seconds out. “In turn”, and where CentralAuth is only slow, answers grow old one "
        "after the other, as those of people who came at different times do."
    )
    report.note(STORE_NOTE)
    settings = {"CENTRALAUTH_TIMEOUT": TIMEOUT, "CENTRALAUTH_USER_TTL": TTL}
    with Emulator(seed=1) as emulator:
        with (
            pytest.MonkeyPatch.context() as patched,
            pages_on("embedded", emulator, **settings) as (pages, _),
        ):
            clock = MovedClock()
            clock.install(patched)
            days = ServiceDays(report, pages, emulator, clock)
            for name in TROUBLES:
                days.live_through(name, chosen.seconds, chosen.rounds)
            days.judge()
        store_days(report, emulator, chosen.seconds / 2, chosen.rounds)
        half_an_hour(report, emulator)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
