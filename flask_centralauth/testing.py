"""Log a test client in, in one line.

::

    def test_profile(client):
        login_as(client, "alice@example.com")
        assert client.get("/profile").status_code == 200

No network, no emulator: the login is written where a real one would be, so the session,
``current_user`` and logout are the real ones. Only applications with ``TESTING`` accept it,
and only a test can write it: ``TESTING`` alone opens nothing.

Tests that need CentralAuth's answers take `InProcessEmulator`, a fixture of the pytest
plugin (``centralauth_emulator``, ``centralauth_inprocess``), or `EmulatorMixin` for unittest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import TestCase

from flask import Flask, session
from flask.testing import EnvironBuilder, FlaskClient

from .emulator import Emulator, InProcessAdapter
from .login_record import Record
from .names import UNNAMED
from .state import state_of
from .user import User, member_name, parse_user
from .user_cache import FOR_TESTS

if TYPE_CHECKING:
    from .extension import CentralAuth


def login_as(
    client: FlaskClient,
    email: str = "a@example.com",
    *,
    centralauth: CentralAuth | None = None,
    **user_fields: Any,
) -> User:
    """Log a test client in and return the user.

    Any address and browser of the client will do, and CentralAuth is never asked.

    :param email: of the user; their id is made from it unless ``id`` is given.
    :param centralauth: where to log in, when the application has several of these objects.
    :param user_fields: attributes of `User`, for example ``blocked=True``; other names
        are members of ``user.raw``.
    :raises RuntimeError: the application is not in testing mode.
    :raises InvalidUser: a field has the wrong type.
    """
    app = client.application
    if not app.testing:
        raise RuntimeError("login_as() is for tests: set TESTING to true in the application's config.")
    user = _user(email, user_fields)
    interface: Any = app.session_interface
    name = interface.get_cookie_name(app)
    present = client.get_cookie(name)
    headers = {"Cookie": f"{name}={present.value}"} if present else {}
    with app.test_request_context(headers=headers):
        state_of(app, centralauth.identifier if centralauth else UNNAMED).logins.start(
            Record(user, time.time(), FOR_TESTS), token=FOR_TESTS, domain="http://localhost", lifetime=None
        )
        response = app.response_class()
        interface.save_session(app, session._get_current_object(), response)  # type: ignore[attr-defined]
    written = SimpleCookie(response.headers["Set-Cookie"])
    host = EnvironBuilder(app).host.partition(":")[0]
    client.set_cookie(name, written[name].value, domain=host, path=interface.get_cookie_path(app))
    return user


def _user(email: str, fields: dict[str, Any]) -> User:
    members: dict[str, Any] = {
        "id": f"test-user-{email}",
        "email": email,
        "gravatar": None,
        "verified": True,
        "blocked": False,
        "organizationId": None,
    }
    for name, value in fields.items():
        members[member_name(name)] = value.isoformat() if isinstance(value, datetime) else value
    return parse_user(members)


class InProcessEmulator(Emulator):
    """An emulator that applications of this process reach without a socket; it is never started.

    ::

        emulator = InProcessEmulator()
        app = create_app(emulator.config)
        emulator.connect(app)
    """

    def connect(self, app: Flask) -> Flask:
        """Make an application ask this emulator directly, and return it.

        :param app: set up with the settings in ``config``.
        """
        # In the process that serves the tests; a fork has an HTTP session of its own.
        for state in state_of(app).siblings:
            state.client.transport.session().mount(self.url, InProcessAdapter(self.app))
        return app


class EmulatorMixin(TestCase):
    """For unittest: ``self.emulator``, one per class and as new in every test.

    ::

        class OrderTest(EmulatorMixin, unittest.TestCase):
            emulator_options = {"users": ["alice@example.com"]}

    A ``setUp`` of your own calls ``super().setUp()`` first.
    """

    #: Arguments of :class:`~flask_centralauth.emulator.Emulator`.
    emulator_options: ClassVar[Mapping[str, Any]] = {}
    emulator: ClassVar[Emulator]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.emulator = Emulator(**cls.emulator_options).start()
        cls.addClassCleanup(cls.emulator.stop)

    def setUp(self) -> None:
        super().setUp()
        self.emulator.reset()

    def login_as(self, client: FlaskClient, email: str = "a@example.com", **user_fields: Any) -> User:
        """Log a test client in without any network; see `login_as`."""
        return login_as(client, email, **user_fields)
