"""Autologin: a login at one domain is carried to the callback of another, and what others make of that.

Two applications on two origins and the emulator, which carries logins in hidden frames. What a browser
does there `browser/test_autologin.py` looks at; here are the requests themselves.
"""

from __future__ import annotations

import hashlib
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from itsdangerous import URLSafeSerializer
from werkzeug.exceptions import Forbidden

from flask_centralauth import ErrorCode
from flask_centralauth.config import load
from flask_centralauth.emulator import Emulator
from flask_centralauth.errors import ServiceUnavailable
from flask_centralauth.shared_states import MAX_AGE, SharedStates

from .autologin_domains import HIDDEN, KEY, Domain, MakeDomain, answer, follow, framed_in, in_frame, sign_in
from .browser_client import Browser
from .browser_page import Page

pytest_plugins = ("tests.autologin_fixtures",)


def refused(page: Page) -> bool:
    """Whether it is our page for a callback that belongs to nobody's login."""
    return page.status == 400 and 'href="/api/auth/login"' in page.text and len(page.hops) == 1


def test_login_is_carried_to_the_other_domain(
    shop: Domain, blog: Domain, person: Browser, emulator: Emulator
) -> None:
    frame = sign_in(person, shop)
    assert frame.startswith(blog.callback)
    assert blog.user_of(person) is None

    page = in_frame(person, frame)

    assert (page.status, page.text) == (204, "")
    assert [hop.status for hop in page.hops] == [302, 302, 204]
    assert blog.user_of(person) == "alice@example.com"
    assert shop.user_of(person) == "alice@example.com"


def test_carried_code_is_left_alone(shop: Domain, blog: Domain, person: Browser, emulator: Emulator) -> None:
    """It belongs to a login that began elsewhere, maybe in another person."""
    frame = sign_in(person, shop)
    (carried,) = parse_qs(urlsplit(frame).query)["code"]
    in_frame(person, frame)
    assert emulator.requests.count("verify") == 2
    assert carried not in "".join(str(entry.form) for entry in emulator.requests)


def test_carried_callback_in_the_whole_window_ends_at_home(
    shop: Domain, blog: Domain, person: Browser
) -> None:
    page = person.tab().get(sign_in(person, shop))
    assert (page.url, page.text) == (f"{blog.url}/", "public")
    assert blog.user_of(person) == "alice@example.com"


def test_hooks_may_refuse_a_carried_login(shop: Domain, blog: Domain, person: Browser) -> None:
    def refuse(_user: object) -> None:
        raise Forbidden

    blog.app.extensions["centralauth"].login_hooks.append(refuse)
    assert in_frame(person, sign_in(person, shop)).status == 403
    assert blog.user_of(person) is None


def test_answer_of_a_hook_is_not_shown_in_a_frame(shop: Domain, blog: Domain, person: Browser) -> None:
    blog.app.extensions["centralauth"].login_hooks.append(lambda _user: ("welcome", 200, {"X-Hook": "ran"}))
    page = in_frame(person, sign_in(person, shop))
    assert (page.status, page.text, page.headers["X-Hook"]) == (204, "", "ran")
    assert blog.user_of(person) == "alice@example.com"


@pytest.mark.parametrize("first", ["frame", "window"])
def test_domains_may_be_one_application(
    one_application: tuple[Domain, Domain], person: Browser, emulator: Emulator, first: str
) -> None:
    """One state is used at both, once at each, whichever comes first."""
    shop = one_application[0]
    page = person.submit(person.get(f"{shop.url}/private").forms[0].action, {"email": "alice@example.com"})
    steps = {"frame": lambda: in_frame(person, framed_in(page)), "window": lambda: follow(person, page)}
    for step in (first, *(steps.keys() - {first})):
        steps[step]()
    assert [domain.user_of(person.tab()) for domain in one_application] == ["alice@example.com"] * 2
    assert emulator.requests.count("login") == 2, "nobody was sent there again"
    assert refused(Browser(emulator, user=None).get(framed_in(page)))


