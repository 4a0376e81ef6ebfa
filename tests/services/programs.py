"""Programs that tests start and pip cannot install: found, or the test says loudly what is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

# The start of every skip reason made here; the closing summary of a run collects them by it.
NOT_RUN: Final = "NOT RUN: "


@dataclass(frozen=True)
class Program:
    label: str
    package: str  # of Debian
    names: Sequence[str]
    folders: Sequence[str] = ()  # patterns below /, for programs that are not on PATH; the newest wins

    def find(self) -> Path | None:
        for name in self.names:
            if on_path := shutil.which(name):
                return Path(on_path)
            for pattern in self.folders:
                if found := sorted(Path("/").glob(f"{pattern}/{name}"), key=_version):
                    return found[-1]
        return None

    def require(self) -> Path:
        """Where the program is. Without it the test is skipped, and in CI (``CI=true``) it fails."""
        if path := self.find():
            return path
        reason = f"{NOT_RUN}{self.label} is not installed (Debian: apt-get install {self.package})"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def _version(path: Path) -> list[int]:
    return [int(part) for part in path.parts if part.isdecimal()]


CHROMIUM = Program("Chromium", "chromium", ("chromium", "chromium-browser", "google-chrome"))
REDIS = Program("Redis", "redis-server", ("redis-server",))
MEMCACHED = Program("memcached", "memcached", ("memcached",))
# Not from PATH first: Debian keeps the server's programs, initdb among them, in a folder per version.
POSTGRESQL = Program("PostgreSQL", "postgresql", ("postgres",), ("usr/lib/postgresql/*/bin",))
