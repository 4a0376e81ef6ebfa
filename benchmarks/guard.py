"""What `auth_required` costs a page: the same view on the same session engine, with and without it.

    ./benchmarks/run guard                      all of it, about three minutes
    ./benchmarks/run guard --sessions 0         without the hundred thousand sessions
    ./benchmarks/run guard --quick              half a minute

Both views are called through WSGI in one process, in turns of one page (A B A B ...), so that what else the
machine does hits both, or neither. With turns of ten pages the figure of the memory store was a tenth higher,
and every spread twice as wide. A figure is the median over all turns, with the middle half of them in
brackets: CPU time, and with Redis, whose answers are waited for, time on the clock. Counters are exact: the
exit status is 1 when one of them is wrong. Needs redis-server.
"""

from __future__ import annotations

import gc
import itertools
import logging
import resource
import statistics
import time
from dataclasses import dataclass
from typing import Any

from flask_centralauth.emulator import Emulator
from flask_centralauth.known_logins import MAX_KNOWN, VERSION_SECONDS

from .checked_pages import CheckedPages, Environ, pages_on
from .report import Report, options, spread


@dataclass(frozen=True)
class Pair:
    """Two ways to do the same, measured in turns; microseconds for one page."""

    without: list[float]
    with_it: list[float]

    @property
    def difference(self) -> list[float]:
        return [b - a for a, b in zip(self.without, self.with_it, strict=True)]

    @property
    def ratio(self) -> list[float]:
        return [b / a for a, b in zip(self.without, self.with_it, strict=True)]


def in_turns(pages: CheckedPages, first: list[Environ], second: list[Environ], *, each: int) -> Pair:
    """Serve `each` pages of both lists in turns, going round in them."""
    serve = pages.serve
    clock = time.perf_counter if pages.waits else time.process_time
    rounds = [itertools.cycle(first), itertools.cycle(second)]
    found: tuple[list[float], list[float]] = ([], [])
    for environs in (first, second):
        serve(list(itertools.islice(itertools.cycle(environs), 300)))
    gc.collect()
    gc.disable()
    for turn in range(each):
        # Who is first takes turns too.
        for side in (0, 1) if turn % 2 else (1, 0):
            visits = [next(rounds[side])]
            started = clock()
            serve(visits)
            found[side].append((clock() - started) * 1e6)
    gc.enable()
    return Pair(*found)


