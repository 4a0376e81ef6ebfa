"""CONTRIBUTING.md names what there is, and commits are checked with the tools of ./tests/run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

import flask_centralauth

from .documented_code import ROOT

GUIDE: Final = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
HOOKS: Final = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
RUN: Final = (ROOT / "tests" / "run").read_text("utf-8")
PROJECT: Final = (ROOT / "pyproject.toml").read_text("utf-8")

#: Folders that tests make.
MADE: Final = ("tests/artifacts", "docs/_build")


def _mentioned(pattern: str) -> list[str]:
    return sorted({name for name in re.findall(pattern, GUIDE) if not name.startswith(MADE)})


@pytest.mark.parametrize("name", _mentioned(r"(?<![\w./*-])(?:\./)?((?:docs|tests|benchmarks)/[\w./]*\w)"))
def test_files_that_the_guide_names_exist(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("flask_centralauth/config.py", ["class Settings"]),
        ("flask_centralauth/setting_table.py", ["SETTINGS"]),
        ("flask_centralauth/error_codes.py", ["class ErrorCode"]),
        ("flask_centralauth/emulator/lint.py", ["_RULES"]),
        ("flask_centralauth/emulator/lint_state.py", ["Finding("]),
        ("tests/test_settings.py", ["DOCUMENTED"]),
        ("tests/test_errors.py", ["OURS"]),
        ("tests/emulator/test_lint.py", ["def test_each_bad_habit_is_found"]),
    ],
)
def test_places_to_add_to_are_where_the_guide_says(file: str, names: list[str]) -> None:
    assert Path(file).name in GUIDE
    # The package may be an installed wheel.
    parent = Path(flask_centralauth.__file__).parents[1] if file.startswith("flask_centralauth/") else ROOT
    source = (parent / file).read_text("utf-8")
    assert [name for name in names if name not in source] == []


def test_commits_are_checked_with_the_pinned_tools_and_no_others() -> None:
    assert re.findall(r"- repo: (\S+)", HOOKS) == ["local"]
    commands = re.findall(r"entry: (\S+) ", HOOKS)
    for command in commands:
        folder, _, tool = command.rpartition("/")
        assert folder == ".venv/bin"
        assert re.search(rf'^    "{tool}==[\d.]+"', PROJECT, re.MULTILINE), tool
        assert f"-m {tool} " in RUN
    assert len(commands) == HOOKS.count("- id:") == 3
