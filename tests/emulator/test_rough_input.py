"""Whatever is sent: an answer with a reason, never a 500, never a login."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_centralauth.emulator import Emulator

from .application import BROWSER, IP, ORIGIN, Application, query_of

ROUGH = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
TEXT = st.text(max_size=60) | st.sampled_from(
    ["\r\n", "\x00", "'\"<script>", "../..", "\ud800", "%00", "x" * 5000]
)


def mangled(right: dict[str, str], data: st.DataObject) -> list[tuple[str, str]]:
    """Return the right fields with at least one dropped, replaced, doubled or foreign."""
    name = data.draw(st.sampled_from(sorted(right)))
    how = data.draw(st.sampled_from(["drop", "replace", "repeat", "rename"]))
    fields = [(key, value) for key, value in right.items() if key != name or how == "repeat"]
    if how == "drop":
        return fields
    value = data.draw(TEXT.filter(lambda text: text != right[name]))
    return [*fields, (data.draw(TEXT) if how == "rename" else name, value)]


def wire(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return fields as the test client can send them."""
    return [
        (key.encode("utf-8", "replace").decode(), value.encode("utf-8", "replace").decode())
        for key, value in fields
    ]


@ROUGH
@given(data=st.data())
def test_a_mangled_login_never_gives_a_code_to_somebody_else(data: st.DataObject) -> None:
    emulator = Emulator(whitelist=[ORIGIN], seed=1)
    emulator.autologin("alice@example.com")
    application = Application(emulator)
    client = emulator.app.test_client()
    right = application.login_params()
    reply = client.get("/login", query_string=wire(mangled(right, data)))
    assert reply.status_code in (302, 400)
    if reply.status_code == 302:
        assert reply.headers["Location"].startswith(f"{ORIGIN}/")
    application.http.close()


@ROUGH
@given(data=st.data())
def test_a_mangled_exchange_never_gives_tokens(data: st.DataObject) -> None:
    emulator = Emulator(whitelist=[ORIGIN])
    application = Application(emulator)
    right = application.verify_form(application.code())
    del right["grant_type"]
    reply = emulator.app.test_client().post(
        "/api/v1/verify",
        data=_multi(wire(mangled(right, data))),
        auth=(emulator.client_id, emulator.client_secret),
    )
    assert 400 <= reply.status_code < 500
    assert not emulator.sessions
    application.http.close()


@ROUGH
@given(
    body=st.binary(max_size=300) | st.sampled_from([b"a.b.c.d.e", b"....", b"\xff\xfe"]), domain=TEXT, ip=TEXT
)
def test_rough_tokens_domains_and_addresses_are_refused(body: bytes, domain: str, ip: str) -> None:
    emulator = Emulator(whitelist=[ORIGIN])
    token = emulator.tokens(user="alice@example.com", domain=ORIGIN, ip=IP, user_agent=BROWSER)[
        "access_token"
    ]
    header = "".join(c for c in ip if " " <= c <= "~")
    for sent in (body, token.encode()):
        for path in ("/api/v1/userinfo", "/api/v1/logout"):
            reply = emulator.app.test_client().post(
                path,
                query_string={"domain": domain.encode("utf-8", "replace").decode()},
                data=sent,
                headers={"auth-ip": header, "User-Agent": BROWSER},
                auth=(emulator.client_id, emulator.client_secret),
            )
            signed_out = path.endswith("logout") and sent != body
            assert signed_out or 400 <= reply.status_code < 500


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
PATHS = ["config", "reset", "clock", "users", "clients", "faults", "authorize", "token", "next", "autologin"]
NAMES = [
    "email",
    "endpoint",
    "status",
    "times",
    "url",
    "user",
    "advance",
    "set",
    "id",
    "whitelist",
    "delay",
    "match",
]


@ROUGH
@given(
    path=st.sampled_from(PATHS),
    body=JSON
    | st.dictionaries(st.sampled_from(NAMES), JSON | st.just("a@example.com") | st.just("userinfo")),
)
def test_rough_control_calls_are_answered(path: str, body: object) -> None:
    emulator = Emulator()
    reply = emulator.app.test_client().open(
        f"/_emulator/{path}",
        method="PATCH" if path == "config" else "POST",
        json=body,
        headers={"X-Emulator-Control": "1"},
    )
    assert reply.status_code < 500
    application = Application(emulator)
    if path != "faults":
        visit = emulator.app.test_client().get("/login", query_string=application.login_params())
        assert visit.status_code < 500
    application.http.close()


