"""Attacks 19 and 20: logins by mail, in browsers that did and did not ask for them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final
from urllib.parse import quote

import pytest
import requests
from werkzeug.middleware.proxy_fix import ProxyFix

from ..browser_client import Browser
from ..browser_page import Form
from ..raw_http import PAGE_VISIT, ask
from .conftest import MakeTarget
from .mail import add_mail_form, ask_for_mail, mail_of
from .marks import attack
from .target import ALICE, BOB, EVIL, Target, assert_refused, query_of

QUESTION: Final = "Sign in here?"
FORM: Final = "application/x-www-form-urlencoded"


@pytest.fixture
def target(make_target: MakeTarget) -> Target:
    """An application with a form for mails; CentralAuth lets nobody wait for the next one."""
    target = make_target()
    add_mail_form(target.app)
    target.emulator.configure(mail_wait=0)
    return target


@attack(
    19,
    "A mailed link logs in where it was asked for; anywhere else a page asks first, and only its own "
    "button, in that browser, answers.",
)
@pytest.mark.parametrize("signed_in", [False, True])
def test_a_mailed_link_in_another_browser(target: Target, signed_in: bool) -> None:
    link = mail_of(target, target.person(BOB), BOB)
    if signed_in:
        target.log_in()
    target.emulator.requests.clear()
    page = target.browser.get(link)
    assert (page.status, page.last.location) == (200, None)
    assert QUESTION in page.text
    assert "b***@example.com" in page.text
    assert BOB not in page.text
    assert target.calls() == []
    assert target.who() == (ALICE if signed_in else None)


PRESSES: Final = {
    "another site": {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
    "a sibling domain": {"Sec-Fetch-Site": "same-site", "Origin": "https://evil.app.example"},
    "a browser of old": {"Origin": EVIL},
    "a hidden origin": {"Origin": "null"},
    "only a referrer": {"Referer": f"{EVIL}/press"},
}


@attack(19)
@pytest.mark.parametrize("headers", PRESSES.values(), ids=list(PRESSES))
def test_another_site_presses_the_button(target: Target, headers: dict[str, str]) -> None:
    """Even with everything that is on the page the victim has open."""
    page = target.browser.get(mail_of(target, target.person(BOB), BOB))
    target.emulator.requests.clear()
    assert ask(
        page.forms[0].action,
        method="POST",
        headers={"Cookie": target.browser.cookies.header(page.url), "Content-Type": FORM, **headers},
        body=_body(page.forms[0]),
    ).status == 403  # fmt: skip
    assert target.calls() == []
    assert target.who() is None


def _body(form: Form) -> bytes:
    return "&".join(f"{name}={value}" for name, value in form.fields.items()).encode()


@attack(19)
@pytest.mark.parametrize("token", ["the attacker's", "", "a wrong one"])
def test_the_attackers_form_in_the_victims_browser(target: Target, token: str) -> None:
    attacker = target.person(BOB)
    link = mail_of(target, attacker, BOB)
    stranger = target.person(BOB)
    fields = stranger.get(link).forms[0].fields
    if token != "the attacker's":
        fields = {**fields, "form_token": token}
    for seen in (False, True):
        if seen:
            assert QUESTION in target.browser.get(link).text
        else:
            target.browser.get(f"{target.url}/")
        target.emulator.requests.clear()
        assert_refused(target.browser.submit("/api/auth/confirm", fields, follow=False))
        assert target.calls() == []
    assert target.who() is None


@attack(19)
def test_the_attackers_question_planted_by_a_sibling_domain(make_target: MakeTarget) -> None:
    """The whole cookie, signature and all, under the name that a sibling domain may set."""
    home = "https://app.example"
    target = make_target(CENTRALAUTH_CALLBACK_URL=f"{home}/api/auth/callback")
    target.app.wsgi_app = ProxyFix(target.app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    add_mail_form(target.app)
    attacker, victim = (target.person(who, routes={home: target.url}) for who in (BOB, ALICE))
    attacker.get(f"{home}/sign-in")
    attacker.submit("/sign-in", {"email": BOB})
    attacker.cookies.clear()
    page = attacker.get(target.emulator.mailbox.latest(BOB).link)
    assert QUESTION in page.text
    (question,) = (one for one in attacker.cookies if one.name.startswith("__Host-centralauth_"))
    victim.get(f"{home}/")
    planted = {"Cookie": f"{question.name.removeprefix('__Host-')}={question.value}"}
    target.emulator.requests.clear()
    answer = victim.submit("/api/auth/confirm", page.forms[0].fields, headers=planted, follow=False)
    assert_refused(answer)
    assert target.calls() == []


@attack(19)
@pytest.mark.parametrize("route", ["login", "affirm"])
def test_other_logins_get_no_question_and_no_button(target: Target, route: str) -> None:
    """The way over CentralAuth's page stays with the browser that went it."""
    target.log_in()
    started = target.browser.get(target.auth(route), follow=False)
    url = target.authorize(started.last, target.browser)
    answer = {name: values[0] for name, values in query_of(url).items() if name in ("code", "state")}
    target.emulator.requests.clear()
    stranger = target.person(BOB)
    page = stranger.get(url)
    assert_refused(page)
    assert QUESTION not in page.text
    for browser in (stranger, target.browser):
        browser.get(f"{target.url}/")
        for token in ("", "x"):
            sent = {**answer, "form_token": token}
            assert_refused(browser.submit("/api/auth/confirm", sent, follow=False))
    assert "verify" not in target.calls()
    assert target.who(stranger) is None


