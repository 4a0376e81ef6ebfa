"""Bundles of faults with a name: a whole bad day in one word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from .faults import Fault, make_fault
from .service import Service

USUAL_SKEW: Final = 300
LARGEST_SKEW: Final = 10 * 365 * 86400
API_ENDPOINTS: Final = ("discovery", "verify", "userinfo", "logout", "authenticate_direct")
#: Userinfo answers that have the wrong shape, or the wrong type somewhere.
CONFUSIONS: Final[tuple[Any, ...]] = (
    [],
    "text",
    0,
    None,
    {},
    {"id": 1},
    {"id": ["a"]},
    {"id": "1", "email": {}},
    {"id": "1", "email": "a@example.com", "blocked": "false"},
    {"id": "1", "email": "a@example.com", "blocked": 0},
    {"id": "1", "email": "a@example.com", "verified": "true"},
)
_HOSTILE: Final = (
    "html invalid_json nan huge_int deep duplicate_keys bom utf16 surrogate empty oversize redirect truncate "
    "chunk_garbage reset close"
).split()


def _everywhere(**how: Any) -> list[Fault]:
    return [make_fault(endpoint, times=None, **how) for endpoint in API_ENDPOINTS]


def _faults(name: str) -> list[Fault]:
    if name == "outage":
        return _everywhere(status=503)
    if name == "flaky":
        return _everywhere(status=503, probability=0.3)
    if name == "slow":
        return _everywhere(delay=3.0)
    if name == "maintenance":
        return _everywhere(action="html", status=503, header={"Retry-After": "120"})
    if name == "rate_limited":
        return _everywhere(error_code="tooManyRequests", header={"Retry-After": "30"})
    if name == "hostile":
        return [make_fault("userinfo", action=action) for action in _HOSTILE]
    if name == "type_confusion":
        return [make_fault("userinfo", json=value) for value in CONFUSIONS]
    if name == "login_csrf":
        return [make_fault("callback", action="login_csrf", times=None)]
    return []


#: Scenarios that are more than faults.
_ACTS: Final = ("rotated_secret", "clock_skew")
SCENARIOS: Final = (
    "outage",
    "flaky",
    "slow",
    "maintenance",
    "rate_limited",
    "hostile",
    "type_confusion",
    "login_csrf",
    *_ACTS,
)


def _skew(seconds: float) -> timedelta:
    if not abs(seconds) <= LARGEST_SKEW:  # nor NaN
        raise ValueError(f"a clock is off by at most {LARGEST_SKEW} seconds, not by {seconds}")
    return timedelta(seconds=seconds)


def play(service: Service, name: str, *, seconds: float = USUAL_SKEW) -> list[Fault]:
    """Begin a scenario, and return the faults it put in force.

    ``rotated_secret`` activates a new client secret, ``clock_skew`` reports times that are
    off, ``login_csrf`` ends every login with the callback of an attacker's own; the others
    are faults on the API. ``hostile`` and ``type_confusion`` are a different wrong answer of
    userinfo each time.

    :param seconds: how far off ``clock_skew`` is, and in which direction.
    :raises ValueError: when there is no such scenario.
    """
    if name not in SCENARIOS:
        raise ValueError(f"there is no scenario {name!r}; choose one of: {', '.join(SCENARIOS)}")
    if name == "rotated_secret":
        service.rotate_secret()
        service.activate_secret()
    elif name == "clock_skew":
        service.skew = _skew(seconds)
    return [service.faults.add(fault) for fault in _faults(name)]
