"""Two logins in one session: whatever happens to one, the other stays, as long as it was to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import session

from flask_centralauth import CentralAuth
from flask_centralauth.emulator import Emulator
from flask_centralauth.errors import ErrorCode, ServiceUnavailable
from flask_centralauth.testing import login_as

from .browser_client import Browser
from .browser_page import Page
from .conftest import MakeApp
from .organizations_site import MakeSite, Site

pytest_plugins = ("tests.organizations_fixtures",)

BOTH = ("alice@example.com", "olga@office.example")
#: Seconds after which the last answer of CentralAuth does not do any more, not even while it is slow.
NO_LAST_ANSWER = 361
TEN_MINUTES = {"expires_in": 600, "expires_at": None}


@contextmanager
def in_thread(work: Callable[[], Page]) -> Iterator[list[Page]]:
    """Run something beside the block; what it got is in the list after the block."""
    got: list[Page] = []
    thread = threading.Thread(target=lambda: got.append(work()))
    thread.start()
    yield got
    thread.join()


class TestLateEnd:
    """A login ends in a request that has read its session long before."""

    @pytest.fixture
    def late(self, pair: Site, office: Emulator) -> Callable[[Callable[[], None]], Page]:
        """Let staff's login end in a background request, and do something before it is answered."""

        def run(meanwhile: Callable[[], None]) -> Page:
            pair.both()
            pair.clock.advance(NO_LAST_ANSWER)
            held = office.fail("userinfo", error_code="sessionInactive", hang=True)
            tab = pair.office_tab.tab()
            with in_thread(lambda: tab.fetch(f"{pair.server.url}/office/")) as got:
                held.wait()
                meanwhile()
                held.release()
            return got[0]

        return run

    def test_keeps_a_login_that_began_meanwhile(
        self, pair: Site, late: Callable[[Callable[[], None]], Page]
    ) -> None:
        def as_bob() -> None:
            pair.shop_tab.user = "bob@example.com"
            pair.shop("/api/auth/login?return_to=/cart")

        assert late(as_bob).status == 401
        assert pair.who() == ("bob@example.com", None)

    def test_keeps_a_logout_that_came_meanwhile(
        self, pair: Site, late: Callable[[Callable[[], None]], Page]
    ) -> None:
        def sign_out() -> None:
            tab = pair.shop_tab.tab()
            tab.get(f"{pair.server.url}/cart")
            tab.submit(f"{pair.server.url}/api/auth/logout", follow=False)

        assert late(sign_out).status == 401
        assert pair.who() == (None, None)
        assert pair.shop("/cart").json() is None

    def test_of_many_requests_at_once_is_one(self, pair: Site, office: Emulator) -> None:
        """Whichever answer comes last, its cookie is of a session with the other login."""
        pair.both()
        pair.clock.advance(NO_LAST_ANSWER)
        held = office.fail("userinfo", error_code="sessionInactive", hang=True, times=None)
        tabs = [pair.office_tab.tab() for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            pages = pool.map(lambda tab: tab.fetch(f"{pair.server.url}/office/"), tabs)
            held.wait()
            held.release()
            assert {page.status for page in pages} == {401}
        assert pair.who() == ("alice@example.com", None)


class TestLogoutWithoutLogin:
    @pytest.mark.parametrize("how", ["form", "method"])
    def test_takes_nothing_from_who_is_signed_in_at_the_other(self, pair: Site, how: str) -> None:
        pair.shop()
        before = pair.session_id
        if how == "form":
            pair.sign_out("/api/auth/staff")
        else:
            assert pair.shop("/shop/leave-office").text == "alice@example.com None"
        assert pair.shop("/cart").json() == ["socks"]
        assert pair.session_id == before
        assert pair.who() == ("alice@example.com", None)


class TestToken:
    def test_that_is_over_leaves_the_other(self, pair: Site, office: Emulator) -> None:
        office.fail("verify", action="patch", patch=TEN_MINUTES)
        pair.both()
        pair.clock.advance(601)
        assert pair.who() == ("alice@example.com", None)
        pair.clock.advance(7200)
        assert pair.shop().text == "alice@example.com"

    def test_that_is_over_is_not_remembered_longer(self, make_pair: MakeSite, office: Emulator) -> None:
        """The session stays in the store for the other's sake."""
        pair = make_pair(STAFF_CENTRALAUTH_USER_TTL=3600)
        office.fail("verify", action="patch", patch=TEN_MINUTES)
        pair.both()
        pair.clock.advance(599)
        assert pair.who() == BOTH
        pair.clock.advance(2)
        # Others keep the process busy, and what it remembers up to date.
        Browser(pair.office_tab.emulator, user="alice@example.com").get(f"{pair.server.url}/office/")
        assert pair.who() == ("alice@example.com", None)

    def test_that_is_over_leaves_nothing_of_its_user(self, pair: Site, office: Emulator) -> None:
        office.fail("verify", action="patch", patch=TEN_MINUTES)
        pair.both()
        assert pair.shop("/cart").json() == ["socks"]
        pair.clock.advance(601)
        assert pair.shop("/cart").json() is None
        assert pair.who() == ("alice@example.com", None)

    def test_that_is_over_again_and_again_leaves_nothing_behind(self, pair: Site, office: Emulator) -> None:
        pair.shop()
        for _ in range(3):
            office.fail("verify", action="patch", patch=TEN_MINUTES)
            pair.office()
            pair.clock.advance(601)
        pair.office()
        with opened(pair) as content:
            assert len(content.centralauth.companions) == 2

    def test_of_the_first_login_does_not_end_the_second(self, pair: Site, emulator: Emulator) -> None:
        emulator.fail("verify", action="patch", patch=TEN_MINUTES)
        pair.both()
        pair.clock.advance(601)
        assert pair.who() == (None, "olga@office.example")

    def test_of_the_login_that_stays_still_ends_its_session(self, pair: Site, emulator: Emulator) -> None:
        """The other one had no end, and is gone: the store need not keep the session any longer."""
        emulator.fail("verify", action="patch", patch=TEN_MINUTES)
        pair.both()
        pair.sign_out("/api/auth/staff")
        with opened(pair) as content:
            assert content.centralauth.until is not None


@contextmanager
def opened(pair: Site) -> Iterator[Any]:
    """The browser's session as the application opens it."""
    with pair.app.test_request_context(headers={"Cookie": pair.session_id or ""}):
        yield session._get_current_object()  # type: ignore[attr-defined]


def test_login_at_an_object_named_like_our_messages_lasts(emulator: Emulator, make_app: MakeApp) -> None:
    """A session of nothing but messages is soon gone: failed logins must not fill the store."""
    app = make_app()
    app.config.update({f"TEAM_NOTICES_{key}": value for key, value in emulator.config.items()})
    client = app.test_client()
    login_as(client, centralauth=CentralAuth(app, name="team_notices"))
    cookie = client.get_cookie("session")
    assert cookie is not None
    with app.test_request_context(headers={"Cookie": f"session={cookie.value}"}):
        seconds = app.session_interface._seconds_left(app, session)  # type: ignore[attr-defined]
    assert seconds > 7200


class TestUntilTheBrowserIsClosed:
    @pytest.fixture
    def pair(self, make_pair: MakeSite) -> Site:
        pair = make_pair()

        @pair.app.get("/do-not-remember-me")
        def forget() -> str:
            session.permanent = False
            return ""

        return pair

    def test_stays_so_when_the_other_login_ends(self, pair: Site) -> None:
        pair.both()
        pair.shop("/do-not-remember-me")
        pair.sign_out("/api/auth/staff")
        cookie = pair.shop_tab.cookies.get("session")
        assert cookie is not None
        assert cookie.expires is None


class TestAffirmation:
    def test_whose_login_ended_meanwhile_keeps_what_began_since(self, pair: Site, office: Emulator) -> None:
        """The logout won; the late callback has nothing to say of the session there is now."""
        an_hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
        office.fail("userinfo", patch={"affirmationDate": an_hour_ago.isoformat()})
        pair.both()
        reached, go_on = threading.Event(), threading.Event()

        @pair.staff.on_login
        def hold(_user: object) -> None:
            reached.set()
            assert go_on.wait(10)

        with in_thread(lambda: pair.office_tab.tab().get(f"{pair.server.url}/vault", follow=True)) as got:
            assert reached.wait(10)
            pair.app.extensions["staff_centralauth"].login_hooks.clear()
            pair.sign_out("/api/auth/staff")
            pair.shop_tab.user = "bob@example.com"
            pair.shop("/api/auth/login")
            go_on.set()
        assert got[0].text == "olga@office.example", "signed in anew"
        assert pair.who() == ("bob@example.com", "olga@office.example")


class TestTabs:
    """The browser opens yesterday's tabs, all at once."""

    def test_that_sign_in_at_once_are_all_in_after_one_more_visit(self, pair: Site) -> None:
        barrier = threading.Barrier(2)

        def meet(_user: object) -> None:
            barrier.wait(10)

        pair.customers.on_login(meet)
        pair.staff.on_login(meet)
        tabs = [(pair.shop_tab.tab(), "/shop/"), (pair.office_tab.tab(), "/office/")]
        with ThreadPoolExecutor(2) as pool:
            for page in pool.map(lambda tab: tab[0].get(f"{pair.server.url}{tab[1]}", follow=True), tabs):
                assert page.status == 200, page.text
                for hooks in (pair.customers, pair.staff):
                    hooks._login_hooks.clear()
        assert (pair.shop().text, pair.office().text) == BOTH
        assert pair.who() == BOTH

    def test_login_at_one_and_logout_at_the_other_at_once(self, pair: Site) -> None:
        pair.office()
        reached, go_on = threading.Event(), threading.Event()

        @pair.customers.on_login
        def hold(_user: object) -> None:
            reached.set()
            assert go_on.wait(10)

        with in_thread(lambda: pair.shop_tab.tab().get(f"{pair.server.url}/shop/")) as got:
            assert reached.wait(10)
            pair.sign_out("/api/auth/staff")
            go_on.set()
        assert got[0].text == "alice@example.com"
        assert pair.who() == ("alice@example.com", None)


class TestStoreFails:
    """Whatever operation of the store fails while one login ends or begins, the other is in afterwards."""

    @pytest.mark.parametrize("operation", ["get_many", "put", "delete"])
    def test_while_one_ends(self, pair: Site, operation: str) -> None:
        def sign_out() -> None:
            tab = pair.office_tab.tab()
            tab.get(f"{pair.server.url}/cart")
            tab.submit(f"{pair.server.url}/api/auth/staff/logout", follow=False)

        self.try_each(pair, operation, sign_out)

    @pytest.mark.parametrize("operation", ["get_many", "put", "delete", "add"])
    def test_while_one_begins(self, pair: Site, office: Emulator, operation: str) -> None:
        pair.both()
        # Asked for before the store fails, one per try.
        logins = [
            office.authorize(
                pair.office_tab.get(f"{pair.server.url}/api/auth/staff/login", follow=False).last.location
                or "",
                user="olga@office.example",
                user_agent=pair.office_tab.user_agent,
            )
            for _ in range(6)
        ]
        self.try_each(pair, operation, lambda: pair.office_tab.get(logins.pop(), follow=False))

    def try_each(self, pair: Site, operation: str, work: Callable[[], object]) -> None:
        """Let the first call of an operation fail, then the second, and so on to the last."""
        engine = pair.app.session_interface.engine  # type: ignore[attr-defined]
        for failing in range(1, 7):
            pair.both()
            with failing_at(engine, operation, failing) as calls:
                work()
            if len(calls) < failing:
                break
            assert pair.who()[0] == "alice@example.com", f"call {failing} of {operation}"
        assert failing > 1, "never called"


@contextmanager
def failing_at(engine: Any, operation: str, number: int) -> Iterator[list[None]]:
    """Let one call of an operation of the store fail; how many there were, is the length of the list."""
    real: Callable[..., Any] = getattr(engine, operation)
    calls: list[None] = []

    def fails(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == number:
            raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "ordered by the test")
        return real(*arguments)

    setattr(engine, operation, fails)
    try:
        yield calls
    finally:
        delattr(engine, operation)


def test_session_copied_between_keys_is_nobodys(pair: Site) -> None:
    @pair.app.get("/copy")
    def copy() -> str:
        session["_centralauth"] = session["_centralauth.staff"]
        return ""

    pair.office()
    pair.shop("/copy")
    assert pair.who() == (None, "olga@office.example")
    thief = Browser(None, user=None)
    assert thief.fetch(f"{pair.server.url}/shop/", headers={"Cookie": pair.session_id or ""}).status == 401
