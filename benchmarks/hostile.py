"""Sends 10,000 hostile requests to one worker and prints what its memory did.

    ./benchmarks/run hostile                       10,000 of them
    ./benchmarks/run hostile --requests 100000

The application runs in this process, behind the emulator as CentralAuth; every request is one that an
attacker can send without an account. Flat means that the last half grew by less than 4 MB.
"""

from __future__ import annotations

import gc
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flask import Flask
from flask.testing import FlaskClient

from flask_centralauth import CentralAuth, auth_required, current_user
from flask_centralauth.emulator import Emulator

from .report import Report, options

PAGE: Final = {"Accept": "text/html"}
STEPS: Final = 10
FLAT_KILOBYTES: Final = 4096


def application(emulator: Emulator, folder: str) -> Flask:
    app = Flask("attacked", instance_path=folder)
    app.config.update(emulator.config, SECRET_KEY="a secret key of the benchmark, long enough")
    CentralAuth(app)

    @app.get("/private")
    @auth_required
    def private() -> str:
        return current_user.email or ""

    return app


def attacks(client: FlaskClient) -> list[Callable[[int], Any]]:
    """Return the requests; each gets a number, to be a little different every time."""

    def get(path: str, **headers: str) -> Any:
        return client.get(path, headers={**PAGE, **headers})

    return [
        lambda n: get(f"/api/auth/login?return_to=/%09/evil.example/{n}"),
        lambda n: get(f"/api/auth/login?email=victim{n}@example.com"),
        lambda n: get(f"/api/auth/callback?code=c{n}&state=s{n}"),
        lambda n: get(f"/api/auth/callback?error=e{n}&error_description={'x' * 2000}"),
        lambda n: get("/api/auth/callback?" + "&".join(f"p{n}_{i}=1" for i in range(200))),
        lambda n: get("/private", Cookie=f"session=made-up-{n}"),
        lambda n: get("/private", Cookie=f"session={'x' * 4000}{n}; a=b=c; ;;"),
        lambda n: get("/private", Authorization=f"Bearer {n}{'x' * 9000}"),
        lambda n: get("/private", Authorization=f"Bearer eyJhIjoxfQ..AAAA.BBBB.C{n}"),
        lambda n: get("/private", **{"User-Agent": f"\x1b[31m{n}" + "x" * 5000, "X-Forwarded-For": f"{n}"}),
        lambda n: client.post("/api/auth/logout", headers={"Origin": f"https://evil{n}.example"}),
        lambda n: get(f"/api/auth/user/{n}.css"),
        lambda n: get("/api/auth/login", Host=f"evil{n}.example"),
    ]


def resident_kilobytes() -> int:
    """Return the memory of this process as the system counts it (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> int:
    chosen = options("What hostile requests do to a worker's memory.", requests=(10_000, 1_000))
    count = chosen.requests
    logging.disable(logging.CRITICAL)
    report = Report("hostile", "Hostile requests", quick=chosen.quick)
    report.note(
        "Every request is one that an attacker can send without an account, to one worker. The last half "
        "must not grow it."
    )
    table = report.table("Memory of the worker", "requests", "MB")
    with Emulator() as emulator, tempfile.TemporaryDirectory() as folder:
        client = application(emulator, folder).test_client(use_cookies=False)
        requests = attacks(client)
        worst, sizes = 0, []
        began = time.perf_counter()
        for number in range(count):
            worst = max(worst, requests[number % len(requests)](number).status_code)
            if (number + 1) % (count // STEPS) == 0:
                # The emulator shares this process and keeps a journal.
                emulator.requests.clear()
                sizes.append(resident_kilobytes())
                table.row(number + 1, f"{sizes[-1] / 1024:.1f}")
        seconds = time.perf_counter() - began
    grown = sizes[-1] - sizes[len(sizes) // 2]
    report.table("Speed", "", "requests/s").row("mixed, in one process", f"{count / seconds:,.0f}")
    report.exact("growth in the last half, kB", grown, most=FLAT_KILOBYTES)
    report.exact("highest status", worst, most=499)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
