"""The control API: everything Python tests can do, for tests in any language.

Reads are open to this machine. A change needs the header ``X-Emulator-Control: 1``,
which no page of another site can send (attack: request forgery), and every call needs a
``Host`` of ours (attack: DNS rebinding).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, request

from ..errors import ErrorCode
from .checks import Refusal
from .fault_replies import error_reply
from .service import Service
from .web import CONTROL_PREFIX, the_service

CONTROL_HEADER: Final = "X-Emulator-Control"
FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
ACCESS_KEY: Final = "centralauth_emulator_control"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class ControlAccess:
    """Who may steer the emulator."""

    token: str | None = None
    show_secrets: bool = False
    #: What forms of the dashboard carry instead of the header.
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


def register_control(app: Flask, access: ControlAccess) -> None:
    """Add the control API and the dashboard to an application."""
    from . import control_people, control_settings, control_traffic, dashboard

    app.extensions[ACCESS_KEY] = access
    blueprint = Blueprint("control", __name__, url_prefix=CONTROL_PREFIX)
    blueprint.before_request(_guard)
    blueprint.register_error_handler(ValueError, _nonsense)
    control_settings.add_routes(blueprint)
    control_people.add_routes(blueprint)
    control_traffic.add_routes(blueprint)
    dashboard.add_routes(blueprint)
    dashboard.add_home(app)
    app.register_blueprint(blueprint)


def the_access() -> ControlAccess:
    """Return who may steer the emulator of the running request."""
    return cast(ControlAccess, current_app.extensions[ACCESS_KEY])


def sent_object() -> dict[str, Any]:
    """Return the JSON object in the request's body; no body is an empty one.

    :raises Refusal: when it is something else.
    """
    if not request.get_data():
        return {}
    value = request.get_json(force=True, silent=True)
    if not isinstance(value, dict):
        raise Refusal(ErrorCode.ENTITY_INVALID, "send a JSON object", status=400)
    return value


def only(sent: Mapping[str, Any], **kinds: type | tuple[type, ...]) -> dict[str, Any]:
    """Return the members of an object after looking at their names and types.

    :raises Refusal: naming the member that is unknown or of another type.
    """
    for name, value in sent.items():
        if name not in kinds:
            raise Refusal(ErrorCode.ENTITY_INVALID, f"there is no {name!r} here; known: {', '.join(kinds)}")
        if not isinstance(value, kinds[name]) or (
            isinstance(value, bool) and kinds[name] in (int, (int, float))
        ):
            raise Refusal(ErrorCode.ENTITY_INVALID, f"{name} cannot be {value!r}")
    return dict(sent)


def required(sent: Mapping[str, Any], name: str) -> Any:
    """Return a member that must be there.

    :raises Refusal: when it is not.
    """
    if name not in sent:
        raise Refusal(ErrorCode.MISSING_FIELDS, f"{name} is missing")
    return sent[name]


def _guard() -> None:
    service, access = the_service(), the_access()
    if _host_name(request.host) not in _known_hosts(service):
        raise Refusal(
            ErrorCode.NO_PERMISSION, f"the host {request.host!r} is not this emulator's", status=403
        )
    if access.token is not None and not _presents(access.token):
        raise Refusal(ErrorCode.NO_PERMISSION, "present the control token", status=401)
    if request.method in _READING:
        return
    # The form is not looked at where there is a header: it would take the body of what curl calls a form.
    if request.headers.get(CONTROL_HEADER) != "1" and not _is_our_form(access):
        raise Refusal(ErrorCode.NO_PERMISSION, f"a change needs the header {CONTROL_HEADER}: 1", status=403)


def _is_our_form(access: ControlAccess) -> bool:
    sent = request.form.get(FORM_TOKEN, "")
    return hmac.compare_digest(sent.encode("utf-8", "replace"), access.form_token.encode())


def _known_hosts(service: Service) -> set[str]:
    urls = [service.public_url, service.internal_url or ""]
    return {*_LOOPBACK, *(urlsplit(url).hostname or "" for url in urls)} - {""}


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _presents(token: str) -> bool:
    """Look for the token as bearer, or as the password a browser asks for."""
    given = request.authorization
    sent = (given.token or given.password or "") if given is not None else ""
    return hmac.compare_digest(sent.encode("utf-8", "replace"), token.encode())


def _nonsense(problem: ValueError) -> Response:
    return error_reply(ErrorCode.ENTITY_INVALID, str(problem), the_service().settings, status=400)


Routes = list[tuple[str, str, Callable[..., Any], tuple[str, ...]]]


def add_all(blueprint: Blueprint, routes: Routes) -> None:
    """Add routes given as (path, endpoint, view, methods)."""
    for path, endpoint, view, methods in routes:
        blueprint.add_url_rule(path, endpoint, view, methods=methods)
