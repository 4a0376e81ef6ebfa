"""Control API: faults, the journal and what it says about the client, the state as a whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from flask import Blueprint, Response, current_app, request

from ..errors import ErrorCode
from .api_description import openapi
from .checks import Refusal
from .control import add_all, only, sent_object, the_access
from .faults import Fault, fault_from
from .lint import lint
from .masking import entry_view
from .scenarios import play
from .service import Service
from .settings import SERVICE_CODES
from .state_file import exported, import_state
from .web import the_service

Json = dict[str, Any]
HEARTBEAT_SECONDS: Final = 15.0


def add_routes(blueprint: Blueprint) -> None:
    add_all(
        blueprint,
        [
            ("/faults", "faults", list_faults, ("GET",)),
            ("/faults", "add_fault", add_fault, ("POST",)),
            ("/faults", "clear_faults", clear_faults, ("DELETE",)),
            ("/faults/<int:number>", "remove_fault", remove_fault, ("DELETE",)),
            ("/faults/<int:number>/release", "release_fault", release_fault, ("POST",)),
            ("/scenario/<name>", "scenario", begin_scenario, ("POST",)),
            ("/requests", "requests", list_requests, ("GET",)),
            ("/requests", "clear_requests", clear_requests, ("DELETE",)),
            ("/requests/<int:number>", "request", show_request, ("GET",)),
            ("/lint", "lint", show_findings, ("GET",)),
            ("/coverage", "coverage", coverage, ("GET",)),
            ("/export", "export", export_state, ("GET",)),
            ("/import", "import", load_state, ("POST",)),
            ("/openapi.json", "openapi", describe, ("GET",)),
            ("/events", "events", events, ("GET",)),
        ],
    )


def list_faults() -> Json:
    """The faults in force, with how often each struck."""
    return {"faults": [fault.to_dict() for fault in the_service().faults]}


def add_fault() -> tuple[Json, int]:
    """Make calls of an endpoint go wrong."""
    return the_service().faults.add(fault_from(sent_object())).to_dict(), 201


def clear_faults() -> Json:
    """Take every fault out of force."""
    the_service().faults.clear()
    return {"status": "ok"}


def _fault(number: int) -> Fault:
    found = next((fault for fault in the_service().faults if fault.number == number), None)
    if found is None:
        raise Refusal(ErrorCode.ENTITY_MISSING, f"there is no fault {number}")
    return found


def remove_fault(number: int) -> Json:
    """Take one fault out of force."""
    the_service().faults.remove(_fault(number))
    return {"status": "ok"}


def release_fault(number: int) -> Json:
    """Let what a fault holds go on."""
    _fault(number).release()
    return {"status": "ok"}


def begin_scenario(name: str) -> Json:
    """Begin a scenario; the faults it put in force. ``seconds``: how far off ``clock_skew`` is."""
    how = only(sent_object(), seconds=(int, float))
    return {"faults": [fault.to_dict() for fault in play(the_service(), name, **how)]}


def list_requests() -> Json:
    """The journal; ``endpoint``, ``kind`` and ``since`` (a number) narrow it down."""
    entries = list(the_service().journal)
    since = request.args.get("since", 0, type=int)
    for name in ("endpoint", "kind"):
        if wanted := request.args.get(name):
            entries = [entry for entry in entries if getattr(entry, name) == wanted]
    show = the_access().show_secrets
    return {"requests": [entry_view(e, show_secrets=show) for e in entries if e.number > since]}


def show_request(number: int) -> Json:
    """One request."""
    found = next((entry for entry in the_service().journal if entry.number == number), None)
    if found is None:
        raise Refusal(ErrorCode.ENTITY_MISSING, f"there is no request {number}")
    return entry_view(found, show_secrets=the_access().show_secrets)


def clear_requests() -> Json:
    """Forget the journal."""
    the_service().journal.clear()
    return {"status": "ok"}


def show_findings() -> Json:
    """What is wrong with the client so far."""
    return {"findings": [asdict(finding) for finding in lint(the_service())]}


def coverage() -> Json:
    """Which endpoints, error codes and faults this run has met."""
    met: dict[str, Counter[str]] = {"endpoints": Counter(), "codes": Counter(), "faults": Counter()}
    for entry in the_service().journal:
        met["endpoints"][entry.endpoint] += 1
        for name, value in (("codes", entry.error_code), ("faults", entry.fault)):
            if value:
                met[name][value] += 1
    unmet = [code for code in SERVICE_CODES if code not in met["codes"]]
    return {**{name: dict(counted) for name, counted in met.items()}, "unmetCodes": unmet}


def export_state() -> Json:
    """Everything it remembers, secrets included."""
    return exported(the_service())


def load_state() -> Json:
    """Replace everything by what an export returned."""
    import_state(the_service(), sent_object())
    return {"status": "ok"}


def describe() -> Json:
    """This description."""
    return openapi(current_app, the_service().public_url)


def events() -> Response:
    """Server-sent events: one whenever the journal changes."""
    response = Response(_changes(the_service()), content_type="text/event-stream; charset=utf-8")
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _changes(service: Service) -> Iterator[str]:
    version = service.journal.wait_for_change(-1, 0)
    yield f"data: {json.dumps({'version': version})}\n\n"
    while not service.closing.is_set():
        newest = service.journal.wait_for_change(version, HEARTBEAT_SECONDS)
        yield f"data: {json.dumps({'version': newest})}\n\n" if newest != version else ": still here\n\n"
        version = newest
