"""What pyproject.toml promises of versions, and that it can be tried."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).parents[1]

#: Older releases have published vulnerabilities that matter here.
SAFE_FROM: Final = {"flask": "3.1.3", "authlib": "1.6.11", "requests": "2.32.4", "flask-session": "0.7"}


def declared(*, groups: bool = False) -> dict[str, Version]:
    """The minimum of every dependency and extra that an application gets; of what tests need too."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    if not groups:
        project = project.partition("[dependency-groups]")[0]
    minimums = {}
    for text in re.findall(r'"([A-Za-z-]+>=[^"]+)"', project):
        requirement = Requirement(text)
        (floor,) = (bound for bound in requirement.specifier if bound.operator == ">=")
        minimums[requirement.name.lower()] = Version(floor.version)
    return minimums


def test_minimums_leave_out_the_known_holes() -> None:
    minimums = declared()
    for name, version in SAFE_FROM.items():
        assert minimums[name] >= Version(version), name


def test_the_lowest_set_is_what_is_declared() -> None:
    """So that `DEPENDENCIES=lowest ./tests/run` tries the promise and nothing else."""
    pinned = {}
    for line in (ROOT / "tests" / "lowest.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            pinned[name.lower()] = Version(version)
    # An SDK has to be as old as what the extra installs, which only its tests need.
    minimums = declared(groups=True)
    assert {name: minimums[name] for name in pinned} == pinned
    assert SAFE_FROM.keys() <= pinned.keys()


def test_the_extra_docs_builds_the_page_of_the_api() -> None:
    """Sphinx imports what `docs/api.md` documents, and one module of that needs the extra `opentelemetry`."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    extras = {
        name: re.findall(r'"([^"]+)"', rest)
        for name, rest in re.findall(r"^(\w+) = \[(.*)\]$", project, re.M)
    }
    assert extras["opentelemetry"]
    assert set(extras["opentelemetry"]) <= set(extras["docs"])
