"""``current_user``: the user of the current request, wherever code needs it."""

from __future__ import annotations

from typing import cast

from werkzeug.local import LocalProxy

from .identity import identity
from .user import AnonymousUser, User


def _user() -> User | AnonymousUser:
    return identity().user


#: The user who makes the current request, or an `AnonymousUser`. Asking costs nothing
#: until the first attribute is read.
current_user = cast(User, LocalProxy(_user))
