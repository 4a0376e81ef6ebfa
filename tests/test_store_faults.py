"""Each operation of the store in turn is the one that fails: once, and from then on.

Whatever a request was about, its answer is one of ours, its incident is told once, and nobody is
somebody else afterwards.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from flask_centralauth import ErrorCode, ServiceUnavailable, signals
from flask_centralauth.engines import EmbeddedEngine

from .attacks.mail import add_mail_form
from .browser_client import Browser
from .browser_page import Page
from .error_site import MakeSite, Site

pytest_plugins = ("tests.error_fixtures",)

OPERATIONS: Final = ("get_many", "put", "add", "replace", "touch", "delete")
SIGNALS: Final = ("user_logged_in", "user_logged_out", "user_affirmed", "login_failed", "session_ended")
#: More than any request here needs.
MOST: Final = 20
#: Of the page that a mailed link shows where nobody asked for it.
QUESTION: Final = "Sign in here?"

Visit = Callable[[], Page]


class FailingStore:
    """Counts the operations of the embedded store, and lets some fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = 0
        self._fails: Callable[[int], bool] = lambda _number: False
        for name in OPERATIONS:
            monkeypatch.setattr(EmbeddedEngine, name, self._failing(getattr(EmbeddedEngine, name)))

    def fail(self, fails: Callable[[int], bool]) -> None:
        self.done, self._fails = 0, fails

    def _failing(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*args: Any) -> Any:
            self.done += 1
            if self._fails(self.done):
                raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "down", retry_after=5)
            return operation(*args)

        return failing


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FailingStore:
    return FailingStore(monkeypatch)


@pytest.fixture
def site(make_site: MakeSite, store: FailingStore) -> Site:
    site = make_site()
    add_mail_form(site.app)
    return site


@pytest.fixture
def told(site: Site) -> Iterator[list[str]]:
    """The signals that were sent."""
    heard: list[str] = []

    def listener(name: str) -> Callable[..., None]:
        return lambda _sender, **_news: heard.append(name)

    with ExitStack() as listening:
        for name in SIGNALS:
            listening.enter_context(getattr(signals, name).connected_to(listener(name), site.app))
        yield heard


def _page(path: str) -> Callable[[Site], Visit]:
    def prepare(site: Site) -> Visit:
        site.log_in()
        return lambda: site.get(path, follow=False)

    return prepare


def _page_of_ended_session(path: str) -> Callable[[Site], Visit]:
    def prepare(site: Site) -> Visit:
        site.log_in()
        site.emulator.fail("userinfo", error_code="sessionInactive")
        return lambda: site.get(path, follow=False)

    return prepare


def _login(site: Site) -> Visit:
    site.browser.cookies.clear()
    callback = site.callback()
    return lambda: site.browser.get(callback, follow=False)


def _affirmation(site: Site) -> Visit:
    site.log_in()
    callback = site.callback("/api/auth/affirm")
    return lambda: site.browser.get(callback, follow=False)


def _callback_again(site: Site) -> Visit:
    visit = _login(site)
    visit()
    return visit


def _logout(site: Site) -> Visit:
    site.log_in()
    (form,) = site.get("/api/auth/logout").forms
    return lambda: site.browser.submit(form, follow=False)


#: Each mail goes to somebody else: only so many go to one address.
_ADDRESSES: Final = (f"person{number}@example.com" for number in itertools.count())


def _ask_for_mail(site: Site) -> Visit:
    site.browser.cookies.clear()
    site.get("/sign-in")
    form = {"email": next(_ADDRESSES)}
    return lambda: site.browser.submit("/sign-in", form, follow=False)


def _mailed_callback(site: Site) -> str:
    """Where a mail's link leads, asked for in this browser."""
    _ask_for_mail(site)()
    return _latest_callback(site)


def _latest_callback(site: Site) -> str:
    mailbox = Browser(site.emulator, user=None)
    return str(mailbox.get(site.emulator.mailbox.latest().link, follow=False).last.location)


def _mailed_link(site: Site, callback: str) -> Visit:
    return lambda: site.browser.get(callback, follow=False)


def _mailed_link_elsewhere(site: Site, callback: str) -> Visit:
    site.browser.cookies.clear()
    return lambda: site.browser.get(callback, follow=False)


def _button(site: Site, callback: str) -> Visit:
    (form,) = _mailed_link_elsewhere(site, callback)().forms
    return lambda: site.browser.submit(form, follow=False)


