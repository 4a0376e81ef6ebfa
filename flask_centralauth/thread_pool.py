"""Threads for work that nobody stays with.

Not the pool of ``concurrent.futures``, whose threads keep a process from exiting until they are done.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

Job = Callable[[], None]

#: How long a thread without work stays. A check on a new one costs a millisecond more.
IDLE_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Threads:
    """The threads of one process."""

    running: int = 0
    idle: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    # Made in the process that uses it, also because gevent's replacement may come late.
    jobs: queue.SimpleQueue[Job] = field(default_factory=lambda: queue.SimpleQueue())

    def work(self, first: Job) -> None:
        job: Job | None = first
        while job is not None:
            self.run(job)
            job = self._next()

    def run(self, job: Job) -> None:
        try:
            job()
        finally:
            with self.lock:
                self.running -= 1

    def _next(self) -> Job | None:
        with self.lock:
            self.idle += 1
        try:
            return self.jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with self.lock:
                if self.idle:
                    self.idle -= 1
                    return None
        # Whoever took this thread for idle is about to put its job.
        return self.jobs.get()


class ThreadPool:
    """Runs jobs on daemon threads, made when there is no idle one. Thread-safe and fork-safe.

    :param name: what the threads are called, for whoever looks at a process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        #: By process: the threads of one that forked are not in the other, and may have held the lock.
        self._processes: dict[int, _Threads] = {}

    @property
    def running(self) -> int:
        """How many jobs this process has under way."""
        return self._threads.running

    def start(self, job: Job) -> None:
        """Run a job on a thread; where none is to be had, here."""
        threads = self._threads
        with threads.lock:
            is_idle = threads.idle > 0
            threads.running += 1
            threads.idle -= is_idle
        if is_idle:
            threads.jobs.put(job)
            return
        thread = threading.Thread(target=threads.work, args=(job,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # their number is limited
            threads.run(job)

    @property
    def _threads(self) -> _Threads:
        here = os.getpid()
        return self._processes.get(here) or self._processes.setdefault(here, _Threads())
