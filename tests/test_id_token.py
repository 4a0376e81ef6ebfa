"""With CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN a login's own token says who it is, until it expires."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from joserfc import jwe
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey

from flask_centralauth import id_token
from flask_centralauth.emulator import Emulator, service
from flask_centralauth.emulator.tokens import issue_token

from .browser_client import Browser
from .checked_site import CheckedSite, MakeCheckedSite
from .raw_http import ask

pytest_plugins = ("tests.checked_fixtures",)

ALICE: Final = ("alice@example.com", False)
UNSAFE: Final[Mapping[str, Any]] = {"CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN": True}
#: Not the end of the login itself: that ends with what verify says beside the tokens.
ENDLESS: Final = {"expires_in": None, "expires_at": None}
DAY: Final = 86_400
ENCODINGS: Final = {
    "A128GCM": 16,
    "A192GCM": 24,
    "A256GCM": 32,
    "A128CBC-HS256": 32,
    "A192CBC-HS384": 48,
    "A256CBC-HS512": 64,
}

Claims = dict[str, Any]
#: `issued(make)`: the emulator's id tokens are what `make(secret, claims)` returns.
Issued = Callable[[Callable[[str, Claims], object]], None]


@pytest.fixture
def site(make_checked_site: MakeCheckedSite) -> CheckedSite:
    """A site that trusts id tokens; nobody is logged in."""
    return make_checked_site(**UNSAFE)


@pytest.fixture
def issued(monkeypatch: pytest.MonkeyPatch) -> Issued:
    def bend(make: Callable[[str, Claims], object]) -> None:
        def issue(secret: str, claims: Claims) -> object:
            return make(secret, claims) if "user" in claims else issue_token(secret, claims)

        monkeypatch.setattr(service, "issue_token", issue)

    return bend


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What this package warned of."""
    caplog.set_level(logging.WARNING, "flask_centralauth")
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.name == "flask_centralauth" and "CLIENT_SECRET has" not in record.getMessage()
    ]


def log_in(site: CheckedSite, path: str = "/who") -> int:
    """Log in, and return how often CentralAuth was asked who that is."""
    site.emulator.requests.clear()
    assert site.browser.get(f"{site.url}{path}").status == 200
    return site.asked


def sealed(secret: str, content: bytes | Mapping[str, Any], /, *, alg: str = "dir", **header: Any) -> str:
    """A token with this header and content, right or not."""
    members = {"alg": alg, "enc": "A256GCM", **header}
    registry = JWERegistry(algorithms=[alg, "DEF", *ENCODINGS], strict_check_header=False)
    plaintext = content if isinstance(content, bytes) else json.dumps(content).encode()
    return str(jwe.encrypt_compact(members, plaintext, OctKey.import_key(secret), registry=registry))


# While it is valid


def test_nobody_is_asked_until_it_expires(site: CheckedSite) -> None:
    site.emulator.fail("verify", action="patch", patch=ENDLESS)
    assert log_in(site) == 0
    for _ in range(5):
        site.clock.advance(DAY / 6)
        assert site.who() == ALICE
    assert site.asked == 0
    site.clock.advance(DAY / 6)
    assert site.who() == ALICE
    assert site.asked == 1
    assert site.who() == ALICE
    assert site.asked == 1, "from then on as without the setting"
    site.expire()
    assert site.who() == ALICE
    assert site.asked == 2


def test_user_is_whole(site: CheckedSite) -> None:
    log_in(site)
    told = site.fetch("/api/auth/user").json()
    site.fetch("/fresh")
    asked = site.fetch("/api/auth/user").json()
    assert site.asked == 1
    assert told == asked
    assert {"id", "email", "gravatar", "verified", "created", "affirmationDate"} <= told.keys()


