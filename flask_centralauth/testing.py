"""Log a test client in, in one line.

::

    def test_profile(client):
        login_as(client, "alice@example.com")
        assert client.get("/profile").status_code == 200

No network, no emulator: the login is written where a real one would be, so the session,
``current_user`` and logout are the real ones. Only applications with ``TESTING`` accept it,
and only a test can write it: ``TESTING`` alone opens nothing.
"""

from __future__ import annotations

import time
from datetime import datetime
from http.cookies import SimpleCookie
from typing import Any

from flask import session
from flask.testing import EnvironBuilder, FlaskClient

from .login_store import Record
from .state import state_of
from .user import User, member_name, parse_user
from .user_cache import FOR_TESTS


def login_as(client: FlaskClient, email: str = "a@example.com", **user_fields: Any) -> User:
    """Log a test client in and return the user.

    Any address and browser of the client will do, and CentralAuth is never asked.

    :param email: of the user; their id is made from it unless ``id`` is given.
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
        state_of(app).logins.start(
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
