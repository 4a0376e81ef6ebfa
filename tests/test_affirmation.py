"""Affirmation: a page that wants a recent confirmation that it is really them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, session

from flask_centralauth import auth_required, current_user
from flask_centralauth.emulator import Emulator
from flask_centralauth.signals import user_affirmed, user_logged_in

from .browser_client import Browser
from .conftest import LiveServer, MakeApp, RunServer


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app()

    @app.get("/vault")
    @auth_required(affirmed_within=300)
    def vault() -> str:
        return f"the vault of {current_user.email}"

    @app.get("/basket")
    def basket() -> str:
        return str(session.setdefault("basket", "mine"))

    return app


@pytest.fixture
def server(app: Flask, live_server: RunServer) -> LiveServer:
    return live_server(app)


def ago(**span: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**span)).isoformat()


@pytest.fixture
def logged_in(browser: Browser, server: LiveServer, emulator: Emulator) -> Browser:
    """Alice's browser; her last confirmation is an hour old, too old for the vault."""
    emulator.fail("userinfo", patch={"affirmationDate": ago(hours=1)})
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    return browser


def session_id(browser: Browser) -> str:
    cookie = browser.cookies.get("session")
    assert cookie is not None
    return cookie.value


def test_page_asks_and_comes_back(logged_in: Browser, server: LiveServer, emulator: Emulator) -> None:
    page = logged_in.get(f"{server.url}/vault?box=7")

    assert page.text == "the vault of alice@example.com"
    assert page.path == "/vault?box=7"
    visits = [urlsplit(hop.url) for hop in page.hops]
    assert [visit.path for visit in visits] == [
        "/vault", "/api/auth/affirm", "/login", "/api/auth/callback", "/vault"
    ]  # fmt: skip
    sent = parse_qs(visits[2].query)
    assert sent["affirm"] == ["1"]
    assert sent["email"] == ["alice@example.com"]


def test_login_asks_for_no_affirmation(browser: Browser, server: LiveServer) -> None:
    page = browser.get(f"{server.url}/private")
    assert not any("affirm" in hop.url for hop in page.hops[:3])


def test_recent_login_is_affirmed_without_a_question(browser: Browser, server: LiveServer) -> None:
    browser.get(f"{server.url}/private")
    assert len(browser.get(f"{server.url}/vault").hops) == 1


def test_session_id_changes_and_the_session_stays(
    logged_in: Browser, server: LiveServer, emulator: Emulator
) -> None:
    logged_in.get(f"{server.url}/basket")
    before = session_id(logged_in)

    logged_in.get(f"{server.url}/vault")

    assert session_id(logged_in) != before
    assert logged_in.get(f"{server.url}/basket").text == "mine"
    thief = Browser(emulator, user=None)
    thief.cookies.store(server.url, f"session={before}; Path=/")
    assert thief.fetch(f"{server.url}/private").status == 401


def test_signal_tells_affirmation_from_login(logged_in: Browser, server: LiveServer, app: Flask) -> None:
    told: list[str] = []
    with (
        user_affirmed.connected_to(lambda _app, user: told.append(f"affirmed {user.email}"), app),
        user_logged_in.connected_to(lambda _app, user, **_: told.append("logged in"), app),
    ):
        logged_in.get(f"{server.url}/vault")
    assert told == ["affirmed alice@example.com"]


def test_another_user_is_refused_and_nobody_signed_out(
    logged_in: Browser, server: LiveServer, emulator: Emulator
) -> None:
    before = session_id(logged_in)
    logged_in.user = "bob@example.com"

    page = logged_in.get(f"{server.url}/vault")

    assert page.status == 403
    assert "Please confirm with the account you are signed in with." in page.text
    assert session_id(logged_in) == before
    assert logged_in.fetch("/api/auth/user").json()["email"] == "alice@example.com"
    assert logged_in.fetch("/vault").status == 401


def test_same_address_of_another_account_is_another_user(
    logged_in: Browser, server: LiveServer, emulator: Emulator
) -> None:
    # An address can be given to somebody else; the id cannot.
    emulator.fail("userinfo", patch={"id": "another-id"})
    assert logged_in.get(f"{server.url}/vault").status == 403
    assert logged_in.fetch("/vault").status == 401


