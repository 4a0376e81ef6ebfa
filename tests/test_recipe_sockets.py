"""The recipe for Flask-SocketIO, with real sockets: who may connect, and who is still there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
import socketio
import socketio.exceptions

from flask_centralauth.emulator import Emulator

from .browser_client import USER_AGENT, Browser
from .conftest import LiveServer, RunServer

if TYPE_CHECKING:
    from .recipe_fixtures import Recipe

pytest_plugins = ("tests.recipe_fixtures",)

SECONDS: Final = 10  # to wait for what happens at once


class Socket:
    """A page of a browser that is connected, or not."""

    def __init__(self, server: LiveServer, browser: Browser, **headers: str) -> None:
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.refused: queue.Queue[dict[str, Any]] = queue.Queue()
        self.closed = threading.Event()
        self._server = server
        self._http = requests.Session()
        cookie = browser.cookies.header(server.url)
        self._headers = {"User-Agent": USER_AGENT, "Origin": server.url, "Cookie": cookie, **headers}
        # The websocket client would add an origin of its own.
        self.client = socketio.Client(
            reconnection=False, http_session=self._http, websocket_extra_options={"suppress_origin": True}
        )
        self.client.on("said", self.heard.put)
        self.client.on("refused", self.refused.put)
        self.client.on("connect_error", self.refused.put)
        self.client.on("disconnect", lambda _reason: self.closed.set())

    def connect(self, *transports: str) -> Socket:
        self.client.connect(
            self._server.url, headers=self._headers, transports=list(transports), wait_timeout=SECONDS
        )
        return self

    def who(self) -> list[str]:
        answer: Any = self.client.call("who", timeout=SECONDS)
        return list(answer)

    def say(self, text: str) -> None:
        self.client.emit("say", text)

    def close(self) -> None:
        self.client.disconnect()
        if self.client.eio.ws is not None:
            self.client.eio.ws.close()
        self._http.close()


MakeSocket = Callable[..., Socket]


@pytest.fixture(params=["websocket", "polling"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def module(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # No test waits for the clock: they say when it is time to look.
    monkeypatch.setenv("FLASK_SOCKETS_CHECKED_EVERY", "3600")
    monkeypatch.setenv("FLASK_CENTRALAUTH_USER_TTL", "0")
    monkeypatch.setenv("FLASK_CENTRALAUTH_STALE_GRACE", "0")
    return recipe("flask_socketio_chat")


@pytest.fixture
def server(module: ModuleType, live_server: RunServer) -> LiveServer:
    return live_server(module.create_app())


@pytest.fixture
def alice(emulator: Emulator, server: LiveServer) -> Browser:
    browser = Browser(emulator)
    assert browser.get(server.url).status == 200
    return browser


@pytest.fixture
def bob(emulator: Emulator, server: LiveServer) -> Browser:
    browser = Browser(emulator, user="bob@example.com")
    assert browser.get(server.url).status == 200
    return browser


@pytest.fixture
def socket_of(server: LiveServer) -> Iterator[MakeSocket]:
    """`socket_of(browser, **headers)`: not yet connected."""
    sockets: list[Socket] = []

    def make(browser: Browser, **headers: str) -> Socket:
        sockets.append(Socket(server, browser, **headers))
        return sockets[-1]

    yield make
    for socket in sockets:
        socket.close()


def test_who_is_connected_and_what_they_say(
    socket_of: MakeSocket, alice: Browser, bob: Browser, transport: str
) -> None:
    first = socket_of(alice).connect(transport)
    second = socket_of(bob).connect(transport)
    assert first.who() == ["alice@example.com", "bob@example.com"]
    second.say("Hello")
    assert first.heard.get(timeout=SECONDS) == {"by": "bob@example.com", "text": "Hello"}


def test_guest_is_refused(
    socket_of: MakeSocket, emulator: Emulator, transport: str, module: ModuleType
) -> None:
    guest = socket_of(Browser(emulator))
    with pytest.raises(socketio.exceptions.ConnectionError):
        guest.connect(transport)
    assert guest.refused.get(timeout=SECONDS)["data"] == {"errorCode": "tokenMissing"}
    assert module.present == {}


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_page_of_another_origin_is_refused(
    socket_of: MakeSocket, alice: Browser, transport: str, module: ModuleType, origin: str
) -> None:
    # The browser sends Alice's cookie along: only the origin tells them apart.
    with pytest.raises(socketio.exceptions.ConnectionError):
        socket_of(alice, Origin=origin).connect(transport)
    assert module.present == {}


def test_signing_out_closes_the_sockets_of_that_login_only(
    socket_of: MakeSocket,
    server: LiveServer,
    alice: Browser,
    bob: Browser,
    emulator: Emulator,
    transport: str,
) -> None:
    elsewhere = Browser(emulator)
    elsewhere.get(server.url)
    here, there, other = (socket_of(one).connect(transport) for one in (alice, elsewhere, bob))

    alice.submit("/api/auth/logout", follow=False)

    assert here.closed.wait(SECONDS)
    assert there.who() == ["alice@example.com", "bob@example.com"]
    other.say("She is gone")
    assert there.heard.get(timeout=SECONDS)["text"] == "She is gone"
    assert here.heard.empty()
    with pytest.raises(socketio.exceptions.ConnectionError):
        socket_of(alice).connect(transport)


def test_login_ended_by_another_process_is_noticed_at_the_next_event(
    socket_of: MakeSocket, server: LiveServer, module: ModuleType, alice: Browser, transport: str
) -> None:
    socket = socket_of(alice).connect(transport)
    assert socket.who() == ["alice@example.com"]
    end_every_login_of(server, module, alice)
    socket.say("Still here?")
    assert socket.closed.wait(SECONDS)
    assert socket.heard.empty()


def test_login_ended_by_another_process_is_noticed_when_it_is_time_to_look(
    socket_of: MakeSocket, server: LiveServer, module: ModuleType, alice: Browser, bob: Browser
) -> None:
    silent, other = socket_of(alice).connect("websocket"), socket_of(bob).connect("websocket")
    end_every_login_of(server, module, alice)
    module.somebody_left.set()
    assert silent.closed.wait(SECONDS)
    assert other.who() == ["bob@example.com"]


def test_login_ended_by_centralauth_closes_the_socket(
    socket_of: MakeSocket, emulator: Emulator, alice: Browser
) -> None:
    socket = socket_of(alice).connect("websocket")
    emulator.fail("userinfo", error_code="sessionExpired")
    socket.say("Hello")
    assert socket.closed.wait(SECONDS)


def test_outage_refuses_an_event_and_closes_nothing(
    socket_of: MakeSocket, emulator: Emulator, alice: Browser, module: ModuleType
) -> None:
    socket = socket_of(alice).connect("websocket")
    emulator.fail("userinfo", status=503)
    socket.say("Hello")
    assert socket.refused.get(timeout=SECONDS)["errorCode"] == "networkError"
    assert socket.who() == ["alice@example.com"]


def test_program_connects_with_its_token(
    socket_of: MakeSocket, emulator: Emulator, server: LiveServer
) -> None:
    tokens = emulator.tokens(user="bob@example.com", domain=server.url, user_agent=USER_AGENT)
    program = socket_of(Browser(), Authorization=f"Bearer {tokens['access_token']}")
    assert program.connect("websocket").who() == ["bob@example.com"]


def test_handshake_over_http_is_no_way_around(server: LiveServer, alice: Browser) -> None:
    # What a form of another site could post.
    address = f"{server.url}/socket.io/?EIO=4&transport=polling"
    cookie = alice.cookies.header(server.url)
    answer = requests.get(
        address, headers={"Cookie": cookie, "Origin": "https://evil.example"}, timeout=SECONDS
    )
    assert answer.status_code == 400
    assert "Access-Control-Allow-Origin" not in answer.headers


def end_every_login_of(server: LiveServer, module: ModuleType, browser: Browser) -> None:
    """As another worker of the application does it: nothing is told here."""
    user = browser.fetch(f"{server.url}/api/auth/user").json()
    with server.app.test_request_context():  # type: ignore[attr-defined]
        module.centralauth.logout_user(user["id"])
