"""The emulator grades its client: a good one gets nothing, each bad habit its finding."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
import requests

from flask_centralauth.emulator import Emulator

from .application import LEFT_OUT, ORIGIN, Application


def found(emulator: Emulator) -> dict[str, str]:
    """Return id and level of what was found."""
    return {finding.id: finding.level for finding in emulator.lint()}


def test_a_good_client_has_no_findings(application: Application, emulator: Emulator) -> None:
    for user in ("alice@example.com", "bob@example.com"):
        application = Application(emulator)
        token = application.token(user=user)
        application.userinfo(token)
        application.logout(token)
        application.http.close()
    assert emulator.lint() == []


Habit = Callable[[Application], object]


def _constant_verifier(application: Application) -> None:
    application.verifier = "undefined"
    application.visit(application.login_url())


def _reused_verifier(application: Application) -> None:
    for _ in range(2):
        application.userinfo(application.token())


def _same_state(application: Application) -> None:
    for _ in range(2):
        application.visit(application.login_url(state="s" * 40))


def _both_secrets(application: Application) -> None:
    secret = application.emulator.client_secret
    application.verify(application.code(), client_id=application.emulator.client_id, client_secret=secret)


def _body_secret(application: Application) -> None:
    emulator = application.emulator
    token = application.verify(
        application.code(), auth=None, client_id=emulator.client_id, client_secret=emulator.client_secret
    ).json()["access_token"]
    application.userinfo(token)


def _token_in_url(application: Application) -> None:
    application.call(f"/api/v1/logout?token={application.token()}")


def _follow_a_redirect(application: Application) -> None:
    application.emulator.fail("userinfo", action="redirect")
    requests.post(f"{application.emulator.url}/api/v1/userinfo", data="x", timeout=20)


def _hammer(application: Application) -> None:
    application.emulator.clock.freeze()
    token = application.token()
    for _ in range(12):
        application.userinfo(token)


def _retry_at_once(application: Application) -> None:
    application.emulator.clock.freeze()
    application.emulator.fail("userinfo", status=503)
    for _ in range(2):
        application.userinfo("x")


def _proxy_address(application: Application) -> None:
    application.emulator.configure(login_ip="10.0.0.1")
    for number in range(3):
        one = Application(application.emulator)
        one.userinfo(one.token(user=f"user{number}@example.com"), auth_ip="10.0.0.1")
        one.http.close()


def _hidden_referrer(application: Application) -> None:
    application.emulator.configure(check_referrer=True)
    application.visit(application.login_url())


def _other_host(application: Application) -> None:
    application.emulator.configure(whitelist=[ORIGIN, "https://other.example"])
    for uri in (application.redirect_uri, "https://other.example/callback"):
        application.visit(application.login_url(redirect_uri=uri))


def _read_everything(application: Application) -> None:
    # More than sockets hold by themselves: somebody has to read it.
    application.emulator.fail("userinfo", action="oversize", bytes=30_000_000)
    application.userinfo("x")
    _wait_for_the_note(application.emulator)


def _wait_for_every_drop(application: Application) -> None:
    application.emulator.fail("userinfo", action="drip", bytes_per_second=100_000)
    application.userinfo("x")
    _wait_for_the_note(application.emulator)


def _wait_for_the_note(emulator: Emulator) -> None:
    """The client has the last byte a moment before the server knows."""
    version = -1
    while not emulator.requests.last.read_to_the_end:
        newest = emulator.requests.wait_for_change(version, 10)
        assert newest != version, "nothing was noted"
        version = newest


def _sign_out_here_only(application: Application) -> None:
    application.emulator.configure(expect_logout_everywhere=True)
    application.userinfo(application.token())


def _banner_of_the_address(application: Application) -> None:
    words = "Call 555-0100"
    page = f"{ORIGIN}/api/auth/login?error_message={quote(words)}"
    application.visit(application.login_url(error_message=words), Referer=page)


def _go_on_with_somebody_else(application: Application) -> None:
    application.userinfo(application.token())
    mallory = application.code(user="mallory@example.com", affirm="1")
    token = application.verify(mallory).json()["access_token"]
    for _ in range(2):
        application.userinfo(token)


@pytest.mark.parametrize(
    ("habit", "finding", "level"),
    [
        (_constant_verifier, "L01", "error"),
        (_reused_verifier, "L01", "error"),
        (lambda a: a.verify(a.code(), code_verifier="short"), "L01", "error"),
        (lambda a: a.visit(a.login_url(state="short")), "L02", "warning"),
        (lambda a: a.visit(a.login_url(state=LEFT_OUT)), "L02", "error"),
        (lambda a: a.visit(a.login_url(state="https://app.example/where/i/was")), "L02", "warning"),
        (lambda a: a.verify(a.code(state=a.verifier)), "L02", "error"),
        (_same_state, "L02", "error"),
        (lambda a: a.visit(a.login_url(code_challenge_method="plain")), "L03", "error"),
        (lambda a: a.visit(a.login_url(redirect_uri=f"{a.redirect_uri}?return_to=/x")), "L04", "warning"),
        (lambda a: a.visit(a.login_url(redirect_uri="https://evil.example/")), "L05", "error"),
        (_other_host, "L05", "warning"),
        (_both_secrets, "L06", "error"),
        (_body_secret, "L06", "warning"),
        (_token_in_url, "L07", "error"),
        (lambda a: a.userinfo("x", auth_ip=LEFT_OUT), "L08", "error"),
        (lambda a: a.userinfo("x", auth_ip="10.0.0.1, 203.0.113.9"), "L08", "error"),
        (lambda a: a.userinfo("x", auth_ip="0.0.0.0"), "L08", "error"),
        (lambda a: a.userinfo("x", auth_ip="garbage"), "L08", "error"),
        (lambda a: a.userinfo("x", auth_ip="2001:DB8::1"), "L08", "error"),
        (_proxy_address, "L08", "warning"),
        (lambda a: a.userinfo("x", user_agent="python-requests/2.32"), "L09", "warning"),
        (lambda a: a.userinfo("x", user_agent=""), "L09", "warning"),
        (lambda a: a.userinfo("x", domain=LEFT_OUT), "L10", "warning"),
        (lambda a: a.userinfo("x", domain=a.redirect_uri), "L10", "warning"),
        (lambda a: a.token(), "L11", "warning"),
        (lambda a: [a.verify(code) for code in [a.code()] * 2], "L12", "error"),
        (_follow_a_redirect, "L13", "error"),
        (_read_everything, "L14", "warning"),
        (_wait_for_every_drop, "L14", "warning"),
        (_sign_out_here_only, "L15", "warning"),
        (lambda a: a.emulator.configure(whitelist=[]), "L16", "warning"),
        (lambda a: a.emulator.configure(allow_localhost=True), "L16", "warning"),
        (lambda a: a.emulator.configure(hijack_protection=False), "L16", "warning"),
        (lambda a: a.emulator.configure(login_method="remote"), "L16", "warning"),
        (_banner_of_the_address, "L17", "error"),
        (_hidden_referrer, "L18", "warning"),
        (_hammer, "L19", "warning"),
        (_retry_at_once, "L19", "warning"),
        (lambda a: a.visit(a.login_url(redirect_uri="https://[")), "L05", "error"),
        (_go_on_with_somebody_else, "L20", "error"),
    ],
)
def test_each_bad_habit_is_found(
    application: Application, emulator: Emulator, habit: Habit, finding: str, level: str
) -> None:
    habit(application)
    assert found(emulator).get(finding) == level


def test_patient_clients_may_try_again(application: Application, emulator: Emulator) -> None:
    emulator.fail("userinfo", status=503)
    application.userinfo("x")
    emulator.clock.advance(1)
    application.userinfo("x")
    assert "L19" not in found(emulator)


def test_a_referer_that_is_no_url_says_nothing(application: Application, emulator: Emulator) -> None:
    application.visit(application.login_url(error_message="Hello"), Referer="https://[?error_message=Hello")
    assert "L17" not in found(emulator)


def test_what_was_not_read_to_the_end_is_no_finding(application: Application, emulator: Emulator) -> None:
    url = f"{emulator.url}/api/v1/userinfo"
    emulator.fail("userinfo", action="oversize", bytes=30_000_000)
    with requests.post(url, data="x", stream=True, timeout=20) as reply:
        assert reply.raw.read(10) == b'{"id": "xx'
    emulator.fail("userinfo", action="drip", bytes_per_second=0.001)
    with pytest.raises(requests.RequestException):
        requests.post(url, data="x", timeout=0.1)
    assert "L14" not in found(emulator)


def test_careful_applications_confirm_and_sign_out(application: Application, emulator: Emulator) -> None:
    emulator.configure(expect_logout_everywhere=True)
    first = application.token()
    application.userinfo(first)
    second = Application(emulator)
    # Asked once, to learn that it is somebody else; then it stays with the first.
    somebody_else = second.code(user="mallory@example.com", affirm="1")
    token = second.verify(somebody_else).json()["access_token"]
    second.userinfo(token)
    second.http.close()
    application.userinfo(first)
    application.visit(application.login_url(error_message="Please sign in."), Referer=f"{ORIGIN}/?q=x")
    application.logout(first)
    assert not {"L15", "L17", "L20"} & set(found(emulator))


def test_findings_come_once_errors_first_with_their_request(
    application: Application, emulator: Emulator
) -> None:
    for _ in range(3):
        application.userinfo("x", domain=LEFT_OUT, auth_ip=LEFT_OUT)
    findings = emulator.lint()
    assert [(finding.id, finding.request) for finding in findings] == [("L08", 1), ("L10", 1)]


def test_findings_and_coverage_over_http(application: Application, emulator: Emulator) -> None:
    application.userinfo("x", domain=LEFT_OUT)
    findings = requests.get(f"{emulator.url}/_emulator/lint", timeout=20).json()["findings"]
    assert findings[0]["id"] == "L10"
    covered = requests.get(f"{emulator.url}/_emulator/coverage", timeout=20).json()
    assert covered["endpoints"] == {"userinfo": 1}
    assert covered["codes"] == {"tokenInvalid": 1}
    assert "tokenInvalid" not in covered["unmetCodes"]