class TestNobodyIsSignedInAs:
    @pytest.mark.parametrize("headers", [{}, HIDDEN], ids=["window", "frame"])
    def test_attacker_by_a_link(
        self, shop: Domain, blog: Domain, emulator: Emulator, person: Browser, headers: dict[str, str]
    ) -> None:
        """Login CSRF: the attacker signs in, stops before the frame, and gives its address to a victim."""
        link = sign_in(Browser(emulator, user=None), shop, "mallory@example.com")
        page = person.get(link, headers=headers)
        # The victim's own login, which they may leave.
        assert page.url.startswith(f"{emulator.url}/login?")
        assert blog.user_of(person) is None
        assert emulator.requests.count("verify") == 1, "the attacker's own"

    def test_attacker_where_the_victim_has_a_login_of_their_own(
        self, shop: Domain, blog: Domain, emulator: Emulator, person: Browser
    ) -> None:
        sign_in(person, shop)  # the victim's; its frame is never opened
        link = sign_in(Browser(emulator, user=None), shop, "mallory@example.com")
        person.tab().get(link)
        assert blog.user_of(person) == "alice@example.com"

    def test_victim_by_a_stolen_link(
        self, shop: Domain, blog: Domain, emulator: Emulator, person: Browser
    ) -> None:
        """Code injection: from a log or a history, opened before the victim's browser does."""
        link = sign_in(person, shop)
        thief = Browser(emulator, user=None)
        page = thief.get(link)
        assert page.url.startswith(f"{emulator.url}/login")
        assert blog.user_of(thief) is None


class TestWhoIsSignedInStays:
    @pytest.mark.parametrize("headers", [{}, HIDDEN], ids=["window", "frame"])
    def test_when_somebody_else_is_carried_here(
        self, shop: Domain, blog: Domain, person: Browser, emulator: Emulator, headers: dict[str, str]
    ) -> None:
        emulator.configure(autologin_carry=False)
        page = person.get(f"{blog.url}/private")
        person.submit(page.forms[0].action, {"email": "bob@example.com"})
        emulator.configure(autologin_carry=True, autologin=False)
        login = person.get(f"{shop.url}/private")
        emulator.configure(autologin=True)
        frame = answer(person, login, "alice@example.com")
        asked = emulator.requests.count("login")

        page = person.tab().get(frame, headers=headers)

        assert page.status == (204 if headers else 200)
        assert blog.user_of(person) == "bob@example.com"
        assert emulator.requests.count("login") == asked

    def test_who_signs_in_while_it_is_under_way(
        self, shop: Domain, blog: Domain, person: Browser, emulator: Emulator
    ) -> None:
        frame = sign_in(person, shop)
        under_way = person.tab().get(frame, headers=HIDDEN, follow=False)
        emulator.configure(autologin=False)
        page = person.get(f"{blog.url}/private")
        person.submit(page.forms[0].action, {"email": "bob@example.com"})
        emulator.configure(autologin=True)

        page = in_frame(person, under_way.last.location or "")

        assert page.status == 204
        assert blog.user_of(person) == "bob@example.com"