@attack(19)
def test_where_it_was_asked_for_there_is_no_button(target: Target) -> None:
    """The attempt of the browser that asked has no form token, so an empty one does not fit."""
    link = mail_of(target, target.browser)
    answer = {name: values[0] for name, values in query_of(link).items()}
    target.browser.get(f"{target.url}/")
    target.emulator.requests.clear()
    for token in ("", "None"):
        sent = {**answer, "form_token": token}
        assert_refused(target.browser.submit("/api/auth/confirm", sent, follow=False))
    assert target.calls() == []
    assert target.browser.get(link).status == 200
    assert target.who() == ALICE


@attack(19)
def test_two_browsers_press_at_once(target: Target) -> None:
    link = mail_of(target, target.person())
    browsers = [target.person() for _ in range(4)]
    forms = [browser.get(link).forms[0] for browser in browsers]
    target.emulator.requests.clear()
    together = Barrier(4)

    def press(browser: Browser, form: Form) -> int:
        together.wait(10)
        return browser.submit(form, follow=False).status

    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(press, browsers, forms))
    assert set(statuses) <= {303, 400}, "a page of the application, login once more, or an error"
    assert target.calls().count("verify") == 1
    assert sorted(map(str, map(target.who, browsers))) == ["None", "None", "None", ALICE]


@attack(19)
def test_a_link_after_fifteen_minutes(target: Target, later: Callable[[float], None]) -> None:
    link = mail_of(target, target.person())
    page = target.browser.get(link)
    kept = {"Cookie": target.browser.cookies.header(link), "Content-Type": FORM}
    later(1030)
    assert QUESTION not in target.person().get(link).text
    pressed = ask(page.forms[0].action, method="POST", headers=kept, body=_body(page.forms[0]))
    assert_refused(pressed)
    assert "verify" not in target.calls()


@attack(19)
@pytest.mark.parametrize("code", ['"><script>alert(1)</script>', "'onmouseover='alert(1)", "{{7*7}}"])
def test_markup_in_the_question(target: Target, code: str) -> None:
    link = mail_of(target, target.person(BOB), BOB)
    page = target.browser.get(link.replace(query_of(link)["code"][0], quote(code)))
    assert QUESTION in page.text
    assert code not in page.text.replace("{{7*7}}", "")
    assert page.forms[0].fields["code"] == code
    assert "script-src" not in page.headers["Content-Security-Policy"]


@attack(12)
@pytest.mark.parametrize("way", ["asked here", "asked elsewhere"])
def test_a_stolen_code_without_its_verifier(target: Target, way: str) -> None:
    """An attacker's login by mail has no verifier; a code of the victim's login page still needs its own."""
    stolen = query_of(target.start())["code"][0]
    attacker = target.person(BOB)
    link = mail_of(target, attacker, BOB)
    link = link.replace(query_of(link)["code"][0], stolen)
    if way == "asked elsewhere":
        attacker.cookies.clear()
    target.emulator.requests.clear()
    page = attacker.get(link, follow=False)
    if way == "asked elsewhere":
        attacker.submit(page.forms[0], follow=False)
    assert target.emulator.requests.one("verify").error_code is not None
    assert target.who(attacker) is None


