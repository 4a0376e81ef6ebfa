"""Attacks 1 to 18 and 21: state, PKCE and code, and logins nobody asked for."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final
from urllib.parse import quote, urlsplit

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_centralauth.emulator import Emulator

from ..browser_client import Browser
from ..conftest import MakeApp, RunServer
from ..raw_http import PAGE_VISIT, ask
from .conftest import MakeTarget
from .marks import attack
from .target import ALICE, BOB, Target, assert_refused, query_of


@attack(1, "A callback counts only with the signed cookie of the attempt whose digest matches its state.")
@pytest.mark.parametrize("change", ["foreign", "missing", "empty", "forged"])
def test_login_csrf(target: Target, change: str) -> None:
    attacker = target.person(BOB)
    url = target.start(attacker)
    state = query_of(url)["state"][0]
    url = {
        "foreign": url,
        "missing": re.sub(r"[?&]state=[^&]*", "", url).replace("/callback&", "/callback?"),
        "empty": url.replace(state, ""),
        "forged": url.replace(state, "FORGED"),
    }[change]
    target.emulator.requests.clear()
    assert_refused(target.browser.get(url))
    assert target.who() is None
    assert target.calls() == []


@attack(1)
def test_login_csrf_leaves_the_victims_login_alone(target: Target) -> None:
    url = target.start(target.person(BOB))
    target.log_in()
    target.browser.get(url)
    assert target.who() == ALICE
    assert "verify" not in target.calls()


@attack(2, "Without the browser's own attempt there is no verifier, and nothing is asked.")
def test_constant_verifier(target: Target) -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"undefined").digest()).rstrip(b"=").decode()
    callback = f"{target.url}/api/auth/callback"
    login = (
        f"{target.emulator.url}/login?client_id={target.emulator.client_id}&response_type=code&state=x"
        f"&redirect_uri={quote(callback, safe='')}&code_challenge={challenge}&code_challenge_method=S256"
    )
    stolen = target.emulator.authorize(login, user=BOB)
    target.emulator.requests.clear()
    for url in (stolen, stolen.replace("state=x", ""), f"{callback}?code={query_of(stolen)['code'][0]}"):
        assert_refused(target.browser.get(url))
    assert target.calls() == []
    assert target.who() is None


@attack(3, "Only return_to and email are read from the query; state and challenge are made fresh.")
def test_state_fixation_by_parameter(target: Target) -> None:
    fixed = "state=AAAA&code_challenge=BBBB&client_id=evil&redirect_uri=https://evil.example/&nonce=1"
    sent = [query_of(target.get(f"/api/auth/login?{fixed}").location) for _ in range(2)]
    for query in sent:
        assert len(query["state"][0]) >= 22, "128 bits"
        assert query["client_id"] == [target.emulator.client_id]
        assert query["redirect_uri"] == [f"{target.url}/api/auth/callback"]
        assert "nonce" not in query
    assert sent[0]["state"] != sent[1]["state"]
    assert sent[0]["code_challenge"] != sent[1]["code_challenge"]


@attack(
    4,
    "An attempt's cookie goes with its first use, and the store remembers used states.",
    decided="whoever is signed in goes to CENTRALAUTH_AFTER_LOGIN: the attempt, and its return path, "
    "are gone",
)
def test_state_replay(target: Target) -> None:
    url = target.start()
    stolen = target.browser.cookies.copy()
    assert target.browser.get(url).text == ALICE
    target.emulator.requests.clear()
    again = target.browser.get(url, follow=False)
    assert (again.status, again.headers["Location"]) == (303, "/")
    thief = Browser(target.emulator, cookies=stolen)
    assert thief.get(url, follow=False).status == 302, "back to login, as the contract has it"
    assert_refused(Browser(target.emulator).get(url))
    assert target.who(thief) is None
    assert "verify" not in target.calls()


@attack(
    5,
    "The signed attempt carries its time.",
    decided="a login may take 1800 seconds (CENTRALAUTH_LOGIN_LIFETIME), because links in mails live "
    "15 minutes",
)
def test_expired_state(target: Target, later: Callable[[float], None]) -> None:
    url = target.start()
    # A browser would drop it by itself.
    kept = {"Cookie": target.browser.cookies.header(url), **PAGE_VISIT}
    later(1801)
    assert_refused(ask(url, headers=kept))
    assert "verify" not in target.calls()


@attack(6, "The attempt is in the browser, so another browser has none; only its owner uses it up.")
def test_cross_session_state(target: Target) -> None:
    attacker = target.person(BOB)
    url = target.start(attacker)
    assert_refused(target.browser.get(url))
    assert target.who() is None
    assert attacker.get(url).text == BOB, "the victim's try did not burn it"


@attack(
    7, "Purpose and user are in the signed attempt; its signature is salted with client, service and prefix."
)
def test_cross_purpose_transaction(target: Target) -> None:
    target.log_in()
    parallel = target.start()
    affirm = target.browser.get(target.auth("affirm"), follow=False)
    affirmed = target.authorize(affirm.last, target.browser)
    mixed = affirmed.replace(query_of(affirmed)["state"][0], query_of(parallel)["state"][0])
    target.emulator.requests.clear()
    # The code of one with the verifier of the other: the service refuses it, and both attempts stay apart.
    target.browser.get(mixed, follow=False)
    assert [entry.error_code for entry in target.emulator.requests.of("verify")] == ["codeChallengeInvalid"]
    assert target.who() == ALICE
    assert target.browser.get(target.start()).text == ALICE


def _mounted(live_server: RunServer, emulator: Emulator, **apps: Flask) -> tuple[str, Browser]:
    empty = Flask("empty")
    server = live_server(DispatcherMiddleware(empty, {f"/{name}": app for name, app in apps.items()}))
    return server.url, Browser(emulator)


@attack(7)
def test_a_login_started_at_another_client(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    url, browser = _mounted(
        live_server, emulator, one=make_app(), two=make_app(CENTRALAUTH_CLIENT_ID="another-organization")
    )
    started = browser.get(f"{url}/one/api/auth/login", follow=False)
    callback = emulator.authorize(started.last.location or "", ip=browser.ip, user_agent=browser.user_agent)
    emulator.requests.clear()
    assert_refused(browser.get(callback.replace("/one/", "/two/")))
    assert not emulator.requests.api
    assert browser.get(callback).status == 200, "the login at the first is as good as before"


@attack(7)
def test_a_login_started_at_another_mount_of_the_same_client(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    url, browser = _mounted(live_server, emulator, one=make_app(), two=make_app())
    started = browser.get(f"{url}/one/api/auth/login", follow=False)
    callback = emulator.authorize(started.last.location or "", ip=browser.ip, user_agent=browser.user_agent)
    emulator.requests.clear()
    assert_refused(browser.get(callback.replace("/one/", "/two/"), follow=False))
    assert not emulator.requests.api


MALFORMED: Final = {
    "state twice": "state={state}&state=bad&code={code}",
    "code twice": "state={state}&code={code}&code=b",
    "no code": "state={state}&code=",
    "code and error": "state={state}&code={code}&error=genericError",
    "an array": "state={state}&code[]={code}",
    "nul": "state={state}&code=%00",
    "no utf-8": "state={state}&code=%ff",
    "a long state": f"state={'a' * 50_000}&code={{code}}",
    "a long code": f"state={{state}}&code={'a' * 4_000}",
    "many parameters": "state={state}&code={code}&" + "&".join(f"a{number}" for number in range(5_000)),
    "a semicolon": "state={state};code={code}",
}


@attack(8, "A callback has each parameter once, of bounded length and visible ASCII; else nothing is asked.")
@pytest.mark.parametrize("query", MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_callbacks(target: Target, query: str) -> None:
    good = query_of(target.start())
    target.emulator.requests.clear()
    url = target.auth("callback", query.format(state=good["state"][0], code=good["code"][0]))
    assert_refused(target.browser.get(url, follow=False))
    assert target.calls() == []
    posted = ask(url, method="POST", headers=PAGE_VISIT, body=b"code=a&state=b")
    assert posted.status in (405, 414)
    assert target.calls() == []


@attack(8)
def test_one_parameter_ten_thousand_times(target: Target) -> None:
    url = target.start()
    assert_refused(target.browser.get(url + "&a=1" * 10_000, follow=False))


FRAMES: Final = ("iframe", "image", "script", "object", "embed", "empty")


@attack(
    9,
    "Images, frames, scripts and fetches of /login start nothing; a link does, and changes nothing yet.",
    decided="a frame on a page of this very origin may show it, with embed=1",
)
@pytest.mark.parametrize("destination", FRAMES)
def test_forced_login(target: Target, destination: str) -> None:
    mode = "navigate" if destination in ("iframe", "object", "embed") else "no-cors"
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    for query in ("", "?embed=1"):
        answer = target.get(f"/api/auth/login{query}", headers)
        assert answer.status == 401
        assert "Location" not in answer.headers
        assert "Set-Cookie" not in answer.headers


@attack(9)
def test_a_link_from_another_site_changes_nothing_yet(target: Target) -> None:
    target.log_in()
    target.browser.page = None
    assert target.browser.get(target.auth("login"), follow=False).status == 302
    assert target.who() == ALICE


@attack(10, "Background requests set no cookie, so they push no attempt out.")
def test_login_eviction(target: Target) -> None:
    url = target.start()
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    for number in range(50):
        target.browser.fetch(target.auth("login", str(number)), headers=image)
    assert target.browser.get(url).text == ALICE


@attack(11, "S256 is fixed in the code, and a code is redeemed only with its attempt's verifier.")
def test_pkce_downgrade(
    make_target: MakeTarget, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.fail("discovery", patch={"code_challenge_methods_supported": ["plain"]}, times=None)
    target = make_target(CENTRALAUTH_CODE_CHALLENGE_METHOD="plain")
    assert "CENTRALAUTH_CODE_CHALLENGE_METHOD is not a setting" in caplog.text
    target.log_in()
    sent = target.browser.get(target.auth("login"), follow=False)
    assert query_of(sent.last.location)["code_challenge_method"] == ["S256"]


@attack(11)
def test_every_exchange_has_its_verifier(target: Target) -> None:
    target.browser.get(f"{target.url}/private")
    challenge = target.emulator.requests.one("login").query["code_challenge"]
    verifier = target.emulator.requests.one("verify").form["code_verifier"]
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert made == challenge


@attack(12, "The request carries the attempt's own verifier, so the service refuses a foreign code.")
def test_code_injection(target: Target) -> None:
    stolen = query_of(target.start())["code"][0]
    attacker = target.person(BOB)
    own = target.start(attacker)
    target.emulator.requests.clear()
    attacker.get(own.replace(query_of(own)["code"][0], stolen), follow=False)
    assert target.emulator.requests.one("verify").error_code == "codeChallengeInvalid"
    assert target.who(attacker) is None


@attack(13, "The store lets one of any number of parallel callbacks through.")
def test_parallel_callbacks(target: Target) -> None:
    url = target.start()
    together = Barrier(4)

    def click(_number: int) -> int:
        tab = Browser(target.emulator, cookies=target.browser.cookies.copy())
        together.wait(10)
        return tab.get(url, follow=False).status

    with ThreadPoolExecutor(4) as threads:
        statuses = sorted(threads.map(click, range(4)))
    assert statuses == [302, 302, 302, 303], "the others are sent back to login"
    assert target.calls().count("verify") == 1


@attack(14, "Where iss is there, it equals the configured service exactly, also beside an error.")
@pytest.mark.parametrize(
    "issuer", ["https://evil.example", "{own}/", "{own}.evil.example", "{own}&iss={own}", ""]
)
@pytest.mark.parametrize("reported", ["code", "error"])
def test_mix_up(target: Target, issuer: str, reported: str) -> None:
    url = target.start()
    if reported == "error":
        url = target.auth("callback", f"error=genericError&state={query_of(url)['state'][0]}")
    target.emulator.requests.clear()
    assert_refused(target.browser.get(f"{url}&iss={issuer.format(own=target.emulator.url)}", follow=False))
    assert target.calls() == []


@attack(15, "State and verifier are 192 and more random bits from the system, each made for itself.")
def test_weak_secrets(target: Target) -> None:
    client = target.app.test_client(use_cookies=False)
    states, challenges = set(), set()
    for _ in range(1000):
        query = query_of(client.get("/api/auth/login").headers["Location"])
        states.add(query["state"][0])
        challenges.add(query["code_challenge"][0])
    assert len(states) == len(challenges) == 1000
    assert len({state[:12] for state in states}) > 990, "no common beginning"
    for _ in range(20):
        target.browser.get(target.auth("login"))
    verifiers = {entry.form["code_verifier"] for entry in target.emulator.requests.of("verify")}
    assert len(verifiers) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)
    assert len({verifier[:6] for verifier in verifiers}) == 20


@pytest.fixture
def https_target(make_target: MakeTarget) -> Target:
    """The application at https://app.example, behind a proxy."""
    target = make_target(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback")
    target.app.wsgi_app = ProxyFix(target.app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    return target


def _at_https(target: Target, user: str) -> Browser:
    return target.person(user, routes={"https://app.example": target.url})


@attack(
    16,
    "Attempts are in signed __Host- cookies; what a sibling domain plants has no signature.",
    decided="an attempt is a signed cookie, and a planted one of its name is passed over for the right one",
)
def test_cookie_tossing_of_made_up_values(https_target: Target) -> None:
    victim = _at_https(https_target, ALICE)
    started = victim.get("https://app.example/api/auth/login?return_to=/private", follow=False)
    url = https_target.authorize(started.last, victim)
    name = next(cookie.name for cookie in victim.cookies if cookie.name.startswith("__Host-centralauth_"))
    headers = {
        "Cookie": f"{name}=planted; code_verifier=known; " + victim.cookies.header("https://app.example/")
    }
    assert victim.get(url, headers=headers, follow=False).status == 303


#: In place of ``__Host-``: what a browser does not take for it, and a server might.
PREFIXES: Final = (
    "",
    "__host-",
    "__HOST-",
    "__Secure-",
    "__Host__",
    "\xa0__Host-",
    "\xe2\x80\x80__Host-",
    "%5f_Host-",
)


@attack(16)
@pytest.mark.parametrize("prefix", PREFIXES, ids=ascii)
def test_cookie_tossing_of_the_attackers_own_attempt(https_target: Target, prefix: str) -> None:
    """The attacker's whole attempt, signature and all, under the name a sibling domain may set."""
    attacker, victim = _at_https(https_target, BOB), _at_https(https_target, ALICE)
    started = attacker.get("https://app.example/api/auth/login?return_to=/private", follow=False)
    url = https_target.authorize(started.last, attacker)
    attempt = next(c for c in attacker.cookies if c.name.startswith("__Host-centralauth_"))
    planted = f"{prefix}{attempt.name.removeprefix('__Host-')}={attempt.value}"
    answer = victim.get(url, headers={"Cookie": planted}, follow=False)
    assert_refused(answer)


@attack(16)
def test_cookie_tossing_of_how_the_attackers_login_went(https_target: Target) -> None:
    """It would tell of a login a moment ago that lost its session: the next one is stopped with a page."""
    attacker, victim = _at_https(https_target, BOB), _at_https(https_target, ALICE)
    attacker.get("https://app.example/private")
    outcome = next(c for c in attacker.cookies if c.name.startswith("__Host-centralauth-outcome_"))
    planted = f"{outcome.name.removeprefix('__Host-')}={outcome.value}"
    login = victim.get("https://app.example/api/auth/login", headers={"Cookie": planted}, follow=False)
    assert (login.status, urlsplit(login.headers["Location"]).path) == (302, "/login")


@attack(16)
def test_an_attempt_under_the_name_of_another_state(target: Target) -> None:
    """The signature is good and the name fits: only the digest inside tells whose state it is."""
    attacker = target.person(BOB)
    target.start(attacker)
    url = target.start(target.person(BOB))
    own = next(cookie for cookie in attacker.cookies if cookie.name.startswith("centralauth_"))
    digest = hashlib.sha256(query_of(url)["state"][0].encode()).hexdigest()
    renamed = f"{own.name.rpartition('_')[0]}_{digest[:16]}={own.value}"
    target.emulator.requests.clear()
    answer = ask(url, headers={**PAGE_VISIT, "Cookie": renamed})
    assert_refused(answer)
    assert target.calls() == []


@attack(17, "An attempt is dropped at its first callback, whatever came of it.")
def test_a_verifier_counts_once(target: Target) -> None:
    url = target.start()
    code = query_of(url)["code"][0]
    target.browser.get(url.replace(code, "wrong"), follow=False)
    target.emulator.requests.clear()
    target.browser.get(url, follow=False)
    assert "verify" not in target.calls()
    assert target.who() is None


@attack(18, "A login started elsewhere ends nowhere else; and the session id changes at login.")
def test_flow_fixation(target: Target) -> None:
    attacker = target.person(BOB)
    started = attacker.get(target.auth("login"), follow=False)
    # The victim logs in at the address the attacker was given.
    url = target.authorize(started.last, target.browser)
    assert_refused(target.browser.get(url))
    assert target.who() is None
    assert target.who(attacker) is None


@attack(
    21,
    "The organization's setting decides where a mailed link logs in; the emulator plays it, so one "
    "can see it.",
    state="service",
)
def test_a_remote_login_needs_this_browsers_attempt(target: Target) -> None:
    target.emulator.configure(login_method="remote")
    url = target.start()
    assert_refused(target.person(BOB).get(url))
    assert target.browser.get(url).text == ALICE