class TestState:
    def test_is_for_one_login_at_each_domain(
        self, shop: Domain, blog: Domain, person: Browser, emulator: Emulator
    ) -> None:
        frame = sign_in(person, shop)
        assert person.tab().get(frame, follow=False).status == 302
        again = person.tab().get(frame, follow=False)
        assert refused(again)
        assert in_frame(person, frame).status == 400

    def test_of_two_requests_at_once_begins_one_login(
        self, shop: Domain, blog: Domain, person: Browser
    ) -> None:
        frame = sign_in(person, shop)
        barrier = threading.Barrier(2)

        @blog.app.before_request
        def meet() -> None:
            barrier.wait(10)

        answers: list[int] = []

        def go() -> None:
            answers.append(person.tab().get(frame, follow=False).status)

        threads = [threading.Thread(target=go) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [302, 400]

    def test_of_two_tabs_both_count(self, shop: Domain, blog: Domain, person: Browser) -> None:
        tabs = [person.tab(), person.tab()]
        pages = [tab.get(f"{shop.url}/private") for tab in tabs]
        for tab, page in zip(tabs, pages, strict=True):
            assert in_frame(person, answer(tab, page, "alice@example.com")).status == 204
        assert blog.user_of(person) == "alice@example.com"

    def test_at_its_own_domain_needs_its_cookie(
        self, shop: Domain, blog: Domain, person: Browser, emulator: Emulator
    ) -> None:
        state = shop.state(person)
        stranger = Browser(emulator, user=None)
        page = stranger.get(shop.carried(state))
        assert refused(page)
        assert "did not keep our cookie" in page.text
        assert not emulator.requests.count("verify")

    def test_of_an_affirmation_is_not_shared(
        self, shop: Domain, blog: Domain, person: Browser, emulator: Emulator
    ) -> None:
        sign_in(person, shop)
        page = person.get(f"{shop.url}/api/auth/affirm")
        frame = answer(person, page, "alice@example.com")
        assert "affirm=1" in frame
        assert refused(person.tab().get(frame))
        assert blog.user_of(person) is None

    def test_of_a_carried_login_is_not_shared(self, shop: Domain, blog: Domain, person: Browser) -> None:
        begun = person.tab().get(blog.carried(shop.state(person)), follow=False)
        (state,) = parse_qs(urlsplit(begun.last.location or "").query)["state"]
        assert refused(person.tab().get(shop.carried(state)))

    def test_is_refused_when_it_is_old(
        self, shop: Domain, blog: Domain, person: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = shop.state(person)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + MAX_AGE - 5)
        assert person.tab().get(blog.carried(state), follow=False).status == 302
        state = shop.state(person)
        monkeypatch.setattr(time, "time", lambda: now + 2 * MAX_AGE)
        assert refused(person.get(blog.carried(state)))

    @pytest.mark.parametrize("headers", [{}, HIDDEN], ids=["window", "frame"])
    @pytest.mark.parametrize(
        "forge", ["cut", "changed", "other key", "own key", "unlisted", "odd", "odder", "future"]
    )
    def test_is_refused_when_it_is_not_one_of_ours(
        self, shop: Domain, blog: Domain, person: Browser, forge: str, headers: dict[str, str]
    ) -> None:
        good = shop.state(person)
        now = int(time.time())
        state = {
            "cut": lambda: good[:-1],
            "changed": lambda: ("x" if good[0] != "x" else "y") + good[1:],
            "other key": lambda: sealed(
                blog.app, "another key, just as long as the real one 123", shop.url, now
            ),
            "own key": lambda: sealed(blog.app, str(blog.app.secret_key), shop.url, now),
            "unlisted": lambda: sealed(blog.app, KEY, "https://elsewhere.example", now),
            "odd": lambda: sealed(blog.app, KEY, shop.url, "now"),
            "odder": lambda: sealed(blog.app, KEY, [shop.url], now),
            "future": lambda: sealed(blog.app, KEY, shop.url, now + 3600),
        }[forge]()
        assert sealed(blog.app, KEY, shop.url, now) != state
        page = person.get(blog.carried(state), headers=headers)
        assert not [cookie.name for cookie in person.cookies if "session1" in cookie.name]
        assert len(page.hops) == 1
        if headers:  # the page that breaks out of a frame; nothing but the callback's own page can show it
            assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]
        else:
            assert refused(page)

    def test_forging_in_this_test_is_done_right(self, shop: Domain, blog: Domain, person: Browser) -> None:
        state = sealed(blog.app, KEY, shop.url, int(time.time()))
        assert person.get(blog.carried(state), follow=False).status == 302

    def test_fits_into_a_callback_whatever_the_domain_is_called(self, make_domain: MakeDomain) -> None:
        longest = f"https://{'.'.join(['a' * 61] * 4)}.example:65535"
        domain = make_domain(0, CENTRALAUTH_AUTOLOGIN_DOMAINS=[longest, "https://b.example"])
        states = SharedStates(load(domain.app))
        state = states.new_state(f"{longest}/api/auth/callback")
        assert state is not None
        assert len(state) <= 512
        assert states.issuer_of(state) == longest


