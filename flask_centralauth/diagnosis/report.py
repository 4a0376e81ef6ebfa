"""The findings as a person, or a program, reads them."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from .findings import SECTIONS, Finding, Level

WIDEST: Final = 100
_COLOURS: Final = {
    Level.OK: "green",
    Level.UNKNOWN: "blue",
    Level.WARNING: "yellow",
    Level.PROBLEM: "red",
}
_MARGIN: Final = 2
_LEVEL_WIDTH: Final = max(len(level) for level in Level) + 2


def has_problem(findings: Sequence[Finding]) -> bool:
    return any(finding.level is Level.PROBLEM for finding in findings)


def as_dict(findings: Sequence[Finding], callback_url: str | None) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "ok": not has_problem(findings),
        "callbackUrl": callback_url,
        "findings": [
            {
                "check": finding.check,
                "level": str(finding.level),
                "message": finding.message,
                "fix": finding.fix or None,
                "docs": finding.docs,
                **({"name": finding.name} if finding.name else {}),
            }
            for finding in findings
        ],
    }


def as_text(findings: Sequence[Finding]) -> str:
    """Return the report for a terminal; click takes the colours out for anything else."""
    return "\n".join([*_lines(findings), "", _summary(findings)])


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, WIDEST)
    for name in dict.fromkeys(finding.name for finding in findings):
        for section in SECTIONS:
            found = [finding for finding in findings if (finding.name, finding.section) == (name, section)]
            if found:
                yield ""
                yield click.style(f"{section} ({name})" if name else section, bold=True)
            for finding in found:
                yield from _paragraphs(finding, width)


def _paragraphs(finding: Finding, width: int) -> Iterator[str]:
    indent = " " * (_MARGIN + _LEVEL_WIDTH)
    level = click.style(f"{finding.level:<{_LEVEL_WIDTH}}", fg=_COLOURS[finding.level])
    first, *rest = _wrapped(finding.message, width - len(indent))
    yield " " * _MARGIN + level + first
    yield from (indent + line for line in rest)
    if finding.level is not Level.OK:
        label = "Hint" if finding.level is Level.UNKNOWN else "Fix"
        yield from (indent + line for line in _wrapped(f"{label}: {finding.fix}", width - len(indent)))
        yield indent + click.style(finding.docs, dim=True)


def _wrapped(text: str, width: int) -> list[str]:
    # A URL or a line of code is to be copied in one piece.
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _summary(findings: Sequence[Finding]) -> str:
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    parts = [
        f"{count} {level}{'s' if count > 1 else ''}"
        for level, count in counts.items()
        if count and level in (Level.PROBLEM, Level.WARNING)
    ]
    return click.style(", ".join(reversed(parts)) or "Nothing is wrong.", bold=True)
