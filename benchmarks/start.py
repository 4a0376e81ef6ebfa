"""What it costs to import the extension, to start an application with it, and to keep a worker.

    ./benchmarks/run start                      about three minutes
    ./benchmarks/run start --rounds 50

Every measurement is a fresh process, the ways in turns: Flask alone, Flask with the extension, and Flask
with the libraries that a login by hand needs. CPU time, and memory as the system counts it.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser

from .memory import private_mib
from .report import Report, options, spread
from .started_app import WAYS

ROOT: Final = Path(__file__).parent.parent
FLASK, OURS, BY_HAND = WAYS
STEPS: Final = ("import flask", "import the rest", "make the application", "first page")
#: Of importing the extension after Flask.
GOAL_MS: Final = 5.0
GOAL_KIB: Final = 1024
SETTINGS: Final = {
    "STARTED_SECRET_KEY": "a secret key of benchmarks, long enough",
    "STARTED_CENTRALAUTH_CLIENT_ID": "benchmarks",
    "STARTED_CENTRALAUTH_CLIENT_SECRET": "0123456789abcdef0123456789abcdef",
    "STARTED_CENTRALAUTH_CALLBACK_URL": "http://127.0.0.1/api/auth/callback",
}

#: CPU milliseconds and KiB that each step took, by way and step, one per process.
Found = dict[tuple[str, str], list[tuple[float, float]]]


def fresh_process(way: str) -> dict[str, tuple[float, float]]:
    """Start an interpreter, and return what each step of it added."""
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run(
            [sys.executable, "-c", f"from benchmarks.started_app import main; main({way!r})"],
            cwd=ROOT,
            env={**os.environ, **SETTINGS, "STARTED_INSTANCE": folder},
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    lines = [line.split("\t") for line in said.splitlines()]
    moments = {name: (float(cpu), int(kib)) for name, cpu, kib in lines}
    added: dict[str, tuple[float, float]] = {}
    before = moments["interpreter"]
    for name in STEPS:
        added[name] = (moments[name][0] - before[0], moments[name][1] - before[1])
        before = moments[name]
    start = moments["interpreter"]
    added["all of it"] = (before[0] - start[0], before[1] - start[1])
    return added


def in_turns(rounds: int) -> Found:
    found: Found = defaultdict(list)
    for way in WAYS:
        fresh_process(way)  # compiles what has not been compiled
    for turn in range(rounds):
        for way in rotated(turn):
            for name, added in fresh_process(way).items():
                found[way, name].append(added)
    return found


def rotated(turn: int) -> list[str]:
    """The ways, each of them first in its turn."""
    ways = list(WAYS)
    place = turn % len(ways)
    return ways[place:] + ways[:place]


def add_tables(report: Report, found: Found) -> None:
    columns = ("", *STEPS, "all of it")
    milliseconds = report.table("CPU time of a fresh process, ms", *columns)
    memory = report.table("Memory of a fresh process, MiB", *columns)
    for way in WAYS:
        milliseconds.row(way, *(spread([cpu for cpu, _ in found[way, name]]) for name in columns[1:]))
        memory.row(way, *(spread([kib / 1024 for _, kib in found[way, name]], 2) for name in columns[1:]))
    cost = statistics.median(cpu for cpu, _ in found[OURS, "import the rest"])
    size = statistics.median(kib for _, kib in found[OURS, "import the rest"])
    if cost > GOAL_MS or size > GOAL_KIB:
        report.loss(
            f"Importing the extension after Flask takes {cost:.1f} ms and {size / 1024:.1f} MiB, where the "
            f"goal is {GOAL_MS:g} ms and {GOAL_KIB // 1024} MiB."
        )
    ours, plain = (statistics.median(cpu for cpu, _ in found[way, "all of it"]) for way in (OURS, FLASK))
    report.loss(f"The first page of a process comes {ours - plain:.0f} ms later than with Flask alone.")


class Worker:
    """gunicorn with one worker, on a free port."""

    def __init__(self, way: str, folder: str, settings: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{random.randrange(20000, 32000)}"
        command = [sys.executable, "-m", "gunicorn", "--workers", "1", "--threads", "4"]
        command += ["--bind", self.url.removeprefix("http://"), "--log-level", "critical"]
        self._process = subprocess.Popen(
            [*command, f"benchmarks.started_app:application({way!r})"],
            cwd=ROOT,
            env={
                **os.environ,
                **SETTINGS,
                **settings,
                "STARTED_CENTRALAUTH_CALLBACK_URL": f"{self.url}/api/auth/callback",
                "STARTED_INSTANCE": folder,
                "PYTHONPATH": str(ROOT),
            },
        )

    def first_page(self) -> int:
        """Wait until it answers; return the process id of the worker."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                page = Browser(timeout=10).fetch(f"{self.url}/")
                if page.status == 200:
                    return int(page.text.split()[0])
            time.sleep(0.05)
        raise RuntimeError("gunicorn did not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@contextlib.contextmanager
def worker(way: str, settings: dict[str, str]) -> Iterator[Worker]:
    with tempfile.TemporaryDirectory() as folder:
        running = Worker(way, folder, settings)
        try:
            yield running
        finally:
            running.stop()


def workers(report: Report, emulator: Emulator, rounds: int) -> None:
    idle: dict[str, list[float]] = defaultdict(list)
    after_login: list[float] = []
    for turn in range(rounds):
        for way in rotated(turn):
            settings = {
                f"STARTED_{name}": str(value)
                for name, value in emulator.config.items()
                if way == OURS and name.startswith("CENTRALAUTH_")
            }
            with worker(way, settings) as running:
                process = running.first_page()
                idle[way].append(private_mib(process))
                if way == OURS:
                    page = Browser(emulator, user="alice@example.com").get(f"{running.url}/private")
                    if page.status != 200 or page.text.split()[0] != str(process):
                        raise RuntimeError(f"no login: {page.status} {page.text[:200]}")
                    after_login.append(private_mib(process))
    table = report.table(
        "Private memory of a gunicorn worker, MiB", "", "idle, after its first page", "ratio"
    )
    plain = statistics.median(idle[FLASK])
    for way in WAYS:
        table.row(way, spread(idle[way]), f"{statistics.median(idle[way]) / plain:.2f}x")
    table.row(
        f"{OURS}, after the first login",
        spread(after_login),
        f"{statistics.median(after_login) / plain:.2f}x",
    )
    idle_cost = statistics.median(idle[OURS]) - plain
    login_cost = statistics.median(after_login) - plain
    report.loss(
        f"A worker has {idle_cost:.1f} MiB more than with Flask alone, and {login_cost:.1f} MiB more once "
        "somebody has logged in."
    )


def main() -> int:
    chosen = options("What importing and starting costs.", rounds=(20, 3))
    report = Report("start", "Importing and starting", packages=["gunicorn"], quick=chosen.quick)
    report.note(
        f"{chosen.rounds} fresh processes of each kind, in turns. “Import the rest” is "
        "`from flask_centralauth import CentralAuth, auth_required, current_user`, and by hand the client of "
        "Authlib, requests and Flask-Session; “make the application” is `CentralAuth(app)`, and by hand "
        "`Session(app)` and `OAuth(app).register(...)`. Each answers one public page that reads the session."
    )
    add_tables(report, in_turns(chosen.rounds))
    with Emulator() as emulator:
        emulator.add_user(email="alice@example.com")
        workers(report, emulator, chosen.rounds)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
