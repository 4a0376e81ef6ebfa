"""Attacks 76 to 89: secrets on their way out, and what comes back from CentralAuth."""

from __future__ import annotations

import logging
import resource
import time
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from flask import get_flashed_messages
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_centralauth import ConfigurationError
from flask_centralauth.emulator import Emulator
from flask_centralauth.signals import user_logged_out

from ..raw_http import PAGE_VISIT, ask
from .conftest import MakeTarget
from .mail import add_mail_form, mail_of
from .marks import attack
from .target import ALICE, Target
from .tls import certificate, tls_server

STATUSES: Final = (301, 302, 303, 307, 308)


@attack(78, "A redirect is never followed; every status but 200 is an error.")
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("endpoint", ["verify", "userinfo"])
def test_redirects_leak_nothing(target: Target, endpoint: str, status: int) -> None:
    url = target.start()
    target.emulator.fail(endpoint, action="redirect", status=status)
    assert target.browser.get(url).status == 503
    assert target.emulator.requests.none("canary")
    assert target.who() is None


@attack(78)
def test_redirects_at_logout_and_loops(make_target: MakeTarget) -> None:
    target = make_target(
        CENTRALAUTH_LOGOUT_EVERYWHERE=True, CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0
    )
    target.log_in()
    target.emulator.fail("userinfo", action="redirect_loop", times=None)
    target.emulator.requests.clear()
    assert target.browser.fetch(f"{target.url}/api/data").status == 503
    assert target.calls() == ["userinfo"]
    target.emulator.fail("logout", action="redirect")
    page = target.browser.get(target.auth("logout"))
    target.browser.submit(page.forms[0], follow=False)
    assert target.emulator.requests.none("canary")
    assert target.browser.cookies.get("session") is None or target.who() is None


SLOW: Final[dict[str, dict[str, Any]]] = {
    "drip": {"action": "drip", "bytes_per_second": 5},
    "slow headers": {"action": "slow_headers", "bytes_per_second": 5},
    "hang": {"hang": True},
    "bomb": {"action": "gzip_bomb"},
    "oversize": {"action": "oversize"},
    "many headers": {"action": "many_headers"},
    "chunk garbage": {"action": "chunk_garbage"},
    "reset": {"action": "reset"},
    "close": {"action": "close"},
    "truncate": {"action": "truncate", "bytes": 20},
}


@attack(79, "One total deadline for a call, 64 KiB for a reply, nothing compressed.")
@pytest.mark.parametrize("fault", SLOW.values(), ids=list(SLOW))
def test_bombs_and_slow_answers(make_target: MakeTarget, fault: dict[str, Any]) -> None:
    target = make_target(CENTRALAUTH_TIMEOUT=0.5)
    url = target.start()
    held = target.emulator.fail("userinfo", **fault)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    page = target.browser.get(url)
    assert time.monotonic() - began < 5
    held.release()
    assert page.status == 503
    if fault.get("action") != "gzip_bomb":  # the emulator itself makes the bomb once
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"
    assert target.who() is None
    target.browser.cookies.clear()
    assert target.log_in().user == ALICE, "the worker is free again"


