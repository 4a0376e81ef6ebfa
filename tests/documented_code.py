"""The Python blocks of a Markdown page, made into programs that run.

The blocks of a page continue each other, as a reader pastes them one below the other; a block that makes
a `Flask` object, alone or in a factory, begins a new program. A page that makes none continues the
quickstart (`PRELUDE`). A block with `test_` functions is a test module beside the program so far, which it
imports as `app`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent

PRELUDE: Final = """\
from flask import Flask
from flask_centralauth import CentralAuth
app = Flask(__name__)
app.config.from_prefixed_env()
centralauth = CentralAuth(app)
"""

_FENCE: Final = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MAKES_APPLICATION: Final = re.compile(r"\bFlask\(")
_SERVER: Final = re.compile(r"os\.environ\[\"(\w+)\"\]")
_TEST: Final = re.compile(r"^def test_", re.MULTILINE)


@dataclass
class Program:
    """Consecutive blocks of one page."""

    page: Path
    line: int
    source: str
    tests: list[str] = field(default_factory=list)

    @property
    def servers(self) -> list[str]:
        """The environment variables in which it expects the address of a server."""
        return sorted(set(_SERVER.findall(self.source)))

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every page that people read, generated ones included."""
    written = [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]
    return [ROOT / "README.md", *sorted(written)]


def programs(page: Path) -> list[Program]:
    """The programs of a page, each with the tests that belong to it."""
    text = page.read_text(encoding="utf-8")
    found: list[Program] = []
    for block in _FENCE.finditer(text):
        code, line = block[1], text[: block.start()].count("\n") + 1
        if _TEST.search(code):
            if not found:
                found.append(Program(page, line, PRELUDE))
            found[-1].tests.append(code)
        elif _MAKES_APPLICATION.search(code):
            found.append(Program(page, line, code))
        elif found:
            found[-1].source += f"\n\n{code}"
        else:
            found.append(Program(page, line, f"{PRELUDE}\n\n{code}"))
    return found
