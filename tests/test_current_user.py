"""The user: `current_user`, the /user route, JSON, templates, pickles."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Final

import msgspec
import pytest
from flask import Response, jsonify, render_template_string, request

from flask_centralauth import AnonymousUser, User, auth_required, current_user
from flask_centralauth.emulator import Emulator
from flask_centralauth.user import InvalidUser, parse_user

from .browser_client import Browser
from .conftest import LiveServer, MakeApp, RunServer
from .raw_http import PAGE_VISIT, ask

RECEIVED: Final[dict[str, Any]] = {
    "id": "user-1",
    "email": "alice@example.com",
    "gravatar": "https://images.example/alice",
    "verified": True,
    "blocked": False,
    "organizationId": "emulator",
    "created": "2024-01-02T03:04:05.678Z",
    "updated": "2024-01-02T03:04:05Z",
    "lastLogin": None,
    "affirmationDate": "2024-06-01T12:00:00+02:00",
    "favourite": {"colours": ["blue"]},
}
ATTRIBUTES: Final = (
    "id", "email", "gravatar", "verified", "blocked", "organization_id", "created", "updated", "last_login",
    "affirmation_date", "is_stale", "is_authenticated", "raw",
)  # fmt: skip


# The object.


def test_its_fields() -> None:
    user = parse_user(RECEIVED)
    assert (user.id, user.email, user.gravatar) == (
        "user-1",
        "alice@example.com",
        "https://images.example/alice",
    )
    assert (user.verified, user.blocked, user.organization_id) == (True, False, "emulator")
    assert user.created == datetime(2024, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)
    assert user.affirmation_date == datetime(2024, 6, 1, 10, tzinfo=timezone.utc)
    assert user.last_login is None
    assert user.is_authenticated is True
    assert user.is_stale is False
    assert user.raw["favourite"]["colours"] == ("blue",)


def test_it_cannot_be_changed() -> None:
    user = parse_user(RECEIVED)
    with pytest.raises(AttributeError):
        user.blocked = True  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        user.role = "admin"  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        user.raw["blocked"] = True  # type: ignore[index]
    with pytest.raises(TypeError):
        user.raw["favourite"]["colours"] = ()


def test_missing_and_new_members_are_fine() -> None:
    user = parse_user({"id": "user-1", "blocked": False, "shoeSize": 43})
    assert (user.email, user.created, user.verified) == (None, None, False)
    assert user.raw["shoeSize"] == 43
    assert user.to_dict()["shoeSize"] == 43


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None}, {"id": ""}, {"id": " "}, {"id": 1}, {"id": ["a"]}, {"email": {}},
        {"email": "a@b\r\nBcc: x"}, {"email": "x" * 2000},
        {"verified": "true"}, {"blocked": "false"}, {"blocked": 0}, {"blocked": None},
        {"created": "yesterday"}, {"created": 17}, {"organizationId": 7},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_members_are_refused_without_repeating_them(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidUser) as refused:
        parse_user({**RECEIVED, **wrong})
    assert next(iter(wrong)) in str(refused.value)
    assert "Bcc" not in str(refused.value)


def test_blocked_has_to_be_said() -> None:
    with pytest.raises(InvalidUser):
        parse_user({"id": "user-1"})


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "http://169.254.169.254/", "https://[", "data:x", ""]
)
def test_a_picture_no_page_should_load(address: str) -> None:
    user = parse_user({**RECEIVED, "gravatar": address})
    assert user.gravatar is None
    assert user.to_dict()["gravatar"] is None


def test_users_are_equal_by_organization_and_id() -> None:
    user, renamed = parse_user(RECEIVED), parse_user({**RECEIVED, "email": "new@example.com"})
    assert user == renamed
    assert hash(user) == hash(renamed)
    assert user != parse_user({**RECEIVED, "id": "user-2"})
    assert user != parse_user({**RECEIVED, "organizationId": "other"})
    assert user != "user-1"
    assert AnonymousUser() == AnonymousUser()
    assert AnonymousUser() != user


@pytest.mark.parametrize("copied", [lambda user: pickle.loads(pickle.dumps(user)), copy.copy, copy.deepcopy])
def test_it_can_be_copied(copied: Callable[[Any], Any]) -> None:
    for user in (parse_user(RECEIVED), parse_user(RECEIVED).stale()):
        again = copied(user)
        assert again == user
        assert (again.to_dict(), again.is_stale) == (user.to_dict(), user.is_stale)
    assert copied(AnonymousUser()) == AnonymousUser()


def test_it_can_be_serialized() -> None:
    user = parse_user(RECEIVED)
    assert json.loads(json.dumps(user.to_dict())) == RECEIVED
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(user.to_dict())) == RECEIVED
    assert json.dumps(AnonymousUser().to_dict()) == "{}"


def test_what_is_printed_of_it() -> None:
    assert repr(parse_user(RECEIVED)) == "<User 'user-1'>"
    assert "alice" not in repr(parse_user(RECEIVED)), "an address is no business of a log"
    assert repr(AnonymousUser()) == "<AnonymousUser>"


def test_the_anonymous_user_has_the_same_attributes_all_empty() -> None:
    nobody = AnonymousUser()
    for name in ATTRIBUTES:
        assert not getattr(nobody, name), name
        getattr(parse_user(RECEIVED), name)
    assert nobody.is_authenticated is False
    with pytest.raises(AttributeError):
        nobody.id = "x"  # type: ignore[assignment, misc]


@pytest.mark.parametrize("user", [parse_user(RECEIVED), AnonymousUser()], ids=["a user", "nobody"])
def test_calling_a_property_by_mistake_is_loud(user: Any) -> None:
    with pytest.raises(TypeError):
        user.is_authenticated()


# current_user.


@pytest.fixture
def server(make_app: MakeApp, live_server: RunServer) -> LiveServer:
    app = make_app()

    @app.get("/json")
    def as_json() -> Any:
        return jsonify(user=current_user, users=[current_user])

    @app.get("/page")
    def page() -> str:
        return render_template_string(
            "{% if current_user.is_authenticated %}{{ current_user.email }} {{ current_user.created.year }}"
            "{% else %}nobody{% endif %}"
            "|{{ current_user.id }}|{{ current_user.blocked }}|{{ current_user.raw.unknown }}"
        )

    @app.get("/nobody")
    def nobody() -> str:
        return repr(pickle.loads(pickle.dumps(current_user)))

    @app.get("/kept")
    @auth_required
    def kept() -> str:
        user = current_user._get_current_object()  # type: ignore[attr-defined]
        again = pickle.loads(pickle.dumps(user))
        proxy: Any = current_user  # to a type checker it is a User anyway
        return f"{isinstance(proxy, User)} {again == current_user} {current_user == again} {again.email}"

    return live_server(app)


def test_current_user_in_json_and_templates(server: LiveServer, browser: Browser) -> None:
    assert browser.fetch(f"{server.url}/json").json() == {"user": None, "users": [None]}
    assert browser.get(f"{server.url}/page").text == "nobody|None|False|"
    assert browser.get(f"{server.url}/nobody").text == "<AnonymousUser>"
    browser.get(f"{server.url}/private")
    answered = browser.fetch("/json").json()
    assert answered["user"] == answered["users"][0] == browser.fetch("/api/auth/user").json()
    email, identifier, blocked, unknown = browser.get(f"{server.url}/page").text.split("|")
    assert email.startswith("alice@example.com 20")
    assert (identifier, blocked, unknown) == (answered["user"]["id"], "False", "")
    assert browser.get(f"{server.url}/kept").text == "True True True alice@example.com"


def test_pages_that_do_not_ask_cost_nothing(server: LiveServer, emulator: Emulator) -> None:
    answer = ask(f"{server.url}/", headers=PAGE_VISIT)
    assert "Set-Cookie" not in answer.headers
    assert "Vary" not in answer.headers
    assert emulator.requests.none()


def test_current_user_needs_a_request() -> None:
    with pytest.raises(RuntimeError):
        current_user.email  # noqa: B018 - reading it is the point


def test_the_user_of_one_request_is_not_the_next_ones(make_app: MakeApp, emulator: Emulator) -> None:
    """A test that has pushed an application context of its own shares `g` between requests."""
    app = make_app()
    alice, guest = app.test_client(), app.test_client()
    with app.app_context():
        started = alice.get("/api/auth/login", headers=PAGE_VISIT)
        callback = emulator.authorize(started.headers["Location"], ip="127.0.0.1")
        alice.get(callback.partition("localhost")[2], headers=PAGE_VISIT)
        assert alice.get("/api/data").json == {"email": "alice@example.com"}
        assert guest.get("/api/data").status_code == 401
        assert alice.get("/api/data").status_code == 200


def test_an_application_called_by_another_has_users_of_its_own(
    make_app: MakeApp, live_server: RunServer, browser: Browser
) -> None:
    # They share one WSGI environment, as the events of a socket do.
    inner, outer = make_app(SESSION_COOKIE_NAME="inner_session"), make_app()

    @outer.get("/api/data/inner")
    @auth_required
    def call_the_other() -> Any:
        return Response.from_app(inner, {**request.environ, "PATH_INFO": "/private"})

    @outer.get("/api/data/inner-as-it-is")
    @auth_required
    def call_the_other_as_it_is() -> Any:
        request.environ["PATH_INFO"] = "/private"
        return Response.from_app(inner, request.environ)

    server = live_server(outer)
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    for way in ("inner", "inner-as-it-is"):
        assert browser.fetch(f"/api/data/{way}").status == 401


# /user


def test_the_user_route(server: LiveServer, browser: Browser, emulator: Emulator) -> None:
    answer = browser.fetch(f"{server.url}/api/auth/user")
    assert (answer.status, answer.text.strip()) == (200, "null")
    browser.get(f"{server.url}/private")
    answer = browser.fetch("/api/auth/user")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    user = answer.json()
    assert user == json.loads(emulator.requests.one("userinfo").reply)
    assert set(user) >= {
        "id", "email", "gravatar", "verified", "blocked", "organizationId", "created", "updated", "lastLogin",
    }  # fmt: skip


def test_the_user_route_is_no_script_and_no_file(server: LiveServer, browser: Browser) -> None:
    browser.get(f"{server.url}/private")
    for path in ("user?callback=x", "user"):
        answer = browser.fetch(f"/api/auth/{path}", headers={"Accept": "text/html"})
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.text.startswith("{")
    for path in ("user/x.css", "user;.js", "user%2f.css", "user.js", "user/"):
        assert browser.fetch(f"/api/auth/{path}").status == 404


def test_a_login_that_was_ended_elsewhere_is_null(
    server: LiveServer, browser: Browser, emulator: Emulator
) -> None:
    browser.get(f"{server.url}/private")
    emulator.end_session()
    browser.user_agent = "another browser, so that CentralAuth is asked"
    answer = browser.fetch(f"{server.url}/api/auth/user")
    assert (answer.status, answer.json()) == (200, None)


def test_two_users_at_once(server: LiveServer, emulator: Emulator) -> None:
    alice, bob = Browser(emulator), Browser(emulator, user="bob@example.com")
    for person in (alice, bob):
        person.get(f"{server.url}/private")
    for _ in range(3):
        assert alice.fetch("/api/data").json() == {"email": "alice@example.com"}
        assert bob.fetch("/api/data").json() == {"email": "bob@example.com"}


@pytest.mark.parametrize("fields", [{"blocked": True}, {"verified": False}])
def test_users_the_policy_keeps_out(
    make_app: MakeApp, live_server: RunServer, browser: Browser, emulator: Emulator, fields: dict[str, bool]
) -> None:
    emulator.add_user(email="kept-out@example.com", **fields)
    browser.user = "kept-out@example.com"
    strict = live_server(make_app(CENTRALAUTH_REQUIRE_VERIFIED=True))
    page = browser.get(f"{strict.url}/private")
    assert (page.status, page.headers.get("Location")) == (403, None)
    assert browser.fetch("/api/auth/user").json() is None
    lax = live_server(make_app(CENTRALAUTH_ALLOW_BLOCKED=True))
    assert browser.get(f"{lax.url}/private").text == "kept-out@example.com"


def test_everything_is_in_the_package_root() -> None:
    import flask_centralauth

    names = {
        "CentralAuth", "auth_required", "public", "current_user", "User", "AnonymousUser", "ErrorCode",
        "CentralAuthError", "SessionError", "LoginError", "PermissionDenied", "ConfigurationError",
        "RateLimitError", "ServiceUnavailable", "EntityError",
    }  # fmt: skip
    assert set(flask_centralauth.__all__) >= names
    assert all(hasattr(flask_centralauth, name) for name in names)
