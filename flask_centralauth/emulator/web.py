"""Around every request: the journal, the faults, the headers, the error answers."""

from __future__ import annotations

import json
from functools import partial
from typing import Final, cast

from flask import Flask, Response, current_app, g, render_template, request
from werkzeug.datastructures import Headers, MultiDict
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import http_date

from ..errors import ErrorCode
from .checks import Checks, Refusal
from .client_credentials import basic_credentials
from .fault_replies import error_reply, refusal_reply, replaced, shaped
from .faults import Fault, RequestFacts
from .journal import API, BROWSER, JournalEntry
from .rate_limit import count_call
from .service import Service
from .tokens import TokenUnreadable, read_token
from .wire import CONNECTION, ENDLESS_ACTIONS, SLOT, Slot

#: Bytes of a body that the journal keeps.
KEPT_BODY: Final = 64 * 1024
EXTENSION_KEY: Final = "centralauth_emulator"
CONTROL_PREFIX: Final = "/_emulator"
BROWSER_ENDPOINTS: Final = frozenset({"login", "login_choice", "login_attempt", "login_undo"})
#: Routes that are about the emulator itself and stay out of the journal.
SILENT_ENDPOINTS: Final = frozenset({"health", "avatar", "favicon", "static", "home"})


def install(app: Flask, service: Service) -> None:
    """Put the journal, the faults and the headers around every request of an application."""
    app.extensions[EXTENSION_KEY] = service
    app.before_request(_open_entry)
    app.before_request(_strike)
    app.before_request(_limit)
    # These run in reverse: the entry is closed before the headers are added.
    app.after_request(_harden)
    app.after_request(_close_entry)
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _http_error)


def the_service() -> Service:
    """Return the engine behind the running request."""
    return cast(Service, current_app.extensions[EXTENSION_KEY])


def the_checks() -> Checks:
    """Return the rules the running request went through so far."""
    if "checks" not in g:
        g.checks = Checks()
    return cast(Checks, g.checks)


def the_entry() -> JournalEntry:
    """Return the journal's entry of the running request; all but those about the emulator itself have one."""
    return cast(JournalEntry, g.entry)


def _entry_if_any() -> JournalEntry | None:
    entry: JournalEntry | None = g.get("entry")
    return entry


def endpoint_name() -> str:
    """Return the journal's name for what was asked."""
    return request.endpoint or "unknown"


def is_browser_page() -> bool:
    """Return whether a person looks at the answer."""
    return endpoint_name() in BROWSER_ENDPOINTS


def _is_journaled() -> bool:
    return not request.path.startswith(CONTROL_PREFIX + "/") and endpoint_name() not in SILENT_ENDPOINTS


def _open_entry() -> None:
    if not _is_journaled():
        return
    service = the_service()
    form: MultiDict[str, str]
    try:
        body = request.get_data(cache=True)
        form = MultiDict(request.form)
    except RequestEntityTooLarge:
        body, form = b"", MultiDict()

    def make(number: int) -> JournalEntry:
        return JournalEntry(
            number=number,
            at=service.clock.now(),
            kind=BROWSER if is_browser_page() else API,
            endpoint=endpoint_name(),
            method=request.method,
            path=request.path,
            query_string=request.query_string.decode("latin-1"),
            query=MultiDict(request.args),
            headers=Headers(request.headers),
            body=body[:KEPT_BODY],
            form=form,
            connection=int(request.environ.get(CONNECTION, 0)),
            remote_addr=request.remote_addr or "",
        )

    g.entry = service.journal.open(make)


def _strike() -> Response | None:
    entry = _entry_if_any()
    if entry is None:
        return None
    service = the_service()
    credentials = basic_credentials(request.headers.get("Authorization"))
    client_id = credentials[0] if credentials else request.values.get("client_id")
    entry.email = _email_of(entry)
    facts = RequestFacts(entry.endpoint, client_id, entry.email, entry.headers)
    fault = service.faults.take(facts)
    if fault is None:
        return None
    g.fault = fault
    entry.fault = str(fault)
    slot = request.environ.get(SLOT)
    if isinstance(slot, Slot) and slot.outlasts(fault):
        g.replaced = True
        return Response(b"", 504)
    fault.hold()
    response = replaced(fault, service.settings)
    g.replaced = response is not None
    return response


