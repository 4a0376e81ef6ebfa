"""How many calls a minute one client may make, when the settings limit that.

Source: ``CentralAuth: error handling`` (tooManyRequests); the numbers are assumed.
"""

from __future__ import annotations

import math
from collections import deque

from ..errors import ErrorCode
from .checks import Refusal
from .service import Service

WINDOW_SECONDS = 60.0


def count_call(service: Service, client: str) -> None:
    """Note a call of a client.

    :raises Refusal: when it was one too many.
    """
    limit = service.settings.rate_limit
    if not limit:
        return
    now = service.clock.time()
    with service.lock:
        calls = service.store.calls.setdefault(client, deque())
        while calls and now - calls[0] >= WINDOW_SECONDS:
            calls.popleft()
        if len(calls) >= limit:
            wait = math.ceil(WINDOW_SECONDS - (now - calls[0]))
            raise Refusal(
                ErrorCode.TOO_MANY_REQUESTS, f"more than {limit} calls a minute", retry_after=max(wait, 1)
            )
        calls.append(now)
