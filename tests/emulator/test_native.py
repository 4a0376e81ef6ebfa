"""Native applications: no secret, an app_id instead; those of a desktop also assert a challenge."""

from __future__ import annotations

import base64
import json

import pytest
import requests

from flask_centralauth.emulator import Emulator

from .application import LEFT_OUT, Application, error_of, query_of

APP = "com.example.shop"


@pytest.fixture
def native(application: Application, emulator: Emulator) -> Application:
    emulator.configure(native_apps=[f"{APP} {application.redirect_uri}"])
    return application


def code_of(application: Application, **params: str) -> str:
    url = application.login_url(app_id=APP, device_id="d1", **params)
    return query_of(application.emulator.authorize(url))["code"]


def test_they_log_in_without_a_secret(native: Application) -> None:
    reply = native.verify(code_of(native), auth=None, app_id=APP, device_id="d1")
    assert reply.status_code == 200
    assert native.emulator.sessions.last.device_id == "d1"


def test_another_device_or_application_gets_nothing(native: Application) -> None:
    code = code_of(native)
    assert error_of(native.verify(code, auth=None, app_id="another", device_id="d1")) == "sessionMissing"
    assert error_of(native.verify(code, auth=None, app_id=APP, device_id="d2")) == "entityInvalid"
    assert error_of(native.verify(code, auth=None)) == "noPermission"


def test_codes_of_others_need_the_secret(native: Application) -> None:
    assert error_of(native.verify(native.code(), auth=None, app_id=APP)) == "sessionMissing"


@pytest.mark.parametrize("changes", [{"app_id": "another"}, {"redirect_uri": "https://app.example/other"}])
def test_only_registered_ones_get_a_login_page(native: Application, changes: dict[str, str]) -> None:
    reply = native.visit(native.login_url(**{"app_id": APP, **changes}))
    assert query_of(reply.headers["Location"])["error"] == "entityInvalid"


@pytest.fixture
def desktop(native: Application, emulator: Emulator) -> Application:
    emulator.configure(native_assertion=True)
    return native


def asserted(desktop: Application, **changes: object) -> str:
    """Return an assertion as it should be, but for some claims."""
    emulator = desktop.emulator
    url = f"{emulator.url}/api/v1/client_challenge/{emulator.client_id}"
    nonce = desktop.http.get(url, timeout=20).json()["nonce"]
    right = {"iss": APP, "aud": emulator.url, "exp": emulator.clock.time() + 60, "nonce": nonce}
    payload = json.dumps({**right, **changes}).encode()
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.c2lnbmF0dXJl"


def test_a_desktop_application_asserts_its_challenge_once(desktop: Application) -> None:
    assertion = asserted(desktop)
    assert code_of(desktop, client_assertion=assertion)
    assert outcome(desktop, assertion) == "entityInvalid"


def outcome(desktop: Application, assertion: str) -> str | None:
    reply = desktop.visit(desktop.login_url(app_id=APP, client_assertion=assertion))
    return query_of(reply.headers["Location"])["error"] if reply.status_code == 302 else None


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "another"},
        {"aud": "https://evil.example"},
        {"exp": 1},
        {"exp": "soon"},
        {"nonce": "mine"},
        {"nonce": 1},
    ],
    ids=str,
)
def test_a_wrong_assertion_is_refused(desktop: Application, changes: dict[str, object]) -> None:
    assert outcome(desktop, asserted(desktop, **changes)) == "entityInvalid"
    assert outcome(desktop, asserted(desktop)) is None


@pytest.mark.parametrize("assertion", [LEFT_OUT, "", "a.b", "a.b.c", "a.W10.c", "a." + "W" * 9000 + ".c"])
def test_what_is_no_assertion_is_refused(desktop: Application, assertion: str) -> None:
    assert outcome(desktop, assertion) == "entityInvalid"


def test_an_unknown_client_gets_no_challenge(emulator: Emulator) -> None:
    reply = requests.get(f"{emulator.url}/api/v1/client_challenge/another", timeout=20)
    assert error_of(reply) == "organizationIdMissing"
