"""The words of a callback: both spellings, hostile ones, and those no login of this browser vouches for."""

from __future__ import annotations

import html
import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from .browser_client import Browser
from .conftest import MakeApp
from .error_site import SAID, MakeSite, Site, assert_is_our_page

pytest_plugins = ("tests.error_fixtures",)

TRY_AGAIN = "Signing in did not work. Please try again."
NOT_HERE = "This sign-in cannot be finished here."


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


# Both spellings of a failure, and what they may carry


def failing_callback(site: Site, **parameters: str) -> str:
    """The callback of a started login, with other parameters beside the state."""
    address, _, query = site.callback().partition("?")
    state = parse_qs(query)["state"][0]
    return f"{address}?{urlencode({'state': state, **parameters})}"


@pytest.mark.parametrize(
    "parameters",
    [
        {"error": "loginAttemptExpired", "error_description": SAID},
        {"error_code": "loginAttemptExpired", "error_message": SAID},
        {"error": "loginAttemptExpired"},
        {"error_code": "loginAttemptExpired"},
        {"error": "loginAttemptExpired", "error_code": "captchaInvalid", "error_message": "old"},
    ],
)
def test_both_spellings_of_a_failure(site: Site, parameters: dict[str, str]) -> None:
    page = site.browser.get(failing_callback(site, **parameters))

    assert page.url.startswith(f"{site.emulator.url}/login?")
    assert site.flashes() == [["error", "Signing in took too long. Please try again."]]
    assert "CSRF" not in page.text


@pytest.mark.parametrize("endpoint_fault", ["old_names", "crlf", "html_in_description"])
def test_faults_of_the_way_back(site: Site, endpoint_fault: str) -> None:
    if endpoint_fault == "old_names":
        site.emulator.next_login(error="genericError", message="x")
    else:
        site.emulator.next_login(user="alice@example.com")
    site.emulator.fail("callback", action=endpoint_fault)
    page = site.get("/private")

    assert page.url.startswith(f"{site.emulator.url}/login?")
    assert site.banners() == [None, TRY_AGAIN]


