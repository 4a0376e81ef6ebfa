"""The login page: what it refuses, what it shows, how it sends people back."""

from __future__ import annotations

import base64
import json
import re

import pytest

from flask_centralauth.emulator import Emulator, LoginRefused

from .application import BROWSER, LEFT_OUT, ORIGIN, Application, query_of


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": LEFT_OUT}, "organizationIdMissing"),
        ({"client_id": "somebody-else"}, "organizationIdMissing"),
        ({"redirect_uri": LEFT_OUT}, "callbackUrlMissing"),
        ({"redirect_uri": ""}, "callbackUrlMissing"),
        ({"redirect_uri": "/callback"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://evil.example/api/auth/callback"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://app.example.evil.example/"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://app.example@evil.example/"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://user@app.example/"}, "callbackUrlInvalid"),
        ({"redirect_uri": "http://app.example/"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://app.example:444/"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://app.example/#part"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://app.example/\r\nSet-Cookie: a=b"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://app.example\\@evil.example/"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://["}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://app.example:99999999/"}, "callbackUrlInvalid"),
        ({"redirect_uri": "javascript:alert(1)"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://äpp.example/"}, "callbackUrlInvalid"),
    ],
)
def test_an_unknown_target_is_never_redirected_to(
    application: Application, changes: dict[str, str], code: str
) -> None:
    page = application.visit(application.login_url(**changes))
    assert page.status_code == 400
    assert "Location" not in page.headers
    assert code in page.text
    assert application.emulator.requests.last.error_code == code
    assert application.emulator.requests.last.verdict == "refused"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"response_type": "token"}, "entityInvalid"),
        ({"response_type": LEFT_OUT}, "entityInvalid"),
        ({"state": LEFT_OUT}, "stateMissing"),
        ({"state": ""}, "stateMissing"),
        ({"code_challenge": LEFT_OUT}, "codeChallengeMissing"),
        ({"code_challenge": "short"}, "codeChallengeInvalid"),
        ({"code_challenge": "a" * 44}, "codeChallengeInvalid"),
        ({"code_challenge": "+" * 43}, "codeChallengeInvalid"),
        ({"code_challenge_method": "plain"}, "codeChallengeInvalid"),
        ({"code_challenge_method": LEFT_OUT}, "codeChallengeInvalid"),
    ],
)
def test_a_wrong_request_is_sent_back_with_its_code(
    application: Application, changes: dict[str, str], code: str
) -> None:
    params = application.login_params(**changes)
    callback = application.visit(application.login_url(**{**changes, "state": params.get("state", LEFT_OUT)}))
    assert callback.status_code == 302
    assert callback.headers["Location"].startswith(application.redirect_uri + "?")
    query = query_of(callback.headers["Location"])
    assert query["error"] == code
    assert query["error_description"]
    assert query.get("state", "") == params.get("state", "")
    assert application.emulator.requests.last.error_code == code


def test_a_repeated_state_is_refused_and_none_of_them_sent_back(application: Application) -> None:
    callback = application.visit(application.login_url() + "&state=another")
    query = query_of(callback.headers["Location"])
    assert query["error"] == "stateMissing"
    assert "state" not in query


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_repeated_target_is_not_redirected_to(application: Application, name: str) -> None:
    value = application.login_params()[name]
    assert application.visit(f"{application.login_url()}&{name}={value}").status_code == 400


def test_any_other_repeated_parameter_is_refused(application: Application) -> None:
    callback = application.visit(application.login_url(email="a@example.com") + "&email=b@example.com")
    assert query_of(callback.headers["Location"])["error"] == "missingFields"


def test_wildcards_cover_hosts_below_but_not_the_domain_itself() -> None:
    with Emulator(whitelist=["https://*.example.com"]) as emulator:
        for host, allowed in [("a.example.com", True), ("b.a.example.com", True), ("example.com", False)]:
            application = Application(emulator, origin=f"https://{host}")
            assert (application.visit(application.login_url()).status_code == 200) is allowed
            application.http.close()


def test_an_empty_whitelist_allows_every_origin_and_localhost_is_a_switch() -> None:
    with Emulator() as emulator:
        anybody = Application(emulator, origin="https://anybody.example")
        assert anybody.visit(anybody.login_url()).status_code == 200
        emulator.configure(whitelist=["https://listed.example"])
        local = Application(emulator, origin="http://localhost:5000")
        assert local.visit(local.login_url()).status_code == 400
        emulator.configure(allow_localhost=True)
        assert local.visit(local.login_url()).status_code == 200
        for address, listed in (("http://127.0.0.1:5000", True), ("https://localhost.example", False)):
            uri = f"{address}/callback"
            assert local.visit(local.login_url(redirect_uri=uri)).ok is listed
        anybody.http.close()
        local.http.close()


