"""What `auth_required` costs a page behind gunicorn: throughput and processor time, over HTTP.

    ./benchmarks/run served                     about four minutes
    ./benchmarks/run served --quick             a try

One worker serves the same view with and without a guard to wrk, in short turns; the unguarded page has two
turns, so that the control shows how far two measurements of the same are apart. Who begins changes with each
turn. Counters are exact: the exit status is 1 when one of them is wrong. Needs redis-server and wrk.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser
from tests.services.servers import RedisServer

from .one_worker import Load, SiteServers, end_when_told
from .peer_environments import OURS
from .report import Report, Table, options, spread

ENGINES: Final = {"embedded": "SQLite", "redis": "Redis"}
#: What is measured, and the page it visits.
VISITS: Final = {"open": "open", "guarded": "guarded", "open again": "open"}
RATE_GOAL: Final = 0.97
CPU_GOAL: Final = 1.03


def measure(site: SiteServers, turns: int, seconds: float) -> dict[str, list[Load]]:
    """Visit the pages in turns."""
    found: dict[str, list[Load]] = {what: [] for what in VISITS}
    order = list(VISITS)
    for _ in range(turns):
        for what in order:
            found[what].append(site.load(VISITS[what], 1, seconds))
        order = order[1:] + order[:1]
    return found


def ratios(found: Mapping[str, Sequence[Load]], what: str, figure: str) -> list[float]:
    """One thing against the unguarded page, turn by turn."""
    pairs = zip(found[what], found["open"], strict=True)
    return [getattr(load, figure) / getattr(opened, figure) for load, opened in pairs]


def add(report: Report, table: Table, engine: str, found: Mapping[str, Sequence[Load]]) -> None:
    rates, used = ratios(found, "guarded", "rate"), ratios(found, "guarded", "cpu")
    table.row(
        ENGINES[engine],
        f"{statistics.median(load.rate for load in found['open']):,.0f}",
        spread(rates, 3),
        spread(ratios(found, "open again", "rate"), 3),
        f"{statistics.median(load.cpu for load in found['open']):.0f}",
        spread(used, 3),
        spread(ratios(found, "open again", "cpu"), 3),
    )
    rate, cpu = statistics.median(rates), statistics.median(used)
    if rate < RATE_GOAL or cpu > CPU_GOAL:
        goals = f"{RATE_GOAL} and {CPU_GOAL}"
        report.loss(f"{ENGINES[engine]}: throughput {rate:.3f}, CPU {cpu:.3f}, where the goals are {goals}.")


def main() -> int:
    chosen = options("What auth_required costs a page behind gunicorn.", turns=(120, 4), wrk=(0.25, 0.2))
    end_when_told()
    report = Report(
        "served", "A guarded page behind gunicorn", programs=["redis-server", "wrk"], quick=chosen.quick
    )
    report.note(
        "The same view of one application with and without `@auth_required`, served by one gunicorn worker. "
        "Ratios are to the unguarded page in the same turn. The control is the unguarded page once more: the "
        "spread it has is the machine's."
    )
    table = report.table(
        "Guarded against unguarded",
        "sessions in",
        "requests/s unguarded",
        f"guarded (goal {RATE_GOAL})",
        "control",
        "CPU us/request unguarded",
        f"guarded (goal {CPU_GOAL})",
        "control",
    )
    store = RedisServer()
    store.start()
    calls = 0
    try:
        with Emulator() as emulator:
            for database, engine in enumerate(ENGINES):
                url = f"redis://127.0.0.1:{store.port}/{database}"
                site = SiteServers(OURS, engine, url, emulator)
                try:
                    site.start()
                    cookie = site.log_in(Browser(emulator))
                    site.start_page_worker()
                    site.let_in(cookie, (1,))
                    site.visit_all(1)
                    emulator.requests.clear()
                    add(report, table, engine, measure(site, chosen.turns, chosen.wrk))
                    calls += emulator.requests.count()
                finally:
                    site.close()
    finally:
        store.close()
    report.exact("calls to CentralAuth", calls, most=0)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
