"""The count that many threads add to."""

from __future__ import annotations

import threading

from flask_centralauth.tally import Tally

THREADS, TIMES = 8, 2_000


def test_looking_does_not_count() -> None:
    tally = Tally()
    seen = [tally.value]
    for _ in range(3):
        tally.add()
        seen += [tally.value, tally.value]
    assert seen == [0, 1, 1, 2, 2, 3, 3]


def test_what_threads_add_is_there_whoever_looks_meanwhile() -> None:
    tally, together = Tally(), threading.Barrier(THREADS)
    seen: list[list[int]] = [[] for _ in range(THREADS)]

    def work(found: list[int]) -> None:
        together.wait()
        for _ in range(TIMES):
            tally.add()
            found.append(tally.value)

    threads = [threading.Thread(target=work, args=(found,)) for found in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.value == THREADS * TIMES
    assert all(found == sorted(found) for found in seen)
    assert all(found[0] >= 1 and found[-1] <= THREADS * TIMES for found in seen)
