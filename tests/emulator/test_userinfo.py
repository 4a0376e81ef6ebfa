"""Userinfo and logout: who is this, is the session still good, is it the same browser."""

from __future__ import annotations

import pytest

from flask_centralauth.emulator import Emulator

from .application import IP, LEFT_OUT, ORIGIN, Application, error_of


def test_the_user_object_is_complete(application: Application) -> None:
    reply = application.userinfo(application.token())
    assert reply.status_code == 200
    user = reply.json()
    assert set(user) == {
        "id",
        "email",
        "gravatar",
        "verified",
        "blocked",
        "organizationId",
        "created",
        "updated",
        "lastLogin",
        "affirmationDate",
    }
    assert (user["email"], user["verified"], user["blocked"]) == ("alice@example.com", True, False)
    assert user["organizationId"] == application.emulator.client_id
    assert user["created"].endswith("Z")
    picture = application.http.get(user["gravatar"], timeout=20)
    assert picture.headers["Content-Type"].startswith("image/svg+xml")


def test_fields_of_a_user_can_be_anything(application: Application, emulator: Emulator) -> None:
    emulator.add_user(
        email="alice@example.com",
        blocked=True,
        verified=False,
        last_login=None,
        created="2020-02-03T04:05:06Z",
        affirmationDate="2021-01-01T00:00:00Z",
        organizationId=None,
        nickname={"new": "field"},
    )
    user = application.userinfo(application.token()).json()
    assert (user["blocked"], user["verified"], user["organizationId"]) == (True, False, None)
    assert user["created"] == "2020-02-03T04:05:06.000Z"
    assert user["affirmationDate"] == "2021-01-01T00:00:00.000Z"
    assert user["nickname"] == {"new": "field"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("blocked", "false"), ("created", "yesterday"), ("id", None), ("email", "nobody"), ("verified", 1)],
)
def test_a_wrong_field_is_refused_with_its_name(emulator: Emulator, field: str, value: object) -> None:
    fields = {"email": "carol@example.com", field: value}
    with pytest.raises(ValueError, match="not"):
        emulator.add_user(**fields)  # type: ignore[arg-type]


def test_affirmation_is_dated_by_the_login_that_asked_for_it(
    application: Application, emulator: Emulator
) -> None:
    emulator.add_user(email="alice@example.com", affirmationDate="2021-01-01T00:00:00Z")
    token = application.verify(application.code(affirm="1")).json()["access_token"]
    assert application.userinfo(token).json()["affirmationDate"] > "2025"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"auth_ip": LEFT_OUT}, "missingFields"),
        ({"auth_ip": "203.0.113.9, 10.0.0.1"}, "entityInvalid"),
        ({"auth_ip": "0.0.0.0"}, "entityInvalid"),
        ({"auth_ip": "198.51.100.66"}, "sessionInvalid"),
        ({"user_agent": "curl/8"}, "sessionInvalid"),
    ],
)
def test_hijack_protection(
    application: Application, emulator: Emulator, headers: dict[str, str], code: str
) -> None:
    token = application.token()
    assert error_of(application.userinfo(token, **headers)) == code
    ended = code == "sessionInvalid"
    assert emulator.sessions.last.active is not ended
    assert application.userinfo(token).status_code == (401 if ended else 200)
    emulator.configure(hijack_protection=False)
    assert application.userinfo(application.token(), **headers).status_code == 200


def test_addresses_are_compared_not_spelled(application: Application) -> None:
    token = application.token()
    assert application.userinfo(token, auth_ip=f"::ffff:{IP}").status_code == 200


def test_a_login_without_a_browser_is_bound_by_the_first_call(
    application: Application, emulator: Emulator
) -> None:
    tokens = emulator.tokens(user="alice@example.com", domain=ORIGIN)
    token = tokens["access_token"]
    assert application.userinfo(token, auth_ip="192.0.2.1", user_agent="one").status_code == 200
    assert error_of(application.userinfo(token, auth_ip="192.0.2.2", user_agent="one")) == "sessionInvalid"


def test_the_recorded_address_can_be_pinned(application: Application, emulator: Emulator) -> None:
    emulator.configure(login_ip="192.0.2.7")
    assert application.userinfo(application.token(), auth_ip="192.0.2.7").status_code == 200


@pytest.mark.parametrize("body", ["", " ", "garbage", "a.b.c.d.e", "a" * 5000, "\x00", "é"])
def test_what_is_no_token_is_refused(application: Application, body: str) -> None:
    reply = application.userinfo(body.encode())  # type: ignore[arg-type]
    assert reply.status_code == 401
    assert error_of(reply) == ("tokenInvalid" if body.strip() else "tokenMissing")


def test_a_truncated_token_and_a_foreign_one_are_refused(
    application: Application, emulator: Emulator
) -> None:
    token = application.token()
    assert error_of(application.userinfo(token[:-4])) == "tokenInvalid"
    emulator.service.add_organization("other", "o" * 32)
    assert error_of(application.userinfo(token, auth=("other", "o" * 32))) == "tokenInvalid"
    assert error_of(application.userinfo(token, auth=None)) == "noPermission"