class Ratios:
    """The table of the pairs, and which of them missed their goal."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._table = report.table("The same page in two ways", "", "ratio", "costs, us", "goal")

    def add(self, what: str, pair: Pair, *, goal: float, microseconds: float | None = None) -> None:
        goals = f"{goal:.2f}x" + (f", {microseconds:g} us" if microseconds else "")
        self._table.row(what, f"{spread(pair.ratio, 3)}x", spread(pair.difference, 1), goals)
        ratio, cost = statistics.median(pair.ratio), statistics.median(pair.difference)
        if ratio > goal or (microseconds is not None and cost > microseconds):
            self._report.loss(f"{what}: {ratio:.3f}x and {cost:.1f} us, where the goal is {goals}.")


def one_user(ratios: Ratios, engine: str, emulator: Emulator, each: int, goal: float) -> None:
    microseconds = 3.0 if engine == "memory" else None
    with pages_on(engine, emulator) as (pages, _server):
        cookie = pages.sign_in(0)
        visits = [[pages.visit(path, cookie)] for path in ("/open", "/guarded")]
        pair = in_turns(pages, *visits, each=each)
        ratios.add(f"{engine}, one user", pair, goal=goal, microseconds=microseconds)


def many_users(ratios: Ratios, emulator: Emulator, each: int) -> None:
    with pages_on("redis", emulator) as (pages, _server):
        cookies = [pages.sign_in(number) for number in range(1_000)]
        visits = [[pages.visit(path, cookie) for cookie in cookies] for path in ("/open", "/guarded")]
        pages.serve(visits[1])
        pair = in_turns(pages, *visits, each=each)
        ratios.add("redis, 1,000 users in turn", pair, goal=1.10)


def one_or_many(ratios: Ratios, emulator: Emulator, each: int) -> None:
    with pages_on("memory", emulator) as (pages, _server):
        cookies = [pages.sign_in(number) for number in range(MAX_KNOWN)]
        everybody = [pages.visit("/guarded", cookie) for cookie in cookies]
        pages.serve(everybody)
        pair = in_turns(pages, everybody[:1], everybody, each=each)
        ratios.add("memory, 10,000 sessions against 1", pair, goal=1.10)
        unguarded = [pages.visit("/open", cookie) for cookie in cookies]
        pair = in_turns(pages, unguarded[:1], unguarded, each=each)
        ratios.add("  the same without a guard", pair, goal=1.10)


def counters(report: Report, emulator: Emulator, views: int) -> None:
    """What a steady view asks of others."""
    with pages_on("redis", emulator) as (pages, server):
        assert server is not None
        visits = [pages.visit("/guarded", pages.sign_in(0))]
        pages.serve(visits * 3)
        emulator.requests.clear()
        before, started = commands(pages), time.monotonic()
        pages.serve(visits * views)
        seconds = time.monotonic() - started
        after = commands(pages)
    done = {
        name: after.get(name, 0) - before.get(name, 0) for name in after if name not in ("info", "config")
    }
    # The process looks for logouts elsewhere about once a second, however many views there are.
    news = int(seconds / VERSION_SECONDS) + 1
    report.exact(f"upstream calls in {views:,} views", emulator.requests.count(), most=0)
    report.exact("Redis reads", done.pop("get", 0) + done.pop("mget", 0), most=views + news)
    report.exact("other Redis commands", sum(done.values()), most=0)


def commands(pages: CheckedPages) -> dict[str, int]:
    """How often Redis was given each command."""
    client: Any = pages.app.config["SESSION_REDIS"]
    return {name.removeprefix("cmdstat_"): row["calls"] for name, row in client.info("commandstats").items()}


def memory(report: Report, emulator: Emulator, sessions: int) -> None:
    """The sessions are in Redis: what grows here is ours."""
    with pages_on("redis", emulator) as (pages, _server):
        seen: list[tuple[int, int]] = []
        for number in range(1, sessions + 1):
            pages.serve([pages.visit("/guarded", pages.sign_in(number))])
            if number % (sessions // 5) == 0:
                gc.collect()
                seen.append((number, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
        table = report.table("Memory of the process, the sessions being in Redis", "sessions seen", "MB")
        for row in seen:
            table.row(*row)
        report.exact("logins kept in memory", len(pages.state.users._known), most=MAX_KNOWN)
        report.exact("growth from the first fifth, MB", seen[-1][1] - seen[0][1], most=8)


def main() -> int:
    chosen = options("What auth_required costs a page.", pages=(30_000, 3_000), sessions=(100_000, 5_000))
    logging.getLogger("flask_centralauth").setLevel(logging.ERROR)
    report = Report(
        "guard",
        "What auth_required costs a page",
        packages=["redis"],
        programs=["redis-server"],
        quick=chosen.quick,
    )
    ratios = Ratios(report)
    report.note(
        "The same view on the same session engine, with and without `@auth_required`, called through WSGI "
        "in one process. CPU time; with Redis, whose answers are waited for, time on the clock. Both read "
        "the session."
    )
    with Emulator() as emulator:
        one_user(ratios, "memory", emulator, chosen.pages, 1.05)
        one_user(ratios, "embedded", emulator, chosen.pages, 1.05)
        one_user(ratios, "redis", emulator, chosen.pages, 1.02)
        many_users(ratios, emulator, chosen.pages)
        one_or_many(ratios, emulator, chosen.pages)
        counters(report, emulator, 1_000)
        if chosen.sessions:
            memory(report, emulator, chosen.sessions)
        report.exact("upstream calls in all of this", emulator.requests.count(), most=0)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
