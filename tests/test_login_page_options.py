"""Texts and looks of CentralAuth's login page: from the settings, or for one login."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_babel import Babel, get_locale, lazy_gettext

from flask_centralauth import CentralAuth
from flask_centralauth.emulator import Emulator

from .conftest import MakeApp


def add_view(app: Flask, **options: Any) -> None:
    centralauth = CentralAuth()

    @app.get("/own-login")
    def own_login() -> ResponseReturnValue:
        return centralauth.login_redirect(return_to="/private", **options)


def sent(app: Flask, address: str = "/api/auth/login", **headers: str) -> dict[str, str]:
    """What a login asks CentralAuth for."""
    answer = app.test_client().get(address, headers=headers)
    assert answer.status_code == 302, answer.text
    assert len(answer.headers["Location"]) < 2000
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def decoded(value: str) -> Any:
    return json.loads(base64.b64decode(value, validate=True))


def test_settings_go_to_the_login_page(make_app: MakeApp) -> None:
    words, looks = {"login": "Come in"}, {"primaryColor": "#123456", "loginPageLayout": "compact"}
    asked = sent(make_app(CENTRALAUTH_TRANSLATIONS=words, CENTRALAUTH_THEME=looks))
    assert decoded(asked["translations"]) == words
    assert decoded(asked["theme_settings"]) == looks


def test_nothing_is_sent_without_them(make_app: MakeApp) -> None:
    assert {"translations", "theme_settings"}.isdisjoint(sent(make_app()))


def test_one_login_overrides_the_settings(make_app: MakeApp) -> None:
    app = make_app(CENTRALAUTH_TRANSLATIONS={"login": "Come in"}, CENTRALAUTH_THEME={"primaryColor": "#111"})
    add_view(app, translations={"undo": "Back"}, theme={})
    asked = sent(app, "/own-login")
    assert decoded(asked["translations"]) == {"undo": "Back"}
    assert "theme_settings" not in asked
    assert decoded(sent(app)["translations"]) == {"login": "Come in"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"translations": {"logn": "Come in"}}, r"translations .*'logn'; did you mean login\?"),
        ({"theme": {"primaryColour": "red"}}, r"theme .*did you mean primaryColor\?"),
        ({"translations": {"loginPageDisclaimer": "Be good."}}, r"must keep \{terms\} and \{privacy\}"),
        ({"translations": "de"}, "neither a dict"),
    ],
)
def test_mistake_in_a_view_is_named(make_app: MakeApp, options: dict[str, Any], told: str) -> None:
    app = make_app()
    add_view(app, **options)
    with pytest.raises(ValueError, match=told):
        app.test_client().get("/own-login")


def test_language_follows_the_locale_of_the_application(make_app: MakeApp) -> None:
    words = {"de": {"login": "Anmelden"}, "nl": {"login": "Inloggen"}}

    app = make_app(CENTRALAUTH_TRANSLATIONS=lambda: words.get(str(get_locale())))
    Babel(app, locale_selector=lambda: request.accept_languages.best_match(["en", *words]))
    headers = {"Accept-Language": "de"}
    assert decoded(sent(app, **headers)["translations"]) == {"login": "Anmelden"}
    assert "translations" not in sent(app, **{"Accept-Language": "en"})


def test_lazy_strings_are_text(make_app: MakeApp) -> None:
    app = make_app(CENTRALAUTH_TRANSLATIONS=lambda: {"login": lazy_gettext("Come in")})
    Babel(app)
    add_view(app, translations={"undo": lazy_gettext("Back")})
    assert decoded(sent(app)["translations"]) == {"login": "Come in"}
    assert decoded(sent(app, "/own-login")["translations"]) == {"undo": "Back"}


def test_wrong_words_of_a_function_do_not_stop_a_login(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    asked = sent(make_app(CENTRALAUTH_TRANSLATIONS=lambda: {"logn": "Come in"}))
    assert "translations" not in asked
    assert "did you mean login?" in caplog.text


def test_words_reach_the_page(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app(CENTRALAUTH_TRANSLATIONS={"login": "Zażółć — 进来"})
    login = app.test_client().get("/api/auth/login").headers["Location"]
    page = emulator.app.test_client().get(login.removeprefix(emulator.url)).text
    assert "Zażółć — 进来" in page


def test_comfort_is_left_out_before_an_address_is_too_long(make_app: MakeApp) -> None:
    app = make_app(CENTRALAUTH_TRANSLATIONS={"loginPageIntro": "x" * 1100})
    assert "email" in sent(app, "/api/auth/login?email=alice@example.com")
    long_address = "a" * 242 + "@example.com"
    assert len(long_address) == 254
    asked = sent(app, f"/api/auth/login?email={long_address}")
    assert "email" not in asked
    assert "translations" in asked


def test_address_that_is_too_long_is_an_error_with_a_hint(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(CENTRALAUTH_TRANSLATIONS={"loginPageIntro": "x" * 1500})
    answer = app.test_client().get("/api/auth/login", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "Set-Cookie" not in answer.headers
    assert "Shorten the texts of CENTRALAUTH_TRANSLATIONS and CENTRALAUTH_THEME" in caplog.text
