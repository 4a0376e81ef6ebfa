"""Time moves when it is told to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest

from flask_centralauth.emulator import Clock, Emulator
from flask_centralauth.emulator.clock import read_time, wire_time

from .application import Application

NEW_YEAR = datetime(2030, 1, 1, tzinfo=timezone.utc)


def test_it_runs_with_an_offset() -> None:
    clock = Clock()
    clock.advance(3600)
    assert clock.offset == pytest.approx(3600, abs=1)
    clock.advance(-3600)
    assert clock.offset == pytest.approx(0, abs=1)
    clock.set(NEW_YEAR)
    assert timedelta(0) <= clock.now() - NEW_YEAR < timedelta(seconds=5)
    clock.reset()
    assert clock.offset == pytest.approx(0, abs=1)


def test_it_can_stand_still() -> None:
    clock = Clock()
    clock.freeze(NEW_YEAR.replace(tzinfo=None))
    assert (clock.now(), clock.frozen) == (NEW_YEAR, True)
    clock.advance(60)
    assert clock.now() == NEW_YEAR + timedelta(minutes=1)
    clock.set(NEW_YEAR)
    assert clock.now() == NEW_YEAR
    clock.resume()
    assert clock.frozen is False
    assert clock.now() - NEW_YEAR < timedelta(seconds=5)
    clock.resume()
    clock.freeze()
    assert clock.now() == clock.now()


@pytest.mark.parametrize("seconds", [1e300, float("nan"), float("inf"), -1e15])
def test_it_stays_in_the_calendar(seconds: float) -> None:
    clock = Clock()
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Python's
        clock.advance(seconds)
    assert clock.offset == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-01T00:00:00Z", NEW_YEAR),
        ("2030-01-01T00:00:00.000+00:00", NEW_YEAR),
        ("2030-01-01T01:00:00+01:00", NEW_YEAR),
        ("2030-01-01", NEW_YEAR),
        (NEW_YEAR, NEW_YEAR),
    ],
)
def test_times_are_read_and_written_as_iso_8601(text: object, moment: datetime) -> None:
    assert read_time(text) == moment
    assert wire_time(moment) == "2030-01-01T00:00:00.000Z"


@pytest.mark.parametrize("text", ["", "Z", "soon", 5, None])
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        read_time(text)
    assert wire_time(None) is None


@pytest.mark.parametrize("seconds", [300, -300])
def test_a_skew_is_in_what_is_told_and_not_in_what_is_checked(
    application: Application, emulator: Emulator, seconds: int
) -> None:
    now = emulator.clock.freeze(datetime(2030, 1, 1, tzinfo=timezone.utc))
    emulator.configure(max_session_time=60)
    before = application.token()
    emulator.scenario("clock_skew", seconds=seconds)
    told = application.verify(application.code()).json()
    skewed = now + timedelta(seconds=seconds)
    assert read_time(told["expires_at"]) == skewed + timedelta(seconds=60)
    assert told["expires_in"] == 60
    reply = application.userinfo(before)
    assert read_time(reply.json()["lastLogin"]) == skewed
    assert parsedate_to_datetime(reply.headers["Date"]) == skewed
    emulator.reset()
    assert "Date" not in application.userinfo("x").headers


@pytest.mark.parametrize("seconds", [1e12, float("nan")])
def test_a_skew_beyond_the_calendar_is_refused(emulator: Emulator, seconds: float) -> None:
    with pytest.raises(ValueError, match="off by at most"):
        emulator.scenario("clock_skew", seconds=seconds)
