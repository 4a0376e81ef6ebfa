"""CentralAuth logins for Flask applications."""

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
