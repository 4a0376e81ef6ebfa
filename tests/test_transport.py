"""Every HTTP call ends in time, sends nothing anywhere else, and brings nothing dangerous back."""

from __future__ import annotations

import base64
import contextlib
import gzip
import itertools
import json
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_centralauth import config, deadline
from flask_centralauth.client import CentralAuthClient
from flask_centralauth.emulator import Emulator
from flask_centralauth.errors import CentralAuthError, RateLimitError, ServiceUnavailable
from flask_centralauth.visitor import Visitor

from .browser_client import Browser
from .checked_site import at_once
from .conftest import MakeApp, RunServer
from .raw_server import Pieces, RawServer, dripped, reply, self_made_certificate

TIMEOUT = 0.4
#: What a busy machine may add.
SLACK = 0.6
SECRET = "0123456789abcdef0123456789abcdef"
TOKEN = "eyJ-the-access-token"
USER = json.dumps({"id": "u1", "email": "alice@example.com", "blocked": False}).encode()
WHO = Visitor("203.0.113.9", "Browser/1.0")


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """`serve(answer, tls=None)`: a server until the test ends."""
    servers: list[RawServer] = []

    def start(answer: Callable[[bytes], Pieces] | bytes, *, tls: ssl.SSLContext | None = None) -> RawServer:
        given = answer if callable(answer) else lambda _request: [answer]
        servers.append(RawServer(given, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    return self_made_certificate(tmp_path)


def client_of(url: str, *, timeout: float = TIMEOUT, trusted: Path | None = None) -> CentralAuthClient:
    app = Flask("application_under_test")
    app.config.update(
        SECRET_KEY="a secret key of the tests, long enough",
        CENTRALAUTH_CLIENT_ID="org1",
        CENTRALAUTH_CLIENT_SECRET=SECRET,
        CENTRALAUTH_BASE_URL=url,
        CENTRALAUTH_TIMEOUT=timeout,
    )
    client = CentralAuthClient(config.load(app))
    if trusted is not None:
        client.transport.session().verify = str(trusted)
    return client


def ask(client: CentralAuthClient, token: str = TOKEN) -> str | None:
    return client.userinfo(token, domain="https://app.example", visitor=WHO).email


@dataclass(frozen=True)
class Refused:
    error: CentralAuthError
    seconds: float


def refused(client: CentralAuthClient) -> Refused:
    """Ask, and return how that failed."""
    started = time.monotonic()
    with pytest.raises(CentralAuthError) as failure:
        ask(client)
    return Refused(failure.value, time.monotonic() - started)


def endless(piece: bytes) -> Callable[[bytes], Pieces]:
    return lambda _request: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(piece))


# In time

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(USER)
SLOW: dict[str, Callable[[bytes], Pieces]] = {
    "hangs": lambda _request: [60.0],
    "drips the status line": lambda _request: dripped(HEADERS + USER, 0.05),
    "drips the headers": lambda _request: itertools.chain([HEADERS[:20]], dripped(HEADERS[20:] + USER, 0.05)),
    "drips the body": lambda _request: itertools.chain([HEADERS], dripped(USER, 0.05)),
    "drips chunks": lambda _request: itertools.chain(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], dripped(b"1\r\na\r\n" * 100, 0.02)
    ),
    "drips headers without end": lambda _request: itertools.chain(
        [b"HTTP/1.1 200 OK\r\n"], dripped(b"X-Filler: a\r\n" * 1000, 0.01)
    ),
    "goes on with 100 Continue": lambda _request: itertools.chain.from_iterable(
        itertools.repeat([b"HTTP/1.1 100 Continue\r\n\r\n", 0.01])
    ),
    "stops in the middle": lambda _request: [HEADERS, USER[:10], 60.0],
}


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_slow_server_is_given_up_on_at_the_deadline(
    serve: Callable[..., RawServer],
    tls: tuple[ssl.SSLContext, Path],
    slow: Callable[[bytes], Pieces],
    scheme: str,
) -> None:
    secure, trusted = tls
    server = serve(slow, tls=secure if scheme == "https" else None)
    failure = refused(client_of(server.url, trusted=trusted))
    assert isinstance(failure.error, ServiceUnavailable)
    assert failure.seconds < TIMEOUT + SLACK
    # Not again. On a busy machine it may not have been read even once.
    assert len(server.requests) <= 1


