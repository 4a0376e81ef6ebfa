"""A login that fails: told at CentralAuth, tried once more, then a page. Never a loop."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cachelib import FileSystemCache
from flask import flash, get_flashed_messages, request, session, url_for

from flask_centralauth import LoginError, SessionError, auth_required
from flask_centralauth.emulator import Emulator
from flask_centralauth.guards import protect

from .browser_client import Browser
from .conftest import MakeApp
from .cookie_jar import CookieJar
from .error_site import SAID, MakeSite, Site, assert_is_json_error, assert_is_our_page

pytest_plugins = ("tests.error_fixtures",)

CAPTCHA = "The captcha was not solved. Please try again."
NOT_HERE = "This sign-in cannot be finished here."
COOKIE_LOST = "Your browser did not keep our cookie"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


# The first failure, the second, and the one that works


def test_first_failure_is_told_at_centralauth_and_kept_as_a_flash(site: Site) -> None:
    site.emulator.next_login(error="captchaInvalid", message=SAID)
    page = site.get("/private")

    # The person is at CentralAuth's login page and reads why.
    assert page.url.startswith(f"{site.emulator.url}/login?")
    assert CAPTCHA in page.text
    assert site.banners() == [None, CAPTCHA]
    assert site.flashes() == [["error", CAPTCHA]]
    # Whoever looks at a page of the application instead reads it there, once.
    assert site.get("/public").text.count(CAPTCHA) == 1
    assert CAPTCHA not in site.get("/public").text


def test_message_is_in_no_address_of_ours(site: Site) -> None:
    site.emulator.next_login(error="somethingNobodyKnows", message="Secret words")
    page = site.get("/private")

    after_the_callback = [hop.url for hop in page.hops if "state=" not in hop.url]
    assert set(after_the_callback) == {f"{site.url}/private", f"{site.url}/api/auth/login?return_to=/private"}
    assert "Secret words" in page.text


def test_login_that_works_removes_what_nobody_has_seen(site: Site) -> None:
    site.emulator.next_login(error="captchaInvalid")
    site.emulator.next_login(user="alice@example.com")
    page = site.get("/private?a=1&b=%C3%A9")

    assert (page.status, page.path) == (200, "/private?a=1&b=%C3%A9")
    assert site.flashes() == []
    assert "_centralauth_notices" not in site.peek()["keys"]


def test_login_that_works_keeps_what_the_application_flashed(site: Site) -> None:
    @site.app.get("/flash")
    def own() -> str:
        flash("Ours to tell", "info")
        return ""

    site.get("/flash")
    site.emulator.next_login(error="captchaInvalid")
    site.emulator.next_login(user="alice@example.com")
    site.get("/private")

    assert site.flashes() == [["info", "Ours to tell"]]


def test_second_failure_in_a_row_is_a_page_from_which_one_can_try_again(site: Site) -> None:
    site.emulator.next_login(error="captchaInvalid")
    site.emulator.next_login(error="access_denied")
    page = site.get("/private")

    assert_is_our_page(page, site)
    assert page.status == 400
    assert "Signing in was cancelled." in page.text
    assert site.visits == 2
    # Old news is told neither at CentralAuth nor afterwards.
    site.emulator.requests.clear()
    site.emulator.next_login(user="alice@example.com")
    again = site.browser.click("/api/auth/login?return_to=/private")
    assert 'href="/api/auth/login?return_to=/private"' in page.text
    assert (again.path, again.text) == ("/private", "alice@example.com")
    assert site.banners() == [None]
    assert site.flashes() == []


def test_failures_are_counted_in_a_row(site: Site) -> None:
    def fail() -> bool:
        """Fail once and say whether that was a page."""
        site.emulator.next_login(error="captchaInvalid")
        return site.get("/api/auth/login").url.startswith(site.url)

    assert [fail(), fail(), fail()] == [False, True, True]
    site.log_in()
    assert [fail(), fail()] == [False, True]


@pytest.mark.parametrize("category", ["danger", "Fehler"])
def test_category_of_the_flash_is_a_setting(make_site: MakeSite, category: str) -> None:
    site = make_site(CENTRALAUTH_FLASH_CATEGORY=category)
    site.emulator.next_login(error="captchaInvalid")
    site.get("/private")

    assert site.flashes() == [[category, CAPTCHA]]


@pytest.mark.parametrize("code", ["captchaInvalid", "sessionInvalid", "noPermission", "callbackUrlInvalid"])
def test_service_that_always_fails_is_visited_twice_at_most(make_site: MakeSite, code: str) -> None:
    """Everything needs a login, the home page too, and CentralAuth answers at once."""
    site = make_site(patient=False)
    protect(site.app)
    site.browser.user = f"error+{code}@emulator.test"
    page = site.get("/")

    assert_is_our_page(page, site)
    assert 400 <= page.status <= 500
    assert site.visits <= 2


# What the error page leads to


def test_blocked_person_can_use_another_account(site: Site) -> None:
    site.emulator.add_user(email="mallory@example.com", blocked=True)
    site.browser.user = "mallory@example.com"
    page = site.get("/private")

    assert (page.status, page.last.location) == (403, None)
    assert "This account is blocked here." in page.text
    assert "Use another account" in page.text
    assert not site.signed_in()
    site.browser.user = "bob@example.com"
    assert site.browser.click("/api/auth/login?return_to=/private").text == "bob@example.com"


@pytest.mark.parametrize("failure", [{"status": 503}, {"error_code": "tooManyRequests"}, {"action": "reset"}])
def test_trouble_during_the_exchange_offers_a_new_login(site: Site, failure: dict[str, Any]) -> None:
    callback = site.callback()
    site.emulator.fail("verify", **failure)
    page = site.browser.get(callback)

    assert_is_our_page(page, site)
    assert page.status in (429, 503)
    assert int(page.headers["Retry-After"]) > 0
    assert 'href="/api/auth/login?return_to=/private"' in page.text
    # Loading the address again neither logs in nor blames the person.
    reloaded = site.browser.get(callback)
    assert reloaded.status == 400
    assert NOT_HERE in reloaded.text
    assert "CSRF" not in reloaded.text
    assert site.emulator.requests.count("verify") == 1


# Browsers that keep no cookies


class ForgetfulJar(CookieJar):
    """Keeps every cookie but those whose name contains a word."""

    def __init__(self, forgotten: str) -> None:
        super().__init__()
        self._forgotten = forgotten

    def store(self, url: str, header: str) -> None:
        if self._forgotten not in header.partition("=")[0]:
            super().store(url, header)


@pytest.mark.parametrize(
    ("forgotten", "user", "setting"),
    [
        ("", "alice@example.com", "Secure"),
        ("", "error+captchaInvalid@emulator.test", "Secure"),
        ("session", "alice@example.com", "SESSION_COOKIE_SECURE"),
    ],
)
def test_browser_that_drops_cookies_gets_a_page_that_says_so(
    site: Site, forgotten: str, user: str, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(site.emulator, user=user, cookies=ForgetfulJar(forgotten))
    page = browser.get(f"{site.url}/private")

    assert_is_our_page(page, site)
    assert page.status == 400
    assert COOKIE_LOST in page.text
    assert site.visits <= 2
    (record,) = [record for record in caplog.records if record.name == "flask_centralauth"]
    assert setting in record.getMessage()


def test_failures_are_counted_without_a_session(site: Site) -> None:
    browser = Browser(
        site.emulator, user="error+captchaInvalid@emulator.test", cookies=ForgetfulJar("session")
    )
    page = browser.get(f"{site.url}/private")

    assert_is_our_page(page, site)
    assert CAPTCHA in page.text
    assert site.visits == 2


def test_secure_cookie_on_http_gets_the_same_page(make_site: MakeSite) -> None:
    site = make_site(SESSION_COOKIE_SECURE=True)
    site.browser.user = "alice@example.com"
    page = site.get("/private")

    assert COOKIE_LOST in page.text
    assert site.visits <= 2


# The application's own sign-in page


@pytest.fixture
def own_page(make_site: MakeSite) -> Site:
    site = make_site(CENTRALAUTH_LOGIN_VIEW="sign_in")

    @site.app.get("/sign-in")
    def sign_in() -> Any:
        if site.app.extensions["errors to raise"]:
            raise site.app.extensions["errors to raise"][0]
        target = url_for("centralauth.login", return_to=request.args.get("return_to"))
        messages = "".join(f"<li>{message}</li>" for message in get_flashed_messages())
        return f'{messages}<a href="{html.escape(target)}">Sign in</a>'

    return site


def test_own_sign_in_page_shows_the_message_and_comes_back(own_page: Site) -> None:
    site = own_page
    guest = site.get("/private?a=1")
    assert guest.path == "/sign-in?return_to=/private?a%3D1"
    site.emulator.next_login(error="captchaInvalid")
    failed = site.browser.click("/api/auth/login?return_to=/private%3Fa%3D1")

    assert failed.path == "/sign-in?return_to=/private?a%3D1"
    assert f"<li>{CAPTCHA}</li>" in failed.text
    # It has been seen: CentralAuth does not say it again.
    site.emulator.next_login(user="alice@example.com")
    page = site.browser.click("/api/auth/login?return_to=/private%3Fa%3D1")
    assert page.path == "/private?a=1"
    assert site.banners() == [None, None]
    assert site.flashes() == []


def test_second_failure_is_a_page_there_too(own_page: Site) -> None:
    for _ in range(2):
        own_page.emulator.next_login(error="captchaInvalid")
        page = own_page.get("/api/auth/login?return_to=/private")

    assert_is_our_page(page, own_page)
    assert 'href="/sign-in?return_to=/private"' in page.text


@pytest.mark.parametrize("cookies", [CookieJar(), ForgetfulJar("")], ids=["cookies", "no cookies"])
def test_sign_in_page_that_fails_is_not_sent_to_itself(own_page: Site, cookies: CookieJar) -> None:
    own_page.app.extensions["errors to raise"].append(LoginError("captchaInvalid"))
    page = Browser(own_page.emulator, cookies=cookies).get(f"{own_page.url}/private")

    assert_is_our_page(page, own_page)
    assert CAPTCHA in page.text
    assert own_page.visits == 0


# The session store goes away


class FlakyStore(FileSystemCache):
    """A store that can be down."""

    down = False

    def __getattribute__(self, name: str) -> Any:
        operations = {"get", "get_many", "get_dict", "set", "set_many", "add", "delete", "delete_many", "has"}
        if name in operations and FlakyStore.down:
            raise ConnectionError("the store is down")
        return super().__getattribute__(name)


@pytest.fixture
def shaky(make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(FlakyStore, "down", False)
    return make_site(SESSION_TYPE="cachelib", SESSION_CACHELIB=FlakyStore(str(tmp_path / "sessions")))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ({"user": "alice@example.com"}, 503),
        ({"error": "captchaInvalid"}, 400),
        ({"error": "sessionInvalid"}, 401),
    ],
)
def test_login_without_a_store_ends_on_a_page(
    shaky: Site, monkeypatch: pytest.MonkeyPatch, outcome: dict[str, Any], status: int
) -> None:
    """Neither the message nor the failures can be kept, so the person is not sent on."""
    shaky.emulator.next_login(**outcome)
    callback = shaky.callback()
    shaky.browser.cookies.store(shaky.url, "session=abcdefghijklmnopqrstuvwxyz0123456789")
    monkeypatch.setattr(FlakyStore, "down", True)
    page = shaky.browser.get(callback)

    assert_is_our_page(page, shaky)
    assert page.status == status
    assert shaky.visits == 1
    assert 'href="/api/auth/login?return_to=/private"' in page.text
    monkeypatch.setattr(FlakyStore, "down", False)
    shaky.log_in()


def test_store_that_goes_away_while_we_answer_is_a_page(
    shaky: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @shaky.app.get("/break")
    @auth_required
    def break_it() -> str:
        FlakyStore.down = True
        raise SessionError("sessionExpired")

    shaky.log_in()
    page = shaky.get("/break")

    assert_is_our_page(page, shaky)
    assert (page.status, page.headers["Retry-After"]) == (503, "5")
    assert shaky.visits == 0
    (record,) = [record for record in caplog.records if hasattr(record, "centralauth")]
    assert "sessionExpired" in str(record.__dict__["centralauth"]["while_answering"])
    assert record.__dict__["centralauth"]["incident_id"] in page.text


def test_program_without_a_store_gets_json(shaky: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shaky.log_in()
    monkeypatch.setattr(FlakyStore, "down", True)
    answer = assert_is_json_error(shaky.browser.fetch(f"{shaky.url}/api/data"), "storeUnavailable", 503)

    assert "loginUrl" not in answer
    monkeypatch.setattr(FlakyStore, "down", False)
    assert shaky.signed_in()


def test_session_holds_plain_text(make_app: MakeApp, emulator: Emulator) -> None:
    """What the session holds comes back as it was from any serializer."""
    client = make_app().test_client()

    def navigate(path: str) -> Any:
        return client.get(path, headers={"Accept": "text/html"})

    emulator.next_login(error="captchaInvalid")
    callback = urlsplit(emulator.authorize(navigate("/api/auth/login").headers["Location"]))
    navigate(f"{callback.path}?{callback.query}")

    with client.session_transaction() as session:
        assert dict(session) == {
            "_permanent": True,
            "_flashes": [["error", CAPTCHA]],
            "_centralauth_notices": [["error", CAPTCHA]],
        }
        for kind in map(type, session["_flashes"][0]):
            assert kind is str


@pytest.mark.parametrize("damaged", [5, "x", {}, [5], [["error"]], [["a", "b", "c"]], [[1, 2]], None])
def test_damaged_notes_in_a_session_do_no_harm(make_site: MakeSite, damaged: object) -> None:
    site = make_site()

    @site.app.get("/damage")
    def damage() -> str:
        session["_centralauth_notices"] = damaged
        # Of what is not even a list, Flask's own flash() fails.
        session["_flashes"] = damaged if isinstance(damaged, list) else [["error", "x"]]
        return ""

    site.get("/damage")
    site.emulator.next_login(error="captchaInvalid")
    assert CAPTCHA in site.get("/private").text
    site.browser.user = "alice@example.com"
    assert site.get("/private").text == "alice@example.com"
