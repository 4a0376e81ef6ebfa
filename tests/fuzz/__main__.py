"""Fuzzes a parser of foreign text, watching which lines of ours are reached.

    python -m tests.fuzz redirects -runs=1000000

Without a limit it runs until it finds something. Needs atheris; the options are libFuzzer's.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")
with atheris.instrument_imports(include=["flask_centralauth"]):
    from .parsers import TARGETS

if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
    sys.exit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [-runs=N] [-max_total_time=SECONDS]")
target = TARGETS[sys.argv.pop(1)]
atheris.Setup(sys.argv, target)
atheris.Fuzz()
