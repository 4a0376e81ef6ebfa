"""Dates as CentralAuth writes them.

Source: ISO 8601, extended format; "CentralAuth: userinfo", "CentralAuth: verify".
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

#: What ``fromisoformat`` reads depends on the version of Python; this does not.
_DATE: Final = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>(?:[01][0-9]|2[0-3]):[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:[Zz]|(?P<hours>[+-][0-9]{2}):?(?P<minutes>[0-9]{2})?)?)?"
)


def parse_date(text: str) -> datetime:
    """Return a date such as ``2025-01-31T12:00:00.123Z`` as an aware datetime in UTC.

    Without a zone it is UTC: in the machine's own zone it would be hours off, and another
    moment on each machine. Fractions of a second may have any number of digits.

    :raises ValueError: it is no date, or none that a datetime can hold.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("not an ISO 8601 date")
    time = f"{found['time'] or '00:00'}:{found['second'] or '00'}.{found['fraction'] or '':0<6.6}"
    zone = f"{found['hours'] or '+00'}:{found['minutes'] or '00'}"
    try:
        return datetime.fromisoformat(f"{found['day']}T{time}{zone}").astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("not a year that a datetime can hold") from None
