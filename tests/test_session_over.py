"""A session that is over, and errors from the application's own views: one way on for each, never a loop."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import request

from flask_centralauth import (
    CentralAuthError,
    ConfigurationError,
    EntityError,
    LoginError,
    PermissionDenied,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
    auth_required,
)
from flask_centralauth.signals import session_ended

from .browser_client import Browser
from .browser_page import Page
from .conftest import MakeApp
from .error_site import MakeSite, Site, assert_is_json_error, assert_is_our_page

pytest_plugins = ("tests.error_fixtures",)

EXPIRED = "Your session has expired. Please sign in again."
NOTHING_SAVED = "You were not signed in any more, so what you sent was not saved. Please send it again."


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


def end_session(site: Site, code: str = "sessionExpired") -> None:
    site.emulator.fail("userinfo", error_code=code)


# A page visit


def test_person_is_told_signs_in_and_is_back(site: Site) -> None:
    site.log_in()
    end_session(site)
    page = site.get("/private?a=1&b=%C3%A9")

    assert page.url.startswith(f"{site.emulator.url}/login?")
    assert EXPIRED in page.text
    assert site.flashes() == [["error", EXPIRED]]
    assert not site.signed_in()
    form = next(form for form in page.forms if "email" in form.fields)
    back = site.browser.submit(form, {"email": "alice@example.com"})
    assert (back.path, back.text) == ("/private?a=1&b=%C3%A9", "alice@example.com")
    assert site.flashes() == []


def test_old_session_is_worth_nothing_afterwards(site: Site) -> None:
    site.log_in()
    before = site.browser.cookies.get("session")
    assert before is not None
    end_session(site)
    site.get("/private")

    after = site.browser.cookies.get("session")
    assert after is not None
    assert after.value != before.value
    thief = Browser()
    thief.cookies.store(site.url, f"session={before.value}; Path=/")
    assert thief.fetch(f"{site.url}/peek").json() == {"flashes": [], "keys": []}


def test_own_sign_in_page_is_where_it_is_told(make_site: MakeSite) -> None:
    site = make_site(CENTRALAUTH_LOGIN_VIEW="public_page")
    site.log_in("/api/auth/login?return_to=/private")
    end_session(site)
    page = site.get("/private")

    assert page.path == "/public?return_to=/private"
    assert f"<li>{EXPIRED}</li>" in page.text
    assert site.visits == 0


@pytest.mark.parametrize("path", ["/private", "/guarded-raise"])
def test_login_that_is_over_as_soon_as_it_began_is_a_page(make_site: MakeSite, path: str) -> None:
    """CentralAuth signs the person in again at once, and again ends it: that would go on for ever."""
    site = make_site(patient=False)
    site.app.extensions["errors to raise"] += [SessionError("sessionInvalid") for _ in range(9)]
    site.browser.user = "alice@example.com"
    if path == "/private":
        # The login's own check goes well, the page's does not.
        site.emulator.fail("userinfo", error_code="sessionInvalid", after=1, times=None)
    page = site.get(path)

    assert_is_our_page(page, site)
    assert page.status == 401
    assert "Your connection or browser has changed." in page.text
    assert site.visits == 1
    assert not site.signed_in()
    # The way on leads back here, and the cookie that is gone is not taken for a lost one.
    assert f'href="/api/auth/login?return_to={path}"' in page.text
    site.browser.user = None
    assert site.browser.click(f"/api/auth/login?return_to={path}").url.startswith(site.emulator.url)


def test_blocked_meanwhile_is_a_page_with_another_account(site: Site) -> None:
    site.log_in()
    site.emulator.add_user(email="alice@example.com", blocked=True)
    page = site.get("/private")

    assert_is_our_page(page, site)
    assert page.status == 403
    assert 'href="/api/auth/login?return_to=/private"' in page.text
    site.browser.user = "bob@example.com"
    assert site.browser.click("/api/auth/login?return_to=/private").text == "bob@example.com"


# A form


def open_form(site: Site) -> None:
    site.log_in("/edit")


@pytest.mark.parametrize("guest", [False, True], ids=["session over", "guest"])
def test_form_is_not_sent_again_and_says_so_on_its_page(site: Site, guest: bool) -> None:
    open_form(site)
    form = site.browser._current().forms[0]
    if guest:
        site.browser.cookies = type(site.browser.cookies)()
    else:
        end_session(site)
    site.browser.user = "alice@example.com"
    page = site.browser.submit(form, {"text": "an hour of work"})

    assert [hop.method for hop in page.hops].count("POST") == 1
    assert page.hops[0].status == 303
    assert (page.status, page.path) == (200, "/edit")
    assert "saves" not in site.app.extensions
    assert site.banners() == [None if guest else EXPIRED]
    # The note outlives the login: it is still true.
    assert site.flashes() == [["error", NOTHING_SAVED]]
    assert site.get("/public").text.count("was not saved") == 1


def test_two_refused_forms_are_one_note(site: Site) -> None:
    open_form(site)
    form = site.browser._current().forms[0]
    end_session(site)
    for _ in range(2):
        site.browser.submit(form, follow=False)
        site.browser.get(f"{site.url}/edit", follow=False)

    assert site.flashes() == [["error", EXPIRED], ["error", NOTHING_SAVED]]


@pytest.mark.parametrize(
    "referer",
    [
        "",
        "https://evil.example/",
        "https://evil.example/edit",
        "//evil.example/edit",
        "javascript:alert(1)",
        "{url}/api/auth/logout",
        "{url}@evil.example/",
        "{url}/\t/evil.example",
    ],
)
def test_page_of_the_form_is_ours_or_none(site: Site, referer: str) -> None:
    site.browser.get(f"{site.url}/peek")
    sent = {"Referer": referer.format(url=site.url).replace("\t", "%09")}
    page = site.browser.submit("/save", headers=sent, follow=False)

    assert (page.status, page.headers["Location"]) == (303, "/api/auth/login")


def test_page_of_the_form_is_never_on_another_host(make_site: MakeSite) -> None:
    """Not even where `return_to` may lead: nobody asked to go there."""
    site = make_site(CENTRALAUTH_RETURN_HOSTS=("other.example",))
    site.browser.get(f"{site.url}/peek")
    page = site.browser.submit("/save", headers={"Referer": "https://other.example/edit"}, follow=False)

    assert page.headers["Location"] == "/api/auth/login"


def test_outage_while_sending_a_form_leads_back_to_the_form(site: Site) -> None:
    open_form(site)
    site.emulator.fail("userinfo", status=503)
    page = site.browser.submit(site.browser._current().forms[0])

    assert (page.status, page.path) == (503, "/save")
    assert 'href="/edit"' in page.text
    assert "saves" not in site.app.extensions


# A program


PROGRAMS: dict[str, dict[str, str]] = {
    "fetch": {},
    "XMLHttpRequest": {"Sec-Fetch-Mode": "", "X-Requested-With": "XMLHttpRequest", "Accept": "text/html"},
    "image": {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "frame elsewhere": {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "iframe",
        "Accept": "text/html",
    },
    "script without metadata": {"Sec-Fetch-Mode": "", "Accept": "*/*"},
}


@pytest.mark.parametrize("headers", PROGRAMS.values(), ids=PROGRAMS)
def test_program_finds_its_session_over(site: Site, headers: dict[str, str]) -> None:
    site.log_in()
    end_session(site)
    found = site.browser.fetch(f"{site.url}/private", headers=headers)
    answer = assert_is_json_error(found, "sessionExpired", 401)

    assert answer["message"] == EXPIRED
    assert answer["loginUrl"] == "/api/auth/login"
    assert "WWW-Authenticate" not in found.headers
    # Nothing is left of the session, although its cookie was not touched.
    assert site.browser.cookies.get("session") is not None
    assert site.peek() == {"flashes": [], "keys": []}
    assert site.visits == 0


def test_answer_to_a_program_does_not_undo_a_login_of_meanwhile(site: Site) -> None:
    """The fetch finds the session over while another tab has signed in again."""
    site.log_in()
    fault = site.emulator.fail("userinfo", error_code="sessionExpired", hang=True)
    tab = site.browser.tab()
    late: list[Page] = []
    fetching = threading.Thread(target=lambda: late.append(tab.fetch(f"{site.url}/api/data")))
    fetching.start()
    fault.wait()
    site.browser.user = "alice@example.com"
    site.get("/api/auth/login?return_to=/public")
    fault.release()
    fetching.join()

    assert late[0].status == 401
    assert site.get("/private").text == "alice@example.com"
    assert site.visits == 1


def test_htmx_is_led_to_login_and_back_to_its_page(site: Site) -> None:
    site.log_in()
    end_session(site)
    headers = {"HX-Request": "true", "HX-Current-URL": f"{site.url}/edit?id=7"}
    found = site.browser.fetch(f"{site.url}/api/data", headers=headers)

    assert_is_json_error(found, "sessionExpired", 401)
    assert found.headers["HX-Redirect"] == "/api/auth/login?return_to=%2Fedit%3Fid%3D7"


@pytest.mark.parametrize("current", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_htmx_is_led_to_no_other_site(site: Site, current: str) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": current, "HX-Boosted": "true"}
    found = site.browser.fetch(f"{site.url}/api/data", headers=headers)

    assert found.status == 401
    assert found.headers["HX-Redirect"] == "/api/auth/login"


@pytest.mark.parametrize("token", ["Bearer nonsense", "Bearer a.b.c.d.e", "bearer x y", "Bearer"])
def test_bearer_client_is_never_redirected(site: Site, token: str) -> None:
    site.log_in()
    found = site.get("/private", headers={"Authorization": token}, follow=False)

    assert found.status == 401
    assert found.headers["WWW-Authenticate"].startswith("Bearer")
    answer = found.json()
    assert answer["errorCode"].startswith("token")
    assert "loginUrl" not in answer
    for header in ("Location", "Set-Cookie"):
        assert header not in found.headers
    assert site.signed_in(), "the cookie's own login is none of its business"


# Errors of the application's own views


def raising(site: Site, *errors: CentralAuthError) -> None:
    site.app.extensions["errors to raise"] += errors


@pytest.mark.parametrize("signed_in", [False, True], ids=["guest", "signed in"])
@pytest.mark.parametrize("error_class", [SessionError, LoginError])
def test_view_that_always_fails_ends_on_a_page(
    make_site: MakeSite, error_class: type[CentralAuthError], signed_in: bool
) -> None:
    site = make_site(patient=False)
    if signed_in:
        site.log_in()
    raising(site, *(error_class() for _ in range(9)))
    site.browser.user = "alice@example.com"
    page = site.get("/raise")

    assert_is_our_page(page, site)
    assert page.status == error_class.code
    assert site.visits <= 2


def test_login_error_of_a_view_goes_back_to_login_once(site: Site) -> None:
    raising(site, LoginError("captchaInvalid"), LoginError("captchaInvalid"))
    first = site.get("/raise?a=1")

    assert first.url.startswith(site.emulator.url)
    assert site.banners() == ["The captcha was not solved. Please try again."]
    assert first.hops[0].headers["Location"] == "/api/auth/login?return_to=/raise?a%3D1"
    second = site.get("/raise?a=1")
    assert_is_our_page(second, site)


def test_session_error_of_a_view_signs_out_and_tells_the_listeners(site: Site) -> None:
    site.log_in()
    error = SessionError("sessionInactive")
    raising(site, error)
    heard: list[dict[str, Any]] = []

    def listen(_sender: object, **news: Any) -> None:
        heard.append(news)

    with session_ended.connected_to(listen, sender=site.app):
        site.get("/guarded-raise")

    assert not site.signed_in()
    (news,) = heard
    assert news["error"] is error
    assert news["user"].email == "alice@example.com"
    assert news["login_id"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PermissionDenied(), 403),
        (PermissionDenied("roleMissing", "needs the role editor"), 403),
        (ConfigurationError(), 500),
        (RateLimitError(retry_after=7), 429),
        (ServiceUnavailable(retry_after=7), 503),
        (EntityError("entityMissing", "Invoice 7"), 404),
        (EntityError("entityInvalid"), 400),
        (CentralAuthError("somethingElse"), 400),
    ],
    ids=repr,
)
def test_other_errors_of_a_view_are_a_page_and_nobody_is_signed_out(
    site: Site, error: CentralAuthError, status: int
) -> None:
    site.log_in()
    raising(site, error, error)
    page = site.get("/guarded-raise")

    assert_is_our_page(page, site)
    assert page.status == status
    assert error.public_message in page.text
    assert page.headers.get("Retry-After") == ("7" if status in (429, 503) else None)
    assert "editor" not in page.text
    assert ("Use another account" in page.text) == (status == 403)
    assert ("Try again" in page.text) == (status not in (403, 500))
    assert site.signed_in()
    answer = assert_is_json_error(
        site.browser.fetch(f"{site.url}/guarded-raise"), str(error.error_code), status
    )
    assert answer["message"] == error.public_message
    assert site.signed_in()


def test_another_account_signs_out_and_asks(site: Site) -> None:
    site.log_in()
    raising(site, PermissionDenied())
    page = site.get("/guarded-raise")
    (form,) = page.forms
    assert (form.method, form.fields["return_to"]) == ("POST", "/guarded-raise")
    after = site.browser.submit(form)

    assert after.url.startswith(f"{site.emulator.url}/login?")
    assert not site.signed_in()
    site.browser.user = "bob@example.com"
    site.browser.get(after.url)
    assert site.get("/private").text == "bob@example.com"


# Affirmation


@pytest.fixture
def careful(make_site: MakeSite) -> Site:
    site = make_site()

    @site.app.get("/vault")
    @auth_required(affirmed_within=300)
    def vault() -> str:
        return request.path

    return site


def test_affirmation_that_fails_is_asked_once_more_and_signs_nobody_out(careful: Site) -> None:
    careful.log_in()
    careful.emulator.next_login(error="access_denied")
    first = careful.get("/api/auth/affirm?return_to=/vault")

    assert first.url.startswith(careful.emulator.url)
    assert [hop.url for hop in first.hops].count(f"{careful.url}/api/auth/affirm?return_to=/vault") == 2
    assert careful.banners() == [None, "Signing in was cancelled."]
    careful.emulator.next_login(error="access_denied")
    second = careful.get("/api/auth/affirm?return_to=/vault")
    assert_is_our_page(second, careful)
    assert 'href="/api/auth/affirm?return_to=/vault"' in second.text
    assert careful.signed_in()


def test_guest_who_should_confirm_signs_in_first_and_keeps_the_way(careful: Site) -> None:
    page = careful.get("/api/auth/affirm?return_to=/vault", follow=False)

    assert (page.status, page.headers["Location"]) == (302, "/api/auth/login?return_to=/vault")


# A login page of ours that fails keeps the way, too


def test_error_page_at_login_keeps_the_return_path(make_app: MakeApp) -> None:
    """A browser that has just signed in and brings no session."""
    app = make_app()
    client = app.test_client()
    state = app.extensions["centralauth"]

    with app.test_request_context():
        response = app.response_class()
        state.attempts.save_outcome(response, 0, secure=False)
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    name, _, value = cookie.partition("=")
    client.set_cookie(name, value)
    page = client.get("/api/auth/login?return_to=/edit", headers={"Accept": "text/html"})

    assert page.status_code == 400
    assert 'href="/api/auth/login?return_to=/edit"' in page.text
