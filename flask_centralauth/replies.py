"""What a reply of CentralAuth, or of whatever answers in its place, means.

Source: "CentralAuth: error handling"; RFC 9110 §10.2.3 (Retry-After).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final

from .deadline import Reply
from .errors import CentralAuthError, ErrorCode, ServiceUnavailable, reply_error
from .strict_json import UnusableJSON, loads_object
from .user import InvalidUser

#: A service that says more is still looked at now and then: it may be back before.
LONGEST_RETRY_AFTER: Final = 300

_ERROR_CODE: Final = re.compile(r"[A-Za-z]{1,64}")


def is_outage(reply: Reply, *, wants_json: bool) -> bool:
    """Say whether a reply tells of the service, and not of the one request it answers."""
    if reply.status == 429:
        # Attack: asking for mails until nobody can be checked any more.
        return wait_of_one_address(reply) is None
    if 400 <= reply.status < 500:
        # Attack: sending what a firewall refuses with a page of its own, for the same end.
        return False
    return reply.status >= 500 or (wants_json and not _is_json(reply))


def _is_json(reply: Reply) -> bool:
    """Say whether CentralAuth itself has answered, and not a proxy or a maintenance page."""
    try:
        return bool(loads_object(reply.body))
    except UnusableJSON:
        return False


def refuses_client(reply: Reply) -> bool:
    """Say whether CentralAuth does not take the client secret."""
    return 400 <= reply.status < 500 and _said(reply).get("errorCode") == ErrorCode.NO_PERMISSION


def wait_of_one_address(reply: Reply) -> dict[str, Any] | None:
    """Return a refusal to mail one address so soon again: it says nothing of the others."""
    said = _said(reply) if reply.status == 429 else {}
    return said if "allowedDate" in said else None


def json_of(reply: Reply) -> dict[str, Any]:
    """Return the object of a 200 reply; raise what any other status means."""
    if reply.status != 200:
        raise refusal(reply)
    with unusable_answers("reply"):
        return loads_object(reply.body)


def _said(reply: Reply) -> dict[str, Any]:
    try:
        return loads_object(reply.body)
    except UnusableJSON:
        return {}


def refusal(reply: Reply) -> CentralAuthError:
    """Return what a reply other than 200 means."""
    wait = retry_after(reply)
    said = _said(reply)
    code, message = said.get("errorCode"), said.get("message")
    code = code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else None
    message = message if isinstance(message, str) and message else None
    if code is None and message is None and reply.status != 429:
        # A proxy's page, not CentralAuth's word.
        return ServiceUnavailable(
            ErrorCode.NETWORK_ERROR, f"HTTP {reply.status} without an error code", retry_after=wait
        )
    return reply_error(code, message, status=reply.status, retry_after=wait)


@contextmanager
def unusable_answers(what: str) -> Iterator[None]:
    """Turn what the readers of an answer raise into `ServiceUnavailable`."""
    try:
        yield
    except (UnusableJSON, InvalidUser) as problem:
        raise ServiceUnavailable(ErrorCode.NETWORK_ERROR, f"unusable answer to {what}: {problem}") from None


def retry_after(reply: Reply) -> int | None:
    """Return the seconds a reply asks to wait, or None when it does not say."""
    value = reply.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit() and len(value) < 8:
        return min(int(value), LONGEST_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds()
    except (TypeError, ValueError, IndexError):
        return None
    return max(0, min(int(seconds), LONGEST_RETRY_AFTER))
