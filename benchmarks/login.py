"""A login from start to finish, beside Authlib by hand and Flask-Dance.

    ./benchmarks/run login                      about a minute, after the first installation
    ./benchmarks/run login --quick              a try

A scripted browser logs in at the emulator and comes back to the page, at gunicorn with one worker, the ways
in turns. What CentralAuth takes to answer is measured there and taken off. The exit status is 1 when one of
our exact counters is wrong. Needs redis-server.
"""

from __future__ import annotations

import contextlib
import logging
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis
from werkzeug.datastructures import Headers

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser
from tests.browser_page import Hop
from tests.services.servers import RedisServer

from .one_worker import SiteServers, cpu_seconds, end_when_told
from .peer_environments import AUTHLIB, FLASK_DANCE, OURS, Contender, NotInstalled
from .report import Report, options, spread
from .view_tables import cheaper, missing_rows

CONTENDERS: Final = (OURS, AUTHLIB, FLASK_DANCE)


class TimedBrowser(Browser):
    """A browser that knows how long it waited for the application, and what cookies were set."""

    waited = 0.0
    cookie_bytes = 0

    def _request(self, method: str, url: str, body: bytes, sent: Headers, came_from: str | None) -> Hop:
        started = time.perf_counter()
        hop = super()._request(method, url, body, sent, came_from)
        self.waited += time.perf_counter() - started
        self.cookie_bytes += sum(len(header) for header in hop.headers.getlist("Set-Cookie"))
        return hop


class AnswerTime:
    """Counts the seconds that an emulator takes to answer an application."""

    def __init__(self, emulator: Emulator) -> None:
        self.seconds = 0.0
        self._inner: Any = emulator.app.wsgi_app
        emulator.app.wsgi_app = self  # type: ignore[method-assign]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started = time.perf_counter()
        answer: Iterable[bytes] = self._inner(environ, start_response)
        if environ["PATH_INFO"].startswith("/api/"):
            self.seconds += time.perf_counter() - started
        return answer


@dataclass
class Logins:
    """The logins of one site: milliseconds without CentralAuth's, calls, new connections, bytes."""

    site: SiteServers
    store: Any
    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    cookie_bytes: int = 0
    cookie_kept: int = 0
    seen: set[int] = field(default_factory=set)

    @property
    def start(self) -> str:
        """Where a login begins; it ends on the page."""
        path = "/api/auth/login?return_to=/guarded" if self.site.contender == OURS else "/login"
        return f"{self.site.origin}{path}"

    def one(self, emulator: Emulator, answers: AnswerTime) -> None:
        """Log one browser in."""
        emulator.requests.clear()
        browser = TimedBrowser(emulator)
        answered, used = answers.seconds, cpu_seconds(self.site.worker)
        page = browser.get(self.start)
        if page.status != 200 or page.url != f"{self.site.origin}/guarded":
            raise RuntimeError(f"the login ends with {page.status} at {page.url}")
        self.clock.append((browser.waited - (answers.seconds - answered)) * 1000)
        self.cpu.append((cpu_seconds(self.site.worker) - used) * 1000)
        calls = emulator.requests.api
        self.calls.append(len(calls))
        connections = {call.connection for call in calls}
        self.connections.append(len(connections - self.seen))
        self.seen |= connections
        self.cookie_bytes = browser.cookie_bytes
        sent = browser.cookies.header(page.url, cross_site=False, safe_navigation=True)
        self.cookie_kept = len(sent or "")

    def abandoned(self) -> tuple[int, int]:
        """Entries and bytes that a login leaves in the store which is begun and not finished."""
        before = self.stored()
        Browser().get(self.start, follow=False)
        after = self.stored()
        return after[0] - before[0], after[1] - before[1]

    def stored(self) -> tuple[int, int]:
        """Entries of the site in Redis, and their bytes there."""
        keys = list(self.store.scan_iter(count=1000))
        return len(keys), sum(self.store.memory_usage(key) or 0 for key in keys)


@dataclass
class LoginRun:
    """One run: who takes part, how often, and what fell out."""

    report: Report
    contenders: Sequence[Contender]
    logins: int
    missing: dict[Contender, str] = field(default_factory=dict)


