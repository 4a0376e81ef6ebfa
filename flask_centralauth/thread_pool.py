"""Threads for work that nobody stays with.

Not the pool of ``concurrent.futures``, whose threads keep a process from exiting until they are done.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Final

Job = Callable[[], None]

#: How long a thread without work stays. What a new one does first costs a millisecond more.
IDLE_SECONDS: Final = 5.0


class ThreadPool:
    """Runs jobs on daemon threads, made when there is no idle one. Thread-safe and fork-safe.

    :param name: what the threads are called, for whoever looks at a process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._process = 0
        self._running = self._idle = 0

    @property
    def running(self) -> int:
        """How many jobs this process has under way."""
        # The threads of a parent that forked are not here.
        return self._running if self._process == os.getpid() else 0

    def start(self, job: Job) -> None:
        """Run a job on a thread; where none is to be had, here."""
        with self._lock:
            if self._process != os.getpid():
                # Made in the process that uses it, also because gevent's replacement may come late.
                self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
                self._process = os.getpid()
                self._running = self._idle = 0
            jobs, is_idle = self._jobs, self._idle > 0
            self._running += 1
            self._idle -= is_idle
        if is_idle:
            jobs.put(job)
            return
        thread = threading.Thread(target=self._work, args=(jobs, job), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # their number is limited
            self._run(job)

    def _work(self, jobs: queue.SimpleQueue[Job], first: Job) -> None:
        job: Job | None = first
        while job is not None:
            self._run(job)
            job = self._next(jobs)

    def _run(self, job: Job) -> None:
        try:
            job()
        finally:
            with self._lock:
                self._running -= 1

    def _next(self, jobs: queue.SimpleQueue[Job]) -> Job | None:
        with self._lock:
            self._idle += 1
        try:
            return jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with self._lock:
                if self._idle:
                    self._idle -= 1
                    return None
        # Whoever took this thread for idle is about to put its job.
        return jobs.get()
