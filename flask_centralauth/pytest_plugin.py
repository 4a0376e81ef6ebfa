"""Fixtures for the tests of applications that use this extension.

Loaded by pytest on its own. Nothing of Flask is imported until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import Protocol

    from flask.testing import FlaskClient

    from .emulator import Emulator
    from .user import User

    class LoginAs(Protocol):
        def __call__(self, client: FlaskClient, email: str = ..., **user_fields: object) -> User: ...


@pytest.fixture(scope="session")
def _centralauth_emulator_process() -> Iterator[Emulator]:
    from .emulator import Emulator

    with Emulator() as running:
        yield running


@pytest.fixture
def centralauth_emulator(_centralauth_emulator_process: Emulator) -> Emulator:
    """A local CentralAuth on a free port, as new in every test.

    Give the application its settings: ``app.config.update(centralauth_emulator.config)``.
    """
    _centralauth_emulator_process.reset()
    return _centralauth_emulator_process


@pytest.fixture
def login_as() -> LoginAs:
    """`flask_centralauth.testing.login_as`: log a test client in without any network."""
    from .testing import login_as

    return login_as
