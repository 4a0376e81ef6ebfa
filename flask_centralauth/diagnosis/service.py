"""Checks of CentralAuth: is it there, is it the right one, does it accept us?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from ..attempts import Attempt
from ..errors import (
    CentralAuthError,
    ConfigurationError,
    ErrorCode,
    RateLimitError,
    ServiceUnavailable,
    error_row,
)
from ..protocol import DISCOVERY_PATH, EMULATOR_DISCOVERY_MARK, LOGIN_PATH
from ..redirects import origin_of
from ..strict_json import UnusableJSON, loads_object
from ..visitor import Visitor
from .findings import Finding, Level, Setup, ok, problem, unknown, warning

if TYPE_CHECKING:
    from ..deadline import Reply

#: A confirmation of identity may be 60 seconds off, see `affirmation`; half of it is spent on the way.
CLOCK_TOLERANCE: Final = 30
NO_TOKEN: Final = "flask-centralauth-check"  # noqa: S105 - made to be refused
CHECKING: Final = Visitor(ip="127.0.0.1", user_agent="flask_centralauth check")

_REGISTRATION_CODES: Final = (
    ErrorCode.CALLBACK_URL_INVALID,
    ErrorCode.CALLBACK_URL_MISSING,
    ErrorCode.DOMAIN_INVALID,
    ErrorCode.ORGANIZATION_ID_MISSING,
)


def check_service(setup: Setup) -> Iterator[Finding]:
    """Ask CentralAuth three harmless questions: discovery, userinfo, its login page."""
    base_url = setup.state.settings.base_url
    try:
        reply = setup.state.client.get(base_url + DISCOVERY_PATH)
    except ServiceUnavailable as failure:
        yield problem(
            "reachable",
            f"{base_url} gives no answer: {failure.message}.",
            "Check CENTRALAUTH_BASE_URL, name resolution, the firewall and the certificate. Proxies from "
            "the environment are not used.",
        )
        return
    if reply.status == 429 or reply.status >= 500:
        yield problem(
            "reachable", f"{base_url} answers HTTP {reply.status}.", "Try again later; check its status page."
        )
        return
    yield ok("reachable", f"{base_url} answers.")
    document = _document(reply)
    discovery = _discovery(base_url, document, reply.status)
    yield discovery
    if discovery.level is Level.PROBLEM:
        # Whoever answers there, the client secret is not for them.
        return
    yield _clock(reply.headers, document or {})
    yield _emulator(setup, document or {})
    credentials = _credentials(setup)
    yield credentials
    if credentials.level is not Level.PROBLEM:
        yield _whitelist(setup)


def _document(reply: Reply) -> dict[str, Any] | None:
    if reply.status != 200:
        return None
    try:
        return loads_object(reply.body)
    except UnusableJSON:
        return None


def _discovery(base_url: str, document: Mapping[str, Any] | None, status: int) -> Finding:
    login_page = (document or {}).get("authorization_endpoint")
    if not isinstance(login_page, str):
        return problem(
            "discovery",
            f"{base_url} answers, but not like CentralAuth: no discovery document (HTTP {status}).",
            "Set CENTRALAUTH_BASE_URL to https://centralauth.com, or to your organization's own domain.",
        )
    if login_page.partition("?")[0] != base_url + LOGIN_PATH:
        return warning(
            "discovery",
            f"CentralAuth's login page is {login_page}, but people are sent to {base_url}{LOGIN_PATH}.",
            f"Set CENTRALAUTH_BASE_URL = {origin_of(login_page)!r}.",
        )
    return ok("discovery", "Its discovery document names the same login page.")


def _clock(headers: Mapping[str, str], document: Mapping[str, Any]) -> Finding:
    try:
        theirs = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        if EMULATOR_DISCOVERY_MARK in document:
            return ok("clock", "An emulator has this machine's clock.")
        return unknown(
            "clock", "The answer has no date to compare our clock with.", "Check that this machine uses NTP."
        )
    ahead = round(time.time() - theirs)
    if abs(ahead) > CLOCK_TOLERANCE:
        direction = "ahead of" if ahead > 0 else "behind"
        return problem(
            "clock",
            f"This machine's clock is {abs(ahead)} seconds {direction} CentralAuth's, "
            "so confirmations of identity and the life of logins are judged wrongly.",
            "Set the clock by NTP.",
        )
    return ok("clock", "This machine's clock agrees with CentralAuth's.")


def _emulator(setup: Setup, document: Mapping[str, Any]) -> Finding:
    if EMULATOR_DISCOVERY_MARK not in document:
        return ok("emulator", "It is not an emulator.")
    if setup.in_development:
        return ok("emulator", "It is an emulator, and the application is in debug mode.")
    return problem(
        "emulator",
        "CENTRALAUTH_BASE_URL leads to an emulator, where everybody can log in as anybody, and debug is off.",
        "Set CENTRALAUTH_BASE_URL to CentralAuth; for development run flask --debug.",
    )


def _credentials(setup: Setup) -> Finding:
    """Ask for the user of a token that is none: only what comes before the token can fail."""
    domain = origin_of(setup.callback_url or "") or "http://localhost:5000"
    try:
        setup.state.client.userinfo(NO_TOKEN, domain=domain, visitor=CHECKING)
    except ConfigurationError as refusal:
        if refusal.error_code != ErrorCode.DOMAIN_INVALID:
            return problem(
                "credentials",
                f"CentralAuth does not accept client id and secret ({refusal.error_code}).",
                "Copy CENTRALAUTH_CLIENT_ID and CENTRALAUTH_CLIENT_SECRET from the organization's settings "
                "again; a newer secret may have been activated.",
            )
    except (ServiceUnavailable, RateLimitError) as failure:
        return unknown("credentials", f"CentralAuth did not say: {failure}.", "Run the check again later.")
    except CentralAuthError:
        # It was the token that was refused, and that is what it is for.
        pass
    return ok("credentials", "Client id and secret are accepted.")


def _whitelist(setup: Setup) -> Finding:
    """Open CentralAuth's login page as a login would, and read what it says about us."""
    callback_url = setup.callback_url
    if callback_url is None:
        return unknown(
            "whitelist",
            "Not looked at: the callback URL is only known inside a request.",
            "Set CENTRALAUTH_CALLBACK_URL to have it checked.",
        )
    try:
        address = _login_address(setup, callback_url)
    # Functions of the application choose texts and looks, and may fail in any way.
    except Exception as failure:
        return unknown(
            "whitelist",
            f"The address of the login page could not be made: {type(failure).__name__}.",
            "If logins fail too, correct the function in CENTRALAUTH_TRANSLATIONS or CENTRALAUTH_THEME.",
        )
    try:
        reply = setup.state.client.get(address, headers={"Referer": f"{origin_of(callback_url)}/"})
    except ServiceUnavailable as failure:
        return unknown(
            "whitelist", f"The login page could not be read: {failure.message}.", "Try a login by hand."
        )
    code = _refusal_in(reply, callback_url)
    if code is not None:
        row = error_row(code)
        return problem("whitelist", f"CentralAuth refuses {callback_url} ({code}). {row.meaning}", row.hint)
    if reply.status < 400:
        return ok("whitelist", "CentralAuth opens its login page for this callback URL.")
    return unknown(
        "whitelist", f"The login page answers HTTP {reply.status} without a reason.", "Try a login by hand."
    )


def _login_address(setup: Setup, callback_url: str) -> str:
    with setup.app.test_request_context():
        return setup.state.flow.begin(Attempt(code_verifier="", redirect_uri=callback_url, return_to="/"))


def _refusal_in(reply: Reply, callback_url: str) -> str | None:
    """Return the error code of a login page that will not let this application's people in."""
    location = reply.headers.get("Location", "")
    if 300 <= reply.status < 400 and location.startswith(callback_url):
        reported = parse_qs(urlsplit(location).query).get("error", [""])[0]
        return reported if error_row(reported).family is ConfigurationError else None
    if reply.status < 400:
        return None
    return next((code for code in _REGISTRATION_CODES if code.encode() in reply.body), None)
