"""A picture for everybody, without asking another server."""

from __future__ import annotations

import hashlib
from typing import Final

from markupsafe import Markup

_SVG: Final = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 80" width="80" height="80" role="img">'
    '<rect width="80" height="80" fill="hsl({hue} 45% 34%)"/>'
    '<text x="40" y="40" dy=".36em" text-anchor="middle" font-family="system-ui, sans-serif" '
    'font-size="36" font-weight="600" fill="#fff">{initial}</text></svg>'
)


def avatar_hue(email: str) -> int:
    """Return a colour angle that is always the same for an address."""
    return int.from_bytes(hashlib.sha256(email.lower().encode("utf-8", "replace")).digest()[:2], "big") % 360


def avatar_svg(email: str) -> str:
    """Return an SVG with the initial of an address."""
    initial = email[:1].upper()
    return _SVG.format(hue=avatar_hue(email), initial=initial if initial.isprintable() else "?")
