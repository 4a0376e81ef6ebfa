"""How each fault looks as an HTTP answer.

What breaks below HTTP (reset, drip, truncation ...) is left to ``wire``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from flask import Response, request, url_for

from .checks import Refusal
from .fault_actions import REPLACING
from .faults import Fault
from .settings import Settings
from .wire import SLOT, WIRE_ACTIONS, Effect, Slot

JSON_TYPE: Final = "application/json"


def replaced(fault: Fault, settings: Settings) -> Response | None:
    """Return the answer that stands in for the endpoint's, or None when the endpoint shall answer."""
    if fault.action not in REPLACING:
        return None
    if fault.action in WIRE_ACTIONS:
        return _left_to_the_wire(fault, Response(b""))
    options = fault.options
    if fault.action == "error":
        response = error_reply(
            options["code"],
            options.get("message", "This error was ordered."),
            settings,
            facts=options.get("facts"),
        )
    elif fault.action == "json":
        response = Response(json.dumps(options["json"]), 200, content_type=JSON_TYPE)
    else:
        response = _REPLIES[fault.action](options)
    return _dressed(response, options)


def shaped(fault: Fault, response: Response) -> Response:
    """Return the endpoint's own answer, bent as the fault wants."""
    options = fault.options
    if fault.action in WIRE_ACTIONS and fault.action not in REPLACING:
        return _left_to_the_wire(fault, response)
    if fault.action == "patch" and response.is_json:
        value = json.loads(response.get_data() or b"null")
        if isinstance(value, dict):
            value = {**value, **options.get("patch", {})}
            for name in options.get("remove", ()):
                value.pop(name, None)
        response.set_data(json.dumps(value))
    elif fault.action == "many_headers":
        for number in range(options.get("count", 10_000)):
            response.headers.add(f"X-Filler-{number}", "x")
    return _dressed(response, options)


def error_reply(
    code: str,
    message: str,
    settings: Settings,
    *,
    status: int | None = None,
    facts: Mapping[str, object] | None = None,
) -> Response:
    """Return CentralAuth's error object ("CentralAuth: error handling")."""
    body = json.dumps({"errorCode": code, "message": message, **(facts or {})})
    return Response(body, status or settings.status_of(code), content_type=JSON_TYPE)


def refusal_reply(refusal: Refusal, settings: Settings) -> Response:
    """Return the error object of a broken rule."""
    response = error_reply(
        refusal.code, refusal.message, settings, status=refusal.status, facts=refusal.facts
    )
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def _dressed(response: Response, options: dict[str, Any]) -> Response:
    """Apply what every answer can be given: a status, headers, a content type."""
    if "status" in options:
        response.status_code = options["status"]
    for name, value in options.get("header", {}).items():
        response.headers[name] = str(value)
    if "content_type" in options:
        response.headers["Content-Type"] = options["content_type"]
    return response


def _left_to_the_wire(fault: Fault, response: Response) -> Response:
    slot = request.environ.get(SLOT)
    if not isinstance(slot, Slot):
        return Response(
            f"the fault {fault.action!r} needs a socket; run the emulator as a server for it",
            501,
            content_type="text/plain; charset=utf-8",
        )
    slot.effect = Effect(fault)
    return response


def _raw(body: bytes | str, content_type: str = JSON_TYPE, status: int = 200) -> Response:
    return Response(body, status, content_type=content_type)


def _status(options: dict[str, Any]) -> Response:
    return _raw(b"", "text/plain; charset=utf-8", options.get("status", 503))


def _body(options: dict[str, Any]) -> Response:
    return _raw(options["body"])


def _redirect(options: dict[str, Any]) -> Response:
    response = _raw(b"", "text/plain; charset=utf-8", options.get("status", 307))
    response.headers["Location"] = options.get("redirect", url_for("canary", _external=True))
    return response


def _redirect_loop(options: dict[str, Any]) -> Response:
    return _redirect({**options, "redirect": request.full_path})


def _oversize(options: dict[str, Any]) -> Response:
    size = options.get("bytes", 5 * 1024 * 1024)
    return _raw(b'{"id": "' + b"x" * size + b'"}')


def _gzip_bomb(options: dict[str, Any]) -> Response:
    response = _raw(_bomb(options.get("bytes", 200 * 1024 * 1024)))
    response.headers["Content-Encoding"] = "gzip"
    return response


@lru_cache(maxsize=2)
def _bomb(size: int) -> bytes:
    return gzip.compress(b'"' + b"\0" * size + b'"', 9)


_PAGE: Final = "<!doctype html><title>Bad gateway</title><h1>502 Bad gateway</h1>"
_REPLIES: Final[dict[str, Callable[[dict[str, Any]], Response]]] = {
    "status": _status,
    "body": _body,
    "redirect": _redirect,
    "redirect_loop": _redirect_loop,
    "html": lambda options: _raw(_PAGE, "text/html; charset=utf-8"),
    "empty": lambda options: _raw(b""),
    "invalid_json": lambda options: _raw('{"id": "1", "email"'),
    "bom": lambda options: _raw(b'\xef\xbb\xbf{"id": "1"}'),
    "utf16": lambda options: _raw('{"id": "1"}'.encode("utf-16")),
    "nan": lambda options: _raw('{"id": "1", "expires_in": NaN}'),
    "huge_int": lambda options: _raw('{"id": "1", "expires_in": ' + "9" * 5000 + "}"),
    "deep": lambda options: _raw("[" * 100_000 + "]" * 100_000),
    "duplicate_keys": lambda options: _raw('{"id": "1", "blocked": true, "blocked": false}'),
    "surrogate": lambda options: _raw('{"id": "\\ud800", "email": "a@example.com"}'),
    "oversize": _oversize,
    "gzip_bomb": _gzip_bomb,
}