def test_the_referrer_is_checked_when_the_organization_wants_it(
    application: Application, emulator: Emulator
) -> None:
    emulator.configure(check_referrer=True)
    assert application.visit(application.login_url()).status_code == 400
    assert emulator.requests.last.error_code == "domainInvalid"
    assert application.visit(application.login_url(), Referer="https://evil.example/").status_code == 400
    assert application.visit(application.login_url(), Referer=f"{ORIGIN}/").status_code == 200


def test_the_page_offers_users_any_address_errors_and_denial(application: Application) -> None:
    page = application.visit(application.login_url())
    assert page.status_code == 200
    assert "Example Organization" in page.text
    for email in ("alice@example.com", "bob@example.com", "blocked@example.com"):
        assert f'name="email" value="{email}"' in page.text
    for code in ("genericError", "sessionExpired", "passkeyWrongOrganization", "tokenMissing"):
        assert f"<option>{code}</option>" in page.text
    assert 'name="deny"' in page.text
    assert "<script" not in page.text


@pytest.mark.parametrize("name", ["error_description", "error_message"])
def test_the_banner_is_shown_under_both_names_and_escaped(application: Application, name: str) -> None:
    page = application.visit(application.login_url(**{name: "<b>Session</b> over"}))
    assert "&lt;b&gt;Session&lt;/b&gt; over" in page.text
    assert "<b>Session</b>" not in page.text


def test_the_address_is_prefilled_and_escaped(application: Application) -> None:
    page = application.visit(application.login_url(email='"><script>alert(1)</script>@x'))
    assert "<script" not in page.text
    page = application.visit(application.login_url(email="carol@example.com"))
    assert 'value="carol@example.com"' in page.text


def test_texts_and_colours_of_the_application_are_shown(application: Application) -> None:
    def encoded(value: object) -> str:
        return base64.b64encode(json.dumps(value).encode()).decode()

    page = application.visit(
        application.login_url(
            translations=encoded({"login": "Aanmelden", "noSuchKey": "x", "emailAddress": "\ud800"}),
            theme_settings=encoded({"primaryColor": "#0f766e", "backgroundColor": "red;}</style><script>"}),
        )
    )
    assert page.status_code == 200
    assert "Aanmelden" in page.text
    assert "--accent: #0f766e" in page.text
    assert "noSuchKey" in page.text
    assert "</style><script>" not in page.text


@pytest.mark.parametrize("value", ["", "%%%", "bm8ganNvbg==", "W10=", "eyJhIjogWzFdfQ=="])
def test_unreadable_texts_are_ignored(application: Application, value: str) -> None:
    url = application.login_url(translations=value, theme_settings=value)
    assert application.visit(url).status_code == 200


def test_choosing_a_user_sends_the_browser_back_with_a_code(application: Application) -> None:
    params = application.login_params()
    page = application.visit(application.login_url(state=params["state"]))
    callback = application.choose(page, email="bob@example.com")
    assert callback.status_code == 302
    assert callback.headers["Location"].startswith(application.redirect_uri + "?")
    query = query_of(callback.headers["Location"])
    assert set(query) == {"code", "state"}
    assert query["state"] == params["state"]
    assert re.fullmatch(r"[\w-]{43}", query["code"])


def test_the_query_of_the_redirect_uri_stays_byte_for_byte(application: Application) -> None:
    uri = f"{application.redirect_uri}?next=%2Fa%3Fb&x=~"
    page = application.visit(application.login_url(redirect_uri=uri))
    callback = application.choose(page, email="bob@example.com")
    assert callback.headers["Location"].startswith(uri + "&code=")


def test_anybody_may_log_in_unless_users_are_not_made(application: Application, emulator: Emulator) -> None:
    page = application.visit(application.login_url())
    assert "code" in query_of(application.choose(page, email="new@example.com").headers["Location"])
    emulator.configure(enable_user_creation=False)
    refused = application.choose(page, email="newer@example.com")
    assert refused.status_code == 400
    assert "newer@example.com has no account here" in refused.text


@pytest.mark.parametrize("email", ["", "nobody", "a b@example.com", "a@" + "x" * 300, "<script>@"])
def test_what_is_no_address_is_asked_again(application: Application, email: str) -> None:
    again = application.choose(application.visit(application.login_url()), email=email)
    assert again.status_code == 400
    assert "is not an e-mail address" in again.text
    assert "<script" not in again.text
    assert application.choose(again, email="alice@example.com").status_code == 302


