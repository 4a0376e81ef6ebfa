"""A client secret is replaced at CentralAuth while people sign in."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_centralauth import CentralAuth, ConfigurationError
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import LiveServer, MakeApp, RunServer

CONFIG: dict[str, Any] = {"SECRET_KEY": "a secret key of the tests, long enough", "TESTING": True}
OLD, NEW = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


@pytest.fixture
def new_secret(emulator: Emulator) -> str:
    """Made at CentralAuth, not active yet."""
    return emulator.rotate_secret(activate=False)


@pytest.fixture
def server(make_app: MakeApp, live_server: RunServer, emulator: Emulator, new_secret: str) -> LiveServer:
    return live_server(make_app(CENTRALAUTH_CLIENT_SECRETS=[new_secret, emulator.client_secret]))


def calls(emulator: Emulator, endpoint: str) -> list[int | None]:
    return [entry.status for entry in emulator.requests if entry.endpoint == endpoint]


def activate(emulator: Emulator) -> None:
    emulator.service.activate_secret()


def test_people_sign_in_before_and_after_the_switch(server: LiveServer, emulator: Emulator) -> None:
    assert Browser(emulator).get(f"{server.url}/private").text == "alice@example.com"
    activate(emulator)
    assert Browser(emulator).get(f"{server.url}/private").text == "alice@example.com"


def test_login_under_way_at_the_switch_ends_well(server: LiveServer, emulator: Emulator) -> None:
    browser = Browser(emulator)
    login = browser.get(f"{server.url}/api/auth/login?return_to=/private", follow=False).last.location
    assert login is not None
    callback = emulator.authorize(login, ip="127.0.0.1", user_agent=browser.user_agent)
    activate(emulator)
    assert browser.get(callback).text == "alice@example.com"


def test_secret_that_was_taken_is_used_first(server: LiveServer, emulator: Emulator) -> None:
    activate(emulator)
    Browser(emulator).get(f"{server.url}/private")
    refused = calls(emulator, "verify").count(403)
    assert refused == 1
    for _ in range(3):
        Browser(emulator).get(f"{server.url}/private")
    assert calls(emulator, "verify").count(403) == refused


def test_order_of_the_list_does_not_matter(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator, new_secret: str
) -> None:
    app = make_app(CENTRALAUTH_CLIENT_SECRET=new_secret, CENTRALAUTH_CLIENT_SECRETS=[emulator.client_secret])
    server = live_server(app)
    assert Browser(emulator).get(f"{server.url}/private").text == "alice@example.com"


def test_without_the_new_one_it_is_a_clear_error(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator, new_secret: str
) -> None:
    server = live_server(make_app())
    activate(emulator)
    page = Browser(emulator).get(f"{server.url}/private")
    assert page.status == 500
    assert calls(emulator, "verify") == [403]


def test_two_wrong_ones_are_each_tried_once(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    server = live_server(make_app(CENTRALAUTH_CLIENT_SECRET=OLD, CENTRALAUTH_CLIENT_SECRETS=[NEW]))
    assert Browser(emulator).get(f"{server.url}/private").status == 500
    assert calls(emulator, "verify") == [403, 403]


class TestSetting:
    def set_up(self, emulator: Emulator, **config: Any) -> Flask:
        app = Flask(__name__)
        app.config.update(CONFIG, **emulator.config)
        app.config.pop("CENTRALAUTH_CLIENT_SECRET")
        app.config.update(config)
        CentralAuth(app)
        return app

    def test_list_is_enough(self, emulator: Emulator, new_secret: str) -> None:
        app = self.set_up(emulator, CENTRALAUTH_CLIENT_SECRETS=[OLD, NEW])
        settings = app.extensions["centralauth"].settings
        assert settings.client_secrets == (OLD, NEW)
        assert OLD not in repr(settings)
        assert NEW not in repr(settings)

    @pytest.mark.parametrize(
        "wrong",
        [OLD, 7, [OLD, ""], [OLD, None], [OLD, "change-me"]],
        ids=["text", "number", "empty", "none", "placeholder"],
    )
    def test_mistakes_are_named_and_not_repeated(self, emulator: Emulator, wrong: object) -> None:
        with pytest.raises(ConfigurationError, match="CENTRALAUTH_CLIENT_SECRETS: ") as raised:
            self.set_up(emulator, CENTRALAUTH_CLIENT_SECRETS=wrong)
        assert OLD not in str(raised.value)

    def test_it_is_no_unknown_setting(self, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
        self.set_up(emulator, CENTRALAUTH_CLIENT_SECRETS=[OLD])
        assert "is not a setting" not in caplog.text


def test_people_who_are_in_sign_in_once_more(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator, new_secret: str
) -> None:
    app = make_app(CENTRALAUTH_CLIENT_SECRETS=[new_secret, emulator.client_secret], CENTRALAUTH_USER_TTL=0)
    server = live_server(app)
    browser = Browser(emulator)
    browser.get(f"{server.url}/private")
    activate(emulator)
    assert browser.fetch("/private").status == 401
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    assert browser.fetch("/private").status == 200
