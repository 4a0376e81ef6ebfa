"""Native apps and scripts bring a token of their own: no cookie, no session, no redirect."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from flask import Response, jsonify, session

from flask_centralauth import CentralAuth, access_token, auth_required, bearer, current_user
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .browser_page import Hop
from .checked_site import CheckedSite, MakeCheckedSite, at_once
from .conftest import MakeApp
from .raw_http import ask

pytest_plugins = ("tests.checked_fixtures",)

APP = "App/1.0 (Native)"


def token_of(site: CheckedSite, user: str = "bob@example.com", **how: Any) -> str:
    """What a native app has after its own login at CentralAuth."""
    tokens = site.emulator.tokens(user=user, domain=site.url, user_agent=APP, **how)
    return str(tokens["access_token"])


def visit(site: CheckedSite, token: str, path: str = "/who", **headers: str) -> Hop:
    sent = {"Authorization": f"Bearer {token}", "User-Agent": APP}
    sent.update({name.replace("_", "-"): value for name, value in headers.items()})
    return ask(f"{site.url}{path}", headers=sent)


def check_unauthorized(answer: Hop, code: str = "tokenInvalid") -> None:
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["errorCode"] == code
    assert "loginUrl" not in answer.json()
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.fixture
def site(make_checked_site: MakeCheckedSite) -> CheckedSite:
    return make_checked_site()


# Let in


def test_a_token_logs_a_request_in(site: CheckedSite) -> None:
    """AT-20.1."""
    answer = visit(site, token_of(site))
    assert (answer.status, answer.json()) == (200, {"email": "bob@example.com", "stale": False})
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    call = site.emulator.requests.one("userinfo")
    assert (call.headers["User-Agent"], call.headers["auth-ip"]) == (APP, "127.0.0.1")
    assert call.query["domain"] == site.url
    # One request is one login: without the token nobody is there.
    assert ask(f"{site.url}/who").status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(site: CheckedSite, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {token_of(site)}", "User-Agent": APP}
    assert ask(f"{site.url}/who", headers=headers).status == 200


def test_the_device_is_told_and_belongs_to_the_answer(site: CheckedSite) -> None:
    site.emulator.configure(hijack_protection=False)
    token = token_of(site)
    for device in ("phone", "phone", "tablet"):
        assert visit(site, token, device_id=device).status == 200
    devices = [call.headers.get("device-id") for call in site.emulator.requests.of("userinfo")]
    assert devices == ["phone", "tablet"]


def test_a_stolen_token_is_asked_about(site: CheckedSite) -> None:
    token = token_of(site)
    assert visit(site, token).status == 200
    thief = visit(site, token, User_Agent="curl/8")
    check_unauthorized(thief, "sessionInvalid")


def test_a_form_of_an_app_needs_no_session(site: CheckedSite) -> None:
    """AT-20.5: nothing but the token, from wherever it is sent."""
    headers = {
        "Authorization": f"Bearer {token_of(site)}",
        "User-Agent": APP,
        "Origin": "https://elsewhere.example",
        "Sec-Fetch-Site": "cross-site",
    }
    assert ask(f"{site.url}/save", method="POST", headers=headers).text == "saved"


def test_the_user_route_knows_the_app_s_user(site: CheckedSite) -> None:
    assert visit(site, token_of(site), "/api/auth/user").json()["email"] == "bob@example.com"


def test_no_session_is_read_written_or_made(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app()
    seen: list[tuple[bool, bool]] = []

    @app.get("/look")
    @auth_required
    def look() -> Response:
        return jsonify(email=current_user.email)

    @app.after_request
    def note(response: Response) -> Response:
        current: Any = session._get_current_object()  # type: ignore[attr-defined]
        seen.append((current.modified, "_centralauth" in current))
        return response

    token = emulator.tokens(user="bob@example.com", domain="http://localhost", user_agent=APP)["access_token"]
    client = app.test_client()
    answer = client.get("/look", headers={"Authorization": f"Bearer {token}", "User-Agent": APP})
    assert answer.get_json() == {"email": "bob@example.com"}
    assert seen == [(False, False)]


# A cookie beside it


def test_the_token_counts_and_not_the_cookie(site: CheckedSite) -> None:
    """AT-20.4: cookie of Alice, token of Bob: the request is Bob's, Alice's session stays."""
    site.log_in()
    site.who()
    cookie = site.browser.cookies.header(site.url, cross_site=False, safe_navigation=True)
    assert cookie
    # From the browser whose login the process remembers.
    browser = site.browser.user_agent
    tokens = site.emulator.tokens(user="bob@example.com", domain=site.url, user_agent=browser)
    answer = visit(site, str(tokens["access_token"]), Cookie=cookie, User_Agent=browser)
    assert answer.json()["email"] == "bob@example.com"
    assert "Set-Cookie" not in answer.headers
    assert site.who() == ("alice@example.com", False)


INVALID = {
    "nothing": "",
    "one word": "token",
    "two words": "a b",
    "four parts": "a.b.c.d",
    "six parts": "a.b.c.d.e.f",
    "an empty header": ".b.c.d.e",
    "an empty end": "a..c.d.",
    "blanks inside": "a.. c.d.e",
    "other letters": "ä.b.c.d.e",
    "base64 of the other kind": "a+/=.b.c.d.e",
    "two headers in one": "a.b.c.d.e,Bearer a.b.c.d.e",
    "too long": f"a.b.c.{'d' * 8192}.e",
    "very long": f"a.b.c.{'d' * 40_000}.e",
    "a line break": "a.b.c.d.e\n",
}


@pytest.mark.parametrize("token", INVALID.values(), ids=INVALID)
def test_an_invalid_token_is_refused_without_asking_and_without_the_cookie(
    site: CheckedSite, token: str
) -> None:
    """AT-20.2, ATK-97."""
    site.log_in()
    site.who()
    client = site.app.test_client()
    cookie = site.browser.cookies.get("session")
    assert cookie is not None
    client.set_cookie("session", cookie.value)
    # Written into the environment, where a server would put it: http.client refuses some of these.
    answer = client.get(
        "/who",
        environ_overrides={"HTTP_AUTHORIZATION": f"Bearer {token}".encode().decode("latin-1")},
        headers={"Accept": "text/html", "User-Agent": site.browser.user_agent},
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert answer.get_json()["errorCode"] == "tokenInvalid"
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert site.asked == 0
    assert site.who() == ("alice@example.com", False)


@pytest.mark.parametrize(
    "scheme", ["Basic dXNlcjpwYXNz", "Digest username=x", "Token abc", "Bearerish x", ""]
)
def test_other_schemes_are_ignored_and_the_cookie_stands(site: CheckedSite, scheme: str) -> None:
    """ATK-95."""
    site.log_in()
    assert site.fetch(headers={"Authorization": scheme}).json()["email"] == "alice@example.com"


def test_a_device_without_a_token_is_nobodys(site: CheckedSite) -> None:
    assert ask(f"{site.url}/who", headers={"device-id": "phone"}).status == 401
    assert site.asked == 0


# Kept out


def test_a_page_visit_with_a_bad_token_is_not_sent_anywhere(site: CheckedSite) -> None:
    answer = visit(site, "bad", Accept="text/html", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")
    check_unauthorized(answer)


def test_an_unguarded_view_sees_nobody(site: CheckedSite) -> None:
    assert visit(site, "bad", "/open").json() == {"email": None, "stale": False}


@pytest.mark.parametrize("code", ["tokenInvalid", "sessionExpired", "sessionInactive", "sessionMissing"])
def test_a_token_centralauth_does_not_accept(site: CheckedSite, code: str) -> None:
    site.fail(error_code=code)
    token = token_of(site)
    check_unauthorized(visit(site, token), code)
    # Not asked about again for a moment.
    check_unauthorized(visit(site, token), code)
    assert site.asked == 1
    site.recover()
    site.clock.advance(bearer.REFUSAL_SECONDS)
    assert visit(site, token).status == 200


def test_a_refusal_is_one_token_s_and_one_browser_s(site: CheckedSite) -> None:
    site.emulator.configure(hijack_protection=False)
    token, other = token_of(site), token_of(site)
    site.fail(error_code="sessionInvalid", times=1)
    assert visit(site, token).status == 401
    assert visit(site, token, User_Agent="App/2.0").status == 200
    assert visit(site, other).status == 200


def test_a_well_formed_invention_costs_one_call(site: CheckedSite) -> None:
    token = ".".join(secrets.token_urlsafe(16) for _ in range(5))
    for _ in range(3):
        check_unauthorized(visit(site, token))
    assert site.asked == 1


def test_many_inventions_do_not_push_out_the_good(site: CheckedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    from flask_centralauth import recent

    monkeypatch.setattr(recent, "MAX_KEPT", 3)
    good = token_of(site)
    assert visit(site, good).status == 200
    for _ in range(6):
        assert visit(site, ".".join(secrets.token_urlsafe(9) for _ in range(5))).status == 401
    asked = site.asked
    assert visit(site, good).status == 200
    assert site.asked == asked
    bearers = site.app.extensions["centralauth"].bearers
    assert (len(bearers._users), len(bearers._refusals)) == (1, 3)


def test_no_token_is_kept_in_memory(site: CheckedSite) -> None:
    token = token_of(site)
    visit(site, token)
    assert token not in repr(vars(site.app.extensions["centralauth"].bearers._users))


@pytest.mark.parametrize(
    ("config", "fields", "code"),
    [
        ({}, {"blocked": True}, "userBlocked"),
        ({"CENTRALAUTH_REQUIRE_VERIFIED": True}, {"verified": False}, "userNotVerified"),
        ({}, {"organizationId": "another"}, "noPermission"),
    ],
)
def test_the_policy_holds_for_apps_too(
    make_checked_site: MakeCheckedSite, config: dict[str, Any], fields: dict[str, Any], code: str
) -> None:
    site = make_checked_site(**config)
    site.emulator.add_user(email="bob@example.com", **fields)
    token = token_of(site)
    for _ in range(2):
        answer = visit(site, token)
        assert (answer.status, answer.json()["errorCode"]) == (403, code)
        assert "WWW-Authenticate" not in answer.headers


# Not to be known


@pytest.mark.parametrize("how", [{"status": 503}, {"action": "html"}, {"action": "reset"}], ids=str)
def test_a_service_that_cannot_be_asked_is_503(site: CheckedSite, how: dict[str, Any]) -> None:
    """AT-20.3: 401 would make the app throw its token away."""
    token = token_of(site)
    site.fail(**how)
    answer = visit(site, token)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    site.recover()
    assert visit(site, token).status == 200


def test_a_wrong_setting_is_500_and_not_the_app_s_fault(site: CheckedSite) -> None:
    token = token_of(site)
    site.fail(error_code="noPermission")
    assert visit(site, token).status == 500
    site.recover()
    assert visit(site, token).status == 200


# How often CentralAuth is asked


def test_within_the_time_to_live_nobody_is_asked(site: CheckedSite) -> None:
    token = token_of(site)
    for _ in range(5):
        assert visit(site, token).status == 200
    assert site.asked == 1
    site.expire()
    assert visit(site, token).status == 200
    assert site.asked == 2


def test_zero_asks_on_every_request(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site(CENTRALAUTH_USER_TTL=0)
    token = token_of(site)
    for _ in range(3):
        assert visit(site, token, "/twice").status == 200
    assert site.asked == 3


def test_parallel_requests_ask_once(site: CheckedSite) -> None:
    token = token_of(site)
    answers = at_once([lambda: visit(site, token)] * 20)
    assert {answer.status for answer in answers} == {200}
    assert site.asked == 1


def test_a_token_of_an_emulator_is_worth_nothing_in_production(make_app: MakeApp, emulator: Emulator) -> None:
    app = make_app(TESTING=False, CENTRALAUTH_BASE_URL="https://centralauth.example")
    token = emulator.tokens(user="bob@example.com", domain="http://localhost")["access_token"]
    answer = app.test_client().get("/private", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.get_json()["errorCode"] == "tokenInvalid"


def test_the_shape_of_a_token(emulator: Emulator) -> None:
    token = emulator.tokens(user="bob@example.com", domain="http://localhost")["access_token"]
    assert access_token.is_well_formed(token)
    assert access_token.is_of_an_emulator(token)
    assert not any(access_token.is_well_formed(other.strip("\n") + "\n") for other in INVALID.values())
    for header in ("", "e30", "bnVsbA", "W10", "!!", "ÿ", "eyJlbXUi"):
        assert not access_token.is_of_an_emulator(f"{header}.b.c.d.e")


def test_a_browser_beside_the_app_notices_nothing(site: CheckedSite) -> None:
    token = token_of(site)
    browser = Browser(site.emulator)
    assert visit(site, token).status == 200
    assert browser.get(f"{site.url}/private").text == "alice@example.com"
    assert visit(site, token).json()["email"] == "bob@example.com"


# The routes of login are for browsers


@pytest.mark.parametrize("route", ["login", "affirm", "callback?code=x&state=y"])
def test_a_token_starts_and_ends_no_login(site: CheckedSite, route: str) -> None:
    check_unauthorized(visit(site, token_of(site), f"/api/auth/{route}", Accept="text/html"), "tokenMissing")


def test_a_token_signs_out_nobody_whose_cookie_comes_with_it(
    make_checked_site: MakeCheckedSite, emulator: Emulator
) -> None:
    site, browser = make_checked_site(), Browser(emulator)
    assert browser.get(f"{site.url}/who").status == 200
    answer = ask(
        f"{site.url}/api/auth/logout",
        method="POST",
        headers={"Authorization": f"Bearer {token_of(site)}", "Cookie": browser.cookies.header(site.url)},
    )
    check_unauthorized(answer, "tokenMissing")
    assert browser.get(f"{site.url}/who").json()["email"] == "alice@example.com"


def test_what_checking_cost_can_be_exported(site: CheckedSite) -> None:
    visit(site, token_of(site))
    with site.app.app_context():
        counters = CentralAuth().counters
    assert (counters.calls, counters.failures, counters.breaker) == (1, 0, "closed")
