"""Writes benchmarks.md, next to this file, from the results in benchmarks/results.

    python docs/generate_benchmarks.py

Run it after a benchmark; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).with_name("benchmarks.md")
RESULTS: Final = Path(__file__).parent.parent / "benchmarks" / "results"
#: What most readers look for comes first; what is not named here comes last.
ORDER: Final = ("views", "login", "guard", "served", "start", "bad_days", "crowd", "growth", "hostile")

INTRODUCTION: Final = """\
# Benchmarks

<!-- Made by docs/generate_benchmarks.py from benchmarks/results: run the benchmarks and then that. -->

What the extension costs, measured by a command that you can run yourself. Each makes what it needs: a virtual
environment, servers on free local ports, a local CentralAuth. While it measures, nothing outside the machine
is asked.

```
./benchmarks/run            # lists them
./benchmarks/run all        # one after the other, then this page
```

What is compared takes turns within one run (A B A B ...), so that whatever else the machine does hits all of
them. Trust the ratios; microseconds are those of one machine. A figure is the median, and in brackets are the
quartiles: half of the measurements lie between them. “What must hold” is counted, not timed: when it does
not, the command fails.

## Where we lose

"""


def results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return what was measured last, in the order of the page."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted(found, key=lambda result: (places.get(result["name"], len(places)), result["name"]))


def text(folder: Path = RESULTS) -> str:
    """Return the page."""
    measured = results(folder)
    losses = [
        f"- {loss} ([{result['title']}](#{_anchor(result['title'])}))"
        for result in measured
        for loss in result["losses"]
    ]
    parts = [INTRODUCTION + "\n".join(losses or ["Nowhere in what was measured last."]) + "\n"]
    parts += ["\n".join(_section(result)) for result in measured]
    return "\n".join(parts)


def _section(result: dict[str, Any]) -> Iterator[str]:
    yield f"## {result['title']}\n"
    yield f"```\n./benchmarks/run {result['name']}\n```\n"
    for note in result["notes"]:
        yield f"{note}\n"
    for table in result["tables"]:
        yield f"**{table['title']}**\n"
        yield from _table(table["columns"], table["rows"])
        yield ""
    facts = [f"{name} {value}" for name, value in result["versions"].items()]
    machine = dict(result["machine"])
    python, load = machine.pop("python"), machine.pop("load before")
    kind = "A short run of" if result["quick"] else "Run of"
    yield (
        f"{kind} {result['date']}, load before it {load}. {python}, {', '.join(facts)}. "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['kernel']}.\n"
    )


def _table(columns: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield _line(columns)
    yield _line(["---"] * len(columns))
    yield from (_line(row) for row in rows)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _anchor(title: str) -> str:
    """As renderers of Markdown make them."""
    kept = (letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")
    return "".join(kept)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
