"""Fixtures of `autologin_domains`: ``pytest_plugins = ("tests.autologin_fixtures",)`` in a test module."""

from __future__ import annotations

from typing import Any

import pytest

from flask_centralauth.emulator import Emulator

from .autologin_domains import KEY, Domain, MakeDomain
from .browser_client import Browser
from .conftest import MakeApp, RunServer


class _Late:
    """The server's port is known when it runs; the application is set up for it then."""

    app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


@pytest.fixture
def hosts() -> tuple[str, str]:
    """Where the two are. A port makes another origin, not another site."""
    return "127.0.0.1", "127.0.0.1"


@pytest.fixture
def make_domain(
    hosts: tuple[str, str], live_server: RunServer, make_app: MakeApp, emulator: Emulator
) -> MakeDomain:
    """`make_domain(0)`: the application at the first of two origins; `**config` changes its settings."""
    late = [_Late() for _ in hosts]
    origins = [live_server(one).url.replace("127.0.0.1", host) for one, host in zip(late, hosts, strict=True)]
    emulator.configure(autologin=True, autologin_carry=True, whitelist=origins)

    def make(number: int, **config: Any) -> Domain:
        settings: dict[str, Any] = {
            "CENTRALAUTH_AUTOLOGIN_DOMAINS": origins,
            "CENTRALAUTH_AUTOLOGIN_KEY": KEY,
            "CENTRALAUTH_CALLBACK_URL": f"{origins[number]}/api/auth/callback",
            # One host on two ports: a browser keeps one cookie of a name for both.
            "SESSION_COOKIE_NAME": f"session{number}",
            "SECRET_KEY": f"the secret key of domain {number}, long enough",
        }
        late[number].app = make_app(**{**settings, **config})
        return Domain(late[number].app, origins[number])

    return make


@pytest.fixture
def one_application(live_server: RunServer, make_app: MakeApp, emulator: Emulator) -> tuple[Domain, Domain]:
    """Two domains that are one application: the host decides where its callback is."""
    late = _Late()
    url = live_server(late).url
    origins = [url, url.replace("127.0.0.1", "localhost")]
    emulator.configure(autologin=True, autologin_carry=True, whitelist=origins)
    late.app = make_app(CENTRALAUTH_AUTOLOGIN_DOMAINS=origins, CENTRALAUTH_AUTOLOGIN_KEY=KEY)
    return Domain(late.app, origins[0]), Domain(late.app, origins[1])


@pytest.fixture
def shop(make_domain: MakeDomain) -> Domain:
    """Where people sign in."""
    return make_domain(0)


@pytest.fixture
def blog(make_domain: MakeDomain) -> Domain:
    """Where their login is carried to."""
    return make_domain(1)


@pytest.fixture
def person(emulator: Emulator) -> Browser:
    """A browser that answers CentralAuth's page itself, so that CentralAuth knows it afterwards."""
    return Browser(emulator, user=None)