@attack(10)
def test_questions_nobody_sees_push_no_login_out(target: Target, later: Callable[[float], None]) -> None:
    links = [mail_of(target, target.person(BOB), f"person{number}@example.com") for number in range(6)]
    url = target.start()
    later(2)
    image = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    for link in links:
        target.browser.get(link, headers=image, follow=False)
    assert target.browser.get(url).text == ALICE


@attack(
    20,
    "No link and no other site sends a mail; five go to an address and twenty for a client in fifteen "
    "minutes, and every address gets the same answer.",
    decided="email is read from the query of /login, where it only fills in a field",
)
def test_opening_a_page_sends_no_mail(target: Target) -> None:
    for _ in range(20):
        answer = target.get("/api/auth/login?email=victim@example.com")
        requests.get(answer.headers["Location"], timeout=5)
    assert len(target.emulator.mailbox) == 0
    for wrong in ("x" * 250 + "@example.com", "victim", "a@b%0d%0aBcc:c@d", "a@b&email=c@d%00"):
        assert "%0d" not in (sent := target.get(f"/api/auth/login?email={wrong}").headers["Location"]).lower()
        assert not any("\0" in value for values in query_of(sent).values() for value in values)
    assert target.calls() == []


@attack(20)
@pytest.mark.parametrize("headers", PRESSES.values(), ids=list(PRESSES))
def test_another_site_asks_for_mails(target: Target, headers: dict[str, str]) -> None:
    sent = ask(
        f"{target.url}/sign-in",
        method="POST",
        headers={**PAGE_VISIT, "Content-Type": FORM, **headers},
        body=b"email=victim@example.com",
    )
    assert sent.status == 403
    assert "Set-Cookie" not in sent.headers
    assert target.calls() == []


def _ask(target: Target, address: str, ip: str = "127.0.0.1", **headers: str) -> int:
    """Ask from an address of the attacker's choice, without any cookie."""
    client = target.app.test_client(use_cookies=False)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(
        "/sign-in", data={"email": address}, headers=sent, environ_base={"REMOTE_ADDR": ip}
    ).status_code


@attack(20)
def test_a_hundred_mails_for_one_address(target: Target) -> None:
    """From everywhere, and at once."""
    spellings = ("victim@example.com", "VICTIM@example.com", " victim@example.com ", "Victim@EXAMPLE.com")
    with ThreadPoolExecutor(8) as threads:
        statuses = list(
            threads.map(
                lambda number: _ask(target, spellings[number % 4], ip=f"198.51.100.{number}"), range(100)
            )
        )
    assert sorted(statuses) == [200] * 5 + [429] * 95
    assert len(target.emulator.mailbox) == 5


@attack(20)
@pytest.mark.parametrize(
    "spelling",
    ["victim@ｅxample.com", "victim@example.com.", "victim@example。com", "victim@exam\u00adple.com"],
    ids=ascii,
)
def test_other_spellings_of_one_mailbox(target: Target, spelling: str) -> None:
    for number in range(6):
        _ask(target, "victim@example.com", ip=f"198.51.100.{number}")
    assert _ask(target, spelling, ip="198.51.100.99") != 200


@attack(20)
def test_a_thousand_addresses_from_one_client(target: Target) -> None:
    headers = [{"X_Forwarded_For": f"203.0.113.{number}", "User_Agent": f"b{number}"} for number in range(40)]
    statuses = [_ask(target, f"p{number}@example.com", **sent) for number, sent in enumerate(headers)]
    assert statuses == [200] * 20 + [429] * 20
    by_v6 = [_ask(target, f"q{number}@example.com", ip=f"2001:db8::{number:x}") for number in range(21)]
    assert by_v6 == [200] * 20 + [429]


@attack(20)
def test_who_has_an_account(target: Target) -> None:
    target.emulator.configure(enable_user_creation=False)
    target.emulator.add_user(email=ALICE)
    known, unknown = (ask_for_mail(target, target.person(), who) for who in (ALICE, "nobody@example.com"))
    assert (known.status, known.text) == (unknown.status, unknown.text) == (200, "Look into your mailbox.")
    assert [name for name, _value in known.headers] == [name for name, _value in unknown.headers]
    assert [mail.to for mail in target.emulator.mailbox] == [ALICE]


@attack(20)
def test_the_date_centralauth_gives_is_kept(target: Target) -> None:
    target.emulator.configure(mail_wait=60)
    for number in range(5):
        assert _ask(target, ALICE, ip=f"198.51.100.{number}") == 200
    assert target.calls() == ["authenticate_direct"]
    assert len(target.emulator.mailbox) == 1
