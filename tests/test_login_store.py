"""What a session says about a login, and whether the store agrees."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, session
from flask.testing import FlaskClient

from flask_centralauth.login_record import Record
from flask_centralauth.login_session import Login
from flask_centralauth.login_store import LoginStore
from flask_centralauth.names import UNNAMED, session_key
from flask_centralauth.user import parse_user

from .conftest import MakeApp

ALICE = {"id": "1", "email": "alice@example.com", "verified": True, "blocked": False}
BOB = {**ALICE, "id": "2", "email": "bob@example.com"}


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


@pytest.fixture
def store(app: Flask) -> LoginStore:
    logins: LoginStore = app.extensions["centralauth"].logins
    return logins


@pytest.fixture
def request_(app: Flask) -> Iterator[None]:
    """The inside of a request."""
    with app.test_request_context():
        yield


def record(user: dict[str, Any] = ALICE) -> Record:
    return Record(parse_user(user), time.time(), "a browser")


def begin(store: LoginStore, user: dict[str, Any] = ALICE, lifetime: float | None = 600) -> Login:
    return store.start(record(user), token="a token", domain="http://localhost", lifetime=lifetime)


@pytest.mark.usefixtures("request_")
def test_a_login_is_live_until_it_ends(store: LoginStore) -> None:
    login = begin(store)
    assert store.current() == login
    found = store.live(login)
    assert found is not None
    assert found.user.email == "alice@example.com"
    assert store.end(login)
    assert store.current() is None
    assert store.live(login) is None
    assert not store.end(login)  # somebody else did


@pytest.mark.usefixtures("request_")
def test_a_newer_answer_changes_a_live_login_only(store: LoginStore) -> None:
    login = begin(store)
    assert store.update(login, record({**ALICE, "email": "new@example.com"}))
    found = store.live(login)
    assert found is not None
    assert found.user.email == "new@example.com"
    store.end(login)
    assert not store.update(login, record())
    assert store.live(login) is None


@pytest.mark.usefixtures("request_")
def test_end_all_ends_what_was_and_not_what_comes(app: Flask, store: LoginStore) -> None:
    first = begin(store)
    with app.test_request_context():
        of_bob = begin(store, BOB)
    before = store.news()
    store.end_all("1")
    # Every login is looked at again.
    assert store.version_of(of_bob.login_id, store.news()) != store.version_of(of_bob.login_id, before)
    assert store.live(first) is None
    assert store.live(of_bob) is not None
    second = begin(store)
    assert store.live(second) is not None
    store.end_all("1")
    assert store.live(second) is None


@pytest.mark.usefixtures("request_")
def test_the_end_of_a_login_is_news_for_few_others(app: Flask, store: LoginStore) -> None:
    """A busy site's logouts must not make every worker read every record again."""
    with app.test_request_context():
        mine = begin(store, BOB)
    others = []
    for _ in range(40):
        with app.test_request_context():
            others.append(begin(store))
    before = store.news()
    assert all(other.version == store.version_of(other.login_id, before) for other in others)
    store.end(mine)
    after = store.news()
    assert store.version_of(mine.login_id, after) != mine.version
    concerned = [other for other in others if store.version_of(other.login_id, after) != other.version]
    assert len(concerned) < 5


@pytest.mark.usefixtures("request_")
def test_a_login_knows_the_news_of_before_it_began(store: LoginStore) -> None:
    """So that a `logout_user` while it began makes a worker look again."""
    store.end_all("1")
    login = begin(store)
    assert login.version == store.version_of(login.login_id, store.news())
    assert login.version[0] is not None


@pytest.mark.usefixtures("request_")
def test_a_token_that_is_over_is_no_login(store: LoginStore, monkeypatch: pytest.MonkeyPatch) -> None:
    login = begin(store, lifetime=600)
    until = login.until
    assert until is not None
    monkeypatch.setattr("flask_centralauth.login_store.time.time", lambda: until + 1)
    assert store.current() is None


@pytest.mark.usefixtures("request_")
@pytest.mark.parametrize(
    "claimed",
    [
        "text",
        7,
        [],
        {},
        {"app": None},
        {"app": "another application", "login_id": "x"},
        {"login_id": "without the application"},
        {"until": "tomorrow"},
        {"until": []},
    ],
    ids=str,
)
def test_what_another_release_or_application_wrote_is_no_login(store: LoginStore, claimed: Any) -> None:
    begin(store)
    ours = session[session_key(UNNAMED)]
    session[session_key(UNNAMED)] = {**ours, **claimed} if isinstance(claimed, dict) and claimed else claimed
    if claimed == {"login_id": "without the application"}:
        del session[session_key(UNNAMED)]["app"]
    assert store.current() is None


def test_a_used_callback_is_used_in_every_worker(app: Flask, store: LoginStore) -> None:
    assert store.claim("state", 60)
    assert not store.claim("state", 60)
    assert store.is_claimed("state")
    assert not store.is_claimed("another")
    # Foreign texts become keys of a fixed length.
    assert store.claim("é" * 500 + "\n", 60)


def test_a_session_of_plain_flask_session_is_taken_over(app: Flask) -> None:
    """What was there before this extension was installed, and after it is taken out again."""

    @app.get("/cart")
    def cart() -> Any:
        return session.get("cart", [])

    guard: Any = app.session_interface
    written = guard.serializer.encode({"_permanent": True, "cart": ["apple"]})
    with app.app_context():
        guard.engine.put(f"{guard.key_prefix}of-before", written, 600)
    client: FlaskClient = app.test_client()
    client.set_cookie("session", "of-before")
    assert client.get("/cart").json == ["apple"]