def test_off_is_the_default(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site()
    assert log_in(site) == 1
    site.expire()
    site.who()
    assert site.asked == 2


def test_login_ends_with_what_verify_says(site: CheckedSite) -> None:
    """A token that claims to be good for longer makes no login longer."""
    site.emulator.fail("verify", action="patch", patch={"expires_in": 600})
    assert log_in(site) == 0
    site.clock.advance(540)
    assert site.fetch().status == 200
    site.clock.advance(61)
    assert site.fetch().status == 401


def test_expired_token_is_no_answer_in_an_outage(site: CheckedSite) -> None:
    site.emulator.fail("verify", action="patch", patch=ENDLESS)
    log_in(site)
    site.fail(status=503)
    site.clock.advance(DAY - 60)
    assert site.who() == ALICE
    assert site.fetch("/fresh").status == 503
    site.clock.advance(61)
    assert site.fetch().status == 503
    site.recover()
    site.clock.advance(60)
    assert site.who() == ALICE


def test_another_worker_trusts_it_too(make_checked_site: MakeCheckedSite) -> None:
    first, second = make_checked_site(**UNSAFE), make_checked_site(**UNSAFE)
    log_in(first)
    first.expire()
    assert second.who() == ALICE
    assert first.asked == 0


def test_switching_it_off_ends_the_trust_of_logins_there_are(make_checked_site: MakeCheckedSite) -> None:
    trusting, after = make_checked_site(**UNSAFE), make_checked_site()
    log_in(trusting)
    assert after.who() == ALICE
    assert after.asked == 1


@pytest.mark.parametrize("enc", ENCODINGS)
def test_every_encryption(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch, enc: str
) -> None:
    secret = "0123456789abcdef" * 4
    secret = secret[: ENCODINGS[enc]]

    def issue(secret: str, claims: Claims) -> str:
        return sealed(secret, claims, enc=enc, emu=True)

    monkeypatch.setattr(service, "issue_token", issue)
    with Emulator(client_secret=secret) as emulator:
        site = make_checked_site(**emulator.config, **UNSAFE)
        browser = Browser(emulator)
        assert browser.get(f"{site.url}/private").text == "alice@example.com"
        assert emulator.requests.count("verify") == 1
        assert emulator.requests.count("userinfo") == 0


# Asked all the same


def test_pages_that_want_a_fresh_answer_ask(site: CheckedSite) -> None:
    assert log_in(site) == 0
    assert site.who("/fresh") == ALICE
    assert site.asked == 1
    assert site.who("/fresh") == ALICE
    assert site.asked == 1, "as without the setting: once per time to live"
    site.expire()
    assert site.who("/affirmed") == ALICE
    assert site.asked == 2
    site.expire()
    assert site.who() == ALICE
    assert site.asked == 2, "others go on trusting the token"


def test_page_that_was_not_fresh_at_first_asks_once_it_must_be(site: CheckedSite) -> None:
    """An application looks at current_user before its guard does."""
    site.app.before_request_funcs.setdefault(None, []).append(_look_at_the_user)
    log_in(site)
    site.fail(error_code="sessionExpired")
    assert site.fetch().status == 200
    assert site.fetch("/fresh").status == 401


def _look_at_the_user() -> None:
    from flask_centralauth import current_user

    assert current_user.is_authenticated in (True, False)


def test_other_address_or_browser_asks(site: CheckedSite) -> None:
    """A stolen cookie is not served by the token: CentralAuth compares the browsers."""
    log_in(site)
    thief = Browser(user_agent="Mozilla/5.0 (Another) Browser/1.0", cookies=site.browser.cookies)
    assert thief.fetch(f"{site.url}/who").status == 401
    assert site.asked == 1


def test_what_it_does_not_notice(site: CheckedSite) -> None:
    """This is what makes it unsafe; a page that wants a fresh answer does notice."""
    log_in(site)
    (user,) = (user for user in site.emulator.users if user.email == "alice@example.com")
    user.blocked = True
    site.expire()
    assert site.who() == ALICE
    assert site.fetch("/fresh").status == 403
    assert site.fetch().status == 401


def test_affirmation_asks_and_the_login_is_checked_from_then_on(site: CheckedSite) -> None:
    log_in(site)
    site.emulator.requests.clear()
    page = site.browser.get(f"{site.url}/api/auth/affirm?return_to=/who")
    assert page.json()["email"] == "alice@example.com"
    assert site.asked == 1
    site.expire()
    site.who()
    assert site.asked == 2


def test_bearer_tokens_are_asked_about(site: CheckedSite) -> None:
    tokens = site.emulator.tokens(user="bob@example.com", domain=site.url, user_agent="App/1.0")
    site.emulator.requests.clear()
    for token in (tokens["access_token"], tokens["id_token"]):
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "App/1.0"}
        assert ask(f"{site.url}/who", headers=headers).json()["email"] == "bob@example.com"
    assert site.asked == 2


