"""Fuzzes parsers of foreign text, watching which lines of ours are reached.

    python -m tests.fuzz redirects -runs=1000000
    python -m tests.fuzz all -max_total_time=300

Without a limit it runs until it finds something. Needs atheris; the options are libFuzzer's. It starts
from `seeds`, or from a folder of one's own, which then keeps what it learns.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .seeds import SEEDS

atheris: Any = importlib.import_module("atheris")
with atheris.instrument_imports(include=["flask_centralauth"]):
    from .parsers import TARGETS


def main(names: list[str], options: list[str]) -> int:
    """Fuzz one target here, or several one after the other; return the worst exit status."""
    if len(names) > 1:
        command = [sys.executable, "-m", "tests.fuzz"]
        return max(subprocess.run([*command, name, *options], check=False).returncode for name in names)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS):
            (Path(corpus) / str(number)).write_bytes(seed)
        own = any(not option.startswith("-") for option in options)
        atheris.Setup([sys.argv[0], *options, *([] if own else [corpus])], TARGETS[names[0]])
        atheris.Fuzz()
    return 0


chosen = sys.argv[1] if len(sys.argv) > 1 else ""
if chosen not in {*TARGETS, "all"}:
    sys.exit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)},all}} [-runs=N] [-max_total_time=SECONDS]")
sys.exit(main(list(TARGETS) if chosen == "all" else [chosen], sys.argv[2:]))
