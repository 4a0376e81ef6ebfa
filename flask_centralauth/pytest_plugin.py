"""Fixtures for the tests of applications that use this extension.

Loaded by pytest on its own. Nothing of Flask is imported until a fixture is used. With
pytest-xdist every worker has an emulator of its own, on a port of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from typing import Protocol

    from flask.testing import FlaskClient

    from .emulator import Clock, Emulator, Journal
    from .emulator.faults import FaultRules
    from .emulator.mailbox import Mailbox
    from .extension import CentralAuth
    from .testing import InProcessEmulator
    from .user import User

    class LoginAs(Protocol):
        def __call__(
            self,
            client: FlaskClient,
            email: str = ...,
            *,
            centralauth: CentralAuth | None = ...,
            **user_fields: object,
        ) -> User: ...


MARKER: Final = "centralauth"
_IN_PROCESS: Final = "centralauth_inprocess"
_RUNNING: Final = "centralauth_emulator"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--centralauth-lint``."""
    parser.getgroup("centralauth").addoption(
        "--centralauth-lint",
        choices=["off", "error", "warning"],
        default="off",
        help="fail tests whose application does what the emulator's lint calls an error, or warns of",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", f"{MARKER}(users=[...], settings={{...}}): who and what the emulator of this test knows"
    )


@pytest.fixture(scope="session")
def _centralauth_emulator_process() -> Iterator[Emulator]:
    from .emulator import Emulator

    with Emulator() as running:
        yield running


@pytest.fixture(scope="session")
def _centralauth_without_sockets() -> InProcessEmulator:
    from .testing import InProcessEmulator

    return InProcessEmulator()


@pytest.fixture
def centralauth_emulator(
    request: pytest.FixtureRequest, _centralauth_emulator_process: Emulator
) -> Iterator[Emulator]:
    """A local CentralAuth on a free port, as new in every test.

    Give the application its settings: ``app.config.update(centralauth_emulator.config)``.
    """
    _prepare(request.node, _centralauth_emulator_process)
    yield _centralauth_emulator_process
    _grade(request.config, _centralauth_emulator_process)


@pytest.fixture
def centralauth_inprocess(
    request: pytest.FixtureRequest, _centralauth_without_sockets: InProcessEmulator
) -> Iterator[InProcessEmulator]:
    """The same without sockets: ``centralauth_inprocess.connect(app)``, once the application is set up."""
    _prepare(request.node, _centralauth_without_sockets)
    yield _centralauth_without_sockets
    _grade(request.config, _centralauth_without_sockets)


@pytest.fixture
def _centralauth(request: pytest.FixtureRequest) -> Emulator:
    """The emulator of this test: without sockets when the test asks for that one."""
    wanted = {_IN_PROCESS, _RUNNING} & set(request.fixturenames)
    if len(wanted) > 1:
        raise pytest.UsageError(f"{request.node.name}: take either {_RUNNING} or {_IN_PROCESS}")
    emulator: Emulator = request.getfixturevalue(wanted.pop() if wanted else _RUNNING)
    return emulator


@pytest.fixture
def centralauth_config(_centralauth: Emulator) -> dict[str, str]:
    """The settings that make an application use the emulator of this test, for ``app.config``."""
    return _centralauth.config


@pytest.fixture
def centralauth_clock(_centralauth: Emulator) -> Clock:
    """The emulator's clock: ``centralauth_clock.advance(3600)`` instead of sleeping."""
    return _centralauth.clock


@pytest.fixture
def centralauth_faults(_centralauth: Emulator) -> FaultRules:
    """What goes wrong at the emulator: ``centralauth_faults.fail("userinfo", status=503)``."""
    return _centralauth.faults


@pytest.fixture
def centralauth_journal(_centralauth: Emulator) -> Journal:
    """What was sent to the emulator: ``centralauth_journal.one("verify").form["code"]``."""
    return _centralauth.requests


@pytest.fixture
def centralauth_mailbox(_centralauth: Emulator) -> Mailbox:
    """The mails that the emulator did not send: ``centralauth_mailbox.latest().link``."""
    return _centralauth.mailbox


@pytest.fixture
def login_as() -> LoginAs:
    """`flask_centralauth.testing.login_as`: log a test client in without any network."""
    from .testing import login_as

    return login_as


def _prepare(test: pytest.Item, emulator: Emulator) -> None:
    """Reset an emulator to what the markers of a test say, those of its module first."""
    emulator.reset()
    for marker in reversed(list(test.iter_markers(MARKER))):
        try:
            _add(emulator, *marker.args, **marker.kwargs)
        except (TypeError, ValueError) as problem:
            raise pytest.UsageError(f"{test.name}: @pytest.mark.{MARKER}: {problem}") from None


def _add(
    emulator: Emulator,
    *,
    users: Sequence[str | Mapping[str, Any]] = (),
    settings: Mapping[str, object] | None = None,
) -> None:
    emulator.configure(**(settings or {}))
    for user in users:
        emulator.add_user(**({"email": user} if isinstance(user, str) else user))


def _grade(config: pytest.Config, emulator: Emulator) -> None:
    """Fail a test whose application did what the command line forbids."""
    # A plugin that a test module loads comes too late to add options.
    limit = config.getoption("--centralauth-lint", "off")
    if limit == "off":
        return
    findings = [found for found in emulator.lint() if limit == "warning" or found.level == "error"]
    if findings:
        told = "".join(f"\n  {found.level}: {found.id} {found.text}" for found in findings)
        pytest.fail(f"the emulator found mistakes in how the application talks to it:{told}", pytrace=False)
