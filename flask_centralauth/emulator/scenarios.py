"""Bundles of faults with a name: a whole bad day in one word."""

from __future__ import annotations

from typing import Any, Final

from .faults import Fault, make_fault
from .service import Service

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
    *_ACTS,
)


def play(service: Service, name: str) -> list[Fault]:
    """Begin a scenario, and return the faults it put in force.

    ``rotated_secret`` activates a new client secret, ``clock_skew`` moves the clock five
    minutes ahead; the others are faults on the API. ``hostile`` and ``type_confusion`` are
    a different wrong answer of userinfo each time.

    :raises ValueError: when there is no such scenario.
    """
    if name not in SCENARIOS:
        raise ValueError(f"there is no scenario {name!r}; choose one of: {', '.join(SCENARIOS)}")
    if name == "rotated_secret":
        service.rotate_secret()
        service.activate_secret()
    elif name == "clock_skew":
        service.clock.advance(300)
    return [service.faults.add(fault) for fault in _faults(name)]
