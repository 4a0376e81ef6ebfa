"""Every error code, wherever CentralAuth can say it, to a person and to a program.

What has to come of it is in `error_contract`, apart from the code under test.
"""

from __future__ import annotations

import html

import pytest

from .error_contract import (
    DOCUMENTED,
    EXTRA,
    FAMILY,
    UNKNOWN_CODE,
    sentence_of,
    shows_message,
    status_of,
)
from .error_site import SAID, MakeSite, Site, assert_is_json_error, assert_is_our_page

pytest_plugins = ("tests.error_fixtures",)

CODES = [*sorted(DOCUMENTED | EXTRA), UNKNOWN_CODE]
#: OAuth's word for "cancelled" is none of the API's.
API_CODES = [code for code in CODES if code != "access_denied"]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


def words_of(code: str, family: str) -> str:
    sentence = sentence_of(code, family)
    return f"{sentence} ({SAID})" if shows_message(code, family) else sentence


def family_of_reply(code: str, *, to_userinfo: bool) -> str:
    """The family of a code that a call of ours is answered with, with the status CentralAuth gives it."""
    if code == "genericError":
        return "unavailable"  # its status is 500
    if code == "noPermission":
        return "configuration"  # we are not let in
    # Of the user that was asked about, a login's or an entity's code says nothing.
    return "unavailable" if to_userinfo and FAMILY[code] in ("login", "entity") else FAMILY[code]


def ends_on_page(site: Site, code: str, family: str) -> None:
    """Follow a login that fails twice, whatever was arranged to fail it."""
    page = site.get("/private")

    assert_is_our_page(page, site)
    assert page.status == status_of(code, family)
    words = words_of(code, family)
    assert words in html.unescape(page.text)
    assert "<b>& more" not in page.text
    assert (SAID in html.unescape(page.text)) == shows_message(code, family)
    assert ("Retry-After" in page.headers) == (family in ("rate_limit", "unavailable"))
    # A failed login goes back once, and says why at CentralAuth; everything else is a page at once.
    goes_back = family in ("login", "session")
    assert site.banners() == ([None, words] if goes_back else [None])
    assert not site.signed_in()
    # What the page tells is not told again.
    assert site.peek() == {"flashes": [], "keys": []}


def gets_json(site: Site, callback: str, code: str, family: str) -> None:
    answer = assert_is_json_error(site.browser.fetch(callback), code, status_of(code, family))

    assert answer["message"] == words_of(code, family)
    assert ("loginUrl" in answer) == (family in ("login", "session"))
    assert not site.signed_in()
    assert site.peek() == {"flashes": [], "keys": []}


@pytest.mark.parametrize("code", CODES)
class TestCallbackOfALoginOfThisBrowser:
    def test_person(self, site: Site, code: str) -> None:
        site.emulator.next_login(error=code, message=SAID)
        site.emulator.next_login(error=code, message=SAID)

        ends_on_page(site, code, FAMILY[code])
        site.emulator.requests.none("verify")

    def test_program(self, site: Site, code: str) -> None:
        site.emulator.next_login(error=code, message=SAID)

        gets_json(site, site.callback(), code, FAMILY[code])
        site.emulator.requests.none("verify")


@pytest.mark.parametrize("code", CODES)
class TestCallbackNoLoginVouchesFor:
    def test_person(self, site: Site, code: str) -> None:
        page = site.get(f"/api/auth/callback?state=forged&error={code}&error_description=Call+555-0100")

        assert_is_our_page(page, site)
        assert page.status == 400
        assert "This sign-in cannot be finished here." in page.text
        assert "Call 555-0100" not in page.text
        assert "Set-Cookie" not in page.headers
        assert site.visits == 0
        assert site.peek() == {"flashes": [], "keys": []}

    def test_program(self, site: Site, code: str) -> None:
        url = f"{site.url}/api/auth/callback?state=forged&error={code}&error_description=Call+555-0100"
        answer = assert_is_json_error(site.browser.fetch(url), "stateInvalid", 400)

        assert answer["message"].startswith("This sign-in cannot be finished here.")
        assert "555-0100" not in str(answer)
        assert site.visits == 0

    def test_somebody_who_is_signed_in_stays_in(self, site: Site, code: str) -> None:
        site.log_in()
        site.browser.user = None
        page = site.get(f"/api/auth/callback?state=forged&error={code}&error_description=Call+555-0100")

        assert (page.status, page.path) == (200, "/")
        assert site.signed_in()
        assert site.flashes() == []
        assert site.visits == 0


