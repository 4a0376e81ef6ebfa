"""``current_user``: the user of the current request, wherever code needs it."""

from __future__ import annotations

from typing import Any, SupportsIndex, cast

from werkzeug.local import LocalProxy

from .identity import identity
from .user import AnonymousUser, User


class _UserProxy(LocalProxy[User | AnonymousUser]):
    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # A task queue gets the user: pickle does not take a proxy for what it stands for.
        return self._get_current_object().__reduce_ex__(protocol)


def _user() -> User | AnonymousUser:
    return identity().user


#: The user who makes the current request, or an `AnonymousUser`. Asking costs nothing
#: until the first attribute is read.
current_user = cast(User, _UserProxy(_user))