BODIES: Final = {
    "array": b"[]",
    "string": b'"str"',
    "number": b"0",
    "null": b"null",
    "empty object": b"{}",
    "numeric id": b'{"id":1,"blocked":false}',
    "array id": b'{"id":["a"],"blocked":false}',
    "object email": b'{"id":"a","email":{},"blocked":false}',
    "text blocked": b'{"id":"a","blocked":"false"}',
    "number blocked": b'{"id":"a","blocked":0}',
    "missing blocked": b'{"id":"a"}',
    "null blocked": b'{"id":"a","blocked":null}',
    "text verified": b'{"id":"a","blocked":false,"verified":"true"}',
    "nan": b'{"id":"a","blocked":false,"x":NaN}',
    "infinity": b'{"id":"a","blocked":false,"x":-Infinity}',
    "exponent": b'{"id":"a","blocked":false,"x":1e999}',
    "digits": b'{"id":"a","blocked":false,"x":' + b"9" * 5000 + b"}",
    "nested": b"[" * 200_000,
    "nested object": b'{"id":' * 5_000,
    "depth": b'{"id":"a","blocked":false,"x":' + b"[" * 40 + b"]" * 40 + b"}",
    "duplicate": b'{"id":"a","blocked":true,"blocked":false}',
    "bom": b'\xef\xbb\xbf{"id":"a","blocked":false}',
    "utf-16": '{"id":"a","blocked":false}'.encode("utf-16"),
    "latin-1": b'{"id":"\xe9","blocked":false}',
    "surrogate": b'{"id":"\\ud800","blocked":false}',
    "html": b"<html></html>",
    "empty": b"",
    "comment": b'{"id":"a",/**/"blocked":false}',
    "trailing": b'{"id":"a","blocked":false}x',
    "date": b'{"id":"a","blocked":false,"created":"yesterday"}',
    "error in 200": b'{"errorCode":"sessionInvalid","message":"no"}',
}


@attack(80, "Strict JSON, then every member's type; anything else is no answer: 503, nobody in, nobody out.")
@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_json_type_confusion(make_target: MakeTarget, body: bytes) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)
    url = target.start()
    target.emulator.fail("userinfo", body=body)
    assert target.browser.get(url).status == 503
    assert target.who() is None
    target.log_in()
    target.emulator.fail("userinfo", body=body)
    assert target.browser.fetch(f"{target.url}/api/data").status == 503
    assert target.who() == ALICE, "the session is kept, and nothing of the answer"


@attack(80)
@pytest.mark.parametrize(
    "body", [BODIES[name] for name in ("array", "nan", "duplicate", "nested", "empty", "utf-16")]
)
def test_unusable_tokens(target: Target, body: bytes) -> None:
    url = target.start()
    target.emulator.fail("verify", body=body)
    assert target.browser.get(url).status == 503
    assert target.who() is None


@attack(80)
@pytest.mark.parametrize("token", [None, 7, "", "a b", "a\nb", "x" * 9000, ["a"], "\u20ac"])
def test_unusable_access_tokens(target: Target, token: object) -> None:
    url = target.start()
    target.emulator.fail("verify", patch={"access_token": token})
    assert target.browser.get(url).status == 503
    assert target.who() is None


ERRORS: Final = {
    "object code": (400, b'{"errorCode":{"a":1},"message":["<script>"]}'),
    "text": (401, b'"sessionInvalid"'),
    "html": (401, b"<script>alert(1)</script>"),
    "long": (400, b'{"errorCode":"' + b"a" * 5000 + b'"}'),
    "spaces": (400, b'{"errorCode":"session Invalid"}'),
    "unknown": (400, b'{"errorCode":"unheardOf"}'),
    "big": (500, b'{"errorCode":"sessionInvalid","x":"' + b"x" * 1_000_000 + b'"}'),
    "session but 500": (500, b'{"errorCode":"sessionInvalid"}'),
    "session but 200": (200, b'{"errorCode":"sessionInvalid"}'),
    "prefix": (400, b'{"errorCode":"sessionInvalidX"}'),
    "path": (400, b'{"errorCode":"../base"}'),
}


@attack(81, "The status decides; a code is letters and known, or it is none.")
@pytest.mark.parametrize("reply", ERRORS.values(), ids=list(ERRORS))
def test_hostile_error_bodies(make_target: MakeTarget, reply: tuple[int, bytes]) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)
    target.log_in()
    status, body = reply
    target.emulator.fail("userinfo", body=body, status=status)
    answer = target.browser.fetch(f"{target.url}/api/data")
    assert answer.status == 503
    assert answer.json()["errorCode"] in ("networkError", "sessionInvalid")
    assert "<script>" not in answer.text
    assert target.who() == ALICE