@pytest.mark.parametrize("drip", [None, 0.05])
def test_a_tls_handshake_that_never_ends(drip: float | None) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def accept() -> None:
        connection, _address = listener.accept()
        with connection:
            while drip is not None and not over.wait(drip):
                # The beginning of a record that announces 16 KiB.
                with contextlib.suppress(OSError):
                    connection.sendall(b"\x16")
            over.wait(10)

    threading.Thread(target=accept, daemon=True).start()
    failure = refused(client_of(f"https://127.0.0.1:{listener.getsockname()[1]}"))
    over.set()
    listener.close()
    assert failure.seconds < TIMEOUT + SLACK


def test_the_deadline_is_the_call_s_and_not_the_connection_s(serve: Callable[..., RawServer]) -> None:
    """A kept connection does not inherit what little time the call before had left."""
    server = serve(lambda _request: [TIMEOUT * 0.7, reply(USER)])
    client = client_of(server.url)
    assert [ask(client) for _ in range(3)] == ["alice@example.com"] * 3
    assert server.connections == 1


def test_looking_up_a_name_may_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """getaddrinfo() knows no timeout, and a resolver may take half a minute."""
    answered = threading.Event()
    true = socket.getaddrinfo

    def hang(host: str, *args: Any, **options: Any) -> Any:
        if host == "localhost" and not options.get("flags"):
            answered.wait(20)
        return true(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    failure = refused(client_of("http://localhost:9"))
    answered.set()
    assert isinstance(failure.error, ServiceUnavailable)
    assert failure.seconds < TIMEOUT + SLACK


@contextlib.contextmanager
def deaf_address() -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none, as behind a firewall that drops packets."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with contextlib.ExitStack() as waiting:
            for _ in range(4):
                taken = waiting.enter_context(socket.socket())
                taken.setblocking(False)
                taken.connect_ex(address)
            yield address


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let the name localhost have these addresses."""
    true = socket.getaddrinfo

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        if host != "localhost" or options.get("flags"):
            return true(host, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_addresses_that_do_not_answer_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with deaf_address() as deaf:
        resolve_to(monkeypatch, deaf, deaf, deaf)
        failure = refused(client_of("http://localhost:9"))
    assert failure.seconds < TIMEOUT + SLACK


def test_one_dead_address_does_not_use_up_the_time_of_the_others(
    serve: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(USER))
    with deaf_address() as deaf:
        resolve_to(monkeypatch, deaf, ("127.0.0.1", server.port))
        assert ask(client_of("http://localhost:9", timeout=1.0)) == "alice@example.com"


# Nothing is asked twice


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_a_refused_connection_is_tried_twice_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[Any] = []

    class Counted(socket.socket):
        def connect(self, address: Any) -> None:
            attempts.append(address)
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Counted)
    port = closed_port()
    failure = refused(client_of(f"http://127.0.0.1:{port}"))
    assert isinstance(failure.error, ServiceUnavailable)
    assert attempts == [("127.0.0.1", port)] * 2
    assert failure.seconds < SLACK


def test_a_refused_address_leaves_the_other(
    serve: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(USER))
    resolve_to(monkeypatch, ("127.0.0.1", closed_port()), ("127.0.0.1", server.port))
    assert ask(client_of("http://localhost:9")) == "alice@example.com"


ONCE: dict[str, Callable[[bytes], Pieces]] = {
    "503 with Retry-After": lambda _request: [reply(b"", b"Retry-After: 1", status=b"503 Unavailable")],
    "429 with Retry-After": lambda _request: [reply(b"", b"Retry-After: 1", status=b"429 Slow down")],
    "413 with Retry-After": lambda _request: [reply(b"", b"Retry-After: 1", status=b"413 Too large")],
    "500": lambda _request: [reply(b"", status=b"500 Error")],
}


@pytest.mark.parametrize("answer", ONCE.values(), ids=ONCE)
def test_what_was_sent_is_not_sent_again(
    serve: Callable[..., RawServer], answer: Callable[[bytes], Pieces]
) -> None:
    server = serve(answer)
    failure = refused(client_of(server.url))
    assert len(server.requests) == 1
    # No sleeping for Retry-After in a worker either.
    assert failure.seconds < SLACK


@pytest.mark.parametrize("action", ["reset", "close", "truncate", "chunk_garbage"])
def test_a_connection_that_breaks_after_the_request(emulator: Emulator, action: str) -> None:
    emulator.fail("userinfo", action=action, times=None)
    failure = refused(client_of(emulator.url))
    assert isinstance(failure.error, ServiceUnavailable)
    assert emulator.requests.count("userinfo") == 1


def test_a_connection_closed_while_it_was_idle_is_no_failure(serve: Callable[..., RawServer]) -> None:
    closing = itertools.count()
    connections: list[int] = []

    def answer(_request: bytes) -> Pieces:
        connections.append(next(closing))
        yield reply(USER, b"Connection: keep-alive")
        raise OSError("closed by the server")

    server = serve(answer)
    client = client_of(server.url)
    for _ in range(5):
        assert ask(client) == "alice@example.com"
        # Until the FIN is here; a test on one machine is quicker than that.
        _wait_until_closed(client)
    assert (server.connections, client.failures.value) == (5, 0)


def _wait_until_closed(client: CentralAuthClient) -> None:
    manager: Any = client.transport.session().get_adapter("http://").poolmanager  # type: ignore[attr-defined]
    (key,) = manager.pools.keys()
    connection = manager.pools[key].pool.queue[-1]
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(5)
        assert connection.sock.recv(1, socket.MSG_PEEK) == b""


# Nothing goes anywhere else


@pytest.mark.parametrize("status", [b"301 x", b"302 x", b"303 x", b"307 x", b"308 x"])
@pytest.mark.parametrize("call", ["userinfo", "logout"])
def test_a_redirect_is_not_followed(serve: Callable[..., RawServer], status: bytes, call: str) -> None:
    """A7: the token is in the body, and 307 would send it on."""
    canary = serve(reply(USER))
    server = serve(reply(b"", b"Location: " + canary.url.encode() + b"/x", status=status))
    client = client_of(server.url)
    with pytest.raises(ServiceUnavailable):
        ask(client) if call == "userinfo" else client.logout(TOKEN)
    assert (len(server.requests), canary.connections) == (1, 0)


def test_cookies_are_not_kept(serve: Callable[..., RawServer]) -> None:
    """Else one person's reply would mark the next person's call."""
    server = serve(reply(USER, b"Set-Cookie: sid=alice; Path=/"))
    client = client_of(server.url)
    ask(client)
    ask(client)
    assert b"cookie" not in server.requests[1].lower()


def test_a_netrc_file_does_not_replace_our_credentials(
    serve: Callable[..., RawServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(reply(USER))
    ask(client_of(server.url))
    ours = base64.b64encode(f"org1:{SECRET}".encode())
    assert b"Authorization: Basic " + ours in server.requests[0]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_used(
    serve: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    server, proxy = serve(reply(USER)), serve(reply(USER))
    monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    ask(client_of(server.url))
    assert (server.connections, proxy.connections) == (1, 0)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_nobody_trusts(
    serve: Callable[..., RawServer],
    tls: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Nor does the environment decide whom to trust. The token never leaves."""
    secure, trusted = tls
    monkeypatch.setenv(name, str(trusted))
    server = serve(reply(USER), tls=secure)
    failure = refused(client_of(server.url))
    assert "SSLError" in str(failure.error)
    assert server.requests == []


def test_tls_works(serve: Callable[..., RawServer], tls: tuple[ssl.SSLContext, Path]) -> None:
    secure, trusted = tls
    server = serve(reply(USER), tls=secure)
    client = client_of(server.url, trusted=trusted)
    assert [ask(client), ask(client)] == ["alice@example.com"] * 2
    assert server.connections == 1


def test_ipv6_works(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        emulator = Emulator(host="::1").start()
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        client = client_of(emulator.url)
        with pytest.raises(CentralAuthError):
            ask(client)
        assert emulator.requests.count("userinfo") == 1
    finally:
        emulator.stop()


def test_what_is_sent(serve: Callable[..., RawServer]) -> None:
    server = serve(reply(USER))
    ask(client_of(server.url))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
    assert first == "POST /api/v1/userinfo?domain=https%3A%2F%2Fapp.example HTTP/1.1"
    assert body == TOKEN.encode()
    # Never in the address or a header: those are logged on the way.
    assert TOKEN not in head.decode()
    assert sent["content-type"] == "text/plain"
    assert sent["auth-ip"] == "203.0.113.9"
    assert sent["user-agent"] == "Browser/1.0"
    assert sent["accept-encoding"] == "identity"
    assert "device-id" not in sent


# Nothing dangerous comes back

LARGE: dict[str, Callable[[bytes], Pieces]] = {
    "body": lambda _request: [reply(b'{"id": "' + b"x" * 70_000 + b'"}')],
    "body without a length": lambda _request: [b"HTTP/1.1 200 OK\r\n\r\n", b'"' + b"x" * 80_000],
    "body without an end": endless(b"\r\n" + b"x" * 8192),
    "chunks without end": lambda _request: itertools.chain(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
        itertools.repeat(b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    ),
    "a chunk's length without end": lambda _request: itertools.chain(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], itertools.repeat(b"0" * 8192)
    ),
    "trailers without end": lambda _request: itertools.chain(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"],
        itertools.repeat(b"X-Filler: x\r\n" * 100),
    ),
    "100 Continue without end": lambda _request: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "one header without end": endless(b"X-Filler: " + b"x" * 8192),
    "ten thousand headers": endless(b"X-Filler: x\r\n" * 100),
}


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
def test_a_large_answer_is_not_read_to_its_end(
    serve: Callable[..., RawServer], large: Callable[[bytes], Pieces]
) -> None:
    sent = 0

    def answer(request: bytes) -> Pieces:
        nonlocal sent
        for piece in large(request):
            sent += len(piece) if isinstance(piece, bytes) else 0
            yield piece

    failure = refused(client_of(serve(answer).url, timeout=5))
    assert isinstance(failure.error, ServiceUnavailable)
    # At once, not at the deadline; beyond the limit only what fits into the kernel's buffers.
    assert failure.seconds < 2
    assert sent < 16 * 1024 * 1024


def test_64_kib_are_read(serve: Callable[..., RawServer]) -> None:
    filler = json.dumps({"id": "u1", "email": "alice@example.com", "blocked": False, "x": "y"}).encode()
    body = filler.replace(b'"y"', b'"' + b"y" * (deadline.MAX_REPLY - len(filler) + 1) + b'"')
    assert len(body) == deadline.MAX_REPLY
    assert ask(client_of(serve(reply(body)).url)) == "alice@example.com"
    one_more = body.replace(b'"u1"', b'"u12"')
    assert isinstance(refused(client_of(serve(reply(one_more)).url)).error, ServiceUnavailable)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"gzip, gzip", b"br"])
