"""What OpenTelemetry collects of an application, read with its own SDK."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from flask_centralauth.telemetry import export_metrics

from .error_site import MakeSite, Site

pytest_plugins = ("tests.error_fixtures",)

Numbers = dict[tuple[str, str | None], int]


class Collected:
    """The numbers of one site, by name without our prefix and ``error.type``."""

    def __init__(self, site: Site) -> None:
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider([self._reader], shutdown_on_exit=False)
        export_metrics(site.app, meter=self._provider.get_meter("tests"))

    def numbers(self) -> Numbers:
        found: Numbers = {}
        data: Any = self._reader.get_metrics_data()
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                name = metric.name.removeprefix("centralauth.")
                found[name, point.attributes.get("error.type")] = point.value
        return found


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(CENTRALAUTH_STALE_GRACE=600)


def test_logins_and_how_they_end_are_counted(site: Site) -> None:
    collected = Collected(site)
    site.log_in()
    site.emulator.fail("userinfo", error_code="sessionInactive")
    site.get("/public")
    site.log_in()
    site.browser.submit("/api/auth/logout")
    site.emulator.next_login(error="captchaInvalid")
    site.get("/private")

    numbers = collected.numbers()
    assert numbers["logins", None] == 2
    assert numbers["logins", "captchaInvalid"] == 1
    assert numbers["logouts", None] == 1
    assert numbers["sessions_ended", "sessionInactive"] == 1
    assert numbers["breaker_open", None] == 0


def test_checks_are_counted_and_an_open_breaker_shows(site: Site) -> None:
    collected = Collected(site)
    site.log_in()
    before = collected.numbers()
    site.emulator.fail("userinfo", status=503, times=10)
    for _ in range(4):
        assert site.get("/private").status == 200
    after = collected.numbers()

    grown = {name: after[name, None] - before[name, None] for name in ("calls", "failures", "stale_served")}
    assert grown == {"calls": 3, "failures": 3, "stale_served": 4}
    assert after["breaker_open", None] == 1


def test_a_store_that_is_left_alone_shows(site: Site) -> None:
    collected = Collected(site)
    site.log_in()
    assert collected.numbers()["store_breaker_open", None] == 0
    engine: Any = site.app.session_interface.engine  # type: ignore[attr-defined]
    engine.breaker.failed()
    assert collected.numbers()["store_breaker_open", None] == 1
    assert site.get("/private").status == 503


def test_codes_made_up_by_a_visitor_make_no_new_series(site: Site) -> None:
    collected = Collected(site)
    for number in range(3):
        site.emulator.next_login(error=f"invented{number}")
        site.get("/private")

    failed = {kind: count for (name, kind), count in collected.numbers().items() if name == "logins"}
    assert failed == {"_OTHER": 3}


def test_affirmation_that_fails_is_no_login_that_failed(site: Site) -> None:
    """As one that works is no login that worked."""
    site.log_in()
    collected = Collected(site)
    site.emulator.next_login(error="captchaInvalid")
    site.get("/api/auth/affirm")
    assert not [count for (name, _kind), count in collected.numbers().items() if name == "logins"]


def test_applications_are_counted_apart(make_site: MakeSite) -> None:
    first = make_site()
    other = make_site()
    collected = Collected(other)
    first.log_in()
    assert ("logins", None) not in collected.numbers()


def test_without_opentelemetry_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['opentelemetry.metrics'] = None; import flask_centralauth.telemetry"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.rstrip().endswith("pip install 'flask_centralauth[opentelemetry]'")