@attack(82, "Nothing of the environment: no proxy, no .netrc, no CA bundle; certificates are always checked.")
def test_netrc_and_proxies(make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil\ndefault login evil password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    target = make_target()
    target.browser.get(f"{target.url}/private")
    for endpoint in ("verify", "userinfo"):
        assert "ZXZpbDpldmls" not in target.emulator.requests.one(endpoint).headers["Authorization"]
    assert target.who() == ALICE


@attack(82)
def test_a_certificate_nobody_vouches_for(
    make_target: MakeTarget, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path, "localhost")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(pem))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    server = tls_server(emulator.app, pem)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        target = make_target(CENTRALAUTH_BASE_URL=f"https://localhost:{server.port}")
        url = target.start()
        assert target.browser.get(url).status == 503
        assert emulator.requests.none("verify"), "the secret stays here"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FORGED: Final = (
    {"X-Forwarded-For": "198.51.100.7"},
    {"X-Real-IP": "198.51.100.7"},
    {"Forwarded": "for=198.51.100.7"},
    {"CF-Connecting-IP": "198.51.100.7"},
    {"True-Client-IP": "198.51.100.7"},
    {"X_Forwarded_For": "198.51.100.7"},
    {"X-Forwarded-For": "198.51.100.7, 127.0.0.1"},
    {"Client-IP": "198.51.100.7"},
    {"auth-ip": "198.51.100.7"},
)


@attack(83, "The address is the connection's, or what a configured ProxyFix took from trusted hops.")
@pytest.mark.parametrize("headers", FORGED, ids=str)
def test_ip_spoofing(make_target: MakeTarget, headers: dict[str, str]) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)
    target.log_in()
    answer = ask(f"{target.url}/api/data", headers={**target.as_sent_by(), **headers})
    assert answer.status == 200
    assert target.emulator.requests.one("userinfo").headers["auth-ip"] == "127.0.0.1"


ADDRESSES: Final = {
    "203.0.113.9:1234": "203.0.113.9",
    "[2001:db8::1]:99": "2001:db8::1",
    "2001:DB8:0::1": "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "::ffff:203.0.113.9": "203.0.113.9",
    " 203.0.113.9 ": "203.0.113.9",
    "garbage": None,
    "unknown": None,
    "": None,
    "0203.0.113.9": None,
    "1.2.3": None,
    "a\tb": None,
}


@attack(
    84,
    "One canonical spelling, without port and zone; what is no address is not sent, and CentralAuth "
    "says what is "
    "missing.",
)
@pytest.mark.parametrize("address", ADDRESSES, ids=ascii)
def test_malformed_addresses(make_target: MakeTarget, address: str) -> None:
    target = make_target()
    token = target.emulator.tokens(user=ALICE, domain="http://localhost")["access_token"]
    client = target.app.test_client()
    answer = client.get(
        "/api/data", headers={"Authorization": f"Bearer {token}"}, environ_base={"REMOTE_ADDR": address}
    )
    sent = target.emulator.requests.one("userinfo").headers.get("auth-ip")
    assert sent == ADDRESSES[address]
    assert answer.status_code == (200 if sent else 500)


@attack(84)
def test_behind_a_proxy_nothing_is_made_up(make_target: MakeTarget) -> None:
    target = make_target()
    target.app.wsgi_app = ProxyFix(target.app.wsgi_app, x_for=1)  # type: ignore[method-assign]
    token = target.emulator.tokens(user=ALICE, domain=target.url)["access_token"]
    ask(
        f"{target.url}/api/data",
        headers={"Authorization": f"Bearer {token}", "X-Forwarded-For": "1.1.1.1, unknown"},
    )
    assert "auth-ip" not in target.emulator.requests.one("userinfo").headers


AGENTS: Final = {
    "": "unknown",
    "x" * 10_000: "x" * 4096,
    " a": "a",
    "\xff\xfe": "\xff\xfe",
    "a\tb": "a\tb",
    "caf\xe9": "caf\xe9",
}


