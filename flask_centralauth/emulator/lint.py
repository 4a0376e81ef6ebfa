"""The emulator grades the client that talks to it.

Reads the journal and the settings; changes nothing. The ids are those of the design's
table; what only a person could judge is not here.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from ..errors import ErrorCode
from .code_exchange import s256
from .finding import ERROR, WARNING, Finding, Found
from .journal import JournalEntry
from .lint_state import findings_of_state
from .login_request import BANNER_NAMES
from .origins import is_origin, origin_of
from .service import Service

SHORTEST_STATE: Final = 22
CALLS_A_SECOND: Final = 10
PATIENCE_SECONDS: Final = 0.2
#: What broken clients send instead of a verifier, by the challenge it makes.
CONSTANT_CHALLENGES: Final = {s256(word): word for word in ("", "undefined", "null", "None", "0", "false")}
_LIBRARY: Final = re.compile(
    r"python-|urllib|aiohttp|httpx|curl/|wget|axios|node|undici|guzzle|go-http|okhttp|java/|libwww",
    re.IGNORECASE,
)
_SECRET_IN_URL: Final = re.compile(
    r"(?:^|[?&])(?:client_secret|code_verifier|access_token|token)=|eyJ[\w-]{10}"
)


def lint(service: Service) -> list[Finding]:
    """Return what is wrong with the client so far, errors first, each thing once."""
    entries = list(service.journal)
    seen: dict[tuple[str, str], Finding] = {}
    for rule in _RULES:
        for finding in rule(entries):
            seen.setdefault((finding.id, finding.text), finding)
    for finding in findings_of_state(service):
        seen.setdefault((finding.id, finding.text), finding)
    return sorted(seen.values(), key=lambda finding: (finding.level != ERROR, finding.id))


def _of(entries: list[JournalEntry], endpoint: str) -> Iterator[JournalEntry]:
    return (entry for entry in entries if entry.endpoint == endpoint and entry.method in ("GET", "POST"))


def _verifiers(entries: list[JournalEntry]) -> Found:
    used: dict[str, str] = {}
    for entry in _of(entries, "verify"):
        verifier, code = entry.form.get("code_verifier", ""), entry.form.get("code", "")
        if 0 < len(verifier) < 43:
            text = "code_verifier is shorter than the 43 characters of RFC 7636 §4.1"
            yield Finding("L01", ERROR, text, entry.number)
        if verifier and used.setdefault(verifier, code) != code:
            yield Finding("L01", ERROR, "the same code_verifier serves several logins", entry.number)
    for entry in _of(entries, "login"):
        word = CONSTANT_CHALLENGES.get(entry.query.get("code_challenge", ""))
        if word is not None:
            text = f"code_challenge is the one of the constant verifier {word!r}"
            yield Finding("L01", ERROR, text, entry.number)


def _states(entries: list[JournalEntry]) -> Found:
    seen: set[str] = set()
    verifiers = {entry.form.get("code_verifier") for entry in _of(entries, "verify")}
    for entry in _of(entries, "login"):
        state = entry.query.get("state", "")
        if not state:
            yield Finding("L02", ERROR, "state is missing", entry.number)
            continue
        if len(state) < SHORTEST_STATE:
            text = f"state has fewer than {SHORTEST_STATE} characters: too easy to guess"
            yield Finding("L02", WARNING, text, entry.number)
        if state in seen:
            yield Finding("L02", ERROR, "the same state serves several logins", entry.number)
        if state in verifiers:
            yield Finding("L02", ERROR, "state is the code_verifier: it is no secret any more", entry.number)
        if "://" in state or "%2f%2f" in state.lower():
            yield Finding("L02", WARNING, "state contains a URL: keep it on the server", entry.number)
        seen.add(state)


def _challenges(entries: list[JournalEntry]) -> Found:
    for entry in _of(entries, "login"):
        if entry.query.get("code_challenge_method") != "S256" or not entry.query.get("code_challenge"):
            yield Finding("L03", ERROR, "PKCE with S256 is missing at /login", entry.number)


def _redirect_uris(entries: list[JournalEntry]) -> Found:
    origins: set[str | None] = set()
    for entry in _of(entries, "login"):
        uri = entry.query.get("redirect_uri", "")
        if "?" in uri:
            text = "redirect_uri carries a query: whoever holds the URL can rewrite it"
            yield Finding("L04", WARNING, text, entry.number)
        if entry.error_code == ErrorCode.CALLBACK_URL_INVALID:
            yield Finding(
                "L05", ERROR, f"redirect_uri leads to {_host(uri)!r}, which is not listed", entry.number
            )
            continue
        origins.add(origin_of(uri))
        if len(origins) > 1:
            text = "redirect_uri changes its host between logins: does the Host header decide it?"
            yield Finding("L05", WARNING, text, entry.number)


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).netloc[:80]
    except ValueError:
        return uri[:80]


def _secrets(entries: list[JournalEntry]) -> Found:
    for entry in entries:
        if entry.form.get("client_secret"):
            both = entry.authorization == "basic"
            text = "the client secret is in the body" + (" and in the Authorization header" if both else "")
            yield Finding("L06", ERROR if both else WARNING, f"{text}: use HTTP Basic only", entry.number)
        if entry.kind == "api" and _SECRET_IN_URL.search(entry.query_string):
            yield Finding("L07", ERROR, "a token or secret is in a URL, where logs keep it", entry.number)


def _addresses(entries: list[JournalEntry]) -> Found:
    by_session: dict[str, set[str]] = defaultdict(set)
    for entry in _of(entries, "userinfo"):
        sent = entry.headers.get("auth-ip", "").strip()
        problem = _address_problem(sent)
        if problem:
            yield Finding("L08", ERROR, f"auth-ip {problem}", entry.number)
        elif entry.session_id:
            by_session[entry.session_id].add(sent)
    addresses = set().union(*by_session.values()) if by_session else set()
    if len(by_session) >= 3 and len(addresses) == 1 and _is_private(next(iter(addresses))):
        text = (
            f"auth-ip is always {next(iter(addresses))}: is a proxy's address sent instead of the person's?"
        )
        yield Finding("L08", WARNING, text)


def _address_problem(sent: str) -> str | None:
    if not sent:
        return "is missing"
    if "," in sent:
        return "is a list: send the one address your own proxy vouches for"
    try:
        address = ipaddress.ip_address(sent)
    except ValueError:
        return "is not an IP address"
    if address.is_unspecified:
        return "is the placeholder 0.0.0.0"
    return None if str(address) == sent else "is not in its normal spelling"


def _is_private(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address.is_private and not address.is_loopback


def _browsers(entries: list[JournalEntry]) -> Found:
    for entry in _of(entries, "userinfo"):
        agent = entry.headers.get("User-Agent", "")
        if not agent:
            yield Finding("L09", WARNING, "user-agent is missing at userinfo", entry.number)
        elif _LIBRARY.search(agent):
            text = f"user-agent at userinfo is {agent[:40]!r}, a library's: send the browser's"
            yield Finding("L09", WARNING, text, entry.number)
        domain = entry.query.get("domain", "")
        if not domain:
            yield Finding("L10", WARNING, "domain is missing at userinfo", entry.number)
        elif not is_origin(domain):
            yield Finding("L10", WARNING, "domain at userinfo is more than an origin", entry.number)


def _unasked(entries: list[JournalEntry]) -> Found:
    asked = {entry.session_id for entry in _of(entries, "userinfo")}
    for entry in _of(entries, "verify"):
        if entry.session_id and entry.session_id not in asked:
            text = "userinfo was never asked after a login: the token alone proves no live session"
            yield Finding("L11", WARNING, text, entry.number)


def _retries(entries: list[JournalEntry]) -> Found:
    codes: set[str] = set()
    for entry in _of(entries, "verify"):
        code = entry.form.get("code", "")
        if code and code in codes:
            yield Finding("L12", ERROR, "a code was sent to verify twice", entry.number)
        codes.add(code)
    for entry in entries:
        if entry.endpoint == "canary":
            text = "a redirect of the API was followed, with token or secret in hand"
            yield Finding("L13", ERROR, text, entry.number)


def _bombs(entries: list[JournalEntry]) -> Found:
    for entry in entries:
        if entry.read_to_the_end:
            text = f"an endless answer of {entry.endpoint} was read to its end: bound time and size"
            yield Finding("L14", WARNING, text, entry.number)


def _pace(entries: list[JournalEntry]) -> Found:
    last: dict[tuple[str, bytes], JournalEntry] = {}
    calls: dict[str, list[float]] = defaultdict(list)
    for entry in entries:
        if entry.kind != "api":
            continue
        before = last.get((entry.endpoint, entry.body))
        if before is not None and (before.status or 0) in (429, 500, 502, 503, 504):
            waited = (entry.at - before.at).total_seconds()
            if 0 <= waited < PATIENCE_SECONDS:
                text = f"{entry.endpoint} was retried at once after {before.status}: back off"
                yield Finding("L19", WARNING, text, entry.number)
        last[entry.endpoint, entry.body] = entry
        if entry.endpoint == "userinfo" and entry.session_id:
            times = calls[entry.session_id]
            times.append(entry.at.timestamp())
            if len(times) > CALLS_A_SECOND and times[-1] - times[-1 - CALLS_A_SECOND] < 1:
                text = (
                    f"userinfo was asked more than {CALLS_A_SECOND} times a second for one session: cache it"
                )
                yield Finding("L19", WARNING, text, entry.number)


def _banners(entries: list[JournalEntry]) -> Found:
    for entry in _of(entries, "login"):
        asked = dict(parse_qsl(_query(entry.headers.get("Referer", ""))))
        shown = {entry.query[name] for name in BANNER_NAMES if entry.query.get(name)}
        if shown & set(asked.values()):
            text = "the banner is what the address of the application's own /login said: anybody can write it"
            yield Finding("L17", ERROR, text, entry.number)


def _query(url: str) -> str:
    try:
        return urlsplit(url).query
    except ValueError:
        return ""


def _referers(entries: list[JournalEntry]) -> Found:
    for entry in _of(entries, "login"):
        if entry.error_code == ErrorCode.DOMAIN_INVALID and not entry.headers.get("Referer"):
            text = "no Referer at /login although it is checked: does a Referrer-Policy forbid it?"
            yield Finding("L18", WARNING, text, entry.number)


_RULES: Final[tuple[Callable[[list[JournalEntry]], Found], ...]] = (
    _verifiers,
    _states,
    _challenges,
    _redirect_uris,
    _secrets,
    _addresses,
    _browsers,
    _unasked,
    _retries,
    _bombs,
    _banners,
    _referers,
    _pace,
)
