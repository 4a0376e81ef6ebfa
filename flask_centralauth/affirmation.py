"""When a user last confirmed that it is them, by CentralAuth's clock and by ours.

The two differ. A page that wants a confirmation of the last seconds would ask for another one
for ever if only CentralAuth's date counted, so what was seen to succeed here counts from then.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

from .attempts import Attempt
from .errors import ErrorCode, PermissionDenied
from .known_logins import Identity
from .translations import N_, gettext
from .user import User

#: Seconds CentralAuth's clock may differ from ours.
SKEW: Final = 60

_OTHER_USER: Final = N_("Please confirm with the account you are signed in with.")


def moment_of(user: User) -> float | None:
    """Return when CentralAuth says a user affirmed last: epoch seconds of its clock."""
    return None if user.affirmation_date is None else user.affirmation_date.timestamp()


def check_affirmation(attempt: Attempt, checked: User, former: User | None) -> tuple[float, float]:
    """Return the moment of an affirmation that has just worked, by CentralAuth's clock and by ours.

    :param checked: the user CentralAuth names now.
    :param former: the user who is logged in.
    :raises PermissionDenied: somebody else affirmed (attack: affirm as another), or nobody
        did: the date is missing, not of just now, or the one from before (attack: the way to
        CentralAuth without ``affirm``).
    """
    if former is None or not checked.id == attempt.user_id == former.id:
        raise PermissionDenied(
            ErrorCode.NO_PERMISSION, "affirmed as another user", public_message=gettext(_OTHER_USER)
        )
    now, date = time.time(), moment_of(checked)
    if date is None or not -SKEW <= now - date <= attempt.age + SKEW or date == attempt.affirmed:
        raise PermissionDenied(ErrorCode.NO_PERMISSION, "CentralAuth reports no affirmation of just now")
    # A callback that was held back makes an affirmation no younger than the clocks may differ.
    return date, min(now, date + SKEW)


def is_affirmed(who: Identity, within: float | timedelta) -> bool:
    """Say whether the user of a request affirmed within so many seconds."""
    moment = moment_of(who.user) if isinstance(who.user, User) else None
    if moment is None:
        return False
    seen = who.login.affirmed if who.login is not None else None
    if seen is not None and seen[0] == moment:
        moment = seen[1]
    # A date in the future is not one we can judge.
    limit = within.total_seconds() if isinstance(within, timedelta) else within
    return -SKEW <= time.time() - moment <= limit
