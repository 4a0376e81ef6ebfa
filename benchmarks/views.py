"""What a protected page costs, beside what people would use instead.

    ./benchmarks/run views                      some four minutes where nothing else runs
    ./benchmarks/run views --quick              a try

Every way to protect a page has its own environment and processes. They take turns in short slices, and
within a slice the page without any extension, the open and the guarded page take turns too: what else the
machine does hits all of them. Then gunicorn with one worker serves them to wrk, in turns again. The exit
status is 1 when one of our exact counters is wrong. Needs redis-server and wrk.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis

from flask_centralauth.emulator import Emulator
from flask_centralauth.known_logins import VERSION_SECONDS
from tests.browser_client import Browser
from tests.services.servers import RedisServer

from .one_worker import Load, SiteServers, end_when_told
from .page_worker import PAGES
from .peer_environments import ALL, OURS, Contender, NotInstalled
from .report import Report, options
from .view_tables import gunicorn_table, in_process_table, missing_rows, notes

ENGINES: Final = ("embedded", "redis")
COUNTED_VIEWS: Final = 1_000
SLICE: Final = 0.1  # seconds


@dataclass
class Run:
    """One run: who takes part, how long, and what fell out."""

    report: Report
    contenders: Sequence[Contender]
    seconds: float
    wrk_turns: int
    wrk_seconds: float
    many: int
    missing: dict[Contender, str] = field(default_factory=dict)

    def without_fail(self, contender: Contender, step: Callable[[], None]) -> None:
        """Take a step with a contender; one that fails is reported and left out from then on."""
        if contender in self.missing:
            return
        try:
            step()
        except (NotInstalled, RuntimeError, OSError) as problem:
            if contender == OURS:
                raise
            self.missing[contender] = str(problem)
            print(f"{contender.title}: {problem}", file=sys.stderr, flush=True)

    @property
    def present(self) -> list[Contender]:
        return [contender for contender in self.contenders if contender not in self.missing]


@contextlib.contextmanager
def sites_on(run: Run, engine: str, emulator: Emulator, store: RedisServer) -> Iterator[dict[Contender, Any]]:
    """All sites on an engine, with their people logged in."""
    servers: dict[Contender, SiteServers] = {}

    def begin(contender: Contender, database: int) -> None:
        url = f"redis://127.0.0.1:{store.port}/{database}"
        site = servers[contender] = SiteServers(contender, engine, url, emulator)
        site.start()
        cookie = site.log_in(Browser(emulator))
        site.start_page_worker()
        site.let_in(cookie, (1, run.many))

    with contextlib.ExitStack() as stack:
        # Redis has 16 databases; each contender has one of its own.
        for database, contender in enumerate(run.contenders):
            run.without_fail(contender, lambda c=contender, d=database: begin(c, d))  # type: ignore[misc]
            if contender in servers:
                stack.callback(servers[contender].close)
        yield servers


def in_process(run: Run, servers: dict[Contender, SiteServers], engine: str, users: int) -> None:
    """The pages through WSGI, the workers taking turns."""
    rows: dict[Contender, list[Any]] = {contender: [] for contender in run.present}
    for _ in range(max(1, round(run.seconds / SLICE))):
        for contender in run.present:

            def measure(contender: Contender = contender) -> None:
                site = servers[contender]
                rows[contender] += site.order("measure", users=users, seconds=min(SLICE, run.seconds))

            run.without_fail(contender, measure)
    found = {contender: rows[contender] for contender in run.present}
    in_process_table(run.report, _people(engine, users), found, run.missing)


def behind_gunicorn(
    run: Run, servers: dict[Contender, SiteServers], engine: str, users: int, emulator: Emulator
) -> None:
    """The same pages over HTTP, the servers taking turns."""
    found: dict[Contender, dict[str, list[Load]]] = {}
    calls = 0
    for contender in run.present:
        found[contender] = {page: [] for page in PAGES}
        run.without_fail(contender, lambda c=contender: servers[c].visit_all(users))  # type: ignore[misc]
    for turn in range(run.wrk_turns):
        first = turn % len(PAGES)
        for contender in run.present:

            def visit(contender: Contender = contender) -> None:
                for page in (*PAGES[first:], *PAGES[:first]):  # noqa: B023 - called at once
                    found[contender][page].append(servers[contender].load(page, users, run.wrk_seconds))

            emulator.requests.clear()
            run.without_fail(contender, visit)
            calls += emulator.requests.count() if contender == OURS else 0
    present = {contender: found[contender] for contender in run.present}
    gunicorn_table(run.report, _people(engine, users), present, run.missing)
    if OURS in present:
        run.report.exact(f"calls to CentralAuth under wrk, {engine}, {users:,} users", calls, most=0)


def counters(run: Run, servers: dict[Contender, SiteServers], emulator: Emulator, store: RedisServer) -> None:
    """What steady guarded views of one person ask of others."""
    table = run.report.table(
        f"What {COUNTED_VIEWS:,} guarded views do (Redis, one user)",
        "",
        "store reads",
        "store writes",
        "Set-Cookie",
        "session.modified",
        "calls to CentralAuth",
        "as Flask-Session comes: reads, writes, Set-Cookie",
    )
    client = redis.Redis.from_url(store.url)
    for contender in run.present:

        def count(contender: Contender = contender) -> None:
            steady = _counted(servers[contender], client, emulator, refresh=False)
            comes = _counted(servers[contender], client, emulator, refresh=True)
            table.row(
                contender.title,
                steady["reads"],
                steady["writes"],
                steady["set_cookies"],
                steady["modified"],
                steady["calls"],
                ", ".join(f"{comes[what]:,}" for what in ("reads", "writes", "set_cookies")),
            )
            if contender == OURS:
                _gate(run.report, steady)

        run.without_fail(contender, count)
    client.close()
    missing_rows(table, run.missing)


def _counted(site: SiteServers, client: Any, emulator: Emulator, *, refresh: bool) -> dict[str, int]:
    site.order("count", views=3, refresh=refresh)
    emulator.requests.clear()
    before = _commands(client)
    found: dict[str, int] = site.order("count", views=COUNTED_VIEWS, refresh=refresh)
    after = _commands(client)
    done = {name: after[name] - before.get(name, 0) for name in after if name not in ("info", "config")}
    reads = done.pop("get", 0) + done.pop("mget", 0)
    # Commands that a client sends once per connection are not of a view.
    others = sum(calls for name, calls in done.items() if name not in ("select", "client|setinfo", "hello"))
    return {**found, "reads": reads, "writes": others, "calls": emulator.requests.count()}


def _gate(report: Report, steady: dict[str, int]) -> None:
    # A process looks for logouts elsewhere about once a second, however many views there are.
    news = int(steady["milliseconds"] / 1000 / VERSION_SECONDS) + 1
    views = f"{COUNTED_VIEWS:,} views of ours"
    report.exact(f"Redis reads in {views}", steady["reads"], most=COUNTED_VIEWS + news)
    report.exact(f"Redis writes in {views}", steady["writes"], most=0)
    report.exact(f"Set-Cookie in {views}", steady["set_cookies"], most=0)
    report.exact(f"session.modified in {views}", steady["modified"], most=0)
    report.exact(f"calls to CentralAuth in {views}", steady["calls"], most=0)


def _commands(client: Any) -> dict[str, int]:
    """How often Redis was given each command."""
    return {name.removeprefix("cmdstat_"): row["calls"] for name, row in client.info("commandstats").items()}


def _people(engine: str, users: int) -> str:
    kept = "Redis" if engine == "redis" else "no server (ours: SQLite; others: cachelib's files)"
    return f"{kept}, " + ("one user" if users == 1 else f"{users:,} users in turn")


def _who(run: Run) -> None:
    table = run.report.table("What is compared", "", "versions", "login")
    for contender in run.present:
        login = (
            "its own, at the emulator" if contender.real_login else "its session is written by its own code"
        )
        table.row(contender.title, contender.versions(), "none" if contender.module == "no_auth" else login)
    missing_rows(table, run.missing)


def run_views(run: Run) -> None:
    """Measure everything on both engines."""
    store = RedisServer()
    store.start()
    try:
        with Emulator() as emulator:
            for contender in run.contenders:
                run.without_fail(contender, lambda c=contender: c.python() and None)  # type: ignore[misc]
            _who(run)
            notes(run.report)
            for engine in ENGINES:
                with sites_on(run, engine, emulator, store) as servers:
                    for users in (1, run.many):
                        in_process(run, servers, engine, users)
                    if engine == "redis":
                        counters(run, servers, emulator, store)
                    for users in (1, run.many) if engine == "redis" else (1,):
                        behind_gunicorn(run, servers, engine, users, emulator)
    finally:
        store.close()


def main() -> int:
    chosen = options(
        "What a protected page costs, beside what people would use instead.",
        seconds=(1.5, 0.3),
        turns=(3, 2),
        wrk=(0.5, 0.2),
        people=(1_000, 100),
    )
    logging.getLogger("flask_centralauth").setLevel(logging.ERROR)
    end_when_told()
    report = Report("views", "A protected page", programs=["redis-server", "wrk"], quick=chosen.quick)
    run_views(
        Run(
            report,
            ALL,
            seconds=chosen.seconds,
            wrk_turns=chosen.turns,
            wrk_seconds=chosen.wrk,
            many=chosen.people,
        )
    )
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