def _routes() -> list[tuple[str, str, tuple[str, ...]]]:
    """Every route with each of its methods and the names of its arguments."""
    rules = Emulator().app.url_map.iter_rules()
    return sorted(
        (rule.rule, method, tuple(sorted(rule.arguments)))
        for rule in rules
        for method in (rule.methods or set()) - {"OPTIONS"}
        # An answer without end.
        if rule.endpoint != "control.events"
    )


ROUTES = _routes()
PARAMETERS = st.dictionaries(
    st.sampled_from(
        "client_id redirect_uri state code code_challenge code_verifier token email embed affirm app_id "
        "device_id translations theme_settings error_message domain number where mail mail_login deny error "
        "connection passkey captcha endpoint kind since to user form_token".split()
    ),
    TEXT,
    max_size=5,
)


def test_every_route_is_known() -> None:
    paths = {path for path, _, _ in ROUTES}
    assert {"/login", "/login/<attempt_id>", "/login_attempt/<login_id>", "/api/v1/verify"} <= paths
    assert {"/api/v1/authenticate_direct", "/_emulator/users", "/_emulator/ui"} <= paths


@settings(ROUGH, max_examples=200)
@given(
    route=st.sampled_from(ROUTES),
    arguments=st.lists(TEXT, min_size=2, max_size=2),
    query=PARAMETERS,
    form=PARAMETERS,
    body=st.none() | st.binary(max_size=60) | JSON,
    headers=st.sampled_from([{}, {"X-Emulator-Control": "1"}, {"Authorization": "Basic ===="}]),
    in_basic=st.booleans(),
)
def test_no_route_breaks_or_logs_anybody_in(
    route: tuple[str, str, tuple[str, ...]],
    arguments: list[str],
    query: dict[str, str],
    form: dict[str, str],
    body: Any,
    headers: dict[str, str],
    in_basic: bool,
) -> None:
    emulator = Emulator(whitelist=[ORIGIN])
    path, method, names = route
    for name, value in zip(names, arguments, strict=False):
        path = re.sub(rf"<(\w+:)?{name}>", quote(value.encode("utf-8", "replace"), ""), path)
    how: dict[str, Any] = {"data": dict(wire(list(form.items())))}
    if isinstance(body, bytes):
        how = {"data": body}
    elif body is not None:
        how = {"data": json.dumps(body), "content_type": "application/json"}
    auth = (emulator.client_id, emulator.client_secret) if in_basic else None
    reply = emulator.app.test_client().open(
        path, method=method, query_string=dict(wire(list(query.items()))), headers=headers, auth=auth, **how
    )
    assert reply.status_code < 500
    assert "code=" not in reply.headers.get("Location", "")
    assert not emulator.sessions or path == "/_emulator/token"


@ROUGH
@given(data=st.data())
def test_a_mangled_mail_link_logs_nobody_in(data: st.DataObject) -> None:
    emulator = Emulator(whitelist=[ORIGIN])
    client = emulator.app.test_client()
    asked = client.post(
        "/api/v1/authenticate_direct",
        json={"email": "alice@example.com", "redirect_uri": f"{ORIGIN}/callback", "state": "s" * 43},
        auth=(emulator.client_id, emulator.client_secret),
    )
    assert asked.status_code == 200
    mail = emulator.mailbox.latest()
    for link in (mail.link, mail.undo_link):
        parts = urlsplit(link)
        if data.draw(st.booleans()):
            query = wire(mangled({"token": query_of(link)["token"]}, data))
            reply = client.get(parts.path, query_string=_multi(query))
        else:
            wrong = quote(data.draw(TEXT.filter(bool)).encode("utf-8", "replace"), "")
            # Two slashes lead to the address with one.
            reply = client.get(f"/login_attempt/{wrong}?{parts.query}", follow_redirects=True)
        assert 400 <= reply.status_code < 500
    # Nothing of this has spoiled the real one.
    reply = client.get(urlsplit(mail.link).path, query_string=urlsplit(mail.link).query)
    assert "code=" in reply.headers["Location"]


def _multi(fields: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, value in fields:
        grouped.setdefault(key, []).append(value)
    return grouped


def test_the_unmangled_exchange_works() -> None:
    emulator = Emulator(whitelist=[ORIGIN])
    application = Application(emulator)
    reply = emulator.app.test_client().post(
        "/api/v1/verify",
        data=application.verify_form(application.code()),
        auth=(emulator.client_id, emulator.client_secret),
    )
    application.http.close()
    assert reply.status_code == 200
    assert query_of("http://x/?a=1") == {"a": "1"}
