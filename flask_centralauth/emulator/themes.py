"""The theme an application sends along, as far as it is safe to show.

No outside resources: fonts and pictures from elsewhere are named, not loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_COLOUR: Final = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_VARIABLES: Final = {
    "primaryColor": "--accent",
    "backgroundColor": "--page",
    "contentColor": "--ink",
    "neutralColor": "--line",
}


def theme_css(theme: Mapping[str, str]) -> str:
    """Return declarations for the colours that are colours; anything else is left out."""
    lines = [
        f"{variable}: {theme[name]};"
        for name, variable in _VARIABLES.items()
        if _COLOUR.fullmatch(theme.get(name, ""))
    ]
    if accent := theme.get("primaryColor", ""):
        lines += [f"--on-accent: {_readable_on(accent)};"] if _COLOUR.fullmatch(accent) else []
    return " ".join(lines)


def _readable_on(colour: str) -> str:
    """Return black or white, whichever is easier to read on a colour (WCAG 2 §1.4.3)."""
    digits = colour[1:]
    pairs = [c * 2 for c in digits] if len(digits) == 3 else [digits[i : i + 2] for i in (0, 2, 4)]
    parts = [int(pair, 16) / 255 for pair in pairs]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#fff"
