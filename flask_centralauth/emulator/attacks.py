"""A round of well-known attacks on a running application that uses a running emulator.

They leave nothing behind but some logins. The numbers are those of the threat catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin

from .code_exchange import s256
from .probe import CannotProbe, NotOffered, Probe, Visitor, Weakness, changed, logged_in
from .redirect_attacks import REDIRECT_ATTACKS


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attack went; ``told`` is empty when the application withstood it.

    ``skipped`` says why it was not tried.
    """

    attack: str
    title: str
    told: str = ""
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How the attacks went, and what the emulator says about how the application talks to it."""

    outcomes: list[Outcome]
    findings: list[dict[str, Any]]


def attack(probe: Probe) -> Report:
    """Return how each attack on an application went.

    :raises CannotProbe: when not even a plain login works.
    """
    try:
        _plain_login(probe)
    except Weakness as problem:
        raise CannotProbe(f"a plain login does not work: {problem}") from None
    finally:
        probe.send_home()
    outcomes = [_outcome(probe, *row) for row in ATTACKS]
    findings = probe.control("GET", "/lint")["findings"]
    # In the application's name the attacker makes mistakes that are not the application's.
    outcomes += [_outcome(probe, *row) for row in ATTACKS_IN_ITS_NAME]
    return Report(sorted(outcomes, key=lambda outcome: outcome.attack), findings)


def _outcome(probe: Probe, number: str, title: str, act: Callable[[Probe], None]) -> Outcome:
    try:
        act(probe)
    except NotOffered as reason:
        return Outcome(number, title, skipped=str(reason))
    except (Weakness, CannotProbe) as problem:
        return Outcome(number, title, str(problem))
    finally:
        probe.send_home()
    return Outcome(number, title)


def _plain_login(probe: Probe) -> None:
    visitor = Visitor(probe)
    visitor.get(visitor.callback("alice@example.com"))
    user = visitor.user()
    if not isinstance(user, dict) or user.get("email") != "alice@example.com":
        raise Weakness(f"after it {probe.route('user')} says {user!r:.80}")


def _must_be_nobody(probe: Probe, visitor: Visitor, before: int) -> None:
    if visitor.user() is not None:
        raise Weakness("somebody is logged in")
    if len(probe.calls("verify")) != before:
        raise Weakness("the code was sent to verify")


def _forged_state(probe: Probe) -> None:
    for state in ("forged", "", None):
        callback = Visitor(probe).callback("mallory@example.com")
        victim = Visitor(probe)
        victim.started()
        before = len(probe.calls("verify"))
        victim.get(changed(callback, state=state))
        _must_be_nobody(probe, victim, before)


def _constant_verifier(probe: Probe) -> None:
    for word in ("undefined", "null", "None", ""):
        # The attacker logs in with a challenge of their own making, and keeps the code.
        started = changed(Visitor(probe).started(), code_challenge=s256(word))
        callback = probe.authorized(started, "mallory@example.com")
        for state in ({"state": None}, {}):
            victim, before = Visitor(probe), len(probe.calls("verify"))
            victim.get(changed(callback, **state))
            _must_be_nobody(probe, victim, before)


def _replay(probe: Probe) -> None:
    visitor = Visitor(probe)
    callback = visitor.callback("alice@example.com")
    visitor.get(callback)
    before = len(probe.calls("verify"))
    visitor.get(callback)
    if len(probe.calls("verify")) != before:
        raise Weakness("opened again, the callback sends the code to verify again")
    if visitor.user() is None:
        raise Weakness("opened again, the callback logs out")


def _other_browser(probe: Probe) -> None:
    callback = Visitor(probe).callback("mallory@example.com")
    victim, before = Visitor(probe), len(probe.calls("verify"))
    victim.get(callback)
    _must_be_nobody(probe, victim, before)


def _repeated_parameters(probe: Probe) -> None:
    for name in ("state", "code"):
        visitor = Visitor(probe)
        callback = visitor.callback("alice@example.com")
        before = len(probe.calls("verify"))
        visitor.get(f"{callback}&{name}=another")
        _must_be_nobody(probe, visitor, before)


def _foreign_banner(probe: Probe) -> None:
    words = "Your account is locked. Call 555-0100."
    location = Visitor(probe).started({"error_message": words, "error_description": words})
    if "555-0100" in location:
        raise Weakness("words from the query of /login reach the login page")


def _foreign_error(probe: Probe) -> None:
    words = "Call 555-0100 <b>now</b>"
    visitor = Visitor(probe)
    url = probe.route("callback", {"error": "genericError", "error_description": words})
    for _ in range(4):
        reply = visitor.get(url)
        if "555-0100" in reply.text or "555-0100" in reply.headers.get("Location", ""):
            raise Weakness("words from the query of /callback are shown or passed on")
        if "Location" not in reply.headers:
            return
        url = urljoin(reply.url, reply.headers["Location"])
        if not url.startswith(probe.application):
            return


def _logout_by_link(probe: Probe) -> None:
    visitor = logged_in(probe)
    visitor.get(probe.route("logout"))
    if visitor.user() is None:
        raise Weakness("GET /logout logs out: any page can do that with an image")


def _callback_by_head(probe: Probe) -> None:
    visitor = Visitor(probe)
    callback = visitor.callback("alice@example.com")
    before = len(probe.calls("verify"))
    visitor.get(callback, method="HEAD")
    _must_be_nobody(probe, visitor, before)


def _caches(probe: Probe) -> None:
    visitor = Visitor(probe)
    login = visitor.get(probe.route("login"))
    callback = visitor.get(visitor.callback("alice@example.com"))
    user = visitor.get(probe.route("user"))
    for name, reply in (("login", login), ("callback", callback), ("user", user)):
        if "no-store" not in reply.headers.get("Cache-Control", ""):
            raise Weakness(f"the answer of {name} may be stored by a cache")


def _spoofed_address(probe: Probe) -> None:
    visitor = logged_in(probe)
    spoofed = "203.0.113.77"
    visitor.get(probe.route("user"), X_Forwarded_For=spoofed, X_Real_IP=spoofed, Forwarded=f"for={spoofed}")
    if any(spoofed in call["headers"].get("Auth-Ip", "") for call in probe.calls("userinfo")):
        raise Weakness("auth-ip is whatever X-Forwarded-For says")


def _affirmed_by_another(probe: Probe) -> None:
    for strip in (True, False):
        visitor = logged_in(probe)
        try:
            started = visitor.started(route="affirm")
        except CannotProbe:
            raise NotOffered(f"there is no {probe.route('affirm')} to confirm an identity") from None
        callback = probe.authorized(started, "mallory@example.com")
        visitor.get(changed(callback, affirm=None) if strip else callback)
        user = visitor.user()
        if isinstance(user, dict) and user.get("email") == "mallory@example.com":
            raise Weakness("somebody else confirms, and the browser is theirs afterwards")


def _spoofed_host(probe: Probe) -> None:
    reply = Visitor(probe).get(probe.route("login"), Host="evil.example", X_Forwarded_Host="evil.example")
    if "evil.example" in reply.headers.get("Location", ""):
        raise Weakness("redirect_uri follows the Host header")


ATTACKS: Final[tuple[tuple[str, str, Callable[[Probe], None]], ...]] = (
    ("ATK-01", "a callback with a forged or missing state", _forged_state),
    ("ATK-04", "a callback opened twice", _replay),
    ("ATK-06", "a callback of another browser", _other_browser),
    ("ATK-08", "repeated parameters at the callback", _repeated_parameters),
    *REDIRECT_ATTACKS,
    ("ATK-48", "foreign words on the login page", _foreign_banner),
    ("ATK-49", "foreign words on the application's pages", _foreign_error),
    ("ATK-59", "logout by a link", _logout_by_link),
    ("ATK-61", "a callback by HEAD", _callback_by_head),
    ("ATK-69", "answers that caches may keep", _caches),
    ("ATK-83", "a spoofed client address", _spoofed_address),
    ("ATK-93", "an identity confirmed by somebody else", _affirmed_by_another),
    ("ATK-98", "a spoofed Host header", _spoofed_host),
)
ATTACKS_IN_ITS_NAME: Final[tuple[tuple[str, str, Callable[[Probe], None]], ...]] = (
    ("ATK-02", "a code made for a constant verifier", _constant_verifier),
)
