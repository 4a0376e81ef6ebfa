"""Who may be logged in here at all: what CentralAuth leaves to the application."""

from __future__ import annotations

from .config import Settings
from .errors import ErrorCode, PermissionDenied
from .user import User


def check_policy(user: User, settings: Settings) -> None:
    """Raise `PermissionDenied` when the settings keep this user out.

    Source: "CentralAuth: userinfo" (a blocked user can log in; the application decides).
    """
    if user.organization_id is not None and user.organization_id != settings.client_id:
        raise PermissionDenied(ErrorCode.NO_PERMISSION, "the user belongs to another organization")
    if user.blocked and not settings.allow_blocked:
        raise PermissionDenied(ErrorCode.USER_BLOCKED)
    if settings.require_verified and not user.verified:
        raise PermissionDenied(ErrorCode.USER_NOT_VERIFIED)
