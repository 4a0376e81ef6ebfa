"""The pages below ``/_emulator/ui``: what happened, and buttons for what tests do.

Plain forms, so that everything works without JavaScript; a script only keeps the pages
up to date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, Flask, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from ..errors import ErrorCode
from .checks import Refusal
from .clock import wire_time
from .control import the_access
from .fault_actions import CALLBACK, REPLACING, SHAPING
from .faults import ENDPOINTS, fault_from
from .lint import lint
from .mailbox import Mailbox
from .masking import entry_view
from .scenarios import SCENARIOS, play
from .service import Service
from .sessions import SessionList
from .settings import SERVICE_CODES
from .store import NextLogin
from .web import the_service

PAGES: Final = {
    "requests": "Requests",
    "findings": "Findings",
    "users": "Users",
    "sessions": "Sessions",
    "mailbox": "Mailbox",
    "faults": "Faults",
    "settings": "Settings",
}
SHOWN_REQUESTS: Final = 200
_KINDS: Final = {"all": "All", "api": "API", "browser": "Browser", "refused": "Refused"}


def add_routes(blueprint: Blueprint) -> None:
    """Add the dashboard to the control API's blueprint."""
    blueprint.add_url_rule("/ui", "ui", home)
    blueprint.add_url_rule("/ui/<name>", "ui_page", show, methods=["GET"])
    blueprint.add_url_rule("/ui/<name>", "ui_act", act, methods=["POST"])


def add_home(app: Flask) -> None:
    """Lead from the bare address to the dashboard."""
    app.add_url_rule("/", "home", home)


def home() -> BaseResponse:
    """The way to the dashboard."""
    return redirect(url_for("control.ui_page", name="requests"))


def show(name: str, problem: str | None = None) -> Response:
    """One page of the dashboard."""
    if name not in PAGES:
        raise Refusal(ErrorCode.ENTITY_MISSING, f"there is no page {name[:80]!r}")
    service = the_service()
    page = render_template(
        f"dashboard/{name}.html",
        service=service,
        page=name,
        pages=PAGES,
        counts=_counts(service),
        form_token=the_access().form_token,
        problem=problem,
        now=service.clock.now(),
        wire_time=wire_time,
        **_CONTENT[name](service),
    )
    return Response(page, 400 if problem else 200)


def act(name: str) -> BaseResponse:
    """A button of the dashboard."""
    acts = _ACTS.get(name, {})
    wanted = request.form.get("act", "")
    if wanted not in acts:
        raise Refusal(ErrorCode.ENTITY_MISSING, f"there is no button {wanted[:80]!r} on this page")
    try:
        acts[wanted](the_service())
    except ValueError as problem:
        return show(name, str(problem))
    return redirect(url_for(".ui_page", name=name), 303)


def _counts(service: Service) -> dict[str, int]:
    return {
        "requests": len(service.journal),
        "findings": len(lint(service)),
        "users": len(service.store.users),
        "sessions": sum(session.active for session in SessionList(service)),
        "mailbox": len(service.store.mails),
        "faults": sum(not fault.spent for fault in service.faults),
    }


def _requests(service: Service) -> dict[str, Any]:
    kind = request.args.get("kind", "all")
    entries = list(service.journal)
    if kind in ("api", "browser"):
        entries = [entry for entry in entries if entry.kind == kind]
    elif kind == "refused":
        entries = [entry for entry in entries if entry.verdict in ("refused", "fault")]
    show_secrets = the_access().show_secrets
    newest = entries[-SHOWN_REQUESTS:][::-1]
    return {
        "entries": [entry_view(entry, show_secrets=show_secrets) for entry in newest],
        "kind": kind,
        "kinds": _KINDS,
    }


def _users(service: Service) -> dict[str, Any]:
    return {"users": list(service.store.users.values()), "codes": SERVICE_CODES}


def _sessions(service: Service) -> dict[str, Any]:
    return {"sessions": list(SessionList(service))[::-1]}


def _mailbox(service: Service) -> dict[str, Any]:
    return {"mails": list(Mailbox(service))[::-1]}


def _faults(service: Service) -> dict[str, Any]:
    without_input = sorted(
        name for name in {**REPLACING, **SHAPING} if name not in ("pass", "error", "status", "body", "json")
    )
    return {
        "faults": list(service.faults),
        "endpoints": [endpoint for endpoint in ENDPOINTS if endpoint != "unknown"],
        "codes": SERVICE_CODES,
        "actions": without_input,
        "callback_actions": sorted(set(CALLBACK) - {"pass", "add_iss", "error"}),
        "scenarios": SCENARIOS,
    }


