"""Writes the ledger of attacks in security.md, next to this file, from the marks of tests/attacks.

    python docs/generate_security.py

Run it after changing an ``@attack`` mark; a test compares the two. Nothing of the tests is imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
TARGET: Final = Path(__file__).with_name("security.md")
ATTACKS: Final = ROOT / "tests" / "attacks"
CATALOGUE: Final = ATTACKS / "catalogue.tsv"

_LEDGER: Final = re.compile(
    r"(?<=<!-- made by docs/generate_security.py -->\n).*?(?=\n<!-- end -->)", re.DOTALL
)
_STATES: Final = {
    "held": "",
    "service": "Only CentralAuth can prevent it. At our end: ",
    "not offered": "Not offered. ",
}


@dataclass
class Attack:
    """One row: the catalogue's words, and what the marks say."""

    number: int
    severity: str
    title: str
    defences: list[str] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    states: set[str] = field(default_factory=set)
    tests: list[str] = field(default_factory=list)
    #: Tests that the attack still gets past, with the reason.
    open: dict[str, str] = field(default_factory=dict)


def attacks() -> dict[int, Attack]:
    """Return the catalogue with what the tests say of it."""
    lines = CATALOGUE.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    found = {int(number): Attack(int(number), severity, title) for number, severity, title in rows}
    for file in sorted(ATTACKS.glob("test_*.py")):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for arguments in _calls(function, "attack"):
                    said = {name: ast.literal_eval(value) for name, value in arguments.items()}
                    _add(found, said, f"{file.stem}::{function.name}", _reason(function))
    return found


def _calls(function: ast.FunctionDef, name: str) -> Iterator[dict[str, ast.expr]]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == name:
            named = {keyword.arg or "": keyword.value for keyword in decorator.keywords}
            names = ("number", "defence")
            yield {**dict(zip(names, decorator.args, strict=False)), **named}


def _reason(function: ast.FunctionDef) -> str | None:
    marks = _calls(function, "pytest.mark.xfail")
    return next((str(ast.literal_eval(mark["reason"])) for mark in marks), None)


def _add(found: dict[int, Attack], arguments: dict[str, Any], test: str, reason: str | None) -> None:
    row = found[arguments["number"]]
    if reason is not None:
        row.open[test] = reason
    else:
        row.tests.append(test)
    if arguments.get("defence"):
        row.defences.append(arguments["defence"])
        row.states.add(arguments.get("state", "held"))
    if arguments.get("decided"):
        row.decided.append(arguments["decided"])


def ledger() -> str:
    """Return the table, with a sentence on what it adds up to."""
    rows = list(attacks().values())
    still_open = [row for row in rows if row.open]
    stated = [row for row in rows if row.states - {"held"}]
    head = f"{len(rows)} attacks, each performed by a test. "
    head += f"{len(stated)} concern what is not offered here or only CentralAuth can prevent. "
    head += (
        f"{len(still_open)} have a variant that still gets through, marked **open**." if still_open else ""
    )
    table = ["| | attack | severity | what we do | tests (`tests/attacks/`) |", "|---|---|---|---|---|"]
    return "\n".join([head.strip(), "", *table, *map(_line, rows)])


def _line(row: Attack) -> str:
    said = " ".join(_STATES[state] for state in sorted(row.states) if _STATES[state]) + " ".join(row.defences)
    if row.decided:
        said += f" *By design: {'; '.join(row.decided)}.*"
    for reason in row.open.values():
        said += f" **Open:** {reason}."
    tests = "<br>".join(f"`{test}`" for test in [*row.tests, *row.open])
    return f"| {row.number} | {_cell(row.title)} | {row.severity} | {_cell(said)} | {tests} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def text() -> str:
    """Return the page with its ledger as the marks have it now."""
    return _LEDGER.sub(lambda _match: f"\n{ledger()}\n", TARGET.read_text(encoding="utf-8"))


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