@pytest.mark.parametrize(
    "domain",
    [LEFT_OUT, "", "app.example", "https://evil.example", f"{ORIGIN}/api/auth/callback", "https://["],
)
def test_the_domain_must_be_a_listed_origin(application: Application, domain: str) -> None:
    assert error_of(application.userinfo(application.token(), domain=domain)) == "domainInvalid"


def test_the_domain_must_be_the_one_of_the_login(application: Application, emulator: Emulator) -> None:
    emulator.configure(whitelist=[ORIGIN, "https://other.example"])
    token = application.token()
    assert error_of(application.userinfo(token, domain="https://other.example")) == "domainInvalid"
    emulator.configure(autologin=True)
    assert application.userinfo(application.token(), domain="https://other.example").status_code == 200


def test_compat_cuts_the_path_of_the_domain(application: Application, emulator: Emulator) -> None:
    emulator.configure(mode="compat")
    assert application.userinfo(application.token(), domain=application.redirect_uri).status_code == 200


def test_sessions_end_with_time(application: Application, emulator: Emulator) -> None:
    emulator.configure(max_session_time=3600, max_inactivity_time=600)
    token = application.token()
    emulator.clock.advance(599)
    assert application.userinfo(token).status_code == 200
    emulator.clock.advance(600)
    assert error_of(application.userinfo(token)) == "sessionInactive"
    emulator.clock.advance(3600)
    assert error_of(application.userinfo(token)) == "sessionExpired"


def test_logout_ends_the_session_and_may_be_repeated(application: Application, emulator: Emulator) -> None:
    token = application.token()
    for _ in range(2):
        reply = application.logout(token)
        assert (reply.status_code, reply.content) == (200, b"")
    assert error_of(application.userinfo(token)) == "sessionInactive"
    assert emulator.sessions.active == []
    assert error_of(application.logout("garbage")) == "tokenInvalid"
    assert error_of(application.logout("")) == "tokenMissing"
    assert error_of(application.logout(token, auth=None)) == "noPermission"


def test_sessions_can_be_ended_from_here(application: Application, emulator: Emulator) -> None:
    token = application.token()
    emulator.end_session(reason="sessionExpired")
    assert error_of(application.userinfo(token)) == "sessionExpired"


def test_a_reset_forgets_sessions_users_and_time(application: Application, emulator: Emulator) -> None:
    emulator.add_user(email="carol@example.com")
    token = application.token()
    emulator.clock.advance(100)
    emulator.reset()
    assert error_of(application.userinfo(token)) == "sessionMissing"
    assert [user.email for user in emulator.users] == [
        "alice@example.com",
        "bob@example.com",
        "blocked@example.com",
        "unverified@example.com",
    ]
    assert abs(emulator.clock.offset) < 1
    assert len(emulator.requests) == 1


def test_an_unconfirmed_session_is_not_verified(application: Application, emulator: Emulator) -> None:
    token = application.token()
    emulator.sessions.last.verified = False
    assert error_of(application.userinfo(token)) == "sessionNotVerified"


def test_only_the_sessions_of_a_deleted_user_end(application: Application, emulator: Emulator) -> None:
    alice, bob = application.token(), application.token(user="bob@example.com")
    emulator.service.remove_user(emulator.users[0])
    assert error_of(application.userinfo(alice)) == "sessionMissing"
    assert application.userinfo(bob).status_code == 200
    assert [session.active for session in emulator.sessions.of("Bob@example.com")] == [True]


def test_a_device_that_changes_ends_the_session(application: Application, emulator: Emulator) -> None:
    token = application.token()
    emulator.sessions.last.device_id = "phone"
    assert application.userinfo(token, device_id="phone").status_code == 200
    assert error_of(application.userinfo(token, device_id="tablet")) == "sessionInvalid"


def test_a_session_of_a_deleted_user_is_gone(application: Application, emulator: Emulator) -> None:
    token = application.token()
    alice = emulator.service.find_user("alice@example.com")
    assert alice is not None
    emulator.service.remove_user(alice)
    assert error_of(application.userinfo(token)) == "sessionMissing"


@pytest.mark.parametrize("code", ["sessionExpired", "sessionNotVerified", "tokenInvalid", "tooManyRequests"])
def test_a_magic_user_has_a_session_that_answers_its_code(application: Application, code: str) -> None:
    token = application.token(user=f"error+{code}@emulator.test")
    assert error_of(application.userinfo(token)) == code


def test_the_journal_knows_the_call(application: Application, emulator: Emulator) -> None:
    token = application.token()
    application.userinfo(token)
    entry = emulator.requests.one("userinfo")
    assert (entry.kind, entry.method, entry.path, entry.status) == ("api", "POST", "/api/v1/userinfo", 200)
    assert entry.query["domain"] == ORIGIN
    assert entry.headers["auth-ip"] == IP
    assert entry.text == token
    assert entry.authorization == "basic"
    assert entry.email == "alice@example.com"
    assert [e.endpoint for e in emulator.requests.api] == ["verify", "userinfo"]
