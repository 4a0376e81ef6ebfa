"""The code for tokens, once."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.tokens import TokenUnreadable, issue_token, read_token
from flask_centralauth.protocol import EMULATOR_TOKEN_MARK

from .application import LEFT_OUT, ORIGIN, Application, error_of, query_of


def test_a_code_gives_tokens_of_the_organization(application: Application, emulator: Emulator) -> None:
    reply = application.verify(application.code())
    assert reply.status_code == 200
    assert reply.headers["Cache-Control"] == "no-store"
    tokens = reply.json()
    assert set(tokens) == {"access_token", "id_token", "expires_in", "expires_at"}
    assert tokens["expires_in"] == 86400
    assert datetime.fromisoformat(tokens["expires_at"].replace("Z", "+00:00")).tzinfo is not None
    access = read_token(emulator.client_secret, tokens["access_token"])
    assert set(access) == {"sessionId", "iat", "exp"}
    assert access["sessionId"] == emulator.sessions.last.id
    identity = read_token(emulator.client_secret, tokens["id_token"])
    assert identity["user"]["email"] == "alice@example.com"


def test_tokens_carry_the_mark_of_the_emulator(application: Application) -> None:
    import base64
    import json

    head = application.token().partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    assert header == {"alg": "dir", "enc": "A256GCM", EMULATOR_TOKEN_MARK: True}


@pytest.mark.parametrize("claims", [{"user": 1}, {"sessionId": 1}])
def test_a_token_of_the_organization_without_a_session_is_none(
    application: Application, emulator: Emulator, claims: dict[str, object]
) -> None:
    forged = issue_token(emulator.client_secret, claims)
    assert error_of(application.userinfo(forged)) == "tokenInvalid"


@pytest.mark.parametrize(
    ("rule", "redirect_uri", "fits"),
    [
        ("origin", f"{ORIGIN}/somewhere/else", True),
        ("origin", "https://other.example/api/auth/callback", False),
        ("path", f"{ORIGIN}/api/auth/callback?x=1", True),
        ("path", f"{ORIGIN}/somewhere/else", False),
        ("path", "https://[", False),
    ],
)
def test_how_the_redirect_uri_is_compared_is_a_setting(
    application: Application, emulator: Emulator, rule: str, redirect_uri: str, fits: bool
) -> None:
    emulator.configure(redirect_uri_match=rule)
    reply = application.verify(application.code(), redirect_uri=redirect_uri)
    assert reply.ok if fits else error_of(reply) == "callbackUrlInvalid"


@pytest.mark.parametrize("length", [16, 24, 32, 48, 64])
def test_every_length_of_secret_has_its_encryption(length: int) -> None:
    secret = "s" * length
    assert read_token(secret, issue_token(secret, {"sessionId": "1"})) == {"sessionId": "1"}
    with pytest.raises(TokenUnreadable):
        read_token("t" * length, issue_token(secret, {"sessionId": "1"}))


def test_a_secret_of_another_length_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="this one has 15"):
        Emulator(client_secret="s" * 15)


def test_without_a_maximum_tokens_do_not_expire(application: Application, emulator: Emulator) -> None:
    emulator.configure(max_session_time=0)
    tokens = application.verify(application.code()).json()
    assert (tokens["expires_in"], tokens["expires_at"]) == (None, None)
    assert "exp" not in read_token(emulator.client_secret, tokens["access_token"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"code": LEFT_OUT}, "missingFields"),
        ({"redirect_uri": LEFT_OUT}, "missingFields"),
        ({"code_verifier": LEFT_OUT}, "missingFields"),
        ({"code_verifier": ""}, "missingFields"),
        ({"code": "never-issued"}, "sessionMissing"),
        ({"redirect_uri": "https://app.example/other"}, "callbackUrlInvalid"),
        ({"redirect_uri": "https://app.example/api/auth/callback?x=1"}, "callbackUrlInvalid"),
        ({"code_verifier": "w" * 64}, "codeChallengeInvalid"),
        ({"code_verifier": "w" * 42}, "codeChallengeInvalid"),
        ({"code_verifier": "w" * 129}, "codeChallengeInvalid"),
        ({"code_verifier": "ö" * 64}, "codeChallengeInvalid"),
    ],
)
def test_a_wrong_exchange_is_refused_with_its_code(
    application: Application, emulator: Emulator, changes: dict[str, str], code: str
) -> None:
    reply = application.verify(application.code(), **changes)
    assert reply.status_code in (400, 401)
    assert error_of(reply) == code
    entry = emulator.requests.one("verify")
    assert (entry.verdict, entry.error_code) == ("refused", code)
    assert entry.failed_check is not None
    assert not emulator.sessions


def test_client_authentication_is_checked(application: Application, emulator: Emulator) -> None:
    code = application.code()
    wrong = (emulator.client_id, "x" * 32)
    assert error_of(application.verify(code, auth=None)) == "noPermission"
    assert error_of(application.verify(code, auth=wrong)) == "noPermission"
    assert error_of(application.verify(code, auth=("other", "x" * 32))) == "organizationIdMissing"
    in_body = {"client_id": emulator.client_id, "client_secret": "x" * 32}
    assert error_of(application.verify(code, **in_body)) == "noPermission"
    in_body["client_secret"] = emulator.client_secret
    assert application.verify(code, auth=None, **in_body).status_code == 200


@pytest.mark.parametrize("header", ["Basic", "Basic %%%", "Basic bm9jb2xvbg==", "Bearer x", "Basic /w=="])
def test_a_broken_authorization_header_is_no_permission(application: Application, header: str) -> None:
    form = application.verify_form(application.code())
    reply = application.call("/api/v1/verify", form, auth=None, headers={"Authorization": header})
    assert (reply.status_code, error_of(reply)) == (403, "noPermission")


def test_a_second_use_is_refused_and_ends_the_first_session(
    application: Application, emulator: Emulator
) -> None:
    code = application.code()
    token = application.verify(code).json()["access_token"]
    assert application.userinfo(token).status_code == 200
    assert error_of(application.verify(code)) == "sessionInvalid"
    assert error_of(application.userinfo(token)) == "sessionInvalid"
    assert emulator.sessions.last.reason == "sessionInvalid"


def test_parallel_uses_give_one_session(application: Application, emulator: Emulator) -> None:
    code = application.code()
    start = threading.Barrier(8)
    statuses: list[int] = []

    def use() -> None:
        one = Application(emulator)
        one.verifier = application.verifier
        start.wait()
        statuses.append(one.verify(code).status_code)
        one.http.close()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [401] * 7
    assert len(emulator.sessions) == 1


def test_a_code_expires_after_a_minute(application: Application, emulator: Emulator) -> None:
    code = application.code()
    emulator.clock.advance(61)
    assert error_of(application.verify(code)) == "sessionExpired"


def test_a_code_belongs_to_its_organization(application: Application, emulator: Emulator) -> None:
    emulator.service.add_organization("other", "o" * 32)
    assert error_of(application.verify(application.code(), auth=("other", "o" * 32))) == "sessionMissing"


def test_an_activated_secret_replaces_the_old_one(application: Application, emulator: Emulator) -> None:
    old = (emulator.client_id, emulator.client_secret)
    token = application.token()
    waiting = emulator.rotate_secret(activate=False)
    assert application.userinfo(token, auth=old).status_code == 200
    emulator.service.activate_secret()
    assert emulator.client_secret == waiting
    assert error_of(application.userinfo(token, auth=old)) == "noPermission"
    assert error_of(application.userinfo(token)) == "tokenInvalid"
    assert application.userinfo(application.token()).status_code == 200


def test_compat_accepts_what_the_official_clients_send(application: Application, emulator: Emulator) -> None:
    emulator.configure(mode="compat")
    application.verifier = "0b5d3ad8-3f0f-4a52-9a48-3c2b6a6f6f6e"
    uri = f"{application.redirect_uri}?return_to=%2Fhome"
    form = application.verify_form(application.code(redirect_uri=uri))
    multipart = application.call("/api/v1/verify", None, files={k: (None, v) for k, v in form.items()})
    assert multipart.status_code == 200
    assert emulator.requests.one("verify").form["code"] == form["code"]


def test_a_repeated_field_is_refused(application: Application) -> None:
    form = [*application.verify_form(application.code()).items(), ("code", "another")]
    assert error_of(application.call("/api/v1/verify", form)) == "missingFields"


def test_a_code_of_a_deleted_user_is_refused(application: Application, emulator: Emulator) -> None:
    code = application.code()
    alice = emulator.service.find_user("alice@example.com")
    assert alice is not None
    emulator.service.remove_user(alice)
    assert error_of(application.verify(code)) == "entityMissing"


def test_a_hundred_parallel_logins_have_no_wrong_user(emulator: Emulator) -> None:
    wrong: list[str] = []

    def log_in(number: int) -> None:
        mine = Application(emulator)
        email = f"user{number}@example.com"
        got = mine.userinfo(mine.token(user=email)).json()
        mine.http.close()
        if got.get("email") != email:
            wrong.append(f"{email}: {got}")

    threads = [threading.Thread(target=log_in, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len({session.email for session in emulator.sessions}) == 100


def test_the_callback_of_a_magic_session_user_works(application: Application) -> None:
    assert query_of(
        application.emulator.authorize(application.login_url(), user="error+sessionExpired@x.test")
    )["code"]
