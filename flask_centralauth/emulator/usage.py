"""What the emulator's command lines share: which emulator is meant, and how a mistake is told."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from .origins import origin_of

DEFAULT_PORT: Final = 9797
USAGE_ERROR: Final = 2


class UsageError(Exception):
    """Somebody asks for something impossible; the text says what to do."""


def add_emulator_options(options: argparse.ArgumentParser) -> None:
    """Add the options that name a running emulator."""
    options.add_argument(
        "--emulator",
        metavar="URL",
        default=f"http://127.0.0.1:{DEFAULT_PORT}",
        help="the emulator's address (default %(default)s)",
    )
    options.add_argument("--control-token", metavar="TOKEN", help="as given to the emulator")


def check_urls(*urls: str) -> None:
    """Accept http(s) URLs.

    :raises UsageError: naming the one that is none.
    """
    for url in urls:
        if origin_of(url) is None:
            raise UsageError(f"{url!r} is not an http(s) URL")


def complain(program: str, problem: object) -> int:
    """Tell a mistake in one line; return the exit status."""
    print(f"{program}: {problem}", file=sys.stderr)
    return USAGE_ERROR