@attack(85, "A legal User-Agent is passed on byte for byte, cut at 4 KiB; else a fixed word.")
@pytest.mark.parametrize("agent", [None, *AGENTS], ids=lambda agent: ascii(agent)[:12])
def test_user_agents(target: Target, agent: str | None) -> None:
    token = target.emulator.tokens(user=ALICE, domain=target.url)["access_token"]
    headers = {"Authorization": f"Bearer {token}", **({} if agent is None else {"User-Agent": agent})}
    assert ask(f"{target.url}/api/data", headers=headers).status == 200
    assert target.emulator.requests.one("userinfo").headers["user-agent"] == AGENTS.get(
        agent or "", "unknown"
    )


@attack(86, "device-id is passed on for bearer tokens only, whichever of our routes a browser calls.")
def test_device_id_of_a_web_client(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_LOGOUT_EVERYWHERE=True)
    sent = {"device-id": "victim"}
    target.browser.get(target.start(), headers=sent)
    target.browser.get(f"{target.url}/private", headers=sent)
    target.browser.fetch(target.auth("user"), headers=sent)
    started = target.browser.get(target.auth("affirm"), headers=sent, follow=False)
    assert "victim" not in str(started.last.location)
    target.browser.get(target.authorize(started.last, target.browser), headers=sent)
    target.browser.submit(target.auth("logout"), {}, headers=sent, follow=False)
    assert {"verify", "userinfo", "logout"} <= set(target.calls())
    assert not [call.endpoint for call in target.emulator.requests.api if "device-id" in call.headers]


@attack(86)
def test_device_id_of_a_login_by_mail(target: Target) -> None:
    sent = {"device-id": "victim"}
    add_mail_form(target.app)
    link = mail_of(target, target.browser, headers=sent)
    telephone = target.person()
    page = telephone.get(link, headers=sent)
    assert telephone.submit(page.forms[0], headers=sent).text == "public"
    assert {"authenticate_direct", "verify", "userinfo"} <= set(target.calls())
    assert not [call.endpoint for call in target.emulator.requests.api if "device-id" in call.headers]


BASES: Final = (
    "http://169.254.169.254",
    "https://ca.example@evil.example",
    "https://user:pass@ca.example",
    "javascript:alert(1)",
    "https://ca.example?x=1",
    "https://ca.example#x",
    "https://ca.example/path",
    "https://",
    "//ca.example",
    "ftp://ca.example",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "https://ca.example\\@evil.example",
    "https://ca.example:99999999",
    "file:///etc/passwd",
    "http://0.0.0.0",
    "http://2130706433",
)


@attack(87, "The base address is checked at start, and discovery decides nothing.")
@pytest.mark.parametrize("base", BASES)
def test_hostile_base_addresses(make_target: MakeTarget, base: str) -> None:
    with pytest.raises(ConfigurationError, match="CENTRALAUTH_BASE_URL"):
        make_target(CENTRALAUTH_BASE_URL=base)


@attack(87)
def test_discovery_decides_nothing(target: Target) -> None:
    evil = {
        "token_endpoint": "http://127.0.0.1:9/x",
        "userinfo_endpoint": "http://127.0.0.1:9/x",
        "issuer": "evil",
    }
    target.emulator.fail("discovery", patch=evil, times=None)
    target.log_in()
    assert target.emulator.requests.none("discovery")


OUTAGES: Final[tuple[dict[str, Any], ...]] = (
    {"status": 503},
    {"status": 500},
    {"error_code": "tooManyRequests"},
    {"action": "reset"},
    {"hang": True},
    {"action": "html", "status": 502},
    {"error_code": "genericError"},
    {"error_code": "noPermission"},
)


