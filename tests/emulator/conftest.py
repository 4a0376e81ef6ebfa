"""Fixtures of the emulator's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flask_centralauth.emulator import Emulator

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
def application(emulator: Emulator) -> Iterator[Application]:
    """The application it knows."""
    known = Application(emulator)
    yield known
    known.http.close()
