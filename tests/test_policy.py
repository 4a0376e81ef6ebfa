"""Who is kept out although CentralAuth let them in: at login, and at every check."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from .browser_page import Page
from .checked_site import CheckedSite, MakeCheckedSite, ended_sessions

pytest_plugins = ("tests.checked_fixtures",)

BLOCKED = "This account is blocked here."
UNVERIFIED = "Please confirm your e-mail address first."
NO_ACCESS = "This account has no access here."


def change(site: CheckedSite, **fields: Any) -> None:
    """Change what CentralAuth knows of the person."""
    site.emulator.add_user(email="alice@example.com", **fields)


def check_page(page: Page, sentence: str) -> None:
    assert page.status == 403
    assert sentence in page.text
    # A page and not a redirect: that would be a loop.
    assert page.last.location is None
    assert page.headers["Cache-Control"] == "no-store"


class KeptOut(NamedTuple):
    """Somebody who may not be here: the settings, what CentralAuth knows of them, what they get."""

    config: dict[str, Any]
    fields: dict[str, Any]
    code: str
    sentence: str


KEPT_OUT = {
    "blocked": KeptOut({}, {"blocked": True}, "userBlocked", BLOCKED),
    "unverified": KeptOut(
        {"CENTRALAUTH_REQUIRE_VERIFIED": True}, {"verified": False}, "userNotVerified", UNVERIFIED
    ),
    "of another organization": KeptOut({}, {"organizationId": "another"}, "noPermission", NO_ACCESS),
}
kept_out = pytest.mark.parametrize("who", KEPT_OUT.values(), ids=KEPT_OUT)
LET_IN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "blocked, where that is wanted": ({"CENTRALAUTH_ALLOW_BLOCKED": True}, {"blocked": True}),
    "unverified, by default": ({}, {"verified": False}),
    "of no organization": ({}, {"organizationId": None}),
}


@kept_out
def test_kept_out_at_login_without_a_session(make_checked_site: MakeCheckedSite, who: KeptOut) -> None:
    site = make_checked_site(**who.config)
    change(site, **who.fields)
    check_page(site.browser.get(f"{site.url}/private"), who.sentence)
    assert site.browser.cookies.get("session") is None
    assert site.fetch().status == 401
    assert site.fetch("/api/auth/user").json() is None


@kept_out
def test_out_at_the_next_check(make_checked_site: MakeCheckedSite, who: KeptOut) -> None:
    site = make_checked_site(**who.config)
    site.log_in()
    change(site, **who.fields)
    assert site.fetch().status == 200
    site.expire()
    with ended_sessions() as ended:
        page = site.fetch()
        assert (page.status, page.json()["errorCode"]) == (403, who.code)
        assert site.fetch().status == 401
    assert [told["error"].error_code for told in ended] == [who.code]
    assert site.asked == 1


@kept_out
def test_the_page_somebody_sees_who_is_kept_out_later(
    make_checked_site: MakeCheckedSite, who: KeptOut
) -> None:
    site = make_checked_site(**who.config)
    site.log_in()
    change(site, **who.fields)
    site.expire()
    check_page(site.browser.get(f"{site.url}/private"), who.sentence)


def test_an_answer_of_another_worker_is_judged_by_our_own_settings(
    make_checked_site: MakeCheckedSite,
) -> None:
    """A rolling deployment: the record was written where this user was let in."""
    lenient = make_checked_site(CENTRALAUTH_ALLOW_BLOCKED=True)
    strict = make_checked_site()
    change(lenient, blocked=True)
    lenient.log_in()
    assert lenient.fetch().status == 200
    # Nor may the record be what an outage falls back on.
    strict.fail(status=503)
    assert strict.fetch().status == 503
    strict.recover()
    assert strict.fetch().status == 403
    assert lenient.fetch().status == 401


@pytest.mark.parametrize(("config", "fields"), LET_IN.values(), ids=LET_IN)
def test_let_in(make_checked_site: MakeCheckedSite, config: dict[str, Any], fields: dict[str, Any]) -> None:
    site = make_checked_site(**config)
    change(site, **fields)
    site.log_in()
    site.expire()
    assert site.who() == ("alice@example.com", False)
    assert site.asked == 1


def test_unblocked_again(site: CheckedSite) -> None:
    change(site, blocked=True)
    site.expire()
    assert site.fetch().status == 403
    change(site, blocked=False)
    assert site.browser.get(f"{site.url}/private").text == "alice@example.com"


def test_an_outage_does_not_let_a_blocked_user_back_in(site: CheckedSite) -> None:
    change(site, blocked=True)
    site.expire()
    assert site.fetch().status == 403
    site.fail(status=503)
    assert site.fetch().status == 401
    site.recover()


def test_a_view_may_ask_for_a_verified_address(make_checked_site: MakeCheckedSite) -> None:
    from flask_centralauth import auth_required

    site = make_checked_site()
    site.app.add_url_rule("/verified", "verified", auth_required(verified=True)(lambda: "in"))
    change(site, verified=False)
    site.log_in()
    page = site.fetch("/verified")
    assert (page.status, page.json()["errorCode"]) == (403, "userNotVerified")
    # Only this page is closed: the login goes on.
    assert site.who() == ("alice@example.com", False)
    change(site, verified=True)
    site.expire()
    assert site.fetch("/verified").text == "in"
