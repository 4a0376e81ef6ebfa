"""The browser CentralAuth is told of: one spelling per client, fit to be sent as headers."""

from __future__ import annotations

import json

import pytest

from flask_centralauth.emulator import Emulator
from flask_centralauth.visitor import is_private, visitor_of

from .browser_client import Browser
from .conftest import MakeApp, RunServer


@pytest.mark.parametrize(
    ("remote", "sent"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:1234", "203.0.113.9"),
        (" 203.0.113.9 ", "203.0.113.9"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("[2001:db8::1]:99", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", None),
        ("garbage", None),
        ("0x7f.1", None),
        ("203.0.113.9, 6.6.6.6", None),
        ("", None),
        (None, None),
    ],
)
def test_addresses(remote: str | None, sent: str | None) -> None:
    assert visitor_of(remote, "x").ip == sent


@pytest.mark.parametrize(
    ("agent", "sent"),
    [
        ("Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
        ("M\xf6zilla \x80\xff", "M\xf6zilla \x80\xff"),
        ("a\tb", "a\tb"),
        (" leading", "leading"),
        (None, "unknown"),
        ("", "unknown"),
        ("a\r\nauth-ip: 6.6.6.6", "unknown"),
        ("a\x00b", "unknown"),
        ("snowman \u2603", "unknown"),
        ("x" * 700, "x" * 700),
        ("x" * 10_000, "x" * 4096),
    ],
)
def test_user_agents(agent: str | None, sent: str) -> None:
    assert visitor_of("203.0.113.9", agent).user_agent == sent


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "127.0.0.1", "192.168.0.7", "172.20.0.1", "100.64.1.1", "::1", "fd00::1", None]
)
def test_addresses_that_are_no_visitors(address: str | None) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", ["203.0.113.9", "8.8.8.8", "2001:db8::1", "172.32.0.1", "2a00:1450::1"])
def test_addresses_of_visitors(address: str) -> None:
    assert not is_private(address)


@pytest.mark.parametrize("agent", ["M\xf6zilla/5.0 \x80", "x" * 3000, "\xff" * 10])
def test_odd_browsers_can_log_in(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator, agent: str
) -> None:
    """CentralAuth compares what we send with what the browser sent it itself."""
    browser = Browser(emulator, user_agent=agent)
    server = live_server(make_app(CENTRALAUTH_USER_TTL=0))
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    assert browser.get(f"{server.url}/private").status == 200
    told = emulator.requests.of("userinfo")[0].headers["user-agent"]
    assert told == agent
    assert json.loads(emulator.requests.of("userinfo")[0].reply)["email"] == "alice@example.com"
