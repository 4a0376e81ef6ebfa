"""What is wrong with a set-up: every check of ``flask centralauth check``.

Nothing is changed: a few keys are written to the session store and removed again, and
CentralAuth is asked what an application asks it anyway.
"""

from __future__ import annotations

from flask import Flask

from ..errors import ConfigurationError
from ..state import state_of
from .addresses import check_addresses, known_callback_url
from .application import check_application, refused_settings
from .cookies import check_cookies
from .findings import SECTIONS, Finding, Level, Setup
from .service import check_service
from .store import check_store

__all__ = ["SECTIONS", "Finding", "Level", "diagnose", "diagnose_refused"]

_CHECKS = (check_application, check_store, check_cookies, check_addresses, check_service)


def diagnose(app: Flask) -> tuple[list[Finding], str | None]:
    """Return what every check found, in the order to read it, and the callback URL if it is fixed.

    Asks the session store and CentralAuth.
    """
    setup = Setup(app=app, state=state_of(app), callback_url=known_callback_url(app))
    return [finding for check in _CHECKS for finding in check(setup)], setup.callback_url


def diagnose_refused(error: ConfigurationError) -> list[Finding]:
    """Return what is wrong with an application that ``init_app`` refused."""
    return list(refused_settings(error))
