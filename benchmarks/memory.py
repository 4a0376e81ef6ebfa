"""What a process has in memory."""

from __future__ import annotations

from pathlib import Path


def private_mib(process: int) -> float:
    """What this process alone has in memory; what it shares with its parent is left out (Linux)."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
