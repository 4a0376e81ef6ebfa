"""People, as CentralAuth describes them. Imports nothing: every environment has it."""

from __future__ import annotations

from typing import Any


def person(number: int, *, user_id: str | None = None) -> dict[str, Any]:
    """What CentralAuth says of somebody; as long for everybody."""
    then = "2025-01-31T12:00:00.000Z"
    return {
        "id": user_id or f"user_{number:06}",
        "email": f"person{number:06}@example.com",
        "gravatar": f"https://gravatar.example/avatar/{number:032}",
        "verified": True,
        "blocked": False,
        "organizationId": None,
        "created": then,
        "updated": then,
        "lastLogin": then,
        "affirmationDate": then,
    }
