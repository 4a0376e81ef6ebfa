"""Checks of the settings and of the views."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .. import config
from ..errors import ConfigurationError
from ..guarded_views import find_open_views, refuse_unusable_pages
from .findings import Finding, Setup, ok, problem, warning


def check_application(setup: Setup) -> Iterator[Finding]:
    """Look at the settings, and at what they and the guards say about views."""
    yield from _check_settings(setup)
    yield _endpoints(setup)
    open_views = find_open_views(setup.app)
    if open_views:
        yield problem(
            "open-views",
            f"@auth_required stands above the route of {', '.join(open_views)}, where it protects nothing.",
            "Put @auth_required directly above the function, below @app.route or @app.before_request.",
        )
    else:
        yield ok("open-views", "No @auth_required stands above its route.")
    yield _local_id_token(setup)


def refused_settings(error: ConfigurationError) -> Iterator[Finding]:
    """Say what ``init_app`` refused, one finding per problem."""
    for said in error.problems or (str(error),):
        # "KEY: what is wrong. The fix."
        wrong, _, fix = said.partition(". ")
        yield problem("settings", f"{wrong.removesuffix('.')}.", fix or "Correct it and start again.")


def _check_settings(setup: Setup) -> Iterator[Finding]:
    with captured_log() as records:
        try:
            config.load(setup.app, identifier=setup.state.identifier)
        except ConfigurationError as changed_since_start:
            yield from refused_settings(changed_since_start)
            return
    for record in records:
        yield warning("settings", record.getMessage(), "docs/settings.md lists every setting.")
    if not records:
        yield ok("settings", "Complete and valid.")


def _endpoints(setup: Setup) -> Finding:
    with setup.app.app_context():
        try:
            refuse_unusable_pages(setup.state.settings)
        except ConfigurationError as refused:
            return problem(
                "endpoints", " ".join(refused.problems), "Write endpoints as 'flask routes' lists them."
            )
    return ok("endpoints", "Every page that the settings name can be shown.")


def _local_id_token(setup: Setup) -> Finding:
    if setup.state.settings.unsafe_local_id_token:
        return warning(
            "local-id-token",
            "CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN is on: until their token expires, people stay in who were "
            "blocked or signed out at CentralAuth.",
            "Switch it off unless the calls it saves are worth that.",
        )
    return ok("local-id-token", "CentralAuth is asked who people are.")


@contextmanager
def captured_log() -> Iterator[list[logging.LogRecord]]:
    """Collect what this package logs meanwhile: a report says it in its own words."""
    logger = logging.getLogger("flask_centralauth")
    collector = _Collector(logging.WARNING)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(collector)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield collector.records
    finally:
        logger.removeHandler(collector)
        logger.setLevel(level)
        logger.propagate = propagate


class _Collector(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
