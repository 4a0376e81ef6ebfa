"""What the store knows of a login, as bytes and back."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from .strict_json import UnusableJSON, loads_object
from .user import InvalidUser, User, parse_user

log = logging.getLogger("flask_centralauth")


@dataclass(frozen=True, slots=True)
class Record:
    """What the store knows of a login, shared by all workers.

    :param checked: epoch seconds of CentralAuth's last answer.
    :param visitor: digest of the browser the answer was for.
    :param trusted_until: epoch seconds until which the id token of the login stands in for
        CentralAuth, where the settings let it.
    """

    user: User
    checked: float
    visitor: str
    trusted_until: float | None = None


def encode(record: Record) -> bytes:
    content = {
        "user": record.user.received(),
        "checked": record.checked,
        "visitor": record.visitor,
        "trusted_until": record.trusted_until,
    }
    return json.dumps(content, ensure_ascii=False).encode()


def decode(content: bytes) -> Record | None:
    """Return the record of a login, or None for bytes that are none."""
    try:
        value = loads_object(content)
        user, checked, visitor = value["user"], value["checked"], value["visitor"]
        if not isinstance(user, dict) or not isinstance(visitor, str):
            raise TypeError("a member has the wrong type")
        trusted = value.get("trusted_until")
        return Record(parse_user(user), float(checked), visitor, None if trusted is None else float(trusted))
    except (UnusableJSON, InvalidUser, KeyError, TypeError, ValueError):
        log.error("A login record could not be decoded; its user is signed out.")
        return None
