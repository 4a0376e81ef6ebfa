"""Whatever the code exchange answers: nobody is logged in by it, and nobody sees a 500."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from flask_centralauth.emulator import Emulator

from .error_site import MakeSite, Site, assert_is_json_error, assert_is_our_page

pytest_plugins = ("tests.error_fixtures",)

TOKEN = "header..iv.ciphertext.tag"
HTML = "<!doctype html><title>Bad gateway</title>"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(CENTRALAUTH_TIMEOUT=1)


#: Replies that are no tokens: the service is unwell, and the person may try again.
UNUSABLE: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "502 HTML": {"action": "html", "status": 502},
    "503": {"status": 503},
    "503 with a session code": {"error_code": "sessionExpired", "status": 503},
    "200 HTML": {"action": "html"},
    "200 nothing": {"action": "empty"},
    "204": {"action": "empty", "status": 204},
    "201 tokens": {"json": {"access_token": TOKEN}, "status": 201},
    "object without tokens": {"json": {}},
    "list": {"json": [TOKEN]},
    "string": {"json": TOKEN},
    "null": {"json": None},
    "true": {"json": True},
    "number": {"json": 7},
    "null tokens": {"json": {"access_token": None, "id_token": None}},
    "empty token": {"json": {"access_token": ""}},
    "token of another type": {"json": {"access_token": {"token": TOKEN}}},
    "list of tokens": {"json": {"access_token": [TOKEN]}},
    "token with a line break": {"json": {"access_token": f"{TOKEN}\r\nX: y"}},
    "token of 9 kB": {"json": {"access_token": "x" * 9000}},
    "expired": {"json": {"access_token": TOKEN, "expires_in": -1}},
    "expires at once": {"json": {"access_token": TOKEN, "expires_in": 0}},
    "expiry as text": {"json": {"access_token": TOKEN, "expires_in": "3600"}},
    "expiry true": {"json": {"access_token": TOKEN, "expires_in": True}},
    "expired long ago": {"json": {"access_token": TOKEN, "expires_at": "2001-01-01T00:00:00Z"}},
    "expiry no date": {"json": {"access_token": TOKEN, "expires_at": "tomorrow"}},
    "error object with 200": {"json": {"errorCode": "sessionExpired", "message": "x"}},
    "OAuth error with 200": {"json": {"error": "invalid_grant", "error_description": "x"}},
    "OAuth error with 400": {"json": {"error": "invalid_grant", "error_description": "x"}, "status": 400},
    "400 HTML": {"action": "html", "status": 400},
    "401 nothing": {"status": 401},
    "404 nothing": {"status": 404},
    "400 object without code": {"json": {}, "status": 400},
    "400 list": {"json": ["no"], "status": 400},
    "400 code of another type": {"json": {"errorCode": {"a": 1}, "message": ["<script>"]}, "status": 400},
    "redirect": {"action": "redirect", "redirect": "/api/v1/userinfo", "status": 307},
    "redirect to another place": {"action": "redirect", "redirect": "https://evil.example/", "status": 302},
    "permanent redirect": {"action": "redirect", "redirect": "/", "status": 301},
    "redirect to itself": {"action": "redirect_loop"},
    "304": {"status": 304},
    "broken JSON": {"action": "invalid_json"},
    "byte order mark": {"action": "bom"},
    "UTF-16": {"action": "utf16"},
    "NaN": {"action": "nan"},
    "huge number": {"action": "huge_int"},
    "deep": {"action": "deep"},
    "repeated keys": {"action": "duplicate_keys"},
    "lone surrogate": {"action": "surrogate"},
    "5 MB": {"action": "oversize"},
    "compressed bomb": {"action": "gzip_bomb"},
    "connection reset": {"action": "reset"},
    "connection closed": {"action": "close"},
    "cut in the middle": {"action": "truncate"},
    "garbage chunks": {"action": "chunk_garbage"},
}
#: Replies that refuse this login: back to login with the message, then a page.
REFUSALS: dict[str, tuple[dict[str, Any], int, str]] = {
    "400": ({"error_code": "codeChallengeInvalid"}, 400, "Signing in did not work."),
    "401": ({"error_code": "sessionInvalid"}, 401, "Your connection or browser has changed."),
    "404 with a login code": (
        {"error_code": "loginAttemptExpired", "status": 404},
        400,
        "Signing in took too long.",
    ),
    "unknown code": (
        {"json": {"errorCode": "brandNew", "message": "New words"}, "status": 418},
        400,
        "Signing in did not work. Please try again. (New words)",
    ),
    "message without a code": (
        {"json": {"message": "Only <b>words</b>"}, "status": 400},
        400,
        "Signing in did not work. Please try again. (Only &lt;b&gt;words&lt;/b&gt;)",
    ),
    "code of 5 kB": (
        {"json": {"errorCode": "x" * 5000, "message": "Words"}, "status": 400},
        400,
        "Signing in did not work. Please try again. (Words)",
    ),
}


def is_out(site: Site) -> bool:
    return not site.signed_in() and site.peek() == {"flashes": [], "keys": []}


def test_login_ends_at_expires_at_where_there_is_no_expires_in(
    site: Site, later: Callable[[float], None]
) -> None:
    end = datetime.now(timezone.utc) + timedelta(seconds=600)
    site.emulator.fail("verify", patch={"expires_in": None, "expires_at": end.isoformat()})
    site.log_in()
    later(540)
    assert site.signed_in()
    later(660)
    assert not site.signed_in()


@pytest.fixture(params=["America/New_York", "Asia/Tokyo"])
def local_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own time zone is hours behind or ahead of UTC."""
    with monkeypatch.context() as environment:
        environment.setenv("TZ", request.param)
        time.tzset()
        assert time.localtime(0).tm_gmtoff != 0, "no time zones on this machine"
        yield
    time.tzset()