@pytest.mark.parametrize(
    "reported",
    [
        {"remove": ["affirmationDate"]},
        {"patch": {"affirmationDate": None}},
        {"patch": {"affirmationDate": ago(minutes=10)}},
        {"patch": {"affirmationDate": ago(minutes=-10)}},
    ],
    ids=["missing", "null", "old", "future"],
)
def test_affirmation_without_a_date_of_just_now_is_none(
    logged_in: Browser, server: LiveServer, emulator: Emulator, reported: dict[str, object]
) -> None:
    emulator.fail("userinfo", action="patch", **reported)

    assert logged_in.get(f"{server.url}/vault").status == 403
    assert logged_in.fetch("/vault").json()["errorCode"] == "affirmationRequired"
    assert logged_in.fetch("/private").text == "alice@example.com"


def test_user_without_a_date_is_not_affirmed(
    browser: Browser, server: LiveServer, emulator: Emulator
) -> None:
    emulator.fail("userinfo", action="patch", remove=["affirmationDate"])
    browser.get(f"{server.url}/private")
    assert browser.fetch("/vault").json()["errorCode"] == "affirmationRequired"


def test_date_that_is_none_ends_nothing(logged_in: Browser, server: LiveServer, emulator: Emulator) -> None:
    emulator.fail("userinfo", patch={"affirmationDate": "yesterday, I think"})
    assert logged_in.get(f"{server.url}/vault").status >= 400
    assert logged_in.fetch("/vault").status == 401
    assert logged_in.fetch("/private").text == "alice@example.com"


def test_mark_at_the_callback_does_not_decide(
    logged_in: Browser, server: LiveServer, emulator: Emulator
) -> None:
    emulator.fail("callback", action="strip_affirm")
    logged_in.user = "bob@example.com"
    assert logged_in.get(f"{server.url}/vault").status == 403

    emulator.fail("callback", action="strip_affirm")
    logged_in.user = "alice@example.com"
    assert logged_in.get(f"{server.url}/vault").text == "the vault of alice@example.com"


def test_added_mark_makes_no_affirmation_of_a_login(
    logged_in: Browser, server: LiveServer, emulator: Emulator, app: Flask
) -> None:
    told: list[str] = []
    emulator.fail("callback", action="add_affirm")
    emulator.fail("userinfo", patch={"affirmationDate": ago(hours=1)})
    with user_affirmed.connected_to(lambda _app, user: told.append(user.email), app):
        page = logged_in.get(f"{server.url}/api/auth/login?return_to=/private")

    assert "affirm=1" in page.hops[-2].url
    assert page.text == "alice@example.com"
    assert told == []
    assert logged_in.fetch("/vault").json()["errorCode"] == "affirmationRequired"


def test_query_cannot_ask_for_another_purpose(logged_in: Browser, server: LiveServer) -> None:
    logged_in.user = None
    page = logged_in.get(f"{server.url}/api/auth/login?affirm=1&purpose=affirm")
    assert "affirm" not in parse_qs(urlsplit(page.url).query)


def test_program_is_told_where_to_affirm(logged_in: Browser, server: LiveServer) -> None:
    answer = logged_in.fetch("/vault")
    assert answer.status == 401
    assert answer.json()["errorCode"] == "affirmationRequired"
    assert answer.json()["loginUrl"] == "/api/auth/affirm"
    assert logged_in.fetch("/private").status == 200


def test_denied_affirmation_leaves_the_login(
    logged_in: Browser, server: LiveServer, emulator: Emulator
) -> None:
    emulator.next_login(deny=True)
    logged_in.get(f"{server.url}/api/auth/affirm?return_to=/vault")
    assert logged_in.fetch("/private").text == "alice@example.com"


def test_guest_signs_in_first(browser: Browser, server: LiveServer) -> None:
    page = browser.get(f"{server.url}/api/auth/affirm?return_to=/vault")
    assert page.text == "the vault of alice@example.com"


def test_affirmation_in_two_browsers_is_each_its_own(
    logged_in: Browser, server: LiveServer, emulator: Emulator
) -> None:
    emulator.fail("userinfo", patch={"affirmationDate": ago(hours=1)})
    other = Browser(emulator)
    other.get(f"{server.url}/private")
    logged_in.get(f"{server.url}/vault")
    assert other.fetch("/vault").status == 401