@attack(
    88,
    "Not knowing is no answer: 503 with Retry-After, session and cookie as they are, a pause for the "
    "service.",
)
@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_outage_logs_nobody_out(make_target: MakeTarget, outage: dict[str, Any]) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0, CENTRALAUTH_TIMEOUT=1)
    target.log_in()
    session = target.cookie()
    fault = target.emulator.fail("userinfo", **outage)
    answer = target.browser.fetch(f"{target.url}/api/data")
    fault.release()
    assert answer.status in (503, 429, 500)
    assert ("Retry-After" in answer.headers) == (answer.status != 500)
    assert "Set-Cookie" not in answer.headers
    assert target.calls() == ["userinfo"], "no retry storm"
    assert target.cookie() == session
    assert target.who() == ALICE


@attack(88)
def test_a_code_is_sent_once(target: Target) -> None:
    url = target.start()
    target.emulator.requests.clear()
    target.emulator.fail("verify", action="reset")
    assert target.browser.get(url).status == 503
    assert target.calls() == ["verify"]


def _sign_out(target: Target) -> list[str]:
    """Sign Alice out by the form; return whom listeners were told of."""
    told: list[str] = []

    def out(_app: object, *, user: Any, **_more: object) -> None:
        told.append(user.email)

    page = target.browser.get(target.auth("logout"))
    with user_logged_out.connected_to(out):
        target.browser.submit(page.forms[0], follow=False)
    return told


def _add_flashes(target: Target) -> None:
    """Let `/flashes` show what the application's next page would."""
    target.app.add_url_rule("/flashes", "flashes", lambda: " ".join(map(str, get_flashed_messages())))


@attack(
    89, "Signing out here never waits for CentralAuth; when that fails, the person is told and it is logged."
)
@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 503},
        {"action": "reset"},
        {"hang": True},
        {"action": "redirect"},
        {"error_code": "noPermission"},
    ],
    ids=str,
)
def test_silent_logout_failure(
    make_target: MakeTarget, caplog: pytest.LogCaptureFixture, failure: dict[str, Any]
) -> None:
    target = make_target(CENTRALAUTH_LOGOUT_EVERYWHERE=True, CENTRALAUTH_TIMEOUT=0.5)
    _add_flashes(target)
    target.log_in()
    fault = target.emulator.fail("logout", **failure)
    with caplog.at_level(logging.WARNING, logger="flask_centralauth"):
        assert _sign_out(target) == [ALICE]
    fault.release()
    assert target.who() is None
    assert "not at CentralAuth" in caplog.text
    assert "you may still be signed in elsewhere" in target.browser.get(f"{target.url}/flashes").text


@attack(89)
@pytest.mark.parametrize("code", ["tokenInvalid", "sessionInvalid", "sessionExpired", "sessionInactive"])
def test_a_session_that_was_over_at_centralauth_is_signed_out(
    make_target: MakeTarget, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """Nothing failed: warnings without a reason teach people to overlook them."""
    target = make_target(CENTRALAUTH_LOGOUT_EVERYWHERE=True)
    _add_flashes(target)
    target.log_in()
    target.emulator.fail("logout", error_code=code)
    with caplog.at_level(logging.WARNING, logger="flask_centralauth"):
        assert _sign_out(target) == [ALICE]
    assert target.calls() == ["logout"]
    assert target.who() is None
    assert "not at CentralAuth" not in caplog.text
    assert target.browser.get(f"{target.url}/flashes").text == ""


@attack(88)
def test_one_persons_refused_requests_are_no_outage(target: Target) -> None:
    """A firewall before CentralAuth refuses requests of one browser with a page of its own: 403, HTML."""
    target.emulator.fail(
        "userinfo", action="html", status=403, match={"header": {"User-Agent": "*<script>*"}}, times=None
    )
    made_up = {"Authorization": "Bearer eyJhIjoxfQ..YWFh.YWFh.YWFh", "User-Agent": "<script>"}
    for number in range(4):
        made_up["Authorization"] += str(number)
        ask(f"{target.url}/api/data", headers={**made_up, **{"Accept": "application/json"}})
    assert target.browser.get(f"{target.url}/private", headers=PAGE_VISIT).status == 200
