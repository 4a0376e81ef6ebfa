"""Whatever a client or CentralAuth sends: never a 500, never somebody logged in who should not be."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flask_centralauth.breaker import Breaker
from flask_centralauth.emulator import Emulator
from flask_centralauth.session_guard import EMBEDDED_FILE

from ..conftest import MakeApp
from ..raw_http import PAGE_VISIT
from .target import ALICE, query_of
from .test_secrets_upstream import BODIES as HOSTILE_BODIES

FUZZ: Final = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

#: What WSGI servers let through.
_LATIN: Final = st.characters(codec="latin-1", exclude_characters="\r\n\0")
_WORDS: Final = st.sampled_from(
    [
        "code",
        "state",
        "error",
        "error_description",
        "error_code",
        "iss",
        "return_to",
        "email",
        "affirm",
        "embed",
    ]
)
_VALUES: Final = st.one_of(
    st.text(max_size=40), st.binary(max_size=20).map(lambda raw: raw.decode("latin-1"))
)
QUERIES: Final = st.lists(st.tuples(st.one_of(_WORDS, st.text(max_size=8)), _VALUES), max_size=8)
RAW_QUERIES: Final = st.text(
    alphabet="codestaerri=&%;+/?#[]{}\"'<>\\0123456789abcdefABCDEF\x7f ", max_size=80
)
HEADERS: Final = st.dictionaries(
    st.sampled_from(
        """Accept Authorization Cookie Host Origin Referer User-Agent X-Requested-With HX-Request
        HX-Current-URL Sec-Fetch-Site Sec-Fetch-Mode Sec-Fetch-Dest Sec-Purpose Purpose
        X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto Content-Type device-id Range""".split()
    ),
    st.one_of(
        st.text(_LATIN, max_size=60),
        st.sampled_from(
            [
                "navigate",
                "document",
                "true",
                "same-origin",
                "text/html",
                "application/json",
                "Bearer a..b.c.d",
                "Bearer ",
            ]
        ),
    ),
    max_size=6,
)
ROUTES: Final = ("login", "callback", "confirm", "user", "logout", "affirm")


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0, PROPAGATE_EXCEPTIONS=False)
    app.testing = False
    return app


def _logs_nobody_in(app: Flask, answer: Any) -> None:
    assert answer.status_code < 500, answer.get_data(as_text=True)[:300]
    assert "@example.com" not in answer.get_data(as_text=True)
    for name, value in answer.headers:
        assert value.isprintable(), (name, ascii(value))


@FUZZ
@given(QUERIES, st.booleans())
def test_callback_queries(app: Flask, query: list[tuple[str, str]], vouched: bool) -> None:
    client = app.test_client()
    if vouched:
        started = client.get("/api/auth/login").headers["Location"]
        query = [*query, ("state", query_of(started)["state"][0])]
    answer = client.get("/api/auth/callback", query_string=_encoded(query), headers=PAGE_VISIT)
    _logs_nobody_in(app, answer)
    assert client.get("/api/auth/user").json is None


def _encoded(query: list[tuple[str, str]]) -> str:
    return urlencode(
        [(n.encode("utf-8", "surrogatepass"), v.encode("utf-8", "surrogatepass")) for n, v in query]
    )


@FUZZ
@given(st.sampled_from(ROUTES), RAW_QUERIES, st.sampled_from(["GET", "POST"]))
def test_raw_queries(app: Flask, route: str, query: str, method: str) -> None:
    client = app.test_client()
    answer = client.open(f"/api/auth/{route}", query_string=query, method=method, headers=PAGE_VISIT)
    _logs_nobody_in(app, answer)


@FUZZ
@given(st.sampled_from([*(f"/api/auth/{route}" for route in ROUTES), "/private", "/api/data"]), HEADERS)
def test_headers(app: Flask, path: str, headers: dict[str, str]) -> None:
    answer = app.test_client(use_cookies=False).get(path, headers=headers)
    if answer.status_code == 503:
        # Asked about a token that looks like one.
        assert headers.get("Authorization", "").startswith("Bearer")
        return
    _logs_nobody_in(app, answer)


@FUZZ
@given(st.text(_LATIN, max_size=200), st.sampled_from(ROUTES))
@example("session=\x7f; centralauth_x=1", "callback")
def test_cookies(app: Flask, cookie: str, route: str) -> None:
    client = app.test_client(use_cookies=False)
    tag = app.extensions["centralauth"].attempts._tag
    for header in (
        cookie,
        f"session={cookie}",
        f"centralauth_{tag}_x={cookie}",
        f"centralauth-outcome_{tag}={cookie}",
    ):
        answer = client.get(f"/api/auth/{route}?code=a&state=b", headers={**PAGE_VISIT, "Cookie": header})
        _logs_nobody_in(app, answer)


_MEMBERS: Final = st.sampled_from(
    ["id", "email", "blocked", "verified", "organizationId", "gravatar", "created", "affirmationDate", "x"]
)
_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_MEMBERS, inner, max_size=4),
    max_leaves=8,
)
BODIES: Final = st.one_of(
    # One of the hostile ones as it is, or with something in it changed.
    st.sampled_from([body for body in HOSTILE_BODIES.values() if len(body) < 10_000]),
    st.builds(
        lambda body, at, put: body[: at % (len(body) + 1)] + put + body[at % (len(body) + 1) + len(put) :],
        st.sampled_from([body for body in HOSTILE_BODIES.values() if len(body) < 200]),
        st.integers(0, 200),
        st.binary(max_size=3),
    ),
    st.binary(max_size=60),
    st.dictionaries(_MEMBERS, _JSON, max_size=6).map(lambda value: json.dumps(value).encode()),
    st.text(alphabet='{}[]":,0123456789.eE+-nulltruefalse\\ud8', max_size=40).map(str.encode),
)


@settings(FUZZ, max_examples=80)
@given(BODIES, st.sampled_from(["verify", "userinfo"]), st.sampled_from([200, 200, 400, 401, 404, 429, 500]))
def test_upstream_bodies(app: Flask, emulator: Emulator, body: bytes, endpoint: str, status: int) -> None:
    # What another example did must not stop this one from asking.
    app.extensions["centralauth"].client.breaker = Breaker()
    client = app.test_client()
    callback = emulator.authorize(client.get("/api/auth/login").headers["Location"], user=ALICE)
    fault = emulator.fail(endpoint, body=body, status=status)
    answer = client.get(callback[callback.index("/api/") :], headers=PAGE_VISIT)
    emulator.service.faults.remove(fault)
    assert answer.status_code in (302, 303, 400, 403, 404, 429, 500, 503)
    if answer.status_code == 500:
        assert "centralauth-incident" in answer.text, "our own page for a mistake in the set-up"
    if answer.status_code == 303:
        assert (endpoint, status) == ("userinfo", 200)
        assert json.loads(body)["blocked"] is False


def _stored(app: Flask) -> dict[str, bytes]:
    connection = sqlite3.connect(Path(app.instance_path) / EMBEDDED_FILE)
    try:
        return dict(connection.execute("SELECT key, value FROM entries").fetchall())
    finally:
        connection.close()


_PACKED: Final = st.dictionaries(
    st.sampled_from(["_centralauth", "_permanent", "x"]),
    st.one_of(_JSON, st.lists(_JSON, max_size=4)).filter(lambda value: _fits(value)),
    max_size=4,
).map(msgspec.msgpack.encode)


def _fits(value: Any) -> bool:
    try:
        msgspec.msgpack.encode(value)
    except (OverflowError, ValueError, TypeError, UnicodeEncodeError):
        return False
    return True


@settings(FUZZ, max_examples=150)
@given(
    value=st.one_of(st.binary(max_size=40), _PACKED, BODIES),
    mutate=st.integers(0, 400),
    which=st.sampled_from(["session:", ":login:"]),
    path=st.sampled_from(
        ["/api/auth/user", "/api/auth/logout", "/private", "/api/auth/login", "/api/auth/affirm"]
    ),
)
@pytest.mark.parametrize("how", ["replace", "cut", "flip"])
def test_session_records(
    app: Flask, emulator: Emulator, how: str, value: bytes, mutate: int, which: str, path: str
) -> None:
    app.extensions["centralauth"].client.breaker = Breaker()
    client = app.test_client()
    if "whole records" not in app.extensions:
        login = client.get("/api/auth/login").headers["Location"]
        callback = emulator.authorize(login, user=ALICE)
        assert client.get(callback[callback.index("/api/") :]).status_code == 303
        cookie = client.get_cookie("session")
        assert cookie is not None
        app.extensions["whole records"] = (cookie.value, _stored(app))
    session_id, records = app.extensions["whole records"]
    for key, whole in records.items():
        damaged = whole
        if which in key:
            flipped = bytearray(whole)
            flipped[mutate % len(whole)] ^= 1 + mutate % 255
            damaged = {"replace": value, "cut": whole[: mutate % len(whole)], "flip": bytes(flipped)}[how]
        _restore(app, key, damaged)
    answer = app.test_client(use_cookies=False).get(
        path, headers={**PAGE_VISIT, "Cookie": f"session={session_id}"}
    )
    assert answer.status_code < 500 or answer.status_code == 503, answer.text[:200]
    if how != "flip":
        assert ALICE not in answer.text


def _restore(app: Flask, key: str, value: bytes) -> None:
    connection = sqlite3.connect(Path(app.instance_path) / EMBEDDED_FILE)
    with connection:
        connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (key, value, 4e9))
    connection.close()


@pytest.mark.parametrize("host", ["a@b", "a b", "a/b", "[::1"])
@pytest.mark.parametrize("code", ["genericError", "callbackUrlInvalid"])
def test_a_host_that_is_none_while_answering_an_error(app: Flask, host: str, code: str) -> None:
    client = app.test_client()
    state = query_of(client.get("/api/auth/login").headers["Location"])["state"][0]
    sent = "; ".join(f"{c.key}={c.value}" for c in (client._cookies or {}).values())
    answer = app.test_client(use_cookies=False).get(
        f"/api/auth/callback?error={code}&state={state}", headers={**PAGE_VISIT, "Host": host, "Cookie": sent}
    )
    assert answer.status_code < 500 or "centralauth-incident" in answer.text


DAMAGED: Final[tuple[dict[str, Any], ...]] = (
    {"_centralauth_stored": None},
    {"_centralauth_stored": [1, 2]},
    {"_centralauth_stored": ["a", "b", ["c"]]},
    {"_centralauth_stored": [0.0, "never", []]},
    {"_centralauth_stored": [0.0, None, "session"]},
    {"_centralauth_stored": [0.0, 1e300, []]},
    {"_centralauth_stored": [float("nan"), float("nan"), []]},
    {"_centralauth_stored": [0.0, None, [5]]},
    {"_centralauth_stored": [0.0, None, [], 1]},
    {"_centralauth_notices": 5, "_flashes": [["error", "x"]]},
)


@pytest.mark.parametrize("content", DAMAGED, ids=str)
def test_what_is_kept_beside_a_session(app: Flask, emulator: Emulator, content: dict[str, Any]) -> None:
    client = app.test_client()
    callback = emulator.authorize(client.get("/api/auth/login").headers["Location"], user=ALICE)
    client.get(callback[callback.index("/api/") :])
    for path in ("/api/auth/user", "/private", "/api/auth/logout", "/api/auth/login"):
        for key in _stored(app):
            if key.startswith("session:"):
                _restore(app, key, msgspec.msgpack.encode({"x": 1, **content}))
        assert client.get(path, headers=PAGE_VISIT).status_code < 500
