"""Every benchmark, one after the other, and then docs/benchmarks.md.

    ./benchmarks/run all                about half an hour
    ./benchmarks/run all --quick        a few minutes, to see that everything works

The exit status is 1 when one of them failed; the others still run.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from .report import options

FOLDER: Final = Path(__file__).parent
#: The longest that any one may take, in seconds, before it is ended.
LONGEST: Final = 900


def names() -> list[str]:
    """The modules that can be run, without this one."""
    runs = '\nif __name__ == "__main__":'
    found = (path for path in FOLDER.glob("*.py") if runs in path.read_text(encoding="utf-8"))
    return sorted(path.stem for path in found if path.stem != Path(__file__).stem)


def run(name: str, arguments: list[str]) -> int:
    """Run one benchmark; return its exit status."""
    process = subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=FOLDER.parent)
    try:
        return process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        # As Ctrl-C does: it ends the servers it started.
        process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 1


def main() -> int:
    chosen = options("Runs every benchmark and writes the page.")
    arguments = ["--quick"] if chosen.quick else []
    failed = []
    for name in names():
        print(f"\n=== {name}", flush=True)
        if run(name, arguments):
            failed.append(name)
    page = subprocess.run([sys.executable, "docs/generate_benchmarks.py"], cwd=FOLDER.parent).returncode
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall gates hold")
    return int(bool(failed or page))


if __name__ == "__main__":
    raise SystemExit(main())
