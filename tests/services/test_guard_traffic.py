"""What a guarded page asks of the store and of CentralAuth, counted by Redis itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from flask_centralauth import CentralAuth, auth_required, current_user
from flask_centralauth.breaker import THRESHOLD, Breaker
from flask_centralauth.emulator import Emulator
from flask_centralauth.known_logins import VERSION_SECONDS
from tests.checked_site import MovedClock
from tests.services.servers import RedisServer

VIEWS = 1_000
Count = Callable[[], Counter[str]]


class Watched:
    """An application on Redis with somebody logged in, and a count of what its pages cost."""

    def __init__(self, server: RedisServer, emulator: Emulator, folder: Path) -> None:
        self.redis = redis.Redis.from_url(server.url)
        self.emulator = emulator
        self.app = Flask("watched", instance_path=str(folder / "watched"))
        self.app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
        self.app.config.update(SESSION_TYPE="redis", SESSION_REDIS=self.redis)
        CentralAuth(self.app)
        self.app.add_url_rule("/private", "private", auth_required(lambda: str(current_user.email)))
        self.client = self.app.test_client()
        self._log_in()

    def _log_in(self) -> None:
        login = self.client.get("/api/auth/login?return_to=/private").location
        callback = self.emulator.authorize(str(login), ip="127.0.0.1", user_agent="Browser/1.0")
        assert self.visit(callback).status_code == 303
        assert self.visit().text == "alice@example.com"
        self.emulator.requests.clear()

    def visit(self, path: str = "/private") -> Any:
        return self.client.get(path, headers={"User-Agent": "Browser/1.0"})

    @contextmanager
    def counting(self) -> Iterator[Count]:
        """What Redis was asked for meanwhile, apart from the look at other workers' news, once a second."""
        before, started = self._commands(), time.monotonic()

        def count() -> Counter[str]:
            done = self._commands() - before
            # One more question, as this connection asks for the counts.
            del done["info"]
            news = int((time.monotonic() - started) / VERSION_SECONDS) + 1
            done["mget"] -= min(news, done["mget"])
            return +done

        yield count

    def _commands(self) -> Counter[str]:
        rows: Any = self.redis.info("commandstats")
        return Counter({name.removeprefix("cmdstat_"): row["calls"] for name, row in rows.items()})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    clock = MovedClock()
    clock.install(monkeypatch)
    return clock


@pytest.fixture
def watched(
    redis_server: RedisServer, emulator: Emulator, tmp_path: Path, clock: MovedClock
) -> Iterator[Watched]:
    made = Watched(redis_server, emulator, tmp_path)
    yield made
    made.redis.close()


def test_a_steady_view_is_one_read(watched: Watched) -> None:
    with watched.counting() as count:
        for _ in range(VIEWS):
            answer = watched.visit()
            assert (answer.status_code, answer.headers.get("Set-Cookie")) == (200, None)
    assert count() == {"get": VIEWS}
    assert watched.emulator.requests.count() == 0


def test_so_is_a_view_while_centralauth_is_dead(watched: Watched, clock: MovedClock) -> None:
    watched.emulator.fail("userinfo", status=503, times=None)
    watched.app.extensions["centralauth"].client.breaker = Breaker(clock=lambda: 0.0)
    clock.advance(61)
    for _ in range(THRESHOLD + 1):
        assert watched.visit().status_code == 200
    with watched.counting() as count:
        for _ in range(VIEWS):
            assert watched.visit().status_code == 200
    assert count() == {"get": VIEWS}
    assert watched.emulator.requests.count("userinfo") == THRESHOLD


def test_a_check_is_a_handful_of_commands(watched: Watched, clock: MovedClock) -> None:
    clock.advance(61)
    before = watched._commands()
    assert watched.visit().status_code == 200
    done = watched._commands() - before
    del done["info"]
    # The session; the news; the record, before and after reserving; the reservation; the new answer.
    assert done == {"get": 1, "mget": 3, "set": 2, "del": 1}
    assert watched.emulator.requests.count("userinfo") == 1
