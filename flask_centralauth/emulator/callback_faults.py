"""Tampering with the redirect that brings the browser back to the application.

What an attacker, a broken proxy or a future version of the service might do to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ..errors import ErrorCode
from .entities import Code
from .faults import Fault
from .login_outcome import Params
from .service import Service


@dataclass(frozen=True)
class Callback:
    """Where the browser is sent, and with which parameters."""

    redirect_uri: str
    params: Params


def tampered(service: Service, fault: Fault, callback: Callback) -> Callback:
    """Return the callback as the fault wants it."""
    options = fault.options
    if fault.action == "return_to":
        joint = "&" if "?" in callback.redirect_uri else "?"
        target = options.get("to", "https://evil.example/")
        return replace(callback, redirect_uri=f"{callback.redirect_uri}{joint}return_to={target}")
    if fault.action in ("foreign_code", "reuse_code"):
        code = (
            _foreign_code(service, callback, options)
            if fault.action == "foreign_code"
            else _used_code(service)
        )
        return replace(callback, params=_set(callback.params, "code", code))
    if fault.action in ("error", "error_without_state"):
        return replace(callback, params=_error(callback.params, options, fault.action))
    if fault.action in ("pass", "twice"):
        return callback
    if fault.action == "login_csrf":
        return replace(callback, params=_of_an_attacker(service, callback, options))
    return replace(callback, params=_ACTS[fault.action](callback.params, options))


def _set(params: Params, name: str, value: str) -> Params:
    if any(key == name for key, _ in params):
        return [(key, value if key == name else old) for key, old in params]
    return [*params, (name, value)]


def _without(params: Params, *names: str) -> Params:
    return [(key, value) for key, value in params if key not in names]


def _error(params: Params, options: dict[str, Any], action: str) -> Params:
    code = options.get("code", str(ErrorCode.GENERIC_ERROR))
    message = options.get("message", "This error was ordered.")
    state = [] if action == "error_without_state" else [(k, v) for k, v in params if k == "state"]
    return [("error", code), ("error_description", message), *state]


def _repeat(params: Params, options: dict[str, Any]) -> Params:
    name = options.get("name", "code")
    return [*params, *((key, value + "x") for key, value in params if key == name)]


def _oversize(params: Params, options: dict[str, Any]) -> Params:
    return _set(params, options.get("name", "state"), "x" * options.get("bytes", 16_384))


def _old_names(params: Params, options: dict[str, Any]) -> Params:
    names = {"error": "error_code", "error_description": "error_message"}
    return [(names.get(key, key), value) for key, value in params]


def _described(text: str) -> Callable[[Params, dict[str, Any]], Params]:
    def act(params: Params, options: dict[str, Any]) -> Params:
        return _error(params, {"message": text, **options}, "error")

    return act


_ACTS: Final[dict[str, Callable[[Params, dict[str, Any]], Params]]] = {
    "drop_state": lambda params, options: _without(params, "state"),
    "wrong_state": lambda params, options: _set(params, "state", options.get("state", "forged")),
    "repeat_state": lambda params, options: _repeat(params, {"name": "state"}),
    "drop_code": lambda params, options: _without(params, "code"),
    "strip_affirm": lambda params, options: _without(params, "affirm"),
    "add_affirm": lambda params, options: _set(params, "affirm", "1"),
    "add_iss": lambda params, options: _set(params, "iss", options["iss"]),
    "wrong_iss": lambda params, options: _set(params, "iss", "https://evil.example"),
    "repeat_param": _repeat,
    "oversize_param": _oversize,
    "crlf": _described("line one\r\nSet-Cookie: session=stolen"),
    "html_in_description": _described("<img src=x onerror=alert(1)><b>Call 555-0100</b>"),
    "old_names": _old_names,
}


def _of_an_attacker(service: Service, callback: Callback, options: dict[str, Any]) -> Params:
    """Return what an attacker's own login came back with: their code, their state."""
    code = _foreign_code(service, callback, options)
    return [("code", code), ("state", service.new_id("state").ljust(43, "0"))]


def _foreign_code(service: Service, callback: Callback, options: dict[str, Any]) -> str:
    """Return a code of another user, made for another browser's login."""
    user = service.user_of(options.get("user", "mallory@example.com"))
    now = service.clock.time()
    code = Code(
        value=service.new_id("code"),
        organization_id=service.organization.id,
        user_id=user.id,
        redirect_uri=callback.redirect_uri,
        # The challenge of a verifier nobody has.
        code_challenge=service.new_id("challenge").ljust(43, "0")[:43],
        issued=now,
    )
    return service.keep(service.store.codes, code.value, code).value


def _used_code(service: Service) -> str:
    used = [code.value for code in service.store.codes.values() if code.session_id is not None]
    return used[-1] if used else "never-issued"
