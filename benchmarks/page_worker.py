"""A long-lived process that serves one site's pages through WSGI and measures them when told to.

Its environment may be another than the one that tells it: orders and answers are lines of JSON. A slice
of work is short, so that many workers take turns; within one the three pages take turns too.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from flask import Flask, request_finished, session
from werkzeug.test import EnvironBuilder

from .sites import plain_site, session_of, settings_here, store_session

PAGES: Final = ("plain", "open", "guarded")
BATCH: Final = 10


class PageWorker:
    """The site and its plain twin, and the people who visit them."""

    def __init__(self) -> None:
        self._settings = settings_here()
        self._module = importlib.import_module(f"benchmarks.sites.{self._settings.module}")
        self._site: Flask = self._module.make_app(self._settings)
        self._plain = plain_site(self._settings)
        self._apps = {"plain": self._plain, "open": self._site, "guarded": self._site}
        self._cookies: dict[str, list[str]] = {}
        self._user_agent = ""
        self._set_cookies = self._modified = 0
        self._rounds: dict[int, dict[str, Iterator[dict[str, Any]]]] = {}

    def people(self, cookie: str, count: int, user_agent: str) -> dict[str, list[str]]:
        """Let there be `count` people: the one of the cookie, and others like them."""
        self._user_agent = user_agent
        content = dict(session_of(self._site, cookie))
        site, plain = [cookie], [store_session(self._plain, {**content, "name": "a reader"})]
        one_more = getattr(self._module, "one_more", None)
        for number in range(2, count + 1):
            if one_more is not None:
                site.append(one_more(self._site, self._settings, content, number))
            else:
                site.append(store_session(self._site, content))
            plain.append(store_session(self._plain, content))
        self._cookies = {"plain": plain, "open": site, "guarded": site}
        return {"plain": plain, "site": site}

    def warm(self, users: int) -> dict[str, int]:
        """Serve every person once."""
        visits = {name: self._visits(name, users) for name in PAGES}
        for name in PAGES:
            self._serve(name, visits[name])
            self._serve(name, list(itertools.islice(itertools.cycle(visits[name]), 100)))
        self._rounds[users] = {name: itertools.cycle(visits[name]) for name in PAGES}
        return {"users": users}

    def measure(self, users: int, seconds: float) -> list[list[list[float]]]:
        """Serve all three pages in turns; rows of [CPU, clock] microseconds for each page."""
        rounds = self._rounds[users]
        rows: list[list[list[float]]] = []
        until = time.perf_counter() + seconds
        gc.collect()
        gc.disable()
        while time.perf_counter() < until or len(rows) < 2:
            row: dict[str, list[float]] = {}
            # Who is first takes turns too.
            first = len(rows) % len(PAGES)
            for name in (*PAGES[first:], *PAGES[:first]):
                visits = list(itertools.islice(rounds[name], BATCH))
                cpu, clock = time.process_time(), time.perf_counter()
                self._serve(name, visits)
                row[name] = [
                    (time.process_time() - cpu) / BATCH * 1e6,
                    (time.perf_counter() - clock) / BATCH * 1e6,
                ]
            rows.append([row[name] for name in PAGES])
        gc.enable()
        # Before the first, another process had the processor's caches.
        return rows[1:]

    def count(self, views: int, refresh: bool) -> dict[str, int]:
        """Serve guarded views of one person, and count what they do to cookies and sessions.

        :param refresh: as Flask-Session comes, with its SESSION_REFRESH_EACH_REQUEST.
        """
        self._set_cookies = self._modified = 0
        before = self._site.config["SESSION_REFRESH_EACH_REQUEST"]
        self._site.config["SESSION_REFRESH_EACH_REQUEST"] = refresh
        started = time.monotonic()
        with request_finished.connected_to(self._look, self._site):
            self._serve("guarded", self._visits("guarded", 1) * views)
        self._site.config["SESSION_REFRESH_EACH_REQUEST"] = before
        milliseconds = int((time.monotonic() - started) * 1000)
        return {
            "set_cookies": self._set_cookies,
            "modified": self._modified,
            "milliseconds": milliseconds,
        }

    def _look(self, _app: Flask, **_more: object) -> None:
        self._modified += session.modified

    def _visits(self, name: str, users: int) -> list[dict[str, Any]]:
        return [self._visit(name, cookie) for cookie in self._cookies[name][:users]]

    def _visit(self, name: str, cookie: str) -> dict[str, Any]:
        headers = {"Cookie": f"session={cookie}", "User-Agent": self._user_agent, "Accept": "text/html"}
        builder = EnvironBuilder(f"/{name}", base_url=self._settings.origin, headers=list(headers.items()))
        return {**builder.get_environ(), "REMOTE_ADDR": "127.0.0.1"}

    def _serve(self, name: str, visits: list[dict[str, Any]]) -> None:
        application: Callable[..., Any] = self._apps[name].wsgi_app
        for environ in visits:
            # A copy: a server makes a new environment for each request.
            for _ in application(dict(environ), self._start):
                pass

    def _start(self, status: str, headers: list[tuple[str, str]], *_exc_info: object) -> Any:
        if status != "200 OK":
            raise RuntimeError(f"{status} {headers}")
        if headers[-1][0] == "Set-Cookie":
            self._set_cookies += 1


def main() -> None:
    """Obey until there are no more orders."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr  # what a library prints is no answer
    worker = PageWorker()
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        answer = getattr(worker, order.pop("do"))(**order)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