MAILED: Final[dict[str, Callable[[Site, str], Visit]]] = {
    "mailed link": _mailed_link,
    "mailed link in another browser": _mailed_link_elsewhere,
    "button of a mailed link": _button,
}


def _of_mail(prepare: Callable[[Site, str], Visit]) -> Callable[[Site], Visit]:
    return lambda site: prepare(site, _mailed_callback(site))


VISITS: Final[dict[str, Callable[[Site], Visit]]] = {
    "guarded page": _page("/private"),
    "open page": _page("/public"),
    "guarded page of an ended session": _page_of_ended_session("/private"),
    "open page of an ended session": _page_of_ended_session("/public"),
    "login": _login,
    "affirmation": _affirmation,
    "callback again": _callback_again,
    "logout": _logout,
    "asking for a mail": _ask_for_mail,
    **{name: _of_mail(prepare) for name, prepare in MAILED.items()},
}


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("prepare", VISITS.values(), ids=VISITS)
def test_whichever_operation_fails(
    site: Site,
    store: FailingStore,
    told: list[str],
    caplog: pytest.LogCaptureFixture,
    prepare: Callable[[Site], Visit],
    lasting: bool,
) -> None:
    for failing in range(1, MOST):
        site.emulator.reset()
        site.browser.user = "alice@example.com"
        visit = prepare(site)
        told.clear()
        caplog.clear()
        store.fail(range(failing, MOST if lasting else failing + 1).__contains__)
        page = visit()
        needed = store.done
        store.fail(lambda _number: False)

        assert page.status in {200, 302, 303, 400, 503}, failing
        records = [record for record in caplog.records if hasattr(record, "centralauth")]
        assert len(records) <= 1, failing
        assert len(told) == len(set(told)), failing
        if {"user_logged_out", "session_ended"} & {*told}:
            assert not site.signed_in(), failing
        if {"user_logged_in", "user_affirmed"} & {*told}:
            assert site.signed_in(), failing
        errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
        if failing > needed:
            assert not errors
            return
        # A redirect, a question, or a link that was used before, may be right without what the store did
        # not say.
        assert errors or page.status in {302, 303, 400} or QUESTION in page.text, failing
    pytest.fail(f"{MOST} operations were not enough")


def _each_failure(
    site: Site, store: FailingStore, prepare: Callable[[Site], Visit], *, lasting: bool
) -> Iterator[Page]:
    """The answer to a visit for each operation that fails, with the store well again."""
    for failing in range(1, MOST):
        site.emulator.reset()
        visit = prepare(site)
        site.emulator.requests.clear()
        store.fail(range(failing, MOST if lasting else failing + 1).__contains__)
        page = visit()
        needed = store.done
        store.fail(lambda _number: False)
        yield page
        if failing > needed:
            return
    pytest.fail(f"{MOST} operations were not enough")


def _open(site: Site, browser: Browser, callback: str) -> bool:
    """Open a mailed link, press the button where there is one, and say whether somebody is in."""
    page = browser.get(callback, follow=False)
    if QUESTION in page.text:
        browser.submit(page.forms[0], follow=False)
    return browser.fetch(f"{site.url}/api/auth/user").json() is not None


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this browser", "another browser"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_who_is_told_of_an_error_got_no_mail_and_the_others_a_good_one(
    site: Site, store: FailingStore, lasting: bool, elsewhere: bool
) -> None:
    for page in _each_failure(site, store, _ask_for_mail, lasting=lasting):
        mails = list(site.emulator.mailbox)
        assert (page.status, len(mails)) in {(200, 1), (503, 0)}
        if mails:
            reader = Browser(site.emulator, user=None) if elsewhere else site.browser
            assert _open(site, reader, _latest_callback(site))


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("prepare", MAILED.values(), ids=MAILED)
def test_a_mailed_link_whose_code_was_not_used_is_as_good_as_before(
    site: Site, store: FailingStore, prepare: Callable[[Site, str], Visit], lasting: bool
) -> None:
    callbacks: list[str] = []

    def noted(site: Site) -> Visit:
        callbacks.append(_mailed_callback(site))
        return prepare(site, callbacks[-1])

    for _page in _each_failure(site, store, noted, lasting=lasting):
        if not site.emulator.requests.count("verify"):
            assert _open(site, site.browser, callbacks[-1])
    assert site.signed_in(), "the last one, when nothing failed"