@pytest.mark.usefixtures("local_time")
@pytest.mark.parametrize("sent", ["{:%Y-%m-%dT%H:%M:%S}", "{:%Y-%m-%dT%H:%M:%S}.1234567z"])
def test_expires_at_is_utc_where_it_names_no_zone(
    site: Site, later: Callable[[float], None], sent: str
) -> None:
    end = sent.format(datetime.now(timezone.utc) + timedelta(seconds=600))
    site.emulator.fail("verify", patch={"expires_in": None, "expires_at": end})
    site.log_in()
    later(540)
    assert site.signed_in()
    later(660)
    assert not site.signed_in()


@pytest.mark.parametrize("reply", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_reply_is_an_outage(site: Site, reply: dict[str, Any]) -> None:
    site.browser.user = "alice@example.com"
    site.emulator.fail("verify", **reply)
    page = site.get("/private")

    assert_is_our_page(page, site)
    assert page.status == 503
    assert int(page.headers["Retry-After"]) > 0
    assert "Signing in is not possible right now. Please try again in a moment." in page.text
    for foreign in ("Bad gateway", "evil.example", TOKEN, "Traceback", "script>"):
        assert foreign not in page.text
    assert is_out(site)
    # One call, not repeated: a code works once. And nothing else was asked with it.
    assert [entry.endpoint for entry in site.emulator.requests.api] == ["verify"]
    assert 'href="/api/auth/login?return_to=/private"' in page.text
    assert site.browser.click("/api/auth/login?return_to=/private").text == "alice@example.com"


@pytest.mark.parametrize("reply", [UNUSABLE["502 HTML"], UNUSABLE["list"], UNUSABLE["redirect"]])
def test_unusable_reply_to_a_program_is_json(site: Site, reply: dict[str, Any]) -> None:
    callback = site.callback()
    site.emulator.fail("verify", **reply)
    assert_is_json_error(site.browser.fetch(callback), "networkError", 503)

    assert is_out(site)


@pytest.mark.parametrize(("reply", "status", "words"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_is_a_failed_login(site: Site, reply: dict[str, Any], status: int, words: str) -> None:
    site.browser.user = "alice@example.com"
    site.emulator.fail("verify", times=2, **reply)
    page = site.get("/private")

    assert_is_our_page(page, site)
    assert page.status == status
    assert words in page.text
    assert site.visits == 2
    assert is_out(site)
    assert site.emulator.requests.count("verify") == 2


def test_reply_that_never_comes_is_an_outage(site: Site) -> None:
    site.browser.user = "alice@example.com"
    fault = site.emulator.fail("verify", hang=True)
    page = site.get("/private")
    fault.release()

    assert (page.status, is_out(site)) == (503, True)


def test_service_that_is_gone_is_an_outage(make_site: MakeSite) -> None:
    with Emulator() as going:
        site = make_site(**going.config)
        site.emulator = going
        callback = site.callback()
    page = site.browser.get(callback)

    assert_is_our_page(page, site)
    assert (page.status, is_out(site)) == (503, True)


@pytest.mark.parametrize(
    "reply", [UNUSABLE["500"], UNUSABLE["object without tokens"], {"error_code": "noPermission"}]
)
def test_who_was_in_before_stays_in(site: Site, reply: dict[str, Any]) -> None:
    site.log_in()
    callback = site.callback("/api/auth/login?return_to=/private")
    site.emulator.fail("verify", **reply)
    page = site.browser.get(callback)

    assert page.status in (500, 503)
    assert site.signed_in()
    assert site.get("/private").text == "alice@example.com"


def test_wrong_secret_is_told_to_the_operator_only(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(CENTRALAUTH_CLIENT_SECRET="w" * 32)
    site.browser.user = "alice@example.com"
    page = site.get("/private")

    assert_is_our_page(page, site)
    assert page.status == 500
    assert "The operator has to correct this" in page.text
    assert "Try again" not in page.text
    assert "SECRET" not in page.text
    assert site.visits == 1
    (record,) = [record for record in caplog.records if hasattr(record, "centralauth")]
    assert "CENTRALAUTH_CLIENT_SECRET" in record.getMessage()
    assert "wwww" not in record.getMessage()
