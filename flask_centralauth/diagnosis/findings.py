"""What a check says: how bad it is, what is wrong, the fix, where to read on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from flask import Flask

from ..state import State


class Level(str, Enum):
    """How bad a finding is. Only a problem makes ``check`` fail."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"

    __str__ = str.__str__


#: The checks by section. Each name is an anchor of ``docs/check.md``.
SECTIONS: Final = {
    "Settings": ("settings", "endpoints", "open-views", "local-id-token"),
    "Sessions": ("session-setup", "session-store", "store-shared", "store-atomic", "session-rotation"),
    "Cookies": ("cookie-secure", "cookie-samesite", "cookie-scope", "cookie-httponly", "cookie-name"),
    "Addresses": ("callback-url", "proxy", "autologin"),
    "CentralAuth": ("reachable", "discovery", "clock", "emulator", "credentials", "whitelist"),
}


#: About what the `CentralAuth` objects of one application share.
SHARED: Final = ("open-views", "proxy", *SECTIONS["Sessions"], *SECTIONS["Cookies"])


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``fix`` is there unless the level is ok.

    :param name: of the `CentralAuth` object it is about, where an application has several.
    """

    check: str
    level: Level
    message: str
    fix: str = ""
    name: str | None = None

    @property
    def section(self) -> str:
        return next(section for section, checks in SECTIONS.items() if self.check in checks)

    @property
    def docs(self) -> str:
        """Where the documentation says more."""
        return f"docs/check.md#{self.check}"


@dataclass(frozen=True, slots=True)
class Setup:
    """What the checks look at.

    :param callback_url: None when it is built from each request.
    """

    app: Flask
    state: State
    callback_url: str | None

    @property
    def in_development(self) -> bool:
        return self.app.debug or self.app.testing


def ok(check: str, message: str) -> Finding:
    return Finding(check, Level.OK, message)


def unknown(check: str, message: str, fix: str) -> Finding:
    return Finding(check, Level.UNKNOWN, message, fix)


def warning(check: str, message: str, fix: str) -> Finding:
    return Finding(check, Level.WARNING, message, fix)


def problem(check: str, message: str, fix: str) -> Finding:
    return Finding(check, Level.PROBLEM, message, fix)
