"""The ledger in docs/security.md: no attack without a test, no test without a row."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

GENERATOR = Path(__file__).parents[2] / "docs" / "generate_security.py"


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(GENERATOR))


def test_every_attack_has_one_defence_and_a_test(generator: dict[str, Any]) -> None:
    rows = generator["attacks"]()
    assert sorted(rows) == list(range(1, 105))
    for row in rows.values():
        assert row.tests, f"attack {row.number} is not performed"
        assert len(row.defences) == 1, f"attack {row.number} needs one sentence on what we do"
        assert row.defences[0].endswith(".")
        assert row.severity in ("Low", "Medium", "High", "Critical")
        assert len(row.states) == 1


def test_every_row_has_its_tests(generator: dict[str, Any]) -> None:
    for row in generator["attacks"]().values():
        for test in [*row.tests, *row.open]:
            module, name = test.split("::")
            source = (GENERATOR.parent.parent / "tests" / "attacks" / f"{module}.py").read_text()
            assert f"def {name}(" in source


def test_the_page_is_what_the_marks_say(generator: dict[str, Any]) -> None:
    page = GENERATOR.with_name("security.md").read_text(encoding="utf-8")
    assert page.count("made by docs/generate_security.py") == 1
    assert page == generator["text"](), "run python docs/generate_security.py"
    assert page.count("\n| ") >= 104
