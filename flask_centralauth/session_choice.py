"""Which session counts when a browser sends several under one cookie name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask.sessions import SessionMixin

log = logging.getLogger("flask_centralauth")


def choose(
    opened: Sequence[SessionMixin], holds_login: Callable[[Mapping[str, Any]], bool]
) -> tuple[list[SessionMixin], list[SessionMixin]]:
    """Return the sessions a request may go on with, the first of them first, and those that have to end.

    The first is the one somebody is logged in with. Two logins of one browser end both: a
    sibling domain has planted one, so that the person works in the attacker's account (attack:
    cookie tossing), or the cookie's domain or path was changed and the old one stands in the way.
    """
    logins = [session for session in opened if holds_login(session)]
    if len(logins) < 2:
        return [*logins, *opened], []
    log.warning(
        "A browser sent the sessions of two logins; both are ended. Another host of the domain may have set "
        "one: a SESSION_COOKIE_NAME that begins with __Host- keeps it from that."
    )
    return [], logins