@pytest.mark.parametrize("code", API_CODES)
class TestReplyToVerify:
    def test_person(self, site: Site, code: str) -> None:
        site.browser.user = "alice@example.com"
        site.emulator.fail("verify", error_code=code, message=SAID, times=2)

        ends_on_page(site, code, family_of_reply(code, to_userinfo=False))
        site.emulator.requests.none("userinfo")

    def test_program(self, site: Site, code: str) -> None:
        site.emulator.fail("verify", error_code=code, message=SAID)

        gets_json(site, site.callback(), code, family_of_reply(code, to_userinfo=False))


@pytest.mark.parametrize("code", API_CODES)
class TestReplyToUserinfoWhileSigningIn:
    def test_person(self, site: Site, code: str) -> None:
        site.browser.user = "alice@example.com"
        site.emulator.fail("userinfo", error_code=code, message=SAID, times=2)

        ends_on_page(site, code, family_of_reply(code, to_userinfo=True))

    def test_program(self, site: Site, code: str) -> None:
        site.emulator.fail("userinfo", error_code=code, message=SAID)
        family = family_of_reply(code, to_userinfo=True)
        kept = code if family != "unavailable" or code == "genericError" else "networkError"

        gets_json(site, site.callback(), kept, family)

    def test_somebody_who_was_in_before_stays_in(self, site: Site, code: str) -> None:
        site.log_in()
        callback = site.callback("/api/auth/login?return_to=/private")
        site.emulator.fail("userinfo", error_code=code, message=SAID)
        site.browser.get(callback, follow=False)

        assert site.signed_in()


@pytest.mark.parametrize("code", API_CODES)
class TestReplyToUserinfoOfSomebodySignedIn:
    def test_person(self, site: Site, code: str) -> None:
        site.log_in()
        site.emulator.fail("userinfo", error_code=code, message=SAID)
        family = family_of_reply(code, to_userinfo=True)
        if family == "session":
            site.emulator.next_login(user="bob@example.com")
            page = site.get("/private")

            # Signed out, told so, through login, back on the same page; and nothing is told twice.
            assert (page.status, page.path, page.text) == (200, "/private", "bob@example.com")
            assert site.banners() == [words_of(code, family)]
            assert site.flashes() == []
        else:
            page = site.get("/private")

            assert_is_our_page(page, site)
            assert page.status == status_of(code, family)
            assert words_of(code, family) in html.unescape(page.text)
            assert site.visits == 0
            assert site.get("/private").text == "alice@example.com"

    def test_program(self, site: Site, code: str) -> None:
        site.log_in()
        site.emulator.fail("userinfo", error_code=code, message=SAID)
        family = family_of_reply(code, to_userinfo=True)
        kept = code if family != "unavailable" or code == "genericError" else "networkError"
        answer = assert_is_json_error(
            site.browser.fetch(f"{site.url}/api/data"), kept, status_of(code, family)
        )

        assert answer["message"] == words_of(code, family)
        assert ("loginUrl" in answer) == (family == "session")
        assert site.signed_in() == (family != "session")
        assert site.visits == 0
        assert site.flashes() == []

    def test_person_while_the_last_answer_will_do(self, make_site: MakeSite, code: str) -> None:
        site = make_site(CENTRALAUTH_STALE_GRACE=60)
        site.log_in()
        site.emulator.fail("userinfo", error_code=code, message=SAID)
        page = site.get("/private", follow=False)

        over = family_of_reply(code, to_userinfo=True) == "session"
        assert page.status == (302 if over else 200)