def _settings(service: Service) -> dict[str, Any]:
    settings = service.settings.to_dict()
    return {
        "switches": {name: value for name, value in settings.items() if isinstance(value, bool)},
        "seconds": {
            name: value
            for name, value in settings.items()
            if isinstance(value, int) and not isinstance(value, bool)
        },
        "mode": service.settings.mode,
        "whitelist": "\n".join(service.settings.whitelist),
        "config": {
            "CENTRALAUTH_BASE_URL": service.internal_url or service.public_url,
            "CENTRALAUTH_CLIENT_ID": service.organization.id,
            "CENTRALAUTH_CLIENT_SECRET": service.organization.secret,
        },
    }


_CONTENT: Final[dict[str, Callable[[Service], dict[str, Any]]]] = {
    "requests": _requests,
    "findings": lambda service: {"findings": lint(service)},
    "users": _users,
    "sessions": _sessions,
    "mailbox": _mailbox,
    "faults": _faults,
    "settings": _settings,
}


def _change_user(service: Service) -> None:
    user = service.find_user(request.form.get("user", ""))
    if user is None:
        raise ValueError("this user is gone")
    field = request.form.get("field", "")
    if field not in ("blocked", "verified"):
        raise ValueError(f"there is no button for {field[:40]!r}")
    service.change_user(user, {field: not getattr(user, field)})


def _remove_user(service: Service) -> None:
    if user := service.find_user(request.form.get("user", "")):
        service.remove_user(user)


def _next_login(service: Service) -> None:
    form = request.form
    if form.get("outcome") == "deny":
        service.next_login(NextLogin(deny=True))
    elif form.get("outcome") in SERVICE_CODES:
        service.next_login(NextLogin(error=form["outcome"]))
    else:
        raise ValueError("choose how the next login ends")


def _end_session(reason: ErrorCode) -> Callable[[Service], None]:
    def end(service: Service) -> None:
        SessionList(service).end(request.form.get("session", ""), reason=reason)

    return end


def _add_fault(service: Service) -> None:
    form = request.form
    what, times = form.get("what", ""), form.get("times", "1")
    sent: dict[str, Any] = {"endpoint": form.get("endpoint", ""), "times": int(times) if times else None}
    kind, _, value = what.partition(":")
    if kind == "code":
        sent["error_code"] = value
    elif kind == "status":
        sent["status"] = int(value)
    elif kind == "hang":
        sent["hang"] = True
    else:
        sent["action"] = value
    service.faults.add(fault_from(sent))


def _remove_fault(service: Service) -> None:
    for fault in service.faults:
        if str(fault.number) == request.form.get("fault"):
            service.faults.remove(fault)


def _save_settings(service: Service) -> None:
    form, current = request.form, service.settings.to_dict()
    changes: dict[str, object] = {
        "mode": form.get("mode", ""),
        "whitelist": form.get("whitelist", "").split(),
    }
    for name, value in current.items():
        if isinstance(value, bool):
            changes[name] = name in form
        elif isinstance(value, int) and name in form:
            changes[name] = int(form[name])
    service.settings = service.settings.changed(changes)


def _move_clock(service: Service) -> None:
    if "freeze" in request.form:
        service.clock.resume() if service.clock.frozen else service.clock.freeze()
    elif "real" in request.form:
        service.clock.reset()
    else:
        service.clock.advance(float(request.form.get("advance", "")))


_ACTS: Final[dict[str, dict[str, Callable[[Service], object]]]] = {
    "requests": {"clear": lambda service: service.journal.clear()},
    "users": {
        "add": lambda service: service.add_user(email=request.form.get("email", "")),
        "toggle": _change_user,
        "remove": _remove_user,
        "next": _next_login,
        "autologin": lambda service: service.set_autologin(request.form.get("user") or None),
    },
    "sessions": {
        "end": _end_session(ErrorCode.SESSION_INACTIVE),
        "expire": _end_session(ErrorCode.SESSION_EXPIRED),
    },
    "faults": {
        "add": _add_fault,
        "remove": _remove_fault,
        "clear": lambda service: service.faults.clear(),
        "scenario": lambda service: play(service, request.form.get("scenario", "")),
    },
    "settings": {"save": _save_settings, "clock": _move_clock, "reset": lambda service: service.reset()},
}
