"""Errors in the reader's language: pages, banners, flashes and JSON; plain text in the session."""

from __future__ import annotations

import gettext
import html
import re
from pathlib import Path
from typing import Any

import pytest
from flask_babel import Babel, lazy_gettext

import flask_centralauth
from flask_centralauth import LoginError, PermissionDenied, SessionError
from flask_centralauth.errors import ERRORS

from .browser_page import Page
from .error_site import MakeSite, Site, assert_is_our_page

pytest_plugins = ("tests.error_fixtures",)

CATALOGUES = Path(flask_centralauth.__file__).parent / "translations"
LOCALES = ["en", "nl", "de", "fr", "es"]


def translated(sentence: str, locale: str) -> str:
    words = gettext.translation("flask_centralauth", CATALOGUES, [locale]).gettext(sentence)
    assert (words == sentence) == (locale == "en")
    return words


class Reader:
    """Somebody who reads one language."""

    locale = "en"


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def site(make_site: MakeSite, reader: Reader) -> Site:
    site = make_site()
    Babel(site.app, locale_selector=lambda: reader.locale)
    return site


def language_of(page: Page) -> str:
    (language,) = re.findall('<html lang="([^"]*)">', page.text)
    return str(language)


@pytest.mark.parametrize("locale", LOCALES)
def test_failed_login_speaks_the_readers_language(site: Site, reader: Reader, locale: str) -> None:
    reader.locale = locale
    words = translated("The captcha was not solved. Please try again.", locale)
    site.emulator.next_login(error="captchaInvalid")
    site.get("/private")
    assert site.banners()[-1] == words
    assert site.flashes() == [["error", words]]

    site.emulator.next_login(error="captchaInvalid")
    page = site.get("/private")
    assert_is_our_page(page, site)
    assert language_of(page) == locale
    assert words in html.unescape(page.text)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(
    "code", ["noPermission", "networkError", "tooManyRequests", "domainInvalid", "entityMissing"]
)
def test_page_and_json_leave_no_english(site: Site, reader: Reader, locale: str, code: str) -> None:
    reader.locale = locale
    error = ERRORS[code].family
    site.app.extensions["errors to raise"] += [error(code), error(code)]
    page = site.get("/raise")
    message = site.browser.fetch(f"{site.url}/raise").json()["message"]

    assert language_of(page) == locale
    assert message in html.unescape(page.text)
    if locale != "en":
        for english in (ERRORS[code].sentence, "Try again", "Go to the home page", "If you ask for help"):
            assert english not in html.unescape(page.text)


@pytest.mark.parametrize(
    ("locale", "tag", "spoken"),
    [
        ("nl_BE", "nl-BE", "nl"),
        ("de_AT", "de-AT", "de"),
        ("it", "en", "en"),
        ("zh_Hans_CN", "en", "en"),
    ],
)
def test_language_named_is_that_of_the_words(
    site: Site, reader: Reader, locale: str, tag: str, spoken: str
) -> None:
    """A screen reader pronounces what is there, not what was asked for."""
    reader.locale = locale
    site.app.extensions["errors to raise"].append(PermissionDenied())
    page = site.get("/raise")

    assert language_of(page) == tag
    assert translated(ERRORS["noPermission"].sentence, spoken) in html.unescape(page.text)


@pytest.mark.parametrize("error_class", [LoginError, SessionError])
def test_lazy_words_of_the_application_are_plain_in_the_session(
    site: Site, error_class: type[LoginError]
) -> None:
    lazy: Any = lazy_gettext("Words <i>of the shop</i>")
    site.log_in()
    site.app.extensions["errors to raise"] += [error_class(public_message=lazy) for _ in range(2)]
    site.get("/guarded-raise")

    assert site.banners() == ["Words <i>of the shop</i>"]
    assert site.flashes() == [["error", "Words <i>of the shop</i>"]]
    answer = site.browser.fetch(f"{site.url}/raise").json()
    assert answer["message"] == "Words <i>of the shop</i>"


def test_lazy_words_on_a_page_are_escaped(site: Site) -> None:
    lazy: Any = lazy_gettext("Words <i>of the shop</i>")
    site.app.extensions["errors to raise"].append(PermissionDenied(public_message=lazy))
    page = site.get("/raise")

    assert "Words &lt;i&gt;of the shop&lt;/i&gt;" in page.text


def test_without_flask_babel_it_is_the_english_of_the_code(make_site: MakeSite) -> None:
    site = make_site()
    site.app.extensions["errors to raise"].append(PermissionDenied())
    page = site.get("/raise", headers={"Accept-Language": "nl"})

    assert language_of(page) == "en"
    assert ERRORS["noPermission"].sentence in page.text
