"""What an application's own tests use: login_as, the pytest plugin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from flask import Flask, session

from flask_centralauth import User
from flask_centralauth.emulator import Clock, Emulator, Journal
from flask_centralauth.emulator.faults import FaultRules
from flask_centralauth.emulator.mailbox import Mailbox
from flask_centralauth.testing import InProcessEmulator, login_as
from flask_centralauth.user import InvalidUser

pytest_plugins = ["flask_centralauth.pytest_plugin"]

MakeApp = Callable[..., Flask]
NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def test_login_as_logs_in_without_asking_centralauth(make_app: MakeApp, emulator: Emulator) -> None:
    client = make_app().test_client()
    user = login_as(client, "alice@example.com")

    assert client.get("/private").text == "alice@example.com"
    assert client.get("/api/auth/user").json["id"] == user.id  # type: ignore[index]
    assert list(emulator.requests) == []


def test_another_client_of_the_same_application_is_anonymous(make_app: MakeApp) -> None:
    app = make_app()
    login_as(app.test_client())
    assert app.test_client().get("/private").status_code == 401


def test_the_login_is_a_real_one_until_logout(make_app: MakeApp) -> None:
    client = make_app().test_client()
    login_as(client)
    assert client.post("/api/auth/logout").status_code == 303
    assert client.get("/private").status_code == 401


def test_any_address_and_browser_of_the_client_will_do(make_app: MakeApp, emulator: Emulator) -> None:
    client = make_app(CENTRALAUTH_USER_TTL=0).test_client()
    login_as(client)
    answer = client.get(
        "/private", headers={"User-Agent": "another"}, environ_base={"REMOTE_ADDR": "203.0.113.9"}
    )
    assert answer.status_code == 200
    assert list(emulator.requests) == []


def test_fields_are_attributes_of_the_user(make_app: MakeApp) -> None:
    app = make_app()
    affirmed = datetime(2026, 1, 2, tzinfo=timezone.utc)
    user = login_as(app.test_client(), id="u1", verified=False, affirmation_date=affirmed, plan="gold")
    assert (user.id, user.verified, user.affirmation_date, user.raw["plan"]) == (
        "u1",
        False,
        affirmed,
        "gold",
    )


def test_a_field_of_the_wrong_type_is_named(make_app: MakeApp) -> None:
    with pytest.raises(InvalidUser, match="blocked is not a boolean"):
        login_as(make_app().test_client(), blocked="no")


def test_the_policy_holds_for_users_of_tests_too(make_app: MakeApp) -> None:
    client = make_app().test_client()
    login_as(client, blocked=True)
    assert client.get("/private").status_code == 403


def test_a_second_login_takes_the_place_of_the_first(make_app: MakeApp) -> None:
    app = make_app()
    client = app.test_client()
    login_as(client, "alice@example.com")
    login_as(client, "bob@example.com")
    assert client.get("/private").text == "bob@example.com"


def test_what_the_visitor_had_in_the_session_stays(make_app: MakeApp) -> None:
    app = make_app()

    @app.get("/cart")
    def cart() -> dict[str, Any]:
        session.setdefault("cart", ["book"])
        return {"cart": session["cart"]}

    client = app.test_client()
    client.get("/cart")
    login_as(client)
    with client.session_transaction() as stored:
        assert stored["cart"] == ["book"]


def test_an_application_that_is_not_testing_refuses(make_app: MakeApp) -> None:
    app = make_app()
    client = app.test_client()
    app.testing = False
    with pytest.raises(RuntimeError, match="TESTING"):
        login_as(client)


def test_a_login_of_a_test_is_worth_nothing_elsewhere(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app()
    client = app.test_client()
    login_as(client)
    app.testing = False
    assert client.get("/private", headers=NAVIGATION).status_code == 401
    assert emulator.requests.one("userinfo").error_code == "tokenInvalid"


def test_testing_alone_lets_nobody_in(make_app: MakeApp) -> None:
    assert make_app(TESTING=True).test_client().get("/private").status_code == 401


def test_the_plugin_gives_both_fixtures(
    make_app: MakeApp, login_as: Callable[..., User], centralauth_emulator: Emulator
) -> None:
    app = make_app(**centralauth_emulator.config)
    client = app.test_client()
    assert login_as(client, "carol@example.com").email == "carol@example.com"
    assert client.get("/private").text == "carol@example.com"


def test_the_plugin_gives_an_emulator_without_sockets(
    make_app: MakeApp, centralauth_inprocess: InProcessEmulator, centralauth_config: dict[str, str]
) -> None:
    client = centralauth_inprocess.connect(make_app(**centralauth_config)).test_client()
    callback = centralauth_inprocess.authorize(client.get("/api/auth/login").location or "")
    client.get(callback)
    assert client.get("/private").text == "alice@example.com"
    client.post("/api/auth/logout", data={"everywhere": "1"})
    assert [entry.connection for entry in centralauth_inprocess.requests.api] == [0, 0]


def test_without_connecting_nothing_answers(
    make_app: MakeApp, centralauth_inprocess: InProcessEmulator, centralauth_config: dict[str, str]
) -> None:
    client = make_app(**centralauth_config).test_client()
    callback = centralauth_inprocess.authorize(client.get("/api/auth/login").location or "")
    assert client.get(callback).status_code == 503
    assert centralauth_inprocess.requests.none()


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"action": "reset"}, 503), ({"hang": True}, 503), ({"error_code": "sessionExpired"}, 401)],
)
def test_faults_reach_an_application_without_sockets(
    make_app: MakeApp,
    centralauth_inprocess: InProcessEmulator,
    centralauth_config: dict[str, str],
    centralauth_faults: FaultRules,
    fault: dict[str, Any],
    status: int,
) -> None:
    client = centralauth_inprocess.connect(make_app(**centralauth_config)).test_client()
    callback = centralauth_inprocess.authorize(client.get("/api/auth/login").location or "")
    centralauth_faults.fail("verify", **fault)
    assert client.get(callback).status_code == status
    assert client.get("/private", headers={"Accept": "application/json"}).status_code == 401


def test_the_other_fixtures_are_about_the_emulator_of_the_test(
    centralauth_emulator: Emulator,
    centralauth_config: dict[str, str],
    centralauth_clock: Clock,
    centralauth_faults: FaultRules,
    centralauth_journal: Journal,
    centralauth_mailbox: Mailbox,
) -> None:
    assert centralauth_config == centralauth_emulator.config
    assert centralauth_clock is centralauth_emulator.clock
    assert centralauth_journal is centralauth_emulator.requests
    assert len(centralauth_mailbox) == len(centralauth_faults) == 0
    centralauth_emulator.fail("userinfo", status=503)
    assert len(centralauth_faults) == 1
