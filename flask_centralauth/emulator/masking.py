"""Tokens, codes and secrets shortened for people's eyes."""

from __future__ import annotations

import re
from typing import Any, Final

from .journal import JournalEntry

_JWE: Final = re.compile(r"\b(eyJ[\w-]{4})[\w-]+(?:\.[\w-]*){4}")
_FIELD: Final = re.compile(r"(?<![\w-])(code|code_verifier|client_secret|token)=([^&\s]{4})[^&\s]+")
_JSON_FIELD: Final = re.compile(r'"(client_secret|token|code|code_verifier)"(\s*:\s*)"[^"]*"')
_MULTIPART: Final = re.compile(r'(name="(?:code|code_verifier|client_secret)"\r?\n\r?\n.{4})[^\r\n]*')
SHOWN_BODY: Final = 4000


def masked(text: str) -> str:
    """Return a text in which every token, code and secret is only hinted at."""
    text = _JWE.sub(r"\1…", text)
    text = _FIELD.sub(r"\1=\2…", text)
    text = _MULTIPART.sub(r"\1…", text)
    return _JSON_FIELD.sub(r'"\1"\2"…"', text)


def entry_view(entry: JournalEntry, *, show_secrets: bool = False) -> dict[str, Any]:
    """Return a request as the control API and the dashboard show it."""
    shown = (lambda text: text) if show_secrets else masked
    headers = {name: shown(value) for name, value in entry.headers.items()}
    if "Authorization" in headers and not show_secrets:
        headers["Authorization"] = f"{headers['Authorization'].partition(' ')[0]} …"
    failed = entry.failed_check
    return {
        "number": entry.number,
        "at": entry.at.isoformat(timespec="milliseconds"),
        "kind": entry.kind,
        "endpoint": entry.endpoint,
        "method": entry.method,
        "path": entry.path,
        "query": {name: shown(f"{name}={value}")[len(name) + 1 :] for name, value in entry.query.items()},
        "headers": headers,
        "body": shown(entry.text[:SHOWN_BODY]),
        "connection": entry.connection,
        "remoteAddr": entry.remote_addr,
        "status": entry.status,
        "verdict": entry.verdict,
        "errorCode": entry.error_code,
        "message": entry.message,
        "failedCheck": failed.rule if failed else None,
        "checks": [
            {"rule": c.rule, "passed": c.passed, "code": c.code, "message": c.message} for c in entry.checks
        ],
        "fault": entry.fault,
        "reply": shown(entry.reply.decode("utf-8", "replace")[:SHOWN_BODY]),
        "location": shown(entry.location) if entry.location else None,
        "email": entry.email,
        "sessionId": entry.session_id,
    }
