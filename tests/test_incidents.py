"""One record per incident: its id, its cause, nothing secret; at the level it deserves, on one line."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Response

from flask_centralauth import (
    CentralAuthError,
    ConfigurationError,
    ErrorCode,
    LoginError,
    PermissionDenied,
    ServiceUnavailable,
    SessionError,
    current_user,
)
from flask_centralauth.engines import EmbeddedEngine
from flask_centralauth.login_store import LoginStore
from flask_centralauth.signals import login_failed, session_ended

from .error_site import MakeSite, Site, assert_is_json_error
from .raw_http import ask

pytest_plugins = ("tests.error_fixtures",)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield


def incidents(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if hasattr(record, "centralauth")]


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = record.__dict__["centralauth"]
    return facts


def shown_id(page_text: str) -> str:
    (shown,) = re.findall(r"<code>([0-9a-f]{10})</code>", page_text)
    return str(shown)


def test_callback_url_that_no_host_allows_is_told_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A container's name with an underscore is no host: the page says what is wrong, and does not break."""
    site.app.extensions["errors to raise"].append(ConfigurationError("domainInvalid"))
    assert ask(f"{site.url}/raise", headers={"Host": "my_app"}).status == 500

    (record,) = incidents(caplog)
    assert "The callback URL sent was not known" in record.getMessage()


# The id


