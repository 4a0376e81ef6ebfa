"""``python -m flask_centralauth.emulator check URL``: attack an application, grade it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from .attacks import attack
from .origins import origin_of
from .probe import CannotProbe, Probe

DEFAULT_EMULATOR: Final = "http://127.0.0.1:9797"
FAILED: Final = 1
USAGE_ERROR: Final = 2


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m flask_centralauth.emulator check",
        description="Try well-known attacks on a running application that uses a running emulator.",
    )
    add = options.add_argument
    add("url", metavar="URL", help="the application's address")
    add(
        "--emulator",
        metavar="URL",
        default=DEFAULT_EMULATOR,
        help="the emulator's (default %(default)s)",
    )
    add("--prefix", default="/api/auth", help="where the login routes are (default %(default)s)")
    add("--control-token", metavar="TOKEN", help="as given to the emulator")
    return options


def check(argv: Sequence[str]) -> int:
    """Print how each attack went; return 1 when one worked, 2 when nothing could be tried."""
    options = parser().parse_args(argv)
    for url in (options.url, options.emulator):
        if origin_of(url) is None:
            print(f"check: {url!r} is not an http(s) URL", file=sys.stderr)
            return USAGE_ERROR
    probe = Probe(options.url, options.emulator, prefix=options.prefix, control_token=options.control_token)
    try:
        report = attack(probe)
    except CannotProbe as problem:
        print(f"check: {problem}", file=sys.stderr)
        return USAGE_ERROR
    for outcome in report.outcomes:
        reason = outcome.told or outcome.skipped
        word = "FAILED" if outcome.told else "skipped" if outcome.skipped else "ok"
        print(f"{word:<7} {outcome.attack:<7} {outcome.title}" + (f"\n        {reason}" if reason else ""))
    for finding in report.findings:
        print(f"{finding['level']:<7} {finding['id']:<7} {finding['text']}")
    weak = any(outcome.told for outcome in report.outcomes)
    return FAILED if weak or any(finding["level"] == "error" for finding in report.findings) else 0
