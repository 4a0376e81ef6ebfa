"""Two gunicorn servers with two workers each, one Redis, one killed in the middle: a small crowd."""

from __future__ import annotations

import pytest

from benchmarks.crowd import WRONG, run_crowd

from . import programs


@pytest.mark.timeout(110)
def test_a_crowd_that_hits_any_worker_sees_only_what_it_may() -> None:
    programs.REDIS.require()
    tally = run_crowd(people=8, seconds=6, requests=5000)
    assert tally.notes == []
    assert {what: tally[what] for what in WRONG} == dict.fromkeys(WRONG, 0)
    # It was a crowd, and it was everywhere.
    assert tally["requests"] > 300
    assert tally["servers killed"] == 1
    assert len(tally.workers) >= 4
    assert min(tally["logins"], tally["logouts"], tally["handed over"], tally["ended everywhere"]) > 0