# The end of a login


def test_logout_is_final_at_once(make_checked_site: MakeCheckedSite) -> None:
    site, other_worker = make_checked_site(**UNSAFE), make_checked_site(**UNSAFE)
    log_in(site)
    assert other_worker.who() == ALICE
    thief = site.browser.tab()
    kept = [(cookie.name, cookie.value) for cookie in site.browser.cookies]
    site.browser.submit("/api/auth/logout", {})
    cookies = "; ".join(f"{name}={value}" for name, value in kept)
    for worker in (site, other_worker):
        headers = {"Cookie": cookies, "User-Agent": thief.user_agent}
        assert ask(f"{worker.url}/api/data", headers=headers).status == 401
    assert site.asked == 0


def test_ending_all_logins_of_a_user_ends_these(site: CheckedSite) -> None:
    log_in(site)
    user_id = site.fetch("/api/auth/user").json()["id"]
    with site.app.app_context():
        site.app.extensions["centralauth"].logins.end_all(user_id)
    site.clock.advance(1)
    assert site.fetch().status == 401


# Policy


@pytest.mark.parametrize("user", ["blocked@example.com", "unverified@example.com"])
def test_policy_is_judged_from_the_token(make_checked_site: MakeCheckedSite, user: str) -> None:
    site = make_checked_site(**UNSAFE, CENTRALAUTH_REQUIRE_VERIFIED=True)
    browser = Browser(site.emulator, user=user)
    assert browser.get(f"{site.url}/private").status == 403
    assert browser.fetch("/api/data").status == 401
    assert site.asked == 0


# Client secrets


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("switched", [True, False])
def test_both_secrets_open_tokens_while_one_replaces_the_other(
    make_checked_site: MakeCheckedSite, emulator: Emulator, newest_first: bool, switched: bool
) -> None:
    secrets = [emulator.rotate_secret(activate=False), emulator.client_secret]
    site = make_checked_site(
        **UNSAFE,
        CENTRALAUTH_CLIENT_SECRET=None,
        CENTRALAUTH_CLIENT_SECRETS=secrets[:: 1 if newest_first else -1],
    )
    if switched:
        emulator.service.activate_secret()
    assert log_in(site) == 0
    site.expire()
    assert site.who() == ALICE
    assert site.asked == 0


def test_people_stay_in_when_the_secret_is_switched(
    make_checked_site: MakeCheckedSite, emulator: Emulator
) -> None:
    old = emulator.client_secret
    site = make_checked_site(
        **UNSAFE, CENTRALAUTH_CLIENT_SECRETS=[emulator.rotate_secret(activate=False), old]
    )
    log_in(site)
    emulator.service.activate_secret()
    site.expire()
    assert site.who() == ALICE
    assert log_in_of(site, "bob@example.com") == 0


def log_in_of(site: CheckedSite, user: str) -> int:
    before = site.asked
    assert Browser(site.emulator, user=user).get(f"{site.url}/private").text == user
    return site.asked - before


def test_unusable_other_secret_is_passed_over(make_checked_site: MakeCheckedSite, emulator: Emulator) -> None:
    secrets = ["cut-off", "0123456789abcdef" * 4, emulator.client_secret]
    site = make_checked_site(**UNSAFE, CENTRALAUTH_CLIENT_SECRET=None, CENTRALAUTH_CLIENT_SECRETS=secrets)
    assert log_in(site) == 0


# Tokens that are not used


def _header(**members: Any) -> Callable[[str, Claims], str]:
    return lambda secret, claims: sealed(secret, claims, **members)


