"""``python -m flask_centralauth.emulator check URL``: attack an application, grade it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from .attacks import attack
from .probe import CannotProbe, Probe
from .usage import UsageError, add_emulator_options, check_urls, complain

FAILED: Final = 1


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m flask_centralauth.emulator check",
        description="Try well-known attacks on a running application that uses a running emulator.",
    )
    options.add_argument("url", metavar="URL", help="the application's address")
    options.add_argument(
        "--prefix", default="/api/auth", help="where the login routes are (default %(default)s)"
    )
    add_emulator_options(options)
    return options


def check(argv: Sequence[str]) -> int:
    """Print how each attack went; return 1 when one worked, 2 when nothing could be tried."""
    options = parser().parse_args(argv)
    try:
        check_urls(options.url, options.emulator)
        report = attack(
            Probe(options.url, options.emulator, prefix=options.prefix, control_token=options.control_token)
        )
    except (UsageError, CannotProbe) as problem:
        return complain("check", problem)
    for outcome in report.outcomes:
        reason = outcome.told or outcome.skipped
        word = "FAILED" if outcome.told else "skipped" if outcome.skipped else "ok"
        print(f"{word:<7} {outcome.attack:<7} {outcome.title}" + (f"\n        {reason}" if reason else ""))
    for finding in report.findings:
        print(f"{finding['level']:<7} {finding['id']:<7} {finding['text']}")
    weak = any(outcome.told for outcome in report.outcomes)
    return FAILED if weak or any(finding["level"] == "error" for finding in report.findings) else 0
