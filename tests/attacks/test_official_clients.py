"""Ten weaknesses that were found in the official clients. None of them is ours."""

from __future__ import annotations

import time

from ..browser_client import Browser
from ..raw_http import PAGE_VISIT, ask
from .conftest import MakeTarget
from .target import ALICE, BOB, EVIL, Target, assert_refused, query_of


def test_state_is_stored_and_checked_by_default(target: Target) -> None:
    url = target.start()
    assert_refused(target.browser.get(url.replace("state=", "state=x")))
    assert_refused(Browser(target.emulator).get(url))
    assert target.browser.get(url).text == ALICE


def test_a_missing_verifier_is_not_sent_as_undefined(target: Target) -> None:
    url = target.start()
    for name in [cookie.name for cookie in target.browser.cookies if cookie.name.startswith("centralauth_")]:
        target.browser.cookies.store(target.url, f"{name}=; Max-Age=0; Path=/")
    target.emulator.requests.clear()
    assert_refused(target.browser.get(url))
    assert target.calls() == []


def test_every_tab_has_a_verifier_of_its_own(target: Target) -> None:
    urls = [target.start(return_to=f"/private?tab={number}") for number in range(4)]
    for number in (2, 0, 3, 1):
        assert target.browser.get(urls[number]).path == f"/private?tab={number}"


def test_no_open_redirect_through_return_to_or_referer(target: Target) -> None:
    evil = target.auth("login", {"return_to": f"{EVIL}/"})
    assert target.browser.get(evil, headers={"Referer": f"{EVIL}/"}).url == f"{target.url}/"
    page = target.browser.get(f"{target.start()}&return_to={EVIL}/")
    assert page.path == "/private"


def test_the_user_cache_serves_no_stolen_cookie(target: Target) -> None:
    target.log_in()
    assert target.who() == ALICE
    stolen = {"Cookie": f"session={target.cookie()}", "User-Agent": "Thief"}
    assert ask(f"{target.url}/api/data", headers=stolen).status == 401
    assert target.emulator.requests.one("userinfo").error_code == "sessionInvalid"


def test_the_first_forwarded_address_is_not_believed(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0)
    target.log_in()
    ask(
        f"{target.url}/api/data",
        headers={**target.as_sent_by(), "X-Forwarded-For": "198.51.100.7, 127.0.0.1"},
    )
    assert target.emulator.requests.one("userinfo").headers["auth-ip"] == "127.0.0.1"


def test_affirmation_is_not_decided_by_the_query(target: Target) -> None:
    from flask_centralauth.signals import user_affirmed

    told: list[object] = []

    def affirmed(_app: object, **facts: object) -> None:
        told.append(facts)

    with user_affirmed.connected_to(affirmed):
        target.browser.get(f"{target.start()}&affirm=1")
        assert told == []
        started = target.browser.get(target.auth("affirm"), follow=False)
        url = target.authorize(started.last, target.browser)
        target.browser.get(url.replace("&affirm=1", "").replace("affirm=1&", ""))
    assert len(told) == 1


def test_redirects_are_not_followed_with_the_token_in_the_body(target: Target) -> None:
    url = target.start()
    target.emulator.fail("userinfo", action="redirect", status=307)
    assert target.browser.get(url).status == 503
    assert target.emulator.requests.none("canary")


def test_no_call_lasts_longer_than_its_timeout(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_TIMEOUT=0.3)
    url = target.start()
    fault = target.emulator.fail("verify", action="drip", bytes_per_second=5)
    began = time.monotonic()
    assert target.browser.get(url).status == 503
    assert time.monotonic() - began < 3
    fault.release()


def test_a_get_signs_nobody_out(target: Target) -> None:
    target.log_in()
    for headers in (PAGE_VISIT, {"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"}):
        assert ask(target.auth("logout"), headers={**target.as_sent_by(), **headers}).status == 200
    assert target.who() == ALICE


def test_upstream_trouble_signs_nobody_out(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0)
    target.log_in()
    target.emulator.fail("userinfo", status=503, times=2)
    page = target.browser.fetch(f"{target.url}/api/data")
    assert (page.status, page.json()) == (200, {"email": ALICE}), "within the grace"
    target.browser.fetch(f"{target.url}/api/data")
    assert target.who() == ALICE


def test_private_answers_are_in_no_cache(target: Target) -> None:
    target.log_in(target.person(BOB))
    page = target.browser.get(f"{target.url}/private")
    hops = [hop for hop in page.hops if hop.url.startswith(target.url)]
    for hop in [*hops, ask(target.auth("user"), headers=target.as_sent_by())]:
        assert hop.headers["Cache-Control"] == "no-store"
    assert query_of(page.url) == {}