def _claims(**changes: Any) -> Callable[[str, Claims], str]:
    """With members changed; ``...`` removes one."""

    def make(secret: str, claims: Claims) -> str:
        changed = {**claims, **changes}
        return issue_token(secret, {name: value for name, value in changed.items() if value is not ...})

    return make


def _user(**changes: Any) -> Callable[[str, Claims], str]:
    def make(secret: str, claims: Claims) -> str:
        user = {name: value for name, value in {**claims["user"], **changes}.items() if value is not ...}
        return issue_token(secret, {**claims, "user": user})

    return make


def _with_header(token: str, **members: Any) -> str:
    """The same token below a header that it was not made with."""
    header = base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()
    return ".".join([header, *token.split(".")[1:]])


def _spelled(change: Callable[[str], str]) -> Callable[[str, Claims], str]:
    return lambda secret, claims: change(issue_token(secret, claims))


def _unsigned(_secret: str, claims: Claims) -> str:
    parts = ({"alg": "none"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."
    )


NOW: Final = int(time.time())

BAD: Final[dict[str, Callable[[str, Claims], object]]] = {
    # No token
    "none at all": lambda _secret, _claims: None,
    "a number": lambda _secret, _claims: 7,
    "empty": lambda _secret, _claims: "",
    "text": lambda _secret, _claims: "no token",
    "six parts": _spelled(lambda token: token + ".AAAA"),
    "a line break at its end": _spelled(lambda token: token + "\n"),
    "padded": _spelled(lambda token: token + "="),
    "blanks in it": _spelled(lambda token: token.replace(".", ". ", 1)),
    "bits that do not count set": _spelled(lambda token: token[:-1] + chr(ord(token[-1]) + 1)),
    "oversize": _user(filler="x" * id_token.MAX_ID_TOKEN),
    # Another key or algorithm
    "another secret": lambda _secret, claims: issue_token("another-secret-of-32-characters!", claims),
    "changed": _spelled(lambda token: token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:]),
    "cut": _spelled(lambda token: token[:-6]),
    "alg none": _unsigned,
    "alg none of a JWE": _spelled(lambda token: _with_header(token, alg="none", enc="A256GCM")),
    "A256KW": _header(alg="A256KW"),
    "A256GCMKW": _header(alg="A256GCMKW"),
    "enc that is too short for the key": _spelled(
        lambda token: _with_header(token, alg="dir", enc="A128GCM")
    ),
    "enc nobody knows": _spelled(lambda token: _with_header(token, alg="dir", enc="ROT13")),
    "no alg": _spelled(lambda token: _with_header(token, enc="A256GCM")),
    "no enc": _spelled(lambda token: _with_header(token, alg="dir")),
    "compressed": _header(zip="DEF"),
    "a bomb": lambda secret, claims: sealed(secret, {**claims, "x": "0" * 10_000_000}, zip="DEF"),
    "nested": lambda secret, claims: sealed(secret, issue_token(secret, claims).encode(), cty="JWT"),
    "a critical header": _header(crit=["typ"], typ="JWT"),
    "a key of its own": _header(jwk={"kty": "oct", "k": "AAAA"}),
    "a key somewhere": _header(jku="https://evil.example/keys"),
    # Claims
    "no JSON": lambda secret, _claims: sealed(secret, b"alice"),
    "no object": lambda secret, _claims: sealed(secret, b"[]"),
    "not UTF-8": lambda secret, _claims: sealed(secret, b'{"sessionId": "\xff"}'),
    "a repeated member": lambda secret, claims: sealed(
        secret, (json.dumps(claims)[:-1] + ', "exp": 9999999999}').encode()
    ),
    "no session": _claims(sessionId=...),
    "another session": _claims(sessionId="session-of-somebody-else"),
    "expired": _claims(exp=NOW - 1),
    "without an end": _claims(exp=...),
    "null as its end": _claims(exp=None),
    "true as its end": _claims(exp=True),
    "text as its end": _claims(exp="2099-01-01T00:00:00Z"),
    "NaN as its end": lambda secret, claims: sealed(
        secret, json.dumps({**claims, "exp": float("nan")}).encode()
    ),
    "without a beginning": _claims(iat=...),
    "from the future": _claims(iat=NOW + 3600),
    "from the future in spite of its nbf": _claims(iat=NOW + 3600, nbf=NOW),
    "true as its beginning": _claims(iat=True),
    "not yet valid": _claims(nbf=NOW + 3600),
    "nbf that is no date": _claims(nbf="today"),
    "another audience": _claims(aud="another-organization"),
    "other audiences": _claims(aud=["a", "b"]),
    "no audience": _claims(aud=None),
    "another issuer": _claims(iss="https://evil.example"),
    "another subject": _claims(sub="somebody-else"),
    "no user": _claims(user=None),
    "a user that is a list": _claims(user=["alice"]),
    # The user
    "user without an id": _user(id=...),
    "blocked left out": _user(blocked=...),
    "blocked as text": _user(blocked="false"),
    "verified as a number": _user(verified=1),
    "a line break in the address": _user(email="alice@example.com\nBcc: all@example.com"),
    "user of another organization": _user(organizationId="another-organization"),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_unusable_token_is_told_once_and_centralauth_is_asked(
    site: CheckedSite,
    issued: Issued,
    logged: Callable[[], list[str]],
    make: Callable[[str, Claims], object],
) -> None:
    issued(make)
    assert log_in(site) == 1
    assert site.who() == ALICE
    (line,) = logged()
    assert line.startswith("An id token was not used; CentralAuth was asked instead.")
    assert "alice" not in line
    assert "evil" not in line
    assert site.emulator.client_secret not in line
    site.expire()
    site.who()
    assert site.asked == 2, "and asked again, as without the setting"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none at all", "it is missing, too long or no JWE under a shared key"),
        ("alg none of a JWE", "its algorithm is not one of CentralAuth's"),
        ("enc nobody knows", "its algorithm is not one of CentralAuth's"),
        ("compressed", "its header has more than an algorithm"),
        ("another secret", "it is not sealed with the client secret"),
        ("a repeated member", "its content is unusable: a key is repeated"),
        ("another session", "it is of another session than the access token"),
        ("without an end", "its exp is missing or no date"),
        ("blocked as text", "its user is malformed: blocked is not a boolean"),
    ],
)
def test_log_says_what_is_wrong(
    site: CheckedSite, issued: Issued, logged: Callable[[], list[str]], name: str, reason: str
) -> None:
    issued(BAD[name])
    log_in(site)
    (line,) = logged()
    assert line.endswith(f"The token: {reason}.")