HOSTILE = [
    "a\r\nSet-Cookie: stolen=1",
    "a\nLocation: https://evil.example/",
    "x&return_to=https://evil.example/",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}{{ config }}${7*7}",
    "%0d%0aSet-Cookie:%20stolen=1",
    "\x00\x1b[31m\u202egnorw\u2028",
    "+ADw-script+AD4-",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_descriptions_do_nothing(site: Site, text: str) -> None:
    """An unknown code shows its description, so that is where it could act."""
    for _ in range(2):
        page = site.browser.get(failing_callback(site, error="unknownCode", error_description=text))

    for hop in page.hops:
        assert "stolen" not in str(hop.headers.getlist("Set-Cookie"))
        assert "evil.example" not in urlsplit(str(hop.location)).netloc
    assert page.status == 400
    assert "<script" not in page.text
    assert "<img" not in page.text
    # As it was said, but for what nobody can see, and nothing of it computed.
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    assert f"{TRY_AGAIN} ({shown})" in html.unescape(page.text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_descriptions_do_nothing_at_centralauth(site: Site, text: str) -> None:
    site.browser.get(failing_callback(site, error="unknownCode", error_description=text))

    (banner,) = site.banners()[-1:]
    assert banner is not None
    assert banner.isprintable()
    assert site.flashes() == [["error", banner]]
    # Nothing of the text became a parameter of its own.
    assert set(site.emulator.requests.of("login")[-1].query) == {
        *("client_id", "response_type", "redirect_uri", "state", "code_challenge"),
        *("code_challenge_method", "error_message", "error_description"),
    }


def test_description_of_100_kilobytes_is_cut(make_app: MakeApp) -> None:
    client = make_app().test_client()
    navigation = {"Accept": "text/html"}

    def fail() -> Any:
        started = client.get("/api/auth/login", headers=navigation)
        state = parse_qs(urlsplit(started.headers["Location"]).query)["state"][0]
        query = urlencode({"state": state, "error": "unknownCode", "error_description": "é" * 100_000})
        return client.get(f"/api/auth/callback?{query}", headers=navigation)

    answer = fail()
    assert answer.status_code == 302
    with client.session_transaction() as session:
        assert len(session["_flashes"][0][1]) < 300
    banner_address = client.get(answer.headers["Location"], headers=navigation).headers["Location"]
    assert len(banner_address) < 4000
    assert len(fail().get_data()) < 10_000


# Words nobody vouches for


@pytest.mark.parametrize(
    "path",
    [
        "/api/auth/login?error_message=Call+555-0100&error_description=Call+555-0100&error=Call+555-0100",
        "/api/auth/login?message=Call+555-0100&banner=Call+555-0100&flash=Call+555-0100",
        "/private?error_message=Call+555-0100&error=genericError",
    ],
)
def test_words_in_a_link_never_reach_the_login_page(site: Site, path: str) -> None:
    page = site.get(path)

    assert site.banners() == [None]
    assert "Call 555-0100" not in page.text
    assert site.flashes() == []


@pytest.mark.parametrize(
    "query",
    [
        "error=x&error_description=Call+555-0100",
        "error_code=x&error_message=Call+555-0100",
        "state=forged&error=x&error_description=Call+555-0100",
        "state=&error=x&error_description=Call+555-0100",
        "state=a&state=b&error=x&error_description=Call+555-0100",
        "state=forged&error=Call+555-0100",
        "state=forged&code=1&error=x&error_description=Call+555-0100",
        "state=forged&error=x&error=y&error_description=Call+555-0100",
        f"state={'s' * 600}&error=x&error_description=Call+555-0100",
        f"state=forged&error={'x' * 100}&error_description=Call+555-0100",
        "Call+555-0100",
        "",
    ],
)
def test_callback_nobody_vouches_for_is_told_in_our_own_words(site: Site, query: str) -> None:
    page = site.get(f"/api/auth/callback?{query}")

    assert_is_our_page(page, site)
    assert page.status == 400
    assert NOT_HERE in page.text or TRY_AGAIN in page.text
    assert "555-0100" not in page.text
    assert site.visits == 0
    assert site.flashes() == []
    # And the login after it carries nothing of it either.
    site.browser.click("/api/auth/login")
    assert site.banners() == [None]


def test_callback_of_another_browser_is_told_in_our_own_words(site: Site) -> None:
    stolen = failing_callback(site, error="x", error_description="Call 555-0100")
    victim = Browser(site.emulator, user=None)
    page = victim.get(stolen)

    assert page.status == 400
    assert "555-0100" not in page.text
    # And the login it belongs to is not used up by it.
    assert "Call+555-0100" in str(site.browser.get(stolen, follow=False).hops[0].url)
    assert site.flashes() == [["error", f"{TRY_AGAIN} (Call 555-0100)"]]


def test_callback_that_comes_too_late_is_told_in_our_own_words(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = failing_callback(site, error="x", error_description="Call 555-0100")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1801)
    page = site.browser.get(callback)

    assert page.status == 400
    assert NOT_HERE in page.text
    assert "555-0100" not in page.text


@pytest.mark.parametrize("host", ["a@b", "a b", "[::1"])
@pytest.mark.parametrize("code", ["captchaInvalid", "callbackUrlInvalid"])
def test_host_that_is_none_does_no_harm(make_app: MakeApp, host: str, code: str) -> None:
    client = make_app().test_client()
    navigation = {"Accept": "text/html"}
    started = client.get("/api/auth/login", headers=navigation)
    state = parse_qs(urlsplit(started.headers["Location"]).query)["state"][0]
    cookie = started.headers["Set-Cookie"].partition(";")[0]
    answer = client.get(
        f"/api/auth/callback?state={state}&error={code}",
        headers={**navigation, "Host": host, "Cookie": cookie},
    )

    # No address here is the callback's, so no login of this browser vouches for it.
    assert answer.status_code == 400
    assert "Location" not in answer.headers
