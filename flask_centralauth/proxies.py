"""``current_user``: the user of the current request, wherever code needs it."""

from __future__ import annotations

from typing import Any, SupportsIndex, cast

from flask import Flask, current_app
from flask.json.provider import DefaultJSONProvider
from werkzeug.local import LocalProxy

from .identity import identity
from .state import state_of
from .user import AnonymousUser, User


class _UserProxy(LocalProxy[User | AnonymousUser]):
    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # A task queue gets the user: pickle does not take a proxy for what it stands for.
        return self._get_current_object().__reduce_ex__(protocol)


def user_of(identifier: str) -> User:
    """Return the user one `CentralAuth` object knows the current request by, as a proxy."""
    return cast(User, _UserProxy(lambda: identity(state_of(current_app, identifier)).user))


#: The user who makes the current request, or an `AnonymousUser`. Asking costs nothing
#: until the first attribute is read. Where an application has several `CentralAuth`
#: objects, the user of the one whose guard let the request in.
current_user = cast(User, _UserProxy(lambda: identity().user))


def serialize_users(app: Flask) -> None:
    """Let ``jsonify`` take a user, and ``current_user``, which is a proxy for one."""
    if not isinstance(app.json, DefaultJSONProvider):
        return
    default = app.json.default

    def with_users(value: Any) -> Any:
        if isinstance(value, User):
            return value.to_dict()
        return None if isinstance(value, AnonymousUser) else default(value)

    app.json.default = with_users