def test_denial_and_errors_are_sent_back_with_the_state(application: Application) -> None:
    page = application.visit(application.login_url(state="the-state"))
    denied = query_of(application.choose(page, deny="1").headers["Location"])
    assert (denied["error"], denied["state"]) == ("access_denied", "the-state")
    failed = query_of(application.choose(page, error="captchaInvalid").headers["Location"])
    assert (failed["error"], failed["state"]) == ("captchaInvalid", "the-state")
    assert application.choose(page, error="noSuchCode").status_code == 400


def test_a_login_attempt_ends_with_its_time_and_with_a_reset(
    application: Application, emulator: Emulator
) -> None:
    page = application.visit(application.login_url())
    emulator.clock.advance(1801)
    assert application.choose(page, email="alice@example.com").status_code == 400
    assert emulator.requests.last.error_code == "loginAttemptExpired"
    emulator.reset()
    assert application.choose(page, email="alice@example.com").status_code == 400
    assert emulator.requests.last.error_code == "loginAttemptMissing"


def test_the_next_logins_are_decided_beforehand_in_order(
    application: Application, emulator: Emulator
) -> None:
    emulator.next_login(deny=True)
    emulator.next_login(error="noPermission", message="Not you.")
    emulator.next_login(user="bob@example.com")
    outcomes = [query_of(application.visit(application.login_url()).headers["Location"]) for _ in range(3)]
    assert outcomes[0]["error"] == "access_denied"
    assert (outcomes[1]["error"], outcomes[1]["error_description"]) == ("noPermission", "Not you.")
    assert application.verify(outcomes[2]["code"]).status_code == 200
    assert emulator.sessions.last.email == "bob@example.com"
    assert application.visit(application.login_url()).status_code == 200


def test_autologin_answers_every_page(application: Application, emulator: Emulator) -> None:
    emulator.autologin("bob@example.com")
    for _ in range(2):
        assert "code" in query_of(application.visit(application.login_url()).headers["Location"])
    emulator.autologin(None)
    assert application.visit(application.login_url()).status_code == 200


@pytest.mark.parametrize("code", ["captchaInvalid", "noPermission", "loginAttemptExpired"])
def test_a_magic_user_ends_the_login_with_its_code(application: Application, code: str) -> None:
    page = application.visit(application.login_url())
    callback = application.choose(page, email=f"error+{code}@emulator.test")
    assert query_of(callback.headers["Location"])["error"] == code


def test_affirmation_rides_along(application: Application) -> None:
    page = application.visit(application.login_url(affirm="1"))
    assert "Confirm that it is you" in page.text
    assert query_of(application.choose(page, email="alice@example.com").headers["Location"])["affirm"] == "1"


def test_an_embedded_page_may_be_framed_by_listed_origins_only(application: Application) -> None:
    framed = application.visit(application.login_url(embed="1"), Referer=f"{ORIGIN}/page")
    assert f"frame-ancestors {ORIGIN}" in framed.headers["Content-Security-Policy"]
    assert "<script src=" in framed.text
    unlisted = application.visit(application.login_url(embed="1"), Referer="https://evil.example/")
    assert unlisted.status_code == 400
    plain = application.visit(application.login_url())
    assert "frame-ancestors 'none'" in plain.headers["Content-Security-Policy"]


def test_authorize_logs_in_without_a_browser(application: Application, emulator: Emulator) -> None:
    query = query_of(emulator.authorize(application.login_url(state="s" * 30), user="bob@example.com"))
    assert query["state"] == "s" * 30
    assert query_of(emulator.authorize(application.login_url(), deny=True))["error"] == "access_denied"
    failed = emulator.authorize(application.login_url(), error="captchaInvalid")
    assert query_of(failed)["error"] == "captchaInvalid"
    with pytest.raises(LoginRefused) as refused:
        emulator.authorize(application.login_url(client_id="x"))
    assert refused.value.code == "organizationIdMissing"


def test_the_journal_knows_what_the_browser_sent(application: Application, emulator: Emulator) -> None:
    page = application.visit(application.login_url(state="abc"))
    application.choose(page, email="alice@example.com")
    visit = emulator.requests.one("login")
    assert (visit.kind, visit.method, visit.path, visit.status, visit.verdict) == (
        "browser",
        "GET",
        "/login",
        200,
        "ok",
    )
    assert visit.query["state"] == "abc"
    assert visit.headers["User-Agent"] == BROWSER
    choice = emulator.requests.one("login_choice")
    assert (choice.kind, choice.form["email"], choice.email) == (
        "browser",
        "alice@example.com",
        "alice@example.com",
    )
    assert emulator.requests.none()
