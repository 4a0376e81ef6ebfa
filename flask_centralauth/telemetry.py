"""Numbers for OpenTelemetry: what checks cost, and how logins end.

Needs the extra ``opentelemetry``, which is OpenTelemetry's API alone: without an SDK in the
application every number goes nowhere and costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from flask import Flask

try:
    from opentelemetry.metrics import CallbackOptions, Counter, Meter, Observation, get_meter
except ImportError as missing:
    raise ImportError(
        "flask_centralauth.telemetry needs OpenTelemetry: pip install 'flask_centralauth[opentelemetry]'"
    ) from missing

from .attempts import AFFIRM
from .errors import CentralAuthError, ErrorCode
from .signals import login_failed, session_ended, user_logged_in, user_logged_out
from .state import State, in_force, state_about, state_of

#: What the conventions of OpenTelemetry put in place of a value that is not one of a few.
OTHER: Final = "_OTHER"

_COUNTED: Final[dict[str, str]] = {
    "calls": "HTTP calls to CentralAuth",
    "failures": "calls that failed for reasons of CentralAuth or the network",
    "cache_hits": "requests answered from the process's memory",
    "shared_hits": "requests answered from what another process had asked",
    "stale_served": "requests that went on with the last known user",
}

_ENDINGS: Final = (
    ("logins", "logins that worked, and with error.type those that failed", (user_logged_in, login_failed)),
    ("logouts", "logins that people ended", (user_logged_out,)),
    ("sessions_ended", "logins that CentralAuth or logout_user ended", (session_ended,)),
)


def export_metrics(app: Flask, *, meter: Meter | None = None) -> None:
    """Let OpenTelemetry collect an application's numbers. Call it once, after ``init_app``.

    Counts what ``CentralAuth.counters`` has, as ``centralauth.calls`` and so on, whether CentralAuth
    or the session store is not asked now (``centralauth.breaker_open``,
    ``centralauth.store_breaker_open``), and ``centralauth.logins``, ``centralauth.logouts`` and
    ``centralauth.sessions_ended``; what failed or ended has the attribute ``error.type``, with
    CentralAuth's code. Numbers of a `CentralAuth` object with a name, all but the store's, have
    the attribute ``centralauth.name``. Call it after the last ``init_app``.

    :param meter: by default the one of OpenTelemetry's global provider.
    :raises RuntimeError: ``init_app`` was not called for the application.
    """
    states = state_of(app).siblings
    meter = get_meter("flask_centralauth") if meter is None else meter
    for name, description in _COUNTED.items():
        meter.create_observable_counter(
            f"centralauth.{name}", [_observer(state, name) for state in states], description=description
        )
    meter.create_observable_gauge(
        "centralauth.breaker_open",
        [_breaker_observer(state) for state in states],
        description="1 while CentralAuth is not asked because it failed repeatedly",
    )
    meter.create_observable_gauge(
        "centralauth.store_breaker_open",
        # One store, however many ask it.
        [lambda _options: [Observation(int(states[0].users.counters.store_breaker != "closed"))]],
        description="1 while the session store is not asked because it hangs",
    )
    for name, description, signals in _ENDINGS:
        counter = meter.create_counter(f"centralauth.{name}", description=description)
        for signal in signals:
            # Not weakly: nothing else keeps the function alive.
            signal.connect(_adder(counter), sender=app, weak=False)


def _observer(state: State, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: [Observation(getattr(state.users.counters, name), _attributes(state))]


def _breaker_observer(state: State) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: [Observation(int(state.users.counters.breaker != "closed"), _attributes(state))]


def _attributes(state: State) -> dict[str, str]:
    return {} if state.name is None else {"centralauth.name": state.name}


def _adder(counter: Counter) -> Callable[..., None]:
    def add(_sender: object, *, error: CentralAuthError | None = None, **_more: object) -> None:
        if error is not None and error.attempt is not None and error.attempt.purpose == AFFIRM:
            return  # nobody was about to log in
        attributes = _attributes(in_force() if error is None else state_about(error))
        counter.add(1, attributes if error is None else {**attributes, "error.type": _kind(error)})

    return add


def _kind(error: CentralAuthError) -> str:
    """Return the code of an error when it is one of ours (attack: a new time series per request)."""
    return str(error.error_code) if isinstance(error.error_code, ErrorCode) else OTHER
