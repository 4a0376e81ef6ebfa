"""Misbehaviour on demand: which request goes wrong, when, and how.

A :class:`Fault` is where (endpoint, match), when (after, times, probability) and what
(action, see ``fault_actions``).
"""

from __future__ import annotations

import fnmatch
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from werkzeug.datastructures import Headers

from .fault_actions import check_action

ENDPOINTS: Final = (
    "*",
    "discovery",
    "login",
    "login_choice",
    "login_attempt",
    "callback",
    "verify",
    "userinfo",
    "logout",
    "authenticate_direct",
    "client_challenge",
    "canary",
    "unknown",
)


@dataclass(frozen=True)
class RequestFacts:
    """What a fault can be matched against."""

    endpoint: str
    client_id: str | None = None
    email: str | None = None
    headers: Headers = field(default_factory=Headers)


@dataclass(kw_only=True, eq=False)
class Fault:
    """One rule of misbehaviour. ``emulator.fail()`` makes them.

    ``hits`` counts the requests it caught. A fault with ``hang`` holds each of them
    until :meth:`release`; :meth:`wait` returns once one is held.
    """

    endpoint: str
    action: str = "pass"
    options: dict[str, Any] = field(default_factory=dict)
    match: Mapping[str, Any] = field(default_factory=dict)
    after: int = 0
    #: How many requests it catches; None: until removed.
    times: int | None = 1
    probability: float = 1.0
    #: Seconds the request is held before anything happens.
    delay: float = 0.0
    hang: bool = False
    hits: int = 0
    seen: int = 0
    number: int = 0

    def __post_init__(self) -> None:
        if self.endpoint not in ENDPOINTS:
            raise ValueError(f"there is no endpoint {self.endpoint!r}; choose one of: {', '.join(ENDPOINTS)}")
        check_action(self.endpoint, self.action, self.options)
        unknown = set(self.match) - {"client_id", "email", "header"}
        if unknown:
            raise ValueError(f"match knows client_id, email and header, not {', '.join(sorted(unknown))}")
        if (self.times is not None and self.times < 1) or self.after < 0:
            raise ValueError("times is at least 1 (or None), after is not negative")
        if not 0 <= self.delay <= 86400:
            raise ValueError("delay is between 0 and 86400 seconds")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability is between 0 and 1")
        self._released = threading.Event()
        self._caught = threading.Event()

    @property
    def spent(self) -> bool:
        """Whether it will not catch another request."""
        return self.times is not None and self.hits >= self.times

    @property
    def released(self) -> bool:
        """Whether it holds nothing any more."""
        return self._released.is_set()

    def catches(self, facts: RequestFacts, chance: random.Random) -> bool:
        """Return whether it strikes this request; counts it."""
        if self.spent or self.endpoint not in ("*", facts.endpoint) or not self._matches(facts):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.probability < 1 and chance.random() >= self.probability):
            return False
        self.hits += 1
        return True

    def _matches(self, facts: RequestFacts) -> bool:
        if self.match.get("client_id") not in (None, facts.client_id):
            return False
        if self.match.get("email") not in (None, facts.email):
            return False
        wanted: Mapping[str, str] = self.match.get("header") or {}
        return all(
            fnmatch.fnmatch(facts.headers.get(name) or "", pattern) for name, pattern in wanted.items()
        )

    def hold(self) -> None:
        """Keep the calling request waiting as long as the rule says."""
        self._caught.set()
        if self.hang:
            self._released.wait()
        elif self.delay:
            self._released.wait(self.delay)

    def pause(self, seconds: float) -> None:
        """Wait a moment in the middle of an answer; no longer after :meth:`release`."""
        self._released.wait(seconds)

    def release(self) -> None:
        """Let every held request go on, and hold none from now on."""
        self._released.set()

    def wait(self, timeout: float = 5.0) -> None:
        """Return once a request has been caught.

        :raises TimeoutError: when none comes.
        """
        if not self._caught.wait(timeout):
            raise TimeoutError(f"no {self.endpoint} request was caught within {timeout} s")

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as the control API shows it."""
        return {
            "number": self.number,
            "endpoint": self.endpoint,
            "match": dict(self.match),
            "after": self.after,
            "times": self.times,
            "probability": self.probability,
            "delay": self.delay,
            "hang": self.hang,
            "action": {"type": self.action, **self.options},
            "hits": self.hits,
        }

    def __str__(self) -> str:
        held = "hang" if self.hang else f"delay {self.delay:g} s" if self.delay else ""
        told = self.options.get("code") or self.options.get("status") or ""
        return " ".join(
            part for part in (held, "" if self.action == "pass" else self.action, str(told)) if part
        )


class FaultRules:
    """The faults in force, asked in the order they were added."""

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []
        self._seed = seed
        self._chance = random.Random(seed)
        self._last_number = 0

    def add(self, fault: Fault) -> Fault:
        """Put a rule in force."""
        with self._lock:
            self._last_number += 1
            fault.number = self._last_number
            self._rules.append(fault)
        return fault

    def fail(self, endpoint: str, **how: Any) -> Fault:
        """Make the next call of an endpoint go wrong; see :func:`make_fault`.

        :raises ValueError: for an endpoint, action or combination that does not exist.
        """
        return self.add(make_fault(endpoint, **how))

    def take(self, facts: RequestFacts) -> Fault | None:
        """Return the rule that strikes this request, if any."""
        with self._lock:
            return next((rule for rule in self._rules if rule.catches(facts, self._chance)), None)

    def remove(self, fault: Fault) -> None:
        """Take a rule out of force; what it holds goes on."""
        with self._lock:
            if fault in self._rules:
                self._rules.remove(fault)
        fault.release()

    def clear(self) -> None:
        """Take every rule out of force; dice fall again as from the start."""
        with self._lock:
            rules, self._rules = self._rules, []
            self._chance = random.Random(self._seed)
            self._last_number = 0
        for rule in rules:
            rule.release()

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._rules))

    def __len__(self) -> int:
        return len(self._rules)


def make_fault(
    endpoint: str,
    *,
    action: str | None = None,
    error_code: str | None = None,
    times: int | None = 1,
    after: int = 0,
    probability: float = 1.0,
    match: Mapping[str, Any] | None = None,
    delay: float = 0.0,
    hang: bool = False,
    **options: Any,
) -> Fault:
    """Return a fault; without ``action`` the options say which one is meant.

    ``error_code`` is CentralAuth's error object; else ``json``, ``body``, ``patch``,
    ``status``, ``header`` or ``content_type`` name their own action; with only
    ``delay`` or ``hang`` the true answer comes late.

    :raises ValueError: for an endpoint, action or combination that does not exist.
    """
    if error_code is not None:
        action = action or "error"
        options["code"] = str(error_code)
    if action is None:
        named = ("json", "body", "patch", "status", "header", "content_type", "redirect")
        action = next((name for name in named if name in options), "pass")
    return Fault(
        endpoint=endpoint,
        action=action,
        options=options,
        match=match or {},
        after=after,
        times=times,
        probability=probability,
        delay=delay,
        hang=hang,
    )


def fault_from(sent: Mapping[str, Any]) -> Fault:
    """Return the fault that an object describes.

    Either the words of ``emulator.fail()``, or ``action: {type: ..., ...}``.

    :raises ValueError: when there is no such fault.
    """
    how = {name: value for name, value in sent.items() if name != "endpoint"}
    action = how.get("action")
    if isinstance(action, dict):
        options = {name: value for name, value in action.items() if name != "type"}
        if action.get("type") == "error" and "code" in options:
            options["error_code"] = options.pop("code")
        how = {**{name: value for name, value in how.items() if name != "action"}, **options}
        how["action"] = action.get("type")
    try:
        return make_fault(sent.get("endpoint", ""), **how)
    except TypeError as problem:
        raise ValueError(str(problem)) from None