def test_a_compressed_answer_is_refused_unread(serve: Callable[..., RawServer], coding: bytes) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    server = serve(reply(bomb, b"Content-Encoding: " + coding))
    failure = refused(client_of(server.url))
    assert "ContentDecodingError" in str(failure.error)
    assert b"accept-encoding: identity" in server.requests[0].lower()


def test_no_secret_is_in_the_error(serve: Callable[..., RawServer]) -> None:
    """ATK-77: the exceptions of requests hold the request, with the token and the secret."""
    for url in (f"http://127.0.0.1:{closed_port()}", serve(lambda _request: [60.0]).url):
        error = refused(client_of(url)).error
        told = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        basic = base64.b64encode(f"org1:{SECRET}".encode()).decode()
        assert not any(secret in told for secret in (TOKEN, SECRET, basic))
        assert error.__suppress_context__


def test_the_log_tells_what_kind_of_failure_it_was(serve: Callable[..., RawServer]) -> None:
    kinds = {
        "ConnectionRefusedError": f"http://127.0.0.1:{closed_port()}",
        "ReadTimeout": serve(lambda _request: [60.0]).url,
    }
    told = {kind: str(refused(client_of(url)).error) for kind, url in kinds.items()}
    assert all(kind in text for kind, text in told.items()), told


