"""Time moves when it is told to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from flask_centralauth.emulator import Clock
from flask_centralauth.emulator.clock import read_time, wire_time

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