def test_unusable_token_never_lets_in_whom_centralauth_refuses(site: CheckedSite, issued: Issued) -> None:
    issued(_claims(exp=...))
    site.fail(error_code="sessionInvalid")
    site.browser.get(f"{site.url}/private")
    assert site.fetch("/api/data").status == 401


GOOD: Final[dict[str, Callable[[str, Claims], object]]] = {
    "as it is": _claims(),
    "its audience": _claims(aud="emulator"),
    "among its audiences": _claims(aud=["other", "emulator"]),
    "a fraction of a second": _claims(exp=NOW + DAY + 0.5),
    "a little from the future": _claims(iat=NOW + 30, nbf=NOW + 30),
    "a type": lambda secret, claims: sealed(secret, claims, typ="JWT", kid="1"),
    "the other encryption of its length": lambda secret, claims: sealed(secret, claims, enc="A128CBC-HS256"),
    "no organization": _user(organizationId=None),
    "members nobody knows": _user(nickname="Al"),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_usable_token(
    site: CheckedSite, issued: Issued, logged: Callable[[], list[str]], make: Callable[[str, Claims], object]
) -> None:
    issued(make)
    assert log_in(site) == 0
    assert site.who() == ALICE
    assert logged() == []


def test_token_of_a_clock_far_behind_is_not_used(site: CheckedSite, logged: Callable[[], list[str]]) -> None:
    site.emulator.clock.advance(-DAY - 10)
    assert log_in(site) == 1
    (line,) = logged()
    assert line.endswith("it has expired.")
