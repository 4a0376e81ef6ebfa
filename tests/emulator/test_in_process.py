"""Without sockets: the same answers, and faults below HTTP as what a client sees of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from flask_centralauth.emulator import Emulator, InProcessAdapter

from .application import ORIGIN, Application, error_of


@pytest.fixture
def emulator() -> Emulator:
    """An emulator that never runs."""
    return Emulator(whitelist=[ORIGIN])


@pytest.fixture
def application(emulator: Emulator) -> Iterator[Application]:
    known = Application(emulator)
    known.http.mount(emulator.url, InProcessAdapter(emulator.app))
    yield known
    known.http.close()


def test_a_login_needs_no_socket(application: Application, emulator: Emulator) -> None:
    token = application.token()
    assert application.userinfo(token).json()["email"] == "alice@example.com"
    assert application.logout(token).content == b""
    assert [entry.connection for entry in emulator.requests.api] == [0, 0, 0]


@pytest.mark.parametrize(
    ("action", "failure"),
    [
        ("reset", requests.ConnectionError),
        ("close", requests.ConnectionError),
        ("truncate", requests.exceptions.ChunkedEncodingError),
        ("chunk_garbage", requests.exceptions.ChunkedEncodingError),
        ("drip", requests.ReadTimeout),
        ("slow_headers", requests.ReadTimeout),
    ],
)
def test_broken_connections_are_what_requests_raises(
    application: Application, emulator: Emulator, action: str, failure: type[Exception]
) -> None:
    emulator.fail("userinfo", action=action)
    with pytest.raises(failure):
        application.userinfo("x")
    assert error_of(application.userinfo("x")) == "tokenInvalid"


def test_what_takes_too_long_times_out_at_once(application: Application, emulator: Emulator) -> None:
    for how in ({"hang": True}, {"delay": 3600}):
        emulator.fail("userinfo", **how)
        with pytest.raises(requests.ReadTimeout):
            application.userinfo("x")
    released = emulator.fail("userinfo", hang=True)
    released.release()
    assert error_of(application.userinfo("x")) == "tokenInvalid"
    emulator.fail("userinfo", delay=0.001)
    assert error_of(application.userinfo("x")) == "tokenInvalid"


def test_faults_in_the_answer_are_the_same(application: Application, emulator: Emulator) -> None:
    emulator.fail("userinfo", action="gzip_bomb", bytes=100_000)
    assert len(application.userinfo("x").content) > 100_000
    emulator.fail("userinfo", redirect="https://evil.example/")
    assert application.userinfo("x").headers["Location"] == "https://evil.example/"
    emulator.fail("userinfo", body=b"\xff")
    assert application.userinfo("x").content == b"\xff"


def test_bodies_of_every_kind_arrive(emulator: Emulator) -> None:
    with requests.Session() as http:
        http.mount(emulator.url, InProcessAdapter(emulator.app))
        for body in (b"bytes", "text", iter([b"in ", b"pieces"])):
            http.post(f"{emulator.url}/api/v1/userinfo", data=body, timeout=(1, 2))
        http.post(f"{emulator.url}/api/v1/userinfo", timeout=None)
    assert [entry.text for entry in emulator.requests] == ["bytes", "text", "in pieces", ""]


def test_a_client_without_a_socket_of_ours_is_told() -> None:
    emulator = Emulator()
    emulator.fail("userinfo", action="reset")
    reply = emulator.app.test_client().post("/api/v1/userinfo")
    assert reply.status_code == 501
    assert "needs a socket" in reply.text
