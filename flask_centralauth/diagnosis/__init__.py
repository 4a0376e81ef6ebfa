"""What is wrong with a set-up: every check of ``flask centralauth check``.

Nothing is changed: a few keys are written to the session store and removed again, and
CentralAuth is asked what an application asks it anyway.
"""

from __future__ import annotations

from dataclasses import replace

from flask import Flask

from ..errors import ConfigurationError
from ..names import spelled_for
from ..state import State, state_of
from .addresses import check_addresses, known_callback_url
from .application import check_application, refused_settings
from .cookies import check_cookies
from .findings import SECTIONS, SHARED, Finding, Level, Setup
from .service import check_service
from .store import check_store

__all__ = ["SECTIONS", "Finding", "Level", "diagnose", "diagnose_refused"]

_CHECKS = (check_application, check_store, check_cookies, check_addresses, check_service)


def diagnose(app: Flask) -> tuple[list[Finding], str | None]:
    """Return what every check found, in the order to read it, and the callback URL if it is fixed.

    Asks the session store and CentralAuth.
    """
    first = state_of(app)
    found: list[Finding] = []
    for state in (first, *(sibling for sibling in first.siblings if sibling is not first)):
        setup = Setup(app=app, state=state, callback_url=known_callback_url(app, state))
        said = [_about(state, finding) for check in _CHECKS for finding in check(setup)]
        # What they share is said once, and everything else of each.
        found += [
            finding
            for finding in said
            if finding.check not in SHARED or replace(finding, name=None) not in found
        ]
    return found, known_callback_url(app, first)


def _about(state: State, finding: Finding) -> Finding:
    message, fix = (spelled_for(state.identifier, said) for said in (finding.message, finding.fix))
    return replace(finding, message=message, fix=fix, name=state.name)


def diagnose_refused(error: ConfigurationError) -> list[Finding]:
    """Return what is wrong with an application that ``init_app`` refused."""
    return list(refused_settings(error))
