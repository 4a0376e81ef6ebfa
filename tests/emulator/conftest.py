"""Fixtures of the emulator's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flask_centralauth.emulator import Emulator, InProcessAdapter

from .application import ORIGIN, Application


@pytest.fixture(scope="session")
def _whitelisting_emulator() -> Iterator[Emulator]:
    with Emulator(whitelist=[ORIGIN]) as running:
        yield running


@pytest.fixture
def emulator(_whitelisting_emulator: Emulator) -> Emulator:
    """A running emulator, as new, that knows one application."""
    _whitelisting_emulator.reset()
    return _whitelisting_emulator


@pytest.fixture
def application(emulator: Emulator, request: pytest.FixtureRequest) -> Iterator[Application]:
    """The application it knows; with the parameter "in process" it uses no sockets."""
    known = Application(emulator)
    if getattr(request, "param", "") == "in process":
        known.http.mount(emulator.url, InProcessAdapter(emulator.app))
    yield known
    known.http.close()


#: Modules whose rules hold over HTTP and without sockets alike.
TWO_TRANSPORTS = frozenset({"test_login_page", "test_mail_login", "test_userinfo", "test_verify"})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.definition.path.stem
    if module in TWO_TRANSPORTS and "application" in metafunc.fixturenames:
        metafunc.parametrize("application", ["http", "in process"], indirect=True)
