"""Fixtures for all tests: the emulator, an application that uses it, a server to run it, browsers."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import pytest
from flask import Flask, jsonify
from hypothesis import settings
from sqlalchemy import event
from sqlalchemy.pool import Pool
from werkzeug.serving import make_server

from .browser_client import Browser
from .services.programs import CHROMIUM, NOT_RUN

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page as ChromiumPage
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

    from flask_centralauth.emulator import Emulator

ARTIFACTS: Final = Path(__file__).parent / "artifacts"
CHROMIUM_OPTIONS: Final = (
    "--no-sandbox",  # it cannot make one as root, and sees only our own pages
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Pages must need nothing from outside; what they ask for all the same fails at once.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost",
)

# A shell starts what runs in the background with SIGINT ignored, and so would be every program that a
# test starts and stops with Ctrl-C. A handler of our own is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Applications under test are dropped without a word to SQLAlchemy, and Python 3.13 warns of each of
# their SQLite connections.
@event.listens_for(Pool, "connect")
def _close_with_its_pool(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    weakref.finalize(record, connection.close)


# On a busy machine an example may take long; pytest's own time limit finds the ones that hang.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


class MakeApp(Protocol):
    def __call__(self, *, instance_path: Path | None = None, **config: Any) -> Flask: ...


class RunServer(Protocol):
    def __call__(self, app: WSGIApplication) -> LiveServer: ...


@pytest.fixture(autouse=True)
def _only_the_settings_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shell of a developer sets must neither pass nor fail a test."""
    proxies = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    for name in list(os.environ):
        if name.startswith(("AUTH_", "CENTRALAUTH_", "FLASK_")) or name.upper() in proxies:
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every check be waited for, however busy the machine is; not in tests that use `impatient`."""
    if "impatient" not in request.fixturenames:
        for name in ("PATIENCE", "PATIENCE_BESIDE_ANOTHER"):
            monkeypatch.setattr(f"flask_centralauth.background.{name}", 60.0)


@pytest.fixture
def impatient() -> None:
    """Pages go on with the last answer when the new one is long in coming, as they do for people."""


@pytest.fixture(scope="session")
def _emulator_process() -> Iterator[Emulator]:
    from flask_centralauth.emulator import Emulator

    with Emulator() as running:
        yield running


@pytest.fixture
def emulator(_emulator_process: Emulator) -> Emulator:
    """A running emulator, as new; for other constructor arguments: `with Emulator(...) as emulator:`."""
    _emulator_process.reset()
    return _emulator_process


@pytest.fixture
def make_app(emulator: Emulator, tmp_path: Path) -> MakeApp:
    """`make_app(**config)`: a small application against the emulator.

    Each call makes an application with an instance folder of its own. Two that share `instance_path` are
    two processes of one application: they share the embedded session store and the `SECRET_KEY`.
    """
    numbers = itertools.count(1)

    def make(*, instance_path: Path | None = None, **config: Any) -> Flask:
        folder = instance_path or tmp_path / f"instance{next(numbers)}"
        app = Flask("application_under_test", instance_path=str(folder))
        app.config.update(SECRET_KEY="a secret key of the tests, long enough", TESTING=True)
        app.config.update(emulator.config)
        app.config.update(config)
        _add_views(app)
        return app

    return make


def _add_views(app: Flask) -> None:
    from flask_centralauth import CentralAuth, auth_required, current_user

    CentralAuth(app)

    @app.get("/")
    def index() -> str:
        return "public"

    @app.get("/private")
    @auth_required
    def private() -> str:
        return current_user.email or ""

    @app.get("/api/data")
    @auth_required
    def data() -> Any:
        return jsonify(email=current_user.email)

    @app.post("/save")
    @auth_required
    def save() -> str:
        app.extensions["saves"] = app.extensions.get("saves", 0) + 1
        return "saved"

    @app.get("/edit")
    @auth_required
    def edit() -> str:
        return '<form method="post" action="/save"><input name="text"><button>Save</button></form>'


class LiveServer:
    """A WSGI application on a free loopback port, one thread per request."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no further requests; connections are refused from now on."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def live_server() -> Iterator[RunServer]:
    """`live_server(app)` runs an application until the test ends; the answer has `.url` and `.stop()`."""
    servers: list[LiveServer] = []

    def run(app: WSGIApplication) -> LiveServer:
        servers.append(LiveServer(app))
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


@pytest.fixture
def browser(emulator: Emulator) -> Browser:
    """A scripted browser whose user is alice@example.com; more with `Browser(emulator, user=...)`."""
    return Browser(emulator)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`later(seconds)` sets the clock of the application and of the emulator ahead."""
    real = time.time

    def forward(seconds: float) -> None:
        monkeypatch.setattr("time.time", lambda: real() + seconds)

    return forward


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """A real browser for one module: Playwright's event loop is in the way of async views elsewhere."""
    executable = CHROMIUM.require()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_OPTIONS))
        yield running
        running.close()


@pytest.fixture
def chromium_page(chromium: Chromium, request: pytest.FixtureRequest) -> Iterator[ChromiumPage]:
    """A Playwright page in a profile of its own. An error in a script of a page fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
    context.set_default_timeout(15_000)
    page = context.new_page()
    script_errors: list[str] = []
    context.on("weberror", lambda error: script_errors.append(str(error.error)))
    failed_before = request.session.testsfailed
    yield page
    if request.session.testsfailed > failed_before and not page.is_closed():
        page.screenshot(path=_artifact(f"failed-{request.node.name}"), full_page=True)
    context.close()
    assert not script_errors


@pytest.fixture
def screenshot(chromium_page: ChromiumPage) -> Callable[[str], Path]:
    """`screenshot("profile")` keeps the page as it looks now in tests/artifacts/profile.png."""

    def take(name: str) -> Path:
        path = _artifact(name)
        chromium_page.screenshot(path=path, full_page=True)
        return path

    return take


def _artifact(name: str) -> Path:
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS / f"{''.join(c if c.isalnum() or c in '-_' else '-' for c in name)}.png"


def pytest_configure(config: pytest.Config) -> None:
    """Pictures of failures are of this run."""
    if not hasattr(config, "workerinput"):  # once, by the process that starts the others
        for picture in ARTIFACTS.glob("failed-*.png"):
            picture.unlink(missing_ok=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With -n, one process has the browser: two of them are slower than one on a small machine."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("chromium"))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest's own, so that this comes last
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say loudly what a run did not test because a program is missing."""
    yield
    counts: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _, marker, missing = reason.partition(NOT_RUN)
        if marker:
            counts[missing] = counts.get(missing, 0) + 1
    if counts:
        terminalreporter.section("THESE TESTS DID NOT RUN", sep="!", red=True, bold=True)
        for missing, count in sorted(counts.items()):
            tests = "1 test" if count == 1 else f"{count} tests"
            terminalreporter.line(f"{tests}: {missing}", red=True, bold=True)
