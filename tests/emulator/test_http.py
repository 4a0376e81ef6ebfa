"""The server itself: connections, methods, sizes, odd requests, the journal's helpers."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from urllib.parse import urlsplit

import pytest

from flask_centralauth.emulator import Emulator

from .application import Application, error_of


def test_two_calls_can_share_a_connection(application: Application, emulator: Emulator) -> None:
    code = application.code()
    token = application.verify(code).json()["access_token"]
    application.userinfo(token)
    verify, userinfo = emulator.requests.api
    assert verify.connection == userinfo.connection > 0
    assert emulator.requests.connections == 1
    other = Application(emulator)
    other.userinfo(token)
    other.http.close()
    assert emulator.requests.connections == 2


def test_discovery_tells_the_endpoints_and_the_mark(application: Application, emulator: Emulator) -> None:
    url = f"{emulator.url}/.well-known/openid-configuration"
    found = application.http.get(url, headers={"Host": "evil.example"}, timeout=20).json()
    assert found["x_centralauth_emulator"] is True
    assert found["issuer"] == emulator.url
    assert found["authorization_endpoint"] == f"{emulator.url}/login"
    assert found["token_endpoint"] == f"{emulator.url}/api/v1/verify"
    assert "evil.example" not in str(found)


def test_discovery_knows_two_addresses() -> None:
    with Emulator(public_url="http://localhost:9797/", internal_url="http://centralauth:9797") as emulator:
        found = emulator.app.test_client().get("/.well-known/openid-configuration").get_json()
        assert found["authorization_endpoint"] == "http://localhost:9797/login"
        assert found["userinfo_endpoint"] == "http://centralauth:9797/api/v1/userinfo"
        assert emulator.config["CENTRALAUTH_BASE_URL"] == "http://centralauth:9797"


def test_unknown_paths_and_methods(application: Application, emulator: Emulator) -> None:
    assert error_of(application.call("/api/v1/nothing")) == "entityMissing"
    reply = application.http.get(f"{emulator.url}/api/v1/verify", timeout=20)
    assert (reply.status_code, error_of(reply)) == (405, "entityInvalid")
    assert "POST" in reply.headers["Allow"]
    assert [entry.endpoint for entry in emulator.requests] == ["unknown", "unknown"]
    assert application.http.get(f"{emulator.url}/healthz", timeout=20).json() == {"status": "ok"}
    assert len(emulator.requests) == 2


def test_too_much_is_refused(application: Application) -> None:
    reply = application.userinfo("x" * 1_500_000)
    assert (reply.status_code, error_of(reply)) == (413, "entityInvalid")
    assert application.userinfo("x" * 3_000_000).status_code == 413


def _raw(emulator: Emulator, data: bytes) -> bytes:
    """Send bytes, return what comes back until the connection closes."""
    parts = urlsplit(emulator.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize(
    "request_text",
    [
        b"POST /api/v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /api/v1/verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
def test_broken_http_is_refused(emulator: Emulator, request_text: bytes) -> None:
    head = _raw(emulator, request_text).partition(b"\r\n")[0]
    assert b"500" not in head
    assert b" 400" in head or b" 505" in head or head == b""


@pytest.mark.parametrize("line", ["HEAD /healthz", "GET /healthz"])
def test_head_is_get_without_a_body_and_a_last_answer_says_so(emulator: Emulator, line: str) -> None:
    answer = _raw(emulator, f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: 16" in head
    assert b"\r\nConnection: close" in head
    assert (body == b"") is line.startswith("HEAD")


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(emulator: Emulator) -> None:
    head = "POST /api/v1/userinfo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    answer = _raw(emulator, f"{head}Connection: close\r\n\r\ntoken".encode())
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 ")
    assert emulator.requests.one("userinfo").text == "token"


@pytest.mark.parametrize("log", [False, True])
def test_requests_can_be_logged(caplog: pytest.LogCaptureFixture, log: bool) -> None:
    with caplog.at_level(logging.INFO, "werkzeug"), Emulator(log=log) as emulator:
        application = Application(emulator)
        application.visit(f"{emulator.url}/login_attempt/1?token=of-a-link-in-a-mail")
        application.http.close()
        refused = _raw(emulator, b"POST /api/v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n")
        assert b" 400 " in refused
    lines = [line for line in caplog.text.splitlines() if "HTTP/1.1" in line]
    assert len(lines) == (2 if log else 0)
    assert "of-a-link-in-a-mail" not in caplog.text


def test_chunked_bodies_are_read(emulator: Emulator) -> None:
    parts = urlsplit(emulator.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    for _ in range(2):
        connection.request("POST", "/api/v1/userinfo", body=iter([b"tok", b"en"]), encode_chunked=True)
        assert connection.getresponse().read()
    connection.close()
    assert [entry.text for entry in emulator.requests.of("userinfo")] == ["token", "token"]
    assert emulator.requests.connections == 1


@pytest.mark.parametrize("query", ["%ff", "a=%00", "client_id=%ff%fe", "&&&===", "client_id[]=1", "x=" * 900])
def test_odd_queries_get_a_page(application: Application, emulator: Emulator, query: str) -> None:
    assert application.visit(f"{emulator.url}/login?{query}").status_code == 400


def test_pages_and_answers_are_hardened(application: Application) -> None:
    for url in (application.login_url(), application.login_url(client_id="x")):
        headers = application.visit(url).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "strict-origin"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_starting_is_quick() -> None:
    # Of this process: a busy machine makes nobody slow.
    started = time.process_time()
    with Emulator() as emulator:
        application = Application(emulator)
        assert application.userinfo(application.token()).status_code == 200
        application.http.close()
    assert time.process_time() - started < 1


def test_two_emulators_know_nothing_of_each_other() -> None:
    with Emulator() as one, Emulator() as other:
        assert one.url != other.url
        assert one.client_secret != other.client_secret
        application = Application(one)
        application.token()
        application.http.close()
        assert len(one.sessions) == 1
        assert len(other.sessions) == 0


def test_it_runs_once_and_can_be_started_again() -> None:
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="does not run"):
        _ = emulator.port
    for _ in range(2):
        with emulator:
            assert emulator.port > 0
            with pytest.raises(RuntimeError, match="runs already"):
                emulator.start()


def test_one_that_was_never_started_stops_and_waits_for_nothing() -> None:
    emulator = Emulator()
    emulator.wait()
    emulator.stop()
    assert emulator.app.test_client().get("/healthz").get_json() == {"status": "ok"}


def test_stopping_releases_what_hangs() -> None:
    with Emulator() as emulator:
        emulator.fail("userinfo", hang=True)
        parts = urlsplit(emulator.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        connection.request("POST", "/api/v1/userinfo", body="x")
        emulator.requests.wait_for("userinfo")
    connection.close()


def test_the_journal_reads_json_and_knows_the_pages(application: Application, emulator: Emulator) -> None:
    application.visit(application.login_url())
    for body in ('{"email": 1}', "no JSON"):
        application.call("/api/v1/authenticate_direct", body)
    assert [entry.json for entry in emulator.requests.api] == [{"email": 1}, None]
    assert [entry.endpoint for entry in emulator.requests.browser] == ["login"]
    assert repr(emulator.requests) == "<Journal of 3 requests>"


def test_it_remembers_so_many_and_no_more(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [application.code() for _ in range(2)]
    monkeypatch.setattr("flask_centralauth.emulator.service.KEPT", 2)
    codes.append(application.code())
    assert error_of(application.verify(codes[0])) == "sessionMissing"
    assert application.verify(codes[1]).status_code == 200


def test_the_journal_tells_what_was_there_instead(application: Application, emulator: Emulator) -> None:
    with pytest.raises(AssertionError, match="the journal is empty"):
        emulator.requests.one("verify")
    application.userinfo("x")
    with pytest.raises(AssertionError, match="POST /api/v1/userinfo -> 401 tokenInvalid"):
        emulator.requests.none("userinfo")
    with pytest.raises(AssertionError, match="expected no API request, got 1"):
        emulator.requests.none()
    with pytest.raises(TimeoutError, match="no verify request"):
        emulator.requests.wait_for("verify", timeout=0.01)
    assert emulator.requests.count("userinfo") == emulator.requests.count() == 1
    assert emulator.requests.none("verify")
