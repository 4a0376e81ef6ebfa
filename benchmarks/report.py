"""What a benchmark found: printed as tables, and kept for docs/benchmarks.md.

    report = Report("guard", "What auth_required costs a page", programs=["redis-server"])
    table = report.table("Against the same view without it", "", "ratio", "goal")
    table.row("Redis, one user", f"{spread(ratios, 3)}x", "1.02x")
    report.exact("upstream calls", calls, most=0)     # a gate: decides the exit status
    report.note("CPU time of one process.")
    report.loss("A view on SQLite costs more than a view without a session.")
    raise SystemExit(report.finish())

`finish` writes benchmarks/results/<name>.json; docs/generate_benchmarks.py makes the page from all of them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .machine import machine, versions

#: Where `finish` writes; another folder for tests and for runs that are not to be kept.
RESULTS: Final = Path(os.environ.get("BENCHMARKS_RESULTS") or Path(__file__).with_name("results"))
PACKAGES: Final = ("Flask", "Werkzeug", "Authlib", "requests", "Flask-Session")


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and in brackets the quartiles: half of all values are between them."""
    if len(values) < 2:
        return f"{values[0]:,.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:,.{digits}f} [{low:,.{digits}f} {high:,.{digits}f}]"


def options(description: str, **sizes: tuple[float, float]) -> argparse.Namespace:
    """Return what was chosen on the command line.

    :param description: the first line of ``--help``.
    :param sizes: option and its default, in full and with ``--quick``: ``seconds=(12.0, 1.0)``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that everything works")
    for name, (full, quick) in sizes.items():
        parser.add_argument(f"--{name}", type=type(full), help=f"{full:,}, or {quick:,} with --quick")
    chosen = parser.parse_args()
    for name, size in sizes.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, size[chosen.quick])
    return chosen


class Table:
    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self.title = title
        self.columns = list(columns)
        self.rows: list[list[str]] = []

    def row(self, *cells: object) -> None:
        """Add a row; what is no text is written as text. It is shown at once on a terminal."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for the columns {self.columns}")
        self.rows.append([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells])
        print("  ".join(self.rows[-1]), file=sys.stderr, flush=True)

    def text(self) -> str:
        """The table with its columns aligned."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        lines.insert(1, ["-" * width for width in widths])
        aligned = (
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
        )
        return "\n".join([self.title, "", *(line.rstrip() for line in aligned)])


class Report:
    """One run of one benchmark.

    :param name: the module's, as in ``./benchmarks/run NAME``.
    :param title: the heading of its section.
    :param packages: Python packages whose versions matter here, beside those of every benchmark.
    :param programs: programs on the path whose versions matter.
    :param quick: whether this was a short run; the page says so.
    """

    def __init__(
        self,
        name: str,
        title: str,
        *,
        packages: Sequence[str] = (),
        programs: Sequence[str] = (),
        quick: bool = False,
    ) -> None:
        self.name = name
        self.title = title
        self.failed = False
        self._quick = quick
        self._machine = machine()
        self._versions = versions([*PACKAGES, *packages], programs)
        self._tables: list[Table] = []
        self._gates = Table("What must hold", ["", "found", "at most", ""])
        self._notes: list[str] = []
        self._losses: list[str] = []

    def table(self, title: str, *columns: str) -> Table:
        """Begin a table. The first column says what a row is about."""
        self._tables.append(Table(title, columns))
        return self._tables[-1]

    def exact(self, what: str, value: float, *, most: float) -> None:
        """A figure that decides the exit status: it must not be above `most`."""
        wrong = value > most
        self.failed |= wrong
        self._gates.row(what, f"{value:,.6g}", f"{most:,.6g}", "WRONG" if wrong else "ok")

    def note(self, text: str) -> None:
        """How to read the tables. Markdown, one paragraph."""
        self._notes.append(text)

    def loss(self, text: str) -> None:
        """Where another way does better than we do, or a goal is missed. Markdown, one sentence or two."""
        self._losses.append(text)

    def result(self) -> dict[str, Any]:
        """What is kept of the run."""
        tables = [*self._tables, self._gates] if self._gates.rows else self._tables
        return {
            "name": self.name,
            "title": self.title,
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "quick": self._quick,
            "machine": self._machine,
            "versions": self._versions,
            "tables": [
                {"title": table.title, "columns": table.columns, "rows": table.rows} for table in tables
            ],
            "notes": self._notes,
            "losses": self._losses,
        }

    def finish(self) -> int:
        """Print and write the result; return the exit status."""
        result = self.result()
        print(f"\n{self.title}\n")
        for table in [*self._tables, self._gates]:
            if table.rows:
                print(table.text() + "\n")
        for note in self._notes:
            print(note)
        for loss in self._losses:
            print(f"Worse: {loss}")
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(result, indent=2, ensure_ascii=False)
        (RESULTS / f"{self.name}.json").write_text(f"{text}\n", encoding="utf-8")
        return int(self.failed)
