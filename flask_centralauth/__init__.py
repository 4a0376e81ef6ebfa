"""CentralAuth logins for Flask applications.

Each name is loaded when it is first asked for: a test run that only has the pytest plugin
installed, or a Flask command that has nothing to do with logins, does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        CentralAuthError,
        ConfigurationError,
        EntityError,
        ErrorCode,
        LoginError,
        PermissionDenied,
        RateLimitError,
        ServiceUnavailable,
        SessionError,
    )
    from .extension import CentralAuth
    from .guards import auth_required, public
    from .proxies import current_user
    from .user import AnonymousUser, User

__all__ = [
    "AnonymousUser",
    "CentralAuth",
    "CentralAuthError",
    "ConfigurationError",
    "EntityError",
    "ErrorCode",
    "LoginError",
    "PermissionDenied",
    "RateLimitError",
    "ServiceUnavailable",
    "SessionError",
    "User",
    "auth_required",
    "current_user",
    "public",
]

#: Where the names live that are not in `errors`.
_MODULES = {
    "AnonymousUser": "user",
    "CentralAuth": "extension",
    "User": "user",
    "auth_required": "guards",
    "current_user": "proxies",
    "public": "guards",
}


if not TYPE_CHECKING:  # a type checker would take every misspelled name for one of these

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
        # Python asks this function only for what the module does not have yet.
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
