"""A store that is gone, hangs, forgets or holds rubbish: nobody is signed out, nothing else breaks."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser
from tests.conftest import RunServer

from .application import Application
from .conftest import MakeWorker
from .link import Link
from .servers import RedisServer, Server
from .store_engines import SERVERS, StoreEngine, on_server, redis_client, redis_engine, server_of
from .test_logins_on_engines import sid_of, start_login


@dataclass(frozen=True)
class Deployment:
    """An application whose store is at the other end of a wire."""

    worker: Application
    url: str
    link: Link
    server: Server
    browser: Browser  # logged in


@pytest.fixture(params=SERVERS)
def deployment(
    request: pytest.FixtureRequest, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> Iterator[Deployment]:
    server = server_of(request.param, request)
    link = Link(server)
    engine = on_server(request.param, link)
    worker = make_worker(engine)
    url = live_server(worker.app).url
    assert browser.get(f"{url}/private").text == "alice@example.com"
    browser.get(f"{url}/cart/add/apple")
    yield Deployment(worker, url, link, server, browser)
    server.resume()
    engine.close()
    link.cut()


def test_unreachable_store(
    deployment: Deployment, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """AT-9.1."""
    url, browser = deployment.url, deployment.browser
    sid = sid_of(browser)
    deployment.link.cut()
    caplog.clear()

    page = browser.get(f"{url}/private")
    assert page.status == 503
    assert "<html" in page.text
    answer = browser.fetch(f"{url}/api")
    assert answer.status == 503
    assert answer.json()["errorCode"] == "storeUnavailable"
    for refusal in (page, answer):
        assert int(refusal.headers["Retry-After"]) > 0
        assert "Set-Cookie" not in refusal.headers
    errors = [
        record for record in caplog.records if record.levelno >= logging.ERROR and record.name[:5] == "flask"
    ]
    assert len(errors) == 2  # one per request

    assert browser.get(f"{url}/public").text == "public"
    assert browser.fetch(f"{url}/who").json() is None
    assert browser.fetch(f"{url}/cart").json() == []
    assert browser.fetch(f"{url}/cart/add/pear").status == 200
    assert browser.submit(f"{url}/api/auth/logout").status == 503
    # Not knowing is not "nobody".
    assert browser.fetch(f"{url}/api/auth/user").status == 503

    stranger = Browser(emulator)
    assert stranger.get(f"{url}/public").status == 200
    assert stranger.fetch(f"{url}/api").status == 401
    assert stranger.get(f"{url}/private", follow=False).status == 302
    assert stranger.get(f"{url}/cart/add/pear").status == 200
    assert stranger.get(f"{url}/private").status == 503
    assert stranger.cookies.get("session") is None

    deployment.link.mend()
    assert sid_of(browser) == sid
    assert browser.fetch(f"{url}/api").json() == {"email": "alice@example.com"}
    assert browser.fetch(f"{url}/cart").json() == ["apple"]
    assert stranger.get(f"{url}/private").text == "alice@example.com"


def test_store_that_dies_while_a_request_runs(deployment: Deployment) -> None:
    url, browser, worker = deployment.url, deployment.browser, deployment.worker
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(browser.tab().get, f"{url}/slow/write")
        worker.gate.wait_for_arrival()
        deployment.link.cut()
        worker.gate.open()
        answer = slow.result()
    assert answer.status == 200
    assert "Set-Cookie" not in answer.headers
    deployment.link.mend()
    assert browser.fetch(f"{url}/api").status == 200


def test_store_that_dies_during_a_login_logs_nobody_in(deployment: Deployment, emulator: Emulator) -> None:
    url = deployment.url
    bob = Browser(emulator, user="bob@example.com")
    bob.get(f"{url}/cart/add/pear")
    callback = start_login(bob, f"{url}/private")
    check = emulator.fail("userinfo", hang=True)
    with ThreadPoolExecutor(1) as thread:
        login = thread.submit(bob.get, callback, follow=False)
        check.wait()
        deployment.link.cut()
        check.release()
        answer = login.result()
    assert answer.status == 503
    assert not any(header.startswith("session=") for header in answer.headers.getlist("Set-Cookie"))
    deployment.link.mend()
    assert bob.fetch(f"{url}/who").json() is None
    assert bob.fetch(f"{url}/cart").json() == ["pear"]
    assert bob.get(f"{url}/private").text == "bob@example.com"
    assert bob.fetch(f"{url}/cart").json() == ["pear"]


def test_restarted_server_is_found_again(deployment: Deployment) -> None:
    """Connections of the time before are dead; whoever gets one must not be signed out for it."""
    url, browser = deployment.url, deployment.browser
    deployment.link.cut()
    deployment.link.mend()
    answers = [browser.fetch(f"{url}/api").status for _ in range(3)]
    # The first may notice that the connection is gone.
    assert answers[0] in (200, 503)
    assert answers[1:] == [200, 200]


def test_flushed_store_costs_one_pass_through_the_login(deployment: Deployment, emulator: Emulator) -> None:
    """AT-9.3."""
    url, browser = deployment.url, deployment.browser
    if deployment.server.url.startswith("postgresql"):
        with deployment.worker.app.app_context():
            database: Any = deployment.worker.guard.client
            database.session.execute(deployment.worker.guard.sql_session_model.__table__.delete())
            database.session.commit()
    else:
        deployment.server.empty()
    emulator.requests.clear()
    page = browser.get(f"{url}/private?page=7")
    assert [hop.status for hop in page.hops] == [302, 302, 302, 303, 200]
    assert page.path == "/private?page=7"
    assert emulator.requests.count("verify") == 1


class Exploit:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_nothing_in_the_store_is_unpickled(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    """ATK-33: whoever can write to the store cannot run code here."""
    trace = tmp_path / "unpickled"
    worker = make_worker(engine)
    url = live_server(worker.app).url
    exploit = pickle.dumps(Exploit(trace))

    browser.get(f"{url}/private")
    worker.store(sid_of(browser), exploit)
    assert browser.fetch(f"{url}/api").status == 401
    assert browser.get(f"{url}/private").text == "alice@example.com"

    assert worker.overwrite_login_record(sid_of(browser), exploit)
    other = live_server(make_worker(engine).app).url
    assert browser.fetch(f"{other}/api").status == 401
    assert not trace.exists()


def test_news_that_cannot_be_read_is_asked_for_again(
    redis_server: RedisServer, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> None:
    """Sessions can be read, what has ended cannot: nobody is served from memory meanwhile."""
    engine = redis_engine(redis_server)
    worker = make_worker(engine)
    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    with redis_client(redis_server) as administrator:
        administrator.execute_command("ACL", "SETUSER", "default", "-mget")
        try:
            worker.app.extensions["centralauth"].users.expect_news()
            assert [browser.fetch(f"{url}/api").status for _ in range(2)] == [503, 503]
        finally:
            administrator.execute_command("ACL", "SETUSER", "default", "+@all")
    assert browser.fetch(f"{url}/api").status == 200
    engine.close()


def test_callback_of_somebody_else_is_a_page_without_the_store(deployment: Deployment) -> None:
    deployment.link.cut()
    page = Browser().get(f"{deployment.url}/api/auth/callback?state=forged&error=genericError")
    assert (page.status, "This sign-in cannot be finished here" in page.text) == (400, True)
