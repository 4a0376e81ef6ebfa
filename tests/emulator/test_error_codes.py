"""Every documented error code: by what naturally causes it, on demand, and by a magic user."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.login_outcome import SESSION_CODES
from flask_centralauth.emulator.settings import SERVICE_CODES

from .application import LEFT_OUT, Application, error_of, query_of

Cause = Callable[[Application, Emulator], str | None]
NATURAL: dict[str, Cause] = {}


def cause(code: str) -> Callable[[Cause], Cause]:
    """File a function under the code that it should bring about and return."""

    def file(function: Cause) -> Cause:
        NATURAL[code] = function
        return function

    return file


def chosen(application: Application, **form: str) -> str:
    """Return the error that an answer on the login page sends back."""
    page = application.visit(application.login_url())
    form.setdefault("email", "alice@example.com")
    return query_of(application.choose(page, **form).headers["Location"])["error"]


@cause("noPermission")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.userinfo("x", auth=(emulator.client_id, "wrong")))


@cause("tooManyRequests")
def _(application: Application, emulator: Emulator) -> str:
    emulator.configure(rate_limit=3)
    for _ in range(3):
        application.userinfo("x")
    refused = application.userinfo("x")
    assert int(refused.headers["Retry-After"]) > 0
    emulator.clock.advance(60)
    assert error_of(application.userinfo("x")) == "tokenInvalid"
    return error_of(refused)


@cause("missingFields")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.verify("x", redirect_uri=LEFT_OUT))


@cause("sessionMissing")
def _(application: Application, emulator: Emulator) -> str:
    token = application.token()
    emulator.reset()
    return error_of(application.userinfo(token))


@cause("sessionNotVerified")
def _(application: Application, emulator: Emulator) -> str:
    token = application.token()
    emulator.sessions.last.verified = False
    return error_of(application.userinfo(token))


@cause("sessionExpired")
def _(application: Application, emulator: Emulator) -> str:
    token = application.token()
    emulator.clock.advance(86401)
    return error_of(application.userinfo(token))


@cause("sessionInactive")
def _(application: Application, emulator: Emulator) -> str:
    token = application.token()
    application.logout(token)
    return error_of(application.userinfo(token))


@cause("sessionInvalid")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.userinfo(application.token(), auth_ip="192.0.2.66"))


@cause("domainInvalid")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.userinfo(application.token(), domain="https://evil.example"))


@cause("loginAttemptMissing")
def _(application: Application, emulator: Emulator) -> str | None:
    application.visit(f"{emulator.url}/login_attempt/unknown?token=x")
    return emulator.requests.last.error_code


@cause("loginAttemptExpired")
def _(application: Application, emulator: Emulator) -> str | None:
    page = application.visit(application.login_url())
    emulator.clock.advance(3600)
    application.choose(page, email="alice@example.com")
    return emulator.requests.last.error_code


@cause("loginAttemptInvalid")
def _(application: Application, emulator: Emulator) -> str | None:
    page = application.visit(application.login_url())
    application.choose(page, mail_login="not-mine")
    return emulator.requests.last.error_code


@cause("passkeyDataMissing")
def _(application: Application, emulator: Emulator) -> str:
    return chosen(application, connection="passkey", passkey="missing")


@cause("passkeyDataExpired")
def _(application: Application, emulator: Emulator) -> str:
    return chosen(application, connection="passkey", passkey="expired")


@cause("passkeyDataInvalid")
def _(application: Application, emulator: Emulator) -> str:
    return chosen(application, connection="passkey", passkey="invalid")


@cause("passkeyWrongOrganization")
def _(application: Application, emulator: Emulator) -> str:
    return chosen(application, connection="passkey", passkey="other organization")


@cause("callbackUrlMissing")
def _(application: Application, emulator: Emulator) -> str | None:
    application.visit(application.login_url(redirect_uri=LEFT_OUT))
    return emulator.requests.last.error_code


@cause("callbackUrlInvalid")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.verify(application.code(), redirect_uri="https://app.example/other"))


@cause("connectionMissing")
def _(application: Application, emulator: Emulator) -> str:
    emulator.configure(connections=["email"])
    return chosen(application, connection="google")


@cause("organizationIdMissing")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.userinfo("x", auth=("nobody", "x")))


@cause("tokenMissing")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.userinfo(""))


@cause("tokenInvalid")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.userinfo("garbage"))


@cause("stateMissing")
def _(application: Application, emulator: Emulator) -> str:
    return query_of(application.visit(application.login_url(state=LEFT_OUT)).headers["Location"])["error"]


@cause("codeChallengeMissing")
def _(application: Application, emulator: Emulator) -> str:
    reply = application.visit(application.login_url(code_challenge=LEFT_OUT))
    return query_of(reply.headers["Location"])["error"]


@cause("codeChallengeInvalid")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.verify(application.code(), code_verifier="w" * 43))


@cause("captchaInvalid")
def _(application: Application, emulator: Emulator) -> str:
    return chosen(application, captcha="wrong")


@cause("entityMissing")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.call("/api/v1/nothing"))


@cause("entityInvalid")
def _(application: Application, emulator: Emulator) -> str:
    return error_of(application.userinfo(application.token(), auth_ip="not an address"))


#: Codes that nothing a client does brings about.
ONLY_ON_DEMAND = {"genericError", "stateInvalid"}


def test_no_code_is_forgotten() -> None:
    assert set(NATURAL) | ONLY_ON_DEMAND == set(SERVICE_CODES)


@pytest.mark.parametrize("code", sorted(NATURAL))
def test_by_its_natural_cause(application: Application, emulator: Emulator, code: str) -> None:
    assert NATURAL[code](application, emulator) == code


@pytest.mark.parametrize("code", SERVICE_CODES)
def test_on_demand_at_the_login_page(application: Application, emulator: Emulator, code: str) -> None:
    emulator.next_login(error=code)
    assert query_of(emulator.authorize(application.login_url()))["error"] == code
    assert query_of(emulator.authorize(application.login_url(), error=code))["error"] == code


@pytest.mark.parametrize("endpoint", ["verify", "userinfo", "logout"])
@pytest.mark.parametrize("code", SERVICE_CODES)
def test_on_demand_from_the_api(
    application: Application, emulator: Emulator, code: str, endpoint: str
) -> None:
    emulator.fail(endpoint, error_code=code)
    reply = application.call(f"/api/v1/{endpoint}", "x")
    assert error_of(reply) == code
    assert reply.status_code == emulator.settings.status_of(code)


@pytest.mark.parametrize("code", SERVICE_CODES)
def test_by_a_magic_user(application: Application, emulator: Emulator, code: str) -> None:
    user = f"error+{code}@emulator.test"
    if code in SESSION_CODES:
        assert error_of(application.userinfo(application.token(user=user))) == code
    else:
        assert query_of(emulator.authorize(application.login_url(), user=user))["error"] == code


def test_a_message_without_a_code(application: Application, emulator: Emulator) -> None:
    emulator.fail("userinfo", json={"message": "Something unexpected."}, status=500)
    reply = application.userinfo("x")
    assert (reply.status_code, reply.json()) == (500, {"message": "Something unexpected."})


def test_the_status_of_a_code_is_a_setting(application: Application, emulator: Emulator) -> None:
    assert application.userinfo("x").status_code == 401
    emulator.configure(statuses={"tokenInvalid": 418})
    assert application.userinfo("x").status_code == 418


def test_every_assumption_is_a_row_of_the_fidelity_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "fidelity.md").read_text(encoding="utf-8")
    settings = set(re.findall(r"`(\w+)`", page))
    assumed = {
        "statuses",
        "redirect_uri_match",
        "code_lifetime",
        "attempt_lifetime",
        "mail_wait",
        "rate_limit",
        "mode",
        "native_apps",
    }
    assert assumed <= settings
