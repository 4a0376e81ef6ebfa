"""What benchmarks found is kept, and docs/benchmarks.md is made of it. The figures are no test's."""

from __future__ import annotations

import importlib.util
import json
import socket
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from benchmarks import report as reports
from benchmarks.all import names
from benchmarks.page_views import THREADS, seconds_together
from benchmarks.report import Report, options, spread
from tests.documented_code import ROOT

DOCS: Final = ROOT / "docs"
RESULTS: Final = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_benchmarks", DOCS / "generate_benchmarks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(reports, "RESULTS", tmp_path)
    report = Report(
        "example", "What an example costs", packages=["no-such-package"], programs=["no-such-one"]
    )
    report.table("Pages", "", "ratio").row("one | two", "1.02x")
    report.note("As measured.")
    return report


def test_the_page_is_made_of_the_results(generator: ModuleType) -> None:
    written = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert written == generator.text(), "run: python docs/generate_benchmarks.py"


def test_every_result_is_that_of_a_benchmark() -> None:
    assert {path.stem for path in RESULTS.glob("*.json")} <= set(names())


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_names_no_machine_and_no_folder(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for private in (socket.gethostname(), str(ROOT), str(Path.home()), "/tmp/"):
        # A machine may be called "vm" or "user".
        assert len(private) < 5 or private not in text


def test_a_result_says_what_was_measured_on_what(report: Report, tmp_path: Path) -> None:
    assert report.finish() == 0
    result = json.loads((tmp_path / "example.json").read_text(encoding="utf-8"))
    assert result["title"] == "What an example costs"
    assert result["tables"] == [
        {"title": "Pages", "columns": ["", "ratio"], "rows": [["one | two", "1.02x"]]}
    ]
    assert result["machine"].keys() >= {"processor", "cores", "memory", "kernel", "python"}
    assert result["versions"].keys() >= {"Flask", "Authlib", "requests"}
    assert "no-such-package" not in result["versions"]
    assert result["losses"] == []


@pytest.mark.parametrize(("found", "status"), [(3, 0), (4, 1)])
def test_a_figure_that_must_hold_decides_the_exit_status(report: Report, found: int, status: int) -> None:
    report.exact("calls", found, most=3)
    report.exact("wrong users", 0, most=0)
    assert report.finish() == status


def test_a_row_fills_its_columns(report: Report) -> None:
    with pytest.raises(ValueError, match="2 cells"):
        report.table("", "one").row("one", "two")


def test_the_page_shows_a_result_and_says_where_we_lose(
    report: Report, generator: ModuleType, tmp_path: Path
) -> None:
    report.loss("Slower than by hand.")
    report.finish()
    lost, _, section = generator.text(tmp_path).partition("## Where we lose")[2].partition("\n## ")
    assert lost.strip() == "- Slower than by hand. ([What an example costs](#what-an-example-costs))"
    assert "./benchmarks/run example" in section
    assert "| one \\| two | 1.02x |" in section
    assert "As measured." in section


def test_a_short_run_is_called_one(report: Report, generator: ModuleType, tmp_path: Path) -> None:
    report.finish()
    assert "A short run" not in generator.text(tmp_path)
    result: dict[str, Any] = json.loads((tmp_path / "example.json").read_text(encoding="utf-8"))
    (tmp_path / "example.json").write_text(json.dumps({**result, "quick": True}), encoding="utf-8")
    assert "A short run" in generator.text(tmp_path)


def test_a_spread_is_the_median_and_the_middle_half() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 100.0]) == "3.0 [2.0 4.0]"
    assert spread([1234.5], 0) == "1,234"


def test_nobody_is_served_while_every_thread_waits() -> None:
    assert THREADS == 4
    three = [(0.0, 5.0), (1.0, 4.0), (1.0, 9.0)]
    assert seconds_together(three) == 0
    assert seconds_together([*three, (0.5, 3.0), (3.5, 4.5)]) == 2.5
    assert seconds_together([]) == 0


def test_quick_chooses_small_sizes_that_can_be_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(*arguments: str) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", ["run", *arguments])
        return vars(options("An example.", seconds=(12.0, 1.0), rounds=(3, 2)))

    assert chosen() == {"quick": False, "seconds": 12.0, "rounds": 3}
    assert chosen("--quick", "--rounds", "5") == {"quick": True, "seconds": 1.0, "rounds": 5}


def test_all_runs_what_says_how_it_is_run() -> None:
    for name in names():
        text = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
        assert f"\n    ./benchmarks/run {name} " in text, name
