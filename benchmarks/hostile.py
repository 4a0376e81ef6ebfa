"""Sends 10,000 hostile requests to one worker and prints what its memory did.

    python -m benchmarks.hostile [requests]

The application runs in this process, behind the emulator as CentralAuth; every request is one that an
attacker can send without an account. Flat means that the last half grew by less than 4 MB.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flask import Flask
from flask.testing import FlaskClient

from flask_centralauth import CentralAuth, auth_required, current_user
from flask_centralauth.emulator import Emulator

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
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    logging.disable(logging.CRITICAL)
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
                print(f"{number + 1:>7} requests  {sizes[-1] / 1024:7.1f} MB")
        seconds = time.perf_counter() - began
    grown = sizes[-1] - sizes[len(sizes) // 2]
    flat = grown < FLAT_KILOBYTES
    print(f"{count / seconds:,.0f} requests a second; highest status {worst}; last half grew {grown} kB")
    print("flat" if flat and worst < 500 else "NOT flat, or something failed")
    return 0 if flat and worst < 500 else 1


if __name__ == "__main__":
    sys.exit(main())