def run_login(run: LoginRun) -> None:
    """Log in everywhere, in turns, with the sessions in Redis."""
    store = RedisServer()
    store.start()
    try:
        with Emulator() as emulator, contextlib.ExitStack() as stack:
            everybody: dict[Contender, Logins] = {}
            for database, contender in enumerate(run.contenders):
                url = f"redis://127.0.0.1:{store.port}/{database}"
                try:
                    site = SiteServers(contender, "redis", url, emulator)
                    stack.callback(site.close)
                    site.start()
                except (NotInstalled, RuntimeError) as problem:
                    if contender == OURS:
                        raise
                    run.missing[contender] = str(problem)
                    continue
                client = stack.enter_context(redis.Redis.from_url(url))
                everybody[contender] = Logins(site, client)
            _in_turns(run, everybody, emulator)
    finally:
        store.close()


def _in_turns(run: LoginRun, everybody: dict[Contender, Logins], emulator: Emulator) -> None:
    answers = AnswerTime(emulator)
    bytes_before: dict[Contender, tuple[int, int]] = {}
    for turn in range(run.logins + 1):
        for contender, logins in list(everybody.items()):
            try:
                logins.one(emulator, answers)
            except RuntimeError as problem:
                if contender == OURS:
                    raise
                run.missing[contender] = str(problem)
                del everybody[contender]
                continue
            if turn == 0:
                bytes_before[contender] = logins.stored()
    _time_table(run, everybody)
    _traffic_table(run, everybody, bytes_before)
    if OURS in everybody:
        _gate(run.report, everybody[OURS])


def _time_table(run: LoginRun, everybody: Mapping[Contender, Logins]) -> None:
    table = run.report.table(
        f"Our time of a login in milliseconds, without CentralAuth's ({run.logins} logins, Redis)",
        "",
        "versions",
        "the worker's first",
        "later ones",
        "CPU time, first",
        "CPU time, later",
    )
    for contender, logins in everybody.items():
        table.row(
            contender.title,
            contender.versions(),
            f"{logins.clock[0]:.0f}",
            spread(logins.clock[1:], 1),
            f"{logins.cpu[0]:.0f}",
            spread(logins.cpu[1:], 1),
        )
    missing_rows(table, run.missing)
    medians = {who: statistics.median(logins.cpu[1:]) for who, logins in everybody.items()}
    cheaper(run.report, "A login", medians, "ms of CPU")


def _traffic_table(
    run: LoginRun, everybody: Mapping[Contender, Logins], before: Mapping[Contender, tuple[int, int]]
) -> None:
    table = run.report.table(
        "What a login asks of others",
        "",
        "calls to CentralAuth",
        "connections, first login",
        "later",
        "Set-Cookie bytes",
        "Cookie bytes from then on",
        "entries in Redis",
        "bytes there",
        "entries of a login not finished",
        "bytes there",
    )
    stored: dict[Contender, float] = {}
    for contender, logins in everybody.items():
        entries, size = (
            (a - b) / run.logins for a, b in zip(logins.stored(), before[contender], strict=True)
        )
        stored[contender] = size
        table.row(
            contender.title,
            max(logins.calls),
            logins.connections[0],
            max(logins.connections[1:]),
            logins.cookie_bytes,
            logins.cookie_kept,
            f"{entries:.1f}",
            f"{size:,.0f}",
            *logins.abandoned(),
        )
    missing_rows(table, run.missing)
    cheaper(run.report, "The store's entries of a login", stored, "bytes in Redis")


def _gate(report: Report, logins: Logins) -> None:
    report.exact("calls to CentralAuth in a login of ours", max(logins.calls), most=2)
    report.exact("new connections in a worker's first login of ours", logins.connections[0], most=1)
    report.exact("new connections in a later login of ours", max(logins.connections[1:]), most=0)


def _notes(report: Report) -> None:
    report.note(
        "A login is three requests of a browser: begin, callback, page. *Our time* is what the browser "
        "waited for the application, less what CentralAuth took to answer it. Making a connection to "
        "CentralAuth is part of it, here over loopback and without TLS: on a network, each connection is two "
        "round trips more. Ours imports Authlib and requests with a worker's first login; the others do when "
        "a worker starts. With Authlib by hand and Flask-Dance, userinfo is a `requests` call."
    )
    report.note(
        "The others keep user and token in the session and nothing else. Ours also keeps the record that "
        "all workers share and, for half an hour, that the callback was used. What a begun login needs is in "
        "cookies of ours, so one that is never finished leaves nothing in the store."
    )


def main() -> int:
    chosen = options("A login from start to finish.", logins=(100, 10))
    logging.getLogger("flask_centralauth").setLevel(logging.ERROR)
    end_when_told()
    report = Report("login", "A login", programs=["redis-server"], quick=chosen.quick)
    _notes(report)
    run_login(LoginRun(report, CONTENDERS, chosen.logins))
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
