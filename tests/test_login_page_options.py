"""Texts and looks of CentralAuth's login page: from the settings, or for one login."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_babel import Babel, get_locale, lazy_gettext

from flask_centralauth import CentralAuth, ConfigurationError
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import MakeApp, RunServer


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


#: As the service lists them; the package has them once more, to check settings by.
TRANSLATIONS: Final = """
emailAddress, loginPageIntro, loginPageAffirmIntro, loginPagePasskeyAuthentication,
loginPagePasskeyRegistration, loginPagePasskeyIntro, loginPagePasskeyOrganizationWarning,
loginPagePasskeyError, loginPageEmailIntro, loginPageEmailError, loginPageAppIntro, loginPageAppQRlabel,
loginPageAppThisDeviceText, loginPageAppOtherDeviceText, loginPageCaptcha, loginPageCaptchaChallengeText,
loginPageCaptchaPuzzleText, loginPageCaptchaLockText, loginPageCaptchaCodeText, loginPageCaptchaError,
loginPageAnotherWay, loginPageOrWith, loginPageDisclaimer, suspiciousActivityDetected, emailLinkSubject,
emailCodeSubject, emailLinkBody, emailCodeBody, emailWaitUntil, emailBodyWarning, emailBodyUndoText,
emailBodyUndoLink, emailChallengeText, login, loginWithPasskey, loginLocal, loginRemote, loginAttemptBody,
loginAttemptCodeBody, loginAttemptSuccess, loginAttemptError, loginAttemptInteractMessage,
loginAttemptUndoSuccess, loginAttemptUndoError, undo
"""
THEME: Final = """
loginBlockLayout, loginPageLayout, imageUrl, customFont, primaryColor, backgroundColor, contentColor,
neutralColor
"""


@pytest.mark.parametrize("key", TRANSLATIONS.replace(",", " ").split())
def test_every_text_can_be_ones_own(make_app: MakeApp, key: str) -> None:
    text = "{terms} and {privacy}"
    assert decoded(sent(make_app(CENTRALAUTH_TRANSLATIONS={key: text}))["translations"]) == {key: text}


@pytest.mark.parametrize("key", THEME.replace(",", " ").split())
def test_every_look_can_be_ones_own(make_app: MakeApp, key: str) -> None:
    assert decoded(sent(make_app(CENTRALAUTH_THEME={key: "compact"}))["theme_settings"]) == {key: "compact"}


@pytest.mark.parametrize(
    ("setting", "words", "meant"),
    [
        ("TRANSLATIONS", {"loginPageintro": "Hello"}, "loginPageIntro"),
        ("TRANSLATIONS", {"primaryColor": "#111"}, None),
        ("THEME", {"backgroundcolor": "#111"}, "backgroundColor"),
        ("THEME", {"loginLayout": "compact"}, "loginPageLayout"),
    ],
)
def test_unknown_key_stops_the_application_with_the_one_that_was_meant(
    make_app: MakeApp, setting: str, words: dict[str, str], meant: str | None
) -> None:
    config: dict[str, Any] = {f"CENTRALAUTH_{setting}": words}
    with pytest.raises(ConfigurationError) as refused:
        make_app(**config)
    told = str(refused.value)
    assert f"CENTRALAUTH_{setting}: has the unknown key '{next(iter(words))}'" in told
    assert told.endswith(f"; did you mean {meant}?" if meant else "'.")


LAYOUTS: Final = {
    "loginBlockLayout": "default, compact",
    "loginPageLayout": "default, compact, alignLeft, alignRight, fullLeft, fullRight",
}


@pytest.mark.parametrize(
    ("key", "layout"), [(key, layout) for key in LAYOUTS for layout in LAYOUTS[key].split(", ")]
)
def test_every_layout_can_be_had(make_app: MakeApp, key: str, layout: str) -> None:
    assert decoded(sent(make_app(CENTRALAUTH_THEME={key: layout}))["theme_settings"]) == {key: layout}


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ({"loginPageLayout": "alignleft"}, "'loginPageLayout'; did you mean alignLeft?"),
        ({"loginBlockLayout": "compakt"}, "'loginBlockLayout'; did you mean compact?"),
        ({"loginBlockLayout": "fullLeft"}, "'loginBlockLayout'. Known are: compact, default."),
        ({"loginPageLayout": ""}, "Known are: alignLeft, alignRight, compact, default, fullLeft, fullRight."),
    ],
)
def test_unknown_layout_is_named_like_an_unknown_key(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, looks: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make_app(CENTRALAUTH_THEME=looks)
    assert str(refused.value).endswith(told)

    app = make_app(CENTRALAUTH_THEME=lambda: looks)
    add_view(app, theme=looks)
    assert "theme_settings" not in sent(app), "a function's mistake does not stop a login"
    assert told in caplog.text
    with pytest.raises(ValueError, match=re.escape(told)):
        app.test_client().get("/own-login")


def test_function_is_asked_for_every_login(make_app: MakeApp) -> None:
    app = make_app(
        CENTRALAUTH_THEME=lambda: {"primaryColor": request.args.get("email", "")},
        CENTRALAUTH_TRANSLATIONS=lambda: None,
    )
    for email in ("alice@example.com", "bob@example.com"):
        asked = sent(app, f"/api/auth/login?email={email}")
        assert decoded(asked["theme_settings"]) == {"primaryColor": email}
        assert "translations" not in asked


def test_function_of_one_login(make_app: MakeApp) -> None:
    app = make_app(CENTRALAUTH_THEME={"primaryColor": "#111"})
    add_view(
        app,
        translations=lambda: {"login": lazy_gettext("Come in")},
        theme=lambda: None,
        email="bob@example.com",
    )
    Babel(app)
    asked = sent(app, "/own-login")
    assert decoded(asked["translations"]) == {"login": "Come in"}
    assert decoded(asked["theme_settings"]) == {"primaryColor": "#111"}, "None is the setting"
    assert asked["email"] == "bob@example.com"


def test_query_is_not_asked(make_app: MakeApp) -> None:
    words = base64.b64encode(b'{"login": "Your password, please"}').decode()
    asked = sent(make_app(), f"/api/auth/login?translations={words}&theme_settings={words}&theme={words}")
    assert {"translations", "theme_settings"}.isdisjoint(asked)


def test_affirmation_and_login_in_a_frame_have_them_too(
    make_app: MakeApp, emulator: Emulator, live_server: RunServer, browser: Browser
) -> None:
    words, looks = {"loginPageAffirmIntro": "Still you?"}, {"loginBlockLayout": "compact"}
    server = live_server(make_app(CENTRALAUTH_TRANSLATIONS=words, CENTRALAUTH_THEME=looks))
    browser.get(f"{server.url}/private")
    frame = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-origin"}
    for path, headers in (("affirm", {}), ("login?embed=1", frame)):
        started = browser.get(f"{server.url}/api/auth/{path}", headers=headers, follow=False).last.location
        query = parse_qs(urlsplit(started or "").query)
        assert decoded(query["translations"][0]) == words
        assert decoded(query["theme_settings"][0]) == looks


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