RETRY_AFTER = {
    "30": 30,
    "0": 0,
    "86400": 300,
    "-1": None,
    "1.5": None,
    "soon": None,
    "9" * 30: None,
    "Thu, 01 Jan 1970 00:00:00 GMT": 0,
    "Thu, 31 Dec 2099 00:00:00 GMT": 300,
    "Thu, 31 Dec 99999 00:00:00 GMT": None,
}


@pytest.mark.parametrize("header", RETRY_AFTER)
def test_retry_after_is_read_with_care(serve: Callable[..., RawServer], header: str) -> None:
    server = serve(reply(b"", b"Retry-After: " + header.encode(), status=b"429 Slow down"))
    error = refused(client_of(server.url)).error
    assert isinstance(error, RateLimitError)
    assert error.retry_after == RETRY_AFTER[header]


# Threads, processes, connections


def echo(request: bytes) -> Pieces:
    """Answers with the token as the user's id, so that a mixed-up reply shows."""
    token = request.partition(b"\r\n\r\n")[2].decode()
    return [reply(json.dumps({"id": token, "email": token, "blocked": False}).encode())]


def test_threads_get_their_own_answers(serve: Callable[..., RawServer]) -> None:
    client = client_of(serve(echo).url, timeout=10)

    def many(number: int) -> list[str | None]:
        return [ask(client, f"token-{number}-{call}") for call in range(10)]

    found = at_once([lambda number=number: many(number) for number in range(16)])  # type: ignore[misc]
    assert found == [[f"token-{number}-{call}" for call in range(10)] for number in range(16)]