def test_id_on_the_page_is_the_id_in_exactly_one_record(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    page = site.get("/api/auth/callback?state=forged&code=x")

    (record,) = incidents(caplog)
    assert facts_of(record)["incident_id"] == shown_id(page.text)
    assert len([r for r in caplog.records if shown_id(page.text) in r.getMessage()]) == 1


@pytest.mark.parametrize(("path", "code"), [("/api/data", "tokenMissing"), ("/raise", "captchaInvalid")])
def test_id_in_the_json_is_the_id_in_exactly_one_record(
    site: Site, caplog: pytest.LogCaptureFixture, path: str, code: str
) -> None:
    site.app.extensions["errors to raise"].append(LoginError("captchaInvalid"))
    found = site.browser.fetch(site.url + path)
    answer = assert_is_json_error(found, code, found.status)

    (record,) = incidents(caplog)
    assert facts_of(record)["incident_id"] == answer["incidentId"]


def test_failure_that_goes_back_to_login_has_its_record_too(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.emulator.next_login(error="captchaInvalid")
    site.get("/private")

    (record,) = incidents(caplog)
    assert facts_of(record)["status"] == 302


def test_person_who_is_asked_to_sign_in_is_no_incident(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.get("/private")

    assert incidents(caplog) == []


# The facts


def test_record_explains_the_incident(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.emulator.next_login(error="loginAttemptExpired", message="The link is too old.")
    site.get("/private")

    (record,) = incidents(caplog)
    facts = facts_of(record)
    assert facts.pop("incident_id")
    age = facts["attempt_age"]  # a second or two on a busy machine
    assert age in range(60)
    assert facts == {
        "error_code": "loginAttemptExpired",
        "family": "login",
        "upstream_message": "The link is too old.",
        "endpoint": "centralauth.callback",
        "path": "/api/auth/callback",
        "host": urlsplit(site.url).netloc,
        "cookies_sent": True,
        "attempt_age": age,
        "status": 302,
    }
    for name, value in facts.items():
        assert f"{name}={value!r}" in record.getMessage()
    assert record.name == "flask_centralauth"
    assert "docs/errors.md#loginattemptexpired" in record.getMessage()


def test_unvouched_callback_tells_what_it_looked_like(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    callback = site.callback()
    site.browser.cookies = type(site.browser.cookies)()
    site.browser.get(callback)
    site.browser.get(f"{site.url}/api/auth/callback?state=foreign&error=captchaInvalid")

    own, foreign = map(facts_of, incidents(caplog))
    assert (own["cookies_sent"], own["state"]) == (False, "own, recent")
    assert foreign["state"] == "foreign or too old"
    assert foreign["provider_code"] == "captchaInvalid"


def test_addresses_are_told_where_they_matter(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site()
    sent = f"{site.url}/api/auth/callback"
    for debug in (False, True):
        site.app.debug = debug
        site.emulator.next_login(error="callbackUrlInvalid")
        page = site.get("/private")

        record = incidents(caplog)[-1]
        assert facts_of(record)["callback_url"] == sent
        for words in (sent, "whitelist", "Allow localhost"):
            assert words in record.getMessage()
            # The page is for everybody, but for the developer in debug mode.
            assert (words in page.text) == debug


# The level


def levels(caplog: pytest.LogCaptureFixture) -> list[tuple[int, bool]]:
    return [(record.levelno, record.exc_info is not None) for record in incidents(caplog)]


@pytest.mark.parametrize(
    "query",
    [
        "state=unknown&code=x",
        "error=access_denied&state=unknown",
        "code=x",
        "state=a&state=b&code=x",
        "",
    ],
)
def test_what_people_cause_is_a_warning(site: Site, caplog: pytest.LogCaptureFixture, query: str) -> None:
    site.get(f"/api/auth/callback?{query}")

    assert levels(caplog) == [(logging.WARNING, False)]


@pytest.mark.parametrize("code", ["access_denied", "captchaInvalid", "noPermission", "sessionExpired"])
def test_login_that_fails_is_a_warning(site: Site, caplog: pytest.LogCaptureFixture, code: str) -> None:
    site.emulator.next_login(error=code)
    site.get("/private")

    assert levels(caplog) == [(logging.WARNING, False)]


def test_replay_and_prefetch_are_below_that(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    callback = site.callback()
    site.browser.get(callback, headers={"Sec-Purpose": "prefetch"})
    site.browser.get(callback)
    site.browser.get(callback)

    assert incidents(caplog) == []
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_being_asked_to_sign_in_is_information(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.browser.fetch(f"{site.url}/api/data")

    assert levels(caplog) == [(logging.INFO, False)]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503},
        {"action": "reset"},
        {"json": []},
        {"error_code": "noPermission"},
        {"error_code": "genericError"},
    ],
)
def test_faults_are_errors_with_a_traceback(
    site: Site, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    callback = site.callback()
    site.emulator.fail("verify", **fault)
    site.browser.get(callback)

    assert levels(caplog) == [(logging.ERROR, True)]


def test_rate_limit_is_a_warning(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    callback = site.callback()
    site.emulator.fail("verify", error_code="tooManyRequests")
    site.browser.get(callback)

    assert levels(caplog) == [(logging.WARNING, False)]


# One line, nothing secret


HOSTILE = "ok\nINFO login ok user=admin\r\x1b[31m\u202e\u2028\x00'; " + "x" * 5000


@pytest.mark.parametrize("error", ["unknownCode", "callbackUrlInvalid", "captchaInvalid"])
def test_hostile_words_stay_on_one_short_line(
    site: Site, caplog: pytest.LogCaptureFixture, error: str
) -> None:
    address, _, query = site.callback().partition("?")
    sent = {"state": parse_qs(query)["state"][0], "error": error, "error_description": HOSTILE}
    site.browser.get(f"{address}?{urlencode(sent)}", headers={"User-Agent": "agent\x1b[31m"}, follow=False)

    (record,) = incidents(caplog)
    text = logging.Formatter("%(message)s").format(record)
    message = text.partition("\nTraceback")[0]
    assert message.isprintable()
    assert len(message) < 1200
    assert not re.search("^INFO", text, flags=re.MULTILINE)
    assert "\x1b" not in text


def test_nothing_secret_is_in_any_record_or_on_any_page(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    secrets: set[str] = {site.emulator.client_secret}
    pages = []
    for endpoint in ("verify", "userinfo"):
        faults: list[dict[str, Any]] = [
            *({"status": 500}, {"error_code": "sessionInvalid"}, {"action": "reset"}, {"json": []})
        ]
        for fault in faults:
            callback = site.callback()
            secrets |= {parse_qs(urlsplit(callback).query)[name][0] for name in ("code", "state")}
            site.emulator.fail(endpoint, **fault)
            pages.append(site.browser.get(callback, follow=False).text)
            site.app.extensions["centralauth"].client.breaker.succeeded()
    for entry in site.emulator.requests.api:
        secrets |= {value for name, value in entry.form.items() if name == "code_verifier"}
        secrets.add(entry.headers["Authorization"].partition(" ")[2])
        if entry.endpoint == "userinfo":
            secrets.add(entry.text)

    assert len(secrets) > 25
    ours = [record for record in caplog.records if not record.name.startswith("werkzeug")]
    assert len(incidents(caplog)) == 8
    texts = [logging.Formatter("%(message)s").format(record) + repr(record.__dict__) for record in ours]
    for secret in secrets:
        assert not [text for text in [*texts, *pages] if secret in text], secret


@pytest.mark.parametrize(
    "error",
    [
        LoginError("captchaInvalid", "m"),
        ConfigurationError(message="m"),
        ServiceUnavailable(message="m"),
        PermissionDenied(message="m"),
    ],
    ids=repr,
)
def test_page_holds_no_internals(site: Site, error: CentralAuthError) -> None:
    site.app.extensions["errors to raise"] += [error, error]
    for _ in range(2):
        page = site.get("/raise")

    assert page.status == error.code
    for internal in ("Traceback", "flask_centralauth", type(error).__name__, error.hint, "CENTRALAUTH_"):
        assert internal not in page.text


# The listeners


def test_listeners_hear_of_a_failed_login_with_everything_in_the_record(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[object, dict[str, Any]]] = []

    def listen(sender: object, **news: Any) -> None:
        heard.append((sender, news))

    with login_failed.connected_to(listen):
        site.emulator.next_login(error="captchaInvalid", message="words")
        site.get("/private")

    ((sender, news),) = heard
    assert sender is site.app
    error = news["error"]
    assert isinstance(error, LoginError)
    (record,) = incidents(caplog)
    assert error.facts == facts_of(record)
    assert error.facts["incident_id"] == error.incident_id
    assert news["user"] is None


@pytest.mark.parametrize("path", ["/api/auth/callback?state=x&code=y", "/api/auth/callback"])
def test_unvouched_callback_is_a_failed_login(site: Site, path: str) -> None:
    heard: list[CentralAuthError] = []

    def listen(_sender: object, **news: Any) -> None:
        heard.append(news["error"])

    with login_failed.connected_to(listen, sender=site.app):
        site.get(path)
        site.get("/private")

    assert [error.family for error in heard] == ["login"]


def test_listeners_hear_of_a_session_that_ended(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[dict[str, Any]] = []

    def listen(_sender: object, **news: Any) -> None:
        heard.append(news)

    site.log_in()
    with session_ended.connected_to(listen, sender=site.app):
        site.emulator.fail("userinfo", error_code="sessionInactive")
        site.get("/private")

    (news,) = heard
    assert isinstance(news["error"], SessionError)
    assert news["error"].incident_id == facts_of(incidents(caplog)[0])["incident_id"]
    assert news["login_id"]


@pytest.fixture
def ended() -> Iterator[list[dict[str, Any]]]:
    """What listeners were told, as they were told it: the error's facts at that moment."""
    heard: list[dict[str, Any]] = []

    def listen(_sender: object, **news: Any) -> None:
        heard.append({**news, "facts": dict(news["error"].facts)})

    with session_ended.connected_to(listen):
        yield heard


@pytest.mark.parametrize("path", ["/public", "/private", "/api/auth/user"])
def test_session_that_ends_leaves_one_record_whatever_the_page(
    site: Site, caplog: pytest.LogCaptureFixture, ended: list[dict[str, Any]], path: str
) -> None:
    site.log_in()
    site.emulator.fail("userinfo", error_code="sessionInactive", message="gone")
    site.get(path, follow=False)

    (record,) = incidents(caplog)
    assert record.levelno == logging.WARNING
    facts = facts_of(record)
    assert (facts["error_code"], facts["path"]) == ("sessionInactive", path)
    (news,) = ended
    # All but the status, which nobody knows before the answer.
    assert news["facts"] == {name: fact for name, fact in facts.items() if name != "status"}


def test_session_that_ends_when_all_is_done_but_the_applications_log_line(
    site: Site, caplog: pytest.LogCaptureFixture, ended: list[dict[str, Any]]
) -> None:
    """An ``after_request`` function is the first to ask who is logged in."""

    @site.app.after_request
    def name_user(response: Response) -> Response:
        response.headers["X-User"] = current_user.email or "nobody"
        return response

    site.log_in()
    site.emulator.fail("userinfo", error_code="sessionInactive")
    assert site.get("/peek").headers["X-User"] == "nobody"

    (record,) = incidents(caplog)
    assert (facts_of(record)["error_code"], facts_of(record)["status"]) == ("sessionInactive", 200)
    assert len(ended) == 1


def test_session_that_ends_while_a_callback_comes_again_is_recorded_as_what_it_is(
    site: Site, caplog: pytest.LogCaptureFixture, ended: list[dict[str, Any]]
) -> None:
    site.log_in()
    failed: list[CentralAuthError] = []

    def listen(_sender: object, **news: Any) -> None:
        failed.append(news["error"])

    site.emulator.fail("userinfo", error_code="sessionInactive")
    with login_failed.connected_to(listen):
        site.get("/api/auth/callback?state=forged&code=x")

    (news,) = ended
    assert [facts_of(record)["family"] for record in incidents(caplog)] == ["login", "session"]
    assert [error.family for error in failed] == ["login"]
    assert news["error"].error_code == "sessionInactive"


def _fail(*_args: object) -> NoReturn:
    raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "down")


@pytest.mark.parametrize(("path", "status"), [("/public", 200), ("/private", 503)])
@pytest.mark.parametrize("down", ["CentralAuth", "the record", "the session"])
def test_login_that_cannot_be_checked_leaves_one_record_whatever_the_page(
    site: Site,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    status: int,
    down: str,
) -> None:
    """An open page is served to a guest, who is not one."""
    site.log_in()
    with monkeypatch.context() as outage:
        if down == "CentralAuth":
            site.emulator.fail("userinfo", status=503)
        elif down == "the record":
            outage.setattr(LoginStore, "live", _fail)
        else:
            outage.setattr(EmbeddedEngine, "get_many", _fail)
        assert site.get(path).status == status

    (record,) = [record for record in caplog.records if record.levelno > logging.WARNING]
    assert (record.levelno, facts_of(record)["status"]) == (logging.ERROR, status)
    assert site.signed_in()


def test_outage_under_the_name_of_another_host_is_still_a_bad_request(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    """Flask refuses it, after the application's own functions have asked who it is."""
    site = make_site(TRUSTED_HOSTS=["127.0.0.1"])
    site.app.before_request(lambda: current_user.email and None)
    site.log_in()
    site.emulator.fail("userinfo", status=503)
    headers = {"Host": "evil.example", "Cookie": site.browser.cookies.header(site.url)}
    headers["User-Agent"] = site.browser.user_agent
    assert ask(f"{site.url}/public", headers=headers).status == 400

    (record,) = incidents(caplog)
    assert (facts_of(record)["host"], facts_of(record)["status"]) == ("evil.example", 400)


def test_outage_while_a_callback_comes_again_is_no_failed_login(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever is in stays in, as far as is known."""
    site.log_in()
    site.emulator.fail("userinfo", status=503)
    failed: list[CentralAuthError] = []

    def listen(_sender: object, **news: Any) -> None:
        failed.append(news["error"])

    with login_failed.connected_to(listen):
        assert site.get("/api/auth/callback?state=forged&code=x", follow=False).status == 303

    assert levels(caplog) == [(logging.ERROR, True)]
    assert failed == []


def test_session_that_cannot_be_ended_is_recorded_on_a_public_page(
    site: Site,
    caplog: pytest.LogCaptureFixture,
    ended: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.log_in()
    site.emulator.fail("userinfo", error_code="sessionInactive")
    with monkeypatch.context() as outage:
        outage.setattr(LoginStore, "end", _fail)
        site.get("/public")

    (record,) = incidents(caplog)
    facts = facts_of(record)
    assert (facts["error_code"], facts["status"]) == ("storeUnavailable", 200)
    assert str(facts["while_ending"]).startswith("sessionInactive")
    assert ended == []


def test_blocked_user_is_recorded_on_a_public_page(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.log_in()
    site.emulator.add_user(email="alice@example.com", blocked=True)
    site.get("/public")

    (record,) = incidents(caplog)
    assert (record.levelno, facts_of(record)["error_code"]) == (logging.WARNING, "userBlocked")


@pytest.mark.parametrize("query", ["error=captchaInvalid", "code=c0de"])
def test_failed_login_is_recorded_and_told_below_a_handler_of_the_application(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture, query: str
) -> None:
    site = make_site()
    site.app.register_error_handler(CentralAuthError, lambda error: ("ours", 418))
    heard: list[CentralAuthError] = []

    def listen(_sender: object, **news: Any) -> None:
        heard.append(news["error"])

    with login_failed.connected_to(listen, sender=site.app):
        page = site.get(f"/api/auth/callback?state=forged&{query}")

    assert (page.status, page.text) == (418, "ours")
    (record,) = incidents(caplog)
    (error,) = heard
    assert facts_of(record)["incident_id"] == error.incident_id
    assert facts_of(record)["status"] == 418