def sealed(app: Flask, key: str, origin: object, made: object) -> str:
    """A state as somebody with a key can make it."""
    serializer = URLSafeSerializer(
        key,
        salt=f"flask_centralauth.autologin|{app.config['CENTRALAUTH_CLIENT_ID']}",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
    return str(serializer.dumps(["n" * 32, made, origin]))


class TestNothingBegins:
    @pytest.mark.parametrize(
        "changed",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
            {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
            {"Sec-Purpose": "prefetch"},
        ],
        ids=lambda changed: " ".join(changed.values()),
    )
    def test_in_the_background(
        self, shop: Domain, blog: Domain, person: Browser, changed: dict[str, str]
    ) -> None:
        frame = sign_in(person, shop)
        page = person.tab().get(frame, headers={**HIDDEN, **changed})
        assert len(page.hops) == 1
        assert blog.user_of(person) is None
        assert in_frame(person, frame).status == 204, "nothing was used up"

    def test_for_an_error(self, shop: Domain, blog: Domain, person: Browser) -> None:
        page = person.get(f"{blog.callback}?error=access_denied&state={shop.state(person)}")
        assert refused(page)

    @pytest.mark.parametrize("query", ["", "code=a&code=b&state=c", "code=a"])
    def test_in_a_frame_with_a_malformed_callback(self, blog: Domain, person: Browser, query: str) -> None:
        page = person.get(f"{blog.callback}?{query}", headers=HIDDEN)
        assert page.status == 200
        assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]

    def test_where_it_is_off(self, shop: Domain, make_domain: MakeDomain, person: Browser) -> None:
        blog = make_domain(1, CENTRALAUTH_AUTOLOGIN_DOMAINS=None, CENTRALAUTH_AUTOLOGIN_KEY=None)
        frame = sign_in(person, shop)
        assert refused(person.tab().get(frame))
        assert in_frame(person, frame).status == 200, "the page that breaks out"
        assert blog.user_of(person) is None

    def test_where_it_is_off_at_the_first(
        self, make_domain: MakeDomain, blog: Domain, person: Browser
    ) -> None:
        shop = make_domain(0, CENTRALAUTH_AUTOLOGIN_DOMAINS=None, CENTRALAUTH_AUTOLOGIN_KEY=None)
        assert refused(person.tab().get(sign_in(person, shop)))

    def test_where_this_domain_is_not_listed(
        self, shop: Domain, make_domain: MakeDomain, person: Browser
    ) -> None:
        blog = make_domain(1, CENTRALAUTH_AUTOLOGIN_DOMAINS=[shop.url, "https://another.example"])
        assert refused(person.tab().get(sign_in(person, shop)))
        assert blog.user_of(person) is None

    def test_with_another_key(self, shop: Domain, make_domain: MakeDomain, person: Browser) -> None:
        make_domain(1, CENTRALAUTH_AUTOLOGIN_KEY=KEY[::-1])
        assert refused(person.tab().get(sign_in(person, shop)))


def test_embedded_login_still_breaks_out(shop: Domain, person: Browser, emulator: Emulator) -> None:
    own = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-origin"}
    started = person.tab().get(f"{shop.url}/api/auth/login?embed=1", headers=own, follow=False)
    callback = emulator.authorize(started.last.location or "", referer=shop.url)
    page = person.get(callback, headers=HIDDEN)
    assert 'target="_top"' in page.text
    assert shop.user_of(person) is None


def test_login_page_that_asks_after_all_signs_nobody_in(
    shop: Domain, blog: Domain, person: Browser, emulator: Emulator
) -> None:
    frame = sign_in(person, shop)
    emulator.configure(autologin=False)
    page = in_frame(person, frame)
    assert page.url.startswith(f"{emulator.url}/login")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert blog.user_of(person) is None


def test_store_that_is_down_is_told(
    shop: Domain, blog: Domain, person: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_args: object) -> bool:
        raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "down")

    frame = sign_in(person, shop)
    monkeypatch.setattr(blog.app.extensions["centralauth"].logins, "claim", down)
    assert in_frame(person, frame).status == 503


def test_where_referrers_are_checked_centralauth_has_to_allow_itself(
    shop: Domain, blog: Domain, person: Browser, emulator: Emulator
) -> None:
    """A frame of CentralAuth's page has that page as its referrer, redirects included."""
    framed = {**HIDDEN, "Referer": f"{emulator.url}/"}
    links = [sign_in(person, shop), sign_in(Browser(emulator, user=None), shop)]
    emulator.configure(check_referrer=True)
    assert person.tab().get(links[0], headers=framed).url.startswith(f"{emulator.url}/login?")
    assert blog.user_of(person) is None
    emulator.configure(whitelist=[shop.url, blog.url, emulator.url])
    assert person.tab().get(links[1], headers=framed).status == 204
    assert blog.user_of(person) == "alice@example.com"