def test_one_connection_serves_all_calls(serve: Callable[..., RawServer]) -> None:
    server = serve(echo)
    client = client_of(server.url)
    for number in range(20):
        ask(client, f"token-{number}")
    assert server.connections == 1


FORKING = """
    import json, os, sys
    from tests.test_transport import ask, client_of

    client = client_of(sys.argv[1], timeout=10)
    ask(client, "the-parent-s-connection")
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            wrong = 0
            for call in range(50):
                token = f"token-{child}-{call}"
                wrong += ask(client, token) != token
            os._exit(1 if wrong else 0)
        children.append(pid)
    sys.exit(sum(os.waitpid(pid, 0)[1] != 0 for pid in children))
"""


def test_forked_workers_get_their_own_answers(serve: Callable[..., RawServer]) -> None:
    """A connection inherited through fork() delivers other requests' replies."""
    server = serve(echo)
    program = [sys.executable, "-c", textwrap.dedent(FORKING), server.url]
    done = subprocess.run(program, cwd=Path(__file__).parent.parent, timeout=60, check=False)
    assert done.returncode == 0
    assert server.connections == 5


def test_a_login_makes_one_connection_and_the_next_none(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    server = live_server(make_app())
    Browser(emulator).get(f"{server.url}/private")
    assert (emulator.requests.count(), emulator.requests.connections) == (2, 1)
    Browser(emulator, user="bob@example.com").get(f"{server.url}/private")
    assert (emulator.requests.count(), emulator.requests.connections) == (4, 1)


def test_no_call_is_made_outside_of_a_deadline() -> None:
    with pytest.raises(RuntimeError, match="outside of deadline"):
        deadline.remaining()
