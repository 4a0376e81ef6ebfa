"""The session store in trouble: what `bad_days` tells of it. Redis is at the other end of a wire."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from flask_centralauth.breaker import FIRST_PAUSE
from flask_centralauth.emulator import Emulator
from flask_centralauth.store_failures import LONGEST_PAUSE
from tests.services.link import Link
from tests.services.servers import RedisServer

from .checked_pages import CheckedPages, Environ
from .page_views import COLUMNS, InTurns, add_row, sign_in, view
from .report import Report

#: What docs/sessions.md recommends: an answer within half a second, or none.
WAIT: Final = 0.5
#: What a busy machine may add.
SLACK: Final = 0.7
#: What the others may add: pages without a session never wait, so three threads that serve them as fast
#: as they can leave the interpreter to the one that asks the store only now and then.
STARVED: Final = 2.0
DELAY: Final = 0.02
TROUBLES: Final = (f"slow ({DELAY * 1000:.0f} ms)", "hung", "dead")
#: Without the store a public page goes on without its session; who asks for a protected one cannot be known.
EXPECTED: Final = {"/open": ("200 OK",), "/guarded": ("200 OK", "503 SERVICE UNAVAILABLE")}

KINDS: Final = {"/open": "public", "/guarded": "protected"}

STORE_NOTE: Final = (
    "The store's client is set up as the page on sessions recommends (half a second, no second try). While "
    "the store is hung or dead a protected page is a 503 and a public one goes on without its session; "
    "nobody's cookie is touched, and when the store is back everybody is still in. A store that hangs is "
    f"asked once per pause, which is {FIRST_PAUSE:g} second at first and {LONGEST_PAUSE:g} at last, give or "
    "take a quarter, and noticed to be back no sooner."
)
#: What a pause takes at most, and a busy machine adds.
BACK_WITHIN: Final = LONGEST_PAUSE * 1.25 + SLACK


class SlowLink(Link):
    """A wire on which every answer takes a while."""

    delay = 0.0

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.delay and source.getpeername()[1] == self._server.port:
                    time.sleep(self.delay)
                target.sendall(data)
        super()._forward(source, target)


class Wire:
    """A `SlowLink` in a process of its own: it does not compete with the pages for the interpreter."""

    def __init__(self, server: RedisServer) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_forward, args=(server, theirs), daemon=True)
        self._process.start()
        self.url = str(self._pipe.recv())

    def tell(self, what: str, value: float | None = None) -> None:
        """``cut``, ``mend`` or ``delay`` (seconds); returns when it is done."""
        self._pipe.send((what, value))
        self._pipe.recv()

    def close(self) -> None:
        self._process.terminate()
        self._process.join(10)


def _forward(server: RedisServer, pipe: Any) -> None:
    link = SlowLink(server)
    pipe.send(link.url)
    while True:
        what, value = pipe.recv()
        if what == "delay":
            link.delay = value
        else:
            getattr(link, what)()
        pipe.send("done")


def store_days(report: Report, emulator: Emulator, seconds: float, rounds: int) -> None:
    table = report.table("The session store (Redis) in trouble", *COLUMNS)
    others, longest, signed_out, back = 0, 0.0, 0, 0.0
    with on_a_wire(emulator) as (pages, server, wire):
        cookies = sign_in(pages, emulator)
        visits = [pages.visit("/guarded", cookie) for cookie in cookies]
        for name in TROUBLES:
            found = {path: InTurns() for path in EXPECTED}
            for _ in range(rounds):
                pages.serve(visits)
                normal = {path: view(pages, path, cookies, seconds / 2) for path in EXPECTED}
                with in_trouble(name, server, wire):
                    for path, before in normal.items():
                        found[path].add(before, view(pages, path, cookies, seconds, settled=WAIT))
                back = max(back, seconds_until_served(pages, visits[0]))
                signed_out += sum(pages.status_of(visit) != "200 OK" for visit in visits)
            for path, turns in found.items():
                add_row(table, name, KINDS[path], turns)
                statuses = turns.bad.statuses
                others += statuses.total() - sum(statuses[status] for status in EXPECTED[path])
                longest = max(longest, turns.bad.longest)
            if name == "hung":
                add_loss(report, found["/open"])
    report.exact("store in trouble: people who were signed out", signed_out, most=0)
    report.exact("store in trouble: answers that make no sense", others, most=0)
    report.exact("store in trouble: longest request, seconds", longest, most=WAIT + STARVED)
    report.exact("store in trouble: back, but not noticed, seconds", back, most=BACK_WITHIN)


def seconds_until_served(pages: CheckedPages, visit: Environ) -> float:
    """Wait until a page is served again, or should be."""
    began = time.monotonic()
    while pages.status_of(visit) != "200 OK" and time.monotonic() - began < BACK_WITHIN:
        time.sleep(0.01)
    return time.monotonic() - began


def add_loss(report: Report, public: InTurns) -> None:
    """Say so when a hung store holds up the public pages also after that is known."""
    found_out, normal = public.bad.later_rate, public.normal.rate
    if found_out < normal / 2:
        report.loss(
            f"While the store hangs, a worker serves {found_out:,.0f} public pages per second to people with "
            f"a session, {normal:,.0f} normally."
        )


@contextlib.contextmanager
def on_a_wire(emulator: Emulator) -> Iterator[tuple[CheckedPages, RedisServer, Wire]]:
    server = RedisServer()
    server.start()
    wire = Wire(server)
    client = redis.Redis.from_url(
        wire.url, socket_timeout=WAIT, socket_connect_timeout=WAIT, retry=Retry(NoBackoff(), 0)
    )
    pages = CheckedPages(emulator, SESSION_TYPE="redis", SESSION_REDIS=client, CENTRALAUTH_USER_TTL=3600)
    try:
        yield pages, server, wire
    finally:
        pages.close()
        client.close()
        wire.close()
        server.close()


@contextlib.contextmanager
def in_trouble(name: str, server: RedisServer, wire: Wire) -> Iterator[None]:
    if name == "hung":
        server.pause()
    elif name == "dead":
        wire.tell("cut")
    else:
        wire.tell("delay", DELAY)
    try:
        yield
    finally:
        server.resume()
        if name == "dead":
            wire.tell("mend")
        wire.tell("delay", 0.0)