def _limit() -> None:
    entry = _entry_if_any()
    if entry is not None and entry.kind == API and entry.endpoint != "unknown":
        credentials = basic_credentials(request.headers.get("Authorization"))
        count_call(the_service(), credentials[0] if credentials else entry.remote_addr)


def _email_of(entry: JournalEntry) -> str | None:
    """Return whom a request is about, as far as it says so itself."""
    service = the_service()
    if entry.endpoint in ("userinfo", "logout"):
        try:
            claims = read_token(service.organization.secret, entry.text.strip())
        except TokenUnreadable:
            return None
        session = service.store.sessions.get(claims["sessionId"])
        return session.email if session else None
    if entry.endpoint == "verify":
        code = service.store.codes.get(entry.form.get("code", ""))
        user = service.find_user(code.user_id) if code else None
        return user.email if user else None
    return entry.form.get("email") or entry.query.get("email")


def _close_entry(response: Response) -> Response:
    entry = _entry_if_any()
    if entry is None:
        return response
    fault: Fault | None = g.get("fault")
    if fault is not None and not g.get("replaced"):
        response = shaped(fault, response)
    slot = request.environ.get(SLOT)
    if fault is not None and fault.action in ENDLESS_ACTIONS and isinstance(slot, Slot):
        slot.delivered = partial(_note_delivery, the_service(), entry, fault)
    entry.checks = the_checks().done
    entry.location = response.headers.get("Location")
    reply = b"" if response.is_streamed else response.get_data()[:8192]
    if entry.error_code is None and response.status_code >= 400:
        entry.error_code = _code_in(reply)
    refused = entry.error_code is not None or response.status_code >= 400
    verdict = "fault" if fault is not None else "refused" if refused else "ok"
    the_service().journal.close(entry, status=response.status_code, verdict=verdict, reply=reply)
    return response


def _note_delivery(service: Service, entry: JournalEntry, fault: Fault) -> None:
    # A drip that was released has an end after all.
    if not fault.released:
        service.journal.note_read_to_the_end(entry)


def _code_in(reply: bytes) -> str | None:
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    code = value.get("errorCode") if isinstance(value, dict) else None
    return code if isinstance(code, str) else None


def _harden(response: Response) -> Response:
    """No cache keeps an answer, no page is framed, no script of others runs."""
    headers = response.headers
    service = the_service()
    if service.skew:
        headers["Date"] = http_date(service.clock.now() + service.skew)
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "strict-origin")
    ancestors = g.get("frame_ancestors", "'none'")
    frames = g.get("frame_sources", "'none'")
    nonce = f" 'nonce-{g.style_nonce}'" if "style_nonce" in g else ""
    headers.setdefault(
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'self'{nonce}; script-src 'self'; img-src 'self' data:; "
        f"frame-src {frames}; "
        # No origin here: browsers apply form-action to the redirect back to the application too.
        f"connect-src 'self'; form-action http: https:; base-uri 'none'; frame-ancestors {ancestors}",
    )
    return response


def _refused(refusal: Refusal) -> Response:
    settings = the_service().settings
    if (entry := _entry_if_any()) is not None:
        entry.error_code, entry.message = refusal.code, refusal.message
    if not is_browser_page():
        return refusal_reply(refusal, settings)
    page = render_template(
        "error.html",
        code=refusal.code,
        message=refusal.message,
        checks=the_checks().done,
        service=the_service(),
    )
    return Response(page, refusal.status or settings.status_of(refusal.code))


def _http_error(error: HTTPException) -> Response:
    """CentralAuth's error object for a wrong path, method or size."""
    status = error.code or 500
    code = (
        ErrorCode.ENTITY_MISSING
        if status == 404
        else ErrorCode.GENERIC_ERROR
        if status >= 500
        else ErrorCode.ENTITY_INVALID
    )
    settings = the_service().settings
    response = error_reply(code, error.description or error.name, settings, status=status)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response
