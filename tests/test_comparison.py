"""docs/comparison.md names tests that exist, and one for every row that promises something."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "docs" / "comparison.md").read_text("utf-8")
NAMED: Final = sorted(set(re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: part)
def test_what_is_named_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert not name or name in defined
    assert any(one.lower().startswith("test") for one in defined)


def test_every_promise_has_its_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "proven by" not in line]
    assert len(rows) > 40
    assert [
        row for row in rows if "`tests/" not in row and "not offered" not in row and "not needed" not in row
    ] == []
