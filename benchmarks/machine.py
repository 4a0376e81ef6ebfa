"""What a benchmark ran on, without a name or a path of the machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

_VERSION = re.compile(r"\d+(?:\.\d+)+")


def machine() -> dict[str, str]:
    """Processor, memory, system and interpreter, and how busy the machine was before we began."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])  # the rest names whose build it is
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {kernel}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def versions(packages: Iterable[str], programs: Iterable[str] = ()) -> dict[str, str]:
    """Of installed Python packages, and of programs on the path; what is missing is left out."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    for program in programs:
        if said := _said(program):
            found[program] = said
    return found


def _processor() -> str:
    named = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    return named[1].strip() if named else platform.machine()


def _said(program: str) -> str | None:
    if (path := shutil.which(program)) is None:
        return None
    option = "-V" if program == "memcached" else "--version"
    answer = subprocess.run([path, option], capture_output=True, text=True, timeout=10)
    number = _VERSION.search(answer.stdout + answer.stderr)
    return number[0] if number else None
